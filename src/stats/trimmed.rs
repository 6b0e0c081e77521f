//! The trimmed mean and its standard error.

/// A trimmed mean with what an interval around it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trimmed {
    /// Mean of the values that trimming left.
    pub mean: f64,
    /// Its standard error; infinite where a single value was left.
    pub standard_error: f64,
    /// Degrees of freedom: values left, less one.
    pub freedom: f64,
}

/// Mean without the share `trim` (0 to below 0.5) of the values at each end, its standard error from the winsorised
/// variance: `√((n − 1) s²_w / (h (h − 1)))`, `h = n − 2 ⌊trim n⌋` (Yuen 1974, Biometrika 61).
/// `None` of no values.
pub fn trimmed_mean(values: &[f64], trim: f64) -> Option<Trimmed> {
    let n = values.len();
    let cut = (trim.clamp(0.0, 0.499) * n as f64) as usize;
    let kept = n.checked_sub(2 * cut).filter(|kept| *kept > 0)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mean = sorted[cut..n - cut].iter().sum::<f64>() / kept as f64;
    let freedom = (kept - 1) as f64;
    if kept == 1 {
        return Some(Trimmed {
            mean,
            standard_error: f64::INFINITY,
            freedom,
        });
    }
    let (low, high) = (sorted[cut], sorted[n - cut - 1]);
    sorted[..cut].fill(low);
    sorted[n - cut..].fill(high);
    let winsorised_mean = sorted.iter().sum::<f64>() / n as f64;
    // (n − 1) s²_w is this very sum.
    let squares: f64 = sorted.iter().map(|v| (v - winsorised_mean).powi(2)).sum();
    Some(Trimmed {
        mean,
        standard_error: (squares / (kept as f64 * freedom)).sqrt(),
        freedom,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_percent_are_cut_from_each_end() {
        let values = [3.0, 100.0, 1.0, 2.0, 4.0];
        let t = trimmed_mean(&values, 0.2).unwrap();
        assert!((t.mean - 3.0).abs() < 1e-12);
        // Winsorised: 2 2 3 4 4, squares 4, h = 3.
        assert!((t.standard_error - (4.0_f64 / 6.0).sqrt()).abs() < 1e-12);
        assert!((t.freedom - 2.0).abs() < 1e-12);
    }

    #[test]
    fn four_values_lose_none_and_give_the_ordinary_standard_error() {
        let t = trimmed_mean(&[1.0, 2.0, 3.0, 4.0], 0.2).unwrap();
        assert!((t.mean - 2.5).abs() < 1e-12);
        assert!((t.standard_error - (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn one_value_has_no_finite_error_and_none_no_mean() {
        assert!(
            trimmed_mean(&[5.0], 0.2)
                .unwrap()
                .standard_error
                .is_infinite()
        );
        assert_eq!(trimmed_mean(&[], 0.2), None);
    }
}
