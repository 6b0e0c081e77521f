//! Paired comparison of two arms from the differences of their log times in shared blocks.

use super::constants::{FLOOR, LEAST_BLOCKS, TRIM};
use crate::stats::{average_pairs, clipped_lag1, trimmed_mean, upper_quantile, upper_tail};

/// Autocorrelation above which neighbours are averaged.
const DEPENDENT: f64 = 0.2;
/// Autocorrelation credited to series that are too short to show theirs. Without it the first looks, and series that
/// averaging made short, threw the best arm out of one race in fourteen at a true autocorrelation of 0.6; with it of
/// one in twenty-four, for 4 % more time (`tests/slippage.rs`).
const UNKNOWN: f64 = 0.4;
/// Fewer differences than this are not averaged.
const LEAST_TO_AVERAGE: usize = 10;

/// Where the difference of two arms lies: positive means that the first is slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Comparison {
    /// Trimmed mean of the differences, in log time.
    pub mean: f64,
    /// Its standard error; infinite where nothing is known.
    pub standard_error: f64,
    /// Degrees of freedom.
    pub freedom: f64,
}

impl Comparison {
    /// Two arms that met too rarely.
    const NOTHING: Self = Self {
        mean: 0.0,
        standard_error: f64::INFINITY,
        freedom: 1.0,
    };

    /// From differences in the order in which they were measured.
    ///
    /// Neighbours are averaged while they depend on each other; what dependence is left widens the standard error
    /// as for a first-order autoregressive series, √((1 + r) / (1 − r)). Series too short to tell count as dependent.
    pub fn of(mut differences: Vec<f64>) -> Self {
        if differences.len() < LEAST_BLOCKS {
            return Self::NOTHING;
        }
        let dependence = |series: &[f64]| clipped_lag1(series).unwrap_or(UNKNOWN);
        let mut lag1 = dependence(&differences);
        while differences.len() >= LEAST_TO_AVERAGE && lag1 > DEPENDENT {
            differences = average_pairs(&differences);
            lag1 = dependence(&differences);
        }
        let Some(trimmed) = trimmed_mean(&differences, TRIM) else {
            return Self::NOTHING;
        };
        let widened = if lag1 > 0.0 {
            trimmed.standard_error * ((1.0 + lag1) / (1.0 - lag1.min(0.8))).sqrt()
        } else {
            trimmed.standard_error
        };
        Self {
            mean: trimmed.mean,
            standard_error: widened.max(FLOOR / (differences.len() as f64).sqrt()),
            freedom: trimmed.freedom,
        }
    }

    /// Did they meet often enough to tell anything?
    pub fn is_known(&self) -> bool {
        self.standard_error.is_finite()
    }

    /// Of the first arm of this one with the second of `next`, whose first is this one's second: both errors add up.
    pub fn then(self, next: Self) -> Self {
        Self {
            mean: self.mean + next.mean,
            standard_error: self.standard_error.hypot(next.standard_error),
            freedom: self.freedom.min(next.freedom),
        }
    }

    /// Distance from the mean to a one-sided bound at level `alpha`.
    pub fn half_width(&self, alpha: f64) -> f64 {
        if self.standard_error.is_finite() {
            upper_quantile(alpha, self.freedom) * self.standard_error
        } else {
            f64::INFINITY
        }
    }

    /// The bound that the difference exceeds with probability `alpha`.
    pub fn upper(&self, alpha: f64) -> f64 {
        self.mean + self.half_width(alpha)
    }

    /// The bound that the difference stays below with probability `alpha`.
    pub fn lower(&self, alpha: f64) -> f64 {
        self.mean - self.half_width(alpha)
    }

    /// The probability that the difference exceeds `limit`.
    pub fn probability_above(&self, limit: f64) -> f64 {
        if self.standard_error.is_finite() {
            upper_tail((limit - self.mean) / self.standard_error, self.freedom)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_differences_are_credited_the_floor() {
        let c = Comparison::of(vec![0.01; 4]);
        assert!((c.mean - 0.01).abs() < 1e-12);
        assert!((c.standard_error - FLOOR / 2.0).abs() < 1e-12);
        assert!(c.lower(0.05) > 0.009 && c.upper(0.05) < 0.011);
    }

    #[test]
    fn seven_differences_are_too_few_to_trust_their_independence() {
        let zigzag = |n: u32| (0..n).map(|i| f64::from(i % 2)).collect();
        let (seven, eight) = (Comparison::of(zigzag(7)), Comparison::of(zigzag(8)));
        // Both lose one value at each end: winsorised variance over five and over six values left.
        let plain = (12.0_f64 / 7.0 / 20.0).sqrt();
        assert!((seven.standard_error / plain - (1.4_f64 / 0.6).sqrt()).abs() < 1e-9);
        assert!((eight.standard_error / (2.0_f64 / 30.0).sqrt() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn over_a_third_arm_the_errors_add_up() {
        let known = |mean, standard_error, freedom| Comparison {
            mean,
            standard_error,
            freedom,
        };
        let both = known(0.1, 0.03, 9.0).then(known(-0.04, 0.04, 5.0));
        assert!((both.mean - 0.06).abs() < 1e-12 && (both.standard_error - 0.05).abs() < 1e-12);
        assert!(both.is_known() && (both.freedom - 5.0).abs() < 1e-12);
        assert!(!both.then(Comparison::NOTHING).is_known());
    }

    #[test]
    fn two_blocks_prove_nothing() {
        let c = Comparison::of(vec![0.5, 0.5]);
        assert!(c.upper(0.4).is_infinite());
        assert!((c.probability_above(9.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn dependent_differences_have_a_wider_error_than_shuffled_ones() {
        let wave: Vec<f64> = (0..64).map(|i| (f64::from(i) / 6.0).sin()).collect();
        // The same values in an order without dependence between neighbours.
        let mixed: Vec<f64> = (0..64).map(|i| wave[i * 27 % 64]).collect();
        let (wave, mixed) = (Comparison::of(wave), Comparison::of(mixed));
        assert!(wave.half_width(0.01) > 2.0 * mixed.half_width(0.01));
    }
}
