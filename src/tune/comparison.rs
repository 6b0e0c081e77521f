//! Paired comparison of two arms from the differences of their log times in shared blocks.

use super::constants::{FLOOR, LEAST_BLOCKS, TRIM};
use crate::stats::{
    average_pairs, chi_squared_upper_tail, clipped_lag1, trimmed_mean, upper_quantile, upper_tail,
};

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

    /// From the differences of several visits, each in the order in which they were measured.
    ///
    /// Visits differ by more than the blocks within them tell: the difference of a visit is one draw of a random effect,
    /// whose variance is estimated from how far visits are apart (`DerSimonian` and Laird, "Meta-analysis in clinical
    /// trials", Controlled Clinical Trials 7, 1986). Where visits differ by no more than blocks explain they count as one.
    pub fn of_visits(visits: Vec<Vec<f64>>) -> Self {
        let visits = match Visits::of(visits) {
            Ok(visits) => visits,
            Err(one) => return one.unwrap_or(Self::NOTHING),
        };
        let between = visits.between();
        let weights: Vec<f64> = visits
            .within
            .iter()
            .map(|within| 1.0 / (within + between))
            .collect();
        let total: f64 = weights.iter().sum();
        let share = |variance: &dyn Fn(usize) -> f64| -> f64 {
            let parts = weights.iter().enumerate();
            parts.map(|(i, w)| (w / total).powi(2) * variance(i)).sum()
        };
        let (by_blocks, by_visits) = (share(&|i| visits.within[i]), share(&|_| between));
        let variance = by_blocks + by_visits;
        let others = (visits.means.len() - 1) as f64;
        Self {
            mean: dot(&weights, &visits.means) / total,
            standard_error: variance.sqrt(),
            // The more of the variance lies between visits, the more they are the sample (Satterthwaite, "An approximate
            // distribution of estimates of variance components", Biometrics Bulletin 2, 1946).
            freedom: variance.powi(2)
                / (by_blocks.powi(2) / visits.freedom + by_visits.powi(2) / others),
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

/// What each of several visits says, those of too few blocks left out.
pub(super) struct Visits {
    /// Means of the differences in log time, in the order of the visits.
    pub means: Vec<f64>,
    /// The variances of these that blocks explain.
    within: Vec<f64>,
    /// Degrees of freedom of those.
    freedom: f64,
}

impl Visits {
    /// From the differences of each; where fewer than two hold enough blocks, what the one says, if there is one.
    pub fn of(visits: Vec<Vec<f64>>) -> Result<Self, Option<Comparison>> {
        let each: Vec<(Comparison, f64)> = visits
            .into_iter()
            .filter(|differences| differences.len() >= LEAST_BLOCKS)
            .map(|differences| {
                let blocks = differences.len() as f64;
                (Comparison::of(differences), blocks)
            })
            .collect();
        if each.len() < 2 {
            return Err(each.first().map(|(one, _)| *one));
        }
        // The variance of a block is that of all visits together: a few blocks tell little of theirs.
        let freedom: f64 = each.iter().map(|(visit, _)| visit.freedom).sum();
        let squares = each
            .iter()
            .map(|(visit, blocks)| visit.freedom * blocks * visit.standard_error.powi(2));
        let of_block = squares.sum::<f64>() / freedom;
        Ok(Self {
            means: each.iter().map(|(visit, _)| visit.mean).collect(),
            within: each.iter().map(|(_, blocks)| of_block / blocks).collect(),
            freedom,
        })
    }

    /// How far they are apart over how far blocks let them be, squared: about as many as visits less one where they agree
    /// (Cochran's Q).
    fn apart(&self) -> f64 {
        let weights = self.weights();
        let mean = dot(&weights, &self.means) / weights.iter().sum::<f64>();
        let squares = weights.iter().zip(&self.means);
        squares.map(|(w, x)| w * (x - mean).powi(2)).sum()
    }

    fn weights(&self) -> Vec<f64> {
        self.within.iter().map(|within| 1.0 / within).collect()
    }

    /// The variance of visits beyond what blocks explain, zero at least.
    fn between(&self) -> f64 {
        let weights = self.weights();
        let total: f64 = weights.iter().sum();
        let scale = total - dot(&weights, &weights) / total;
        ((self.apart() - (self.means.len() - 1) as f64) / scale).max(0.0)
    }

    /// Would visits that agree be so far apart with no more than this probability?
    pub fn disagree(&self, alpha: f64) -> bool {
        let others = (self.means.len() - 1) as f64;
        chi_squared_upper_tail(self.apart(), others) <= alpha
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
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

    /// So many blocks a visit, whose means are these and whose blocks scatter by ±0.01 around them.
    fn visits(means: &[f64], blocks: u32) -> Vec<Vec<f64>> {
        let visit = |mean: &f64| {
            (0..blocks)
                .map(|i| mean + 0.01 * (f64::from(i % 2) * 2.0 - 1.0))
                .collect()
        };
        means.iter().map(visit).collect()
    }

    #[test]
    fn visits_that_agree_count_as_one() {
        let together = Comparison::of_visits(visits(&[0.1; 4], 10));
        let whole = Comparison::of(visits(&[0.1], 40).remove(0));
        assert!((together.mean - whole.mean).abs() < 1e-12);
        let ratio = together.standard_error / whole.standard_error;
        assert!((0.95..1.15).contains(&ratio), "{ratio}");
        assert!(together.freedom > 15.0, "{}", together.freedom);
    }

    #[test]
    fn visits_that_differ_are_the_sample() {
        let means = [0.1, 0.3, 0.2, 0.4];
        let c = Comparison::of_visits(visits(&means, 40));
        assert!((c.mean - 0.25).abs() < 1e-6, "{}", c.mean);
        // Standard deviation of the means over the root of their number, and as many degrees of freedom less one.
        let expected = (0.05_f64 / 3.0 / 4.0).sqrt();
        assert!((c.standard_error / expected - 1.0).abs() < 0.01);
        assert!((c.freedom - 3.0).abs() < 0.01, "{}", c.freedom);
        // However many blocks there are: more of them say nothing of another time.
        let more = Comparison::of_visits(visits(&means, 400));
        assert!((more.standard_error / c.standard_error - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_visit_of_many_blocks_does_not_outweigh_others_that_say_something_else() {
        let mut unequal = visits(&[0.0], 200);
        unequal.extend(visits(&[0.3, 0.3], 5));
        let c = Comparison::of_visits(unequal);
        assert!((c.mean - 0.2).abs() < 0.005, "{}", c.mean);
        // Where they agree it tells most.
        let mut alike = visits(&[0.300], 200);
        alike.extend(visits(&[0.301, 0.299], 5));
        let alike = Comparison::of_visits(alike);
        assert!((alike.mean - 0.3).abs() < 5e-4);
        assert!(alike.standard_error < c.standard_error / 20.0);
    }

    #[test]
    fn visits_that_differ_by_more_than_blocks_explain_disagree() {
        let disagree = |means: &[f64]| {
            let visits = Visits::of(visits(means, 10));
            visits.is_ok_and(|visits| visits.disagree(0.01))
        };
        assert!(!disagree(&[0.1, 0.1, 0.1]));
        assert!(!disagree(&[0.1, 0.105, 0.102]));
        assert!(disagree(&[0.1, 0.2, 0.1]));
        assert!(!disagree(&[0.1]));
    }

    #[test]
    fn visits_of_two_blocks_tell_nothing() {
        assert!(!Comparison::of_visits(visits(&[0.1, 0.1], 2)).is_known());
        let mut one = visits(&[0.1], 8);
        one.extend(visits(&[0.9], 2));
        assert_eq!(
            Comparison::of_visits(one),
            Comparison::of(visits(&[0.1], 8).remove(0))
        );
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
