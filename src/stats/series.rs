//! Dependence between neighbours of a series: how much there is, and averaging it out.

use super::order::quantile_of_sorted;

/// Fewer values than this say nothing about dependence.
const LEAST: usize = 8;

/// Lag-1 autocorrelation of the values clipped to their 10 % and 90 % quantiles, so that a lone outlier does not hide
/// it; 0 below eight values or where all are equal.
pub fn clipped_lag1(values: &[f64]) -> f64 {
    if values.len() < LEAST {
        return 0.0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (
        quantile_of_sorted(&sorted, 0.1),
        quantile_of_sorted(&sorted, 0.9),
    ) else {
        return 0.0;
    };
    let clipped = || values.iter().map(|v| v.max(low).min(high));
    let mean = clipped().sum::<f64>() / values.len() as f64;
    let variance: f64 = clipped().map(|v| (v - mean).powi(2)).sum();
    if variance <= 0.0 {
        return 0.0;
    }
    let products: f64 = clipped()
        .zip(clipped().skip(1))
        .map(|(a, b)| (a - mean) * (b - mean))
        .sum();
    products / variance
}

/// Means of neighbouring pairs, in order; an odd first value is left out (the latest ones matter most).
pub fn average_pairs(values: &[f64]) -> Vec<f64> {
    values[values.len() % 2..]
        .chunks_exact(2)
        .map(|pair| f64::midpoint(pair[0], pair[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autocorrelation_tells_a_wave_from_a_zigzag() {
        let wave: Vec<f64> = (0..40).map(|i| (f64::from(i) / 5.0).sin()).collect();
        let zigzag: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        assert!(clipped_lag1(&wave) > 0.9);
        assert!(clipped_lag1(&zigzag) < -0.9);
        assert!(clipped_lag1(&wave[..7]).abs() < 1e-12, "seven say nothing");
        assert!(clipped_lag1(&[2.0; 12]).abs() < 1e-12);
    }

    #[test]
    fn one_outlier_does_not_hide_dependence() {
        let mut wave: Vec<f64> = (0..40).map(|i| (f64::from(i) / 5.0).sin()).collect();
        wave[17] = 1000.0;
        assert!(clipped_lag1(&wave) > 0.7);
    }

    #[test]
    fn pairs_are_averaged_from_the_end() {
        assert_eq!(average_pairs(&[9.0, 1.0, 3.0, 5.0, 7.0]), [2.0, 6.0]);
        assert!(average_pairs(&[1.0]).is_empty());
    }
}
