//! The chi-squared distribution.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The probability that chi-squared with `freedom` degrees exceeds `x`; 1 where either is no number.
pub fn chi_squared_upper_tail(x: f64, freedom: f64) -> f64 {
    match ChiSquared::new(freedom) {
        Ok(chi_squared) if !x.is_nan() => chi_squared.sf(x).clamp(0.0, 1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_printed_tables() {
        for (x, freedom, expected) in [(3.841, 1.0, 0.05), (9.210, 2.0, 0.01), (18.307, 10.0, 0.05)]
        {
            let found = chi_squared_upper_tail(x, freedom);
            assert!((found - expected).abs() < 2e-5, "{freedom}: {found}");
        }
    }

    #[test]
    fn nonsense_is_answered_without_a_claim() {
        assert_eq!(chi_squared_upper_tail(f64::NAN, 3.0), 1.0);
        assert_eq!(chi_squared_upper_tail(5.0, 0.0), 1.0);
    }
}
