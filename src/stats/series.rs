//! Dependence between neighbours of a series: how much there is, and averaging it out.

use super::order::quantile_of_sorted;

/// Fewer values than this say nothing about dependence.
const LEAST: usize = 8;

/// Lag-1 autocorrelation of the values clipped to their 10 % and 90 % quantiles, so that a lone outlier does not hide
/// it; 0 where all are equal, `None` below eight values.
pub fn clipped_lag1(values: &[f64]) -> Option<f64> {
    if values.len() < LEAST {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let low = quantile_of_sorted(&sorted, 0.1)?;
    let high = quantile_of_sorted(&sorted, 0.9)?;
    let clipped = || values.iter().map(|v| v.max(low).min(high));
    let mean = clipped().sum::<f64>() / values.len() as f64;
    let variance: f64 = clipped().map(|v| (v - mean).powi(2)).sum();
    if variance <= 0.0 {
        return Some(0.0);
    }
    let products: f64 = clipped()
        .zip(clipped().skip(1))
        .map(|(a, b)| (a - mean) * (b - mean))
        .sum();
    Some(products / variance)
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
        assert!(clipped_lag1(&wave).unwrap() > 0.9);
        assert!(clipped_lag1(&zigzag).unwrap() < -0.9);
        assert_eq!(clipped_lag1(&wave[..7]), None, "seven say nothing");
        assert_eq!(clipped_lag1(&[2.0; 12]), Some(0.0));
    }

    #[test]
    fn one_outlier_does_not_hide_dependence() {
        let mut wave: Vec<f64> = (0..40).map(|i| (f64::from(i) / 5.0).sin()).collect();
        wave[17] = 1000.0;
        assert!(clipped_lag1(&wave).unwrap() > 0.7);
    }

    #[test]
    fn pairs_are_averaged_from_the_end() {
        assert_eq!(average_pairs(&[9.0, 1.0, 3.0, 5.0, 7.0]), [2.0, 6.0]);
        assert!(average_pairs(&[1.0]).is_empty());
    }
}
