//! Student's t distribution. Not cached: a quantile takes a few microseconds, and a race asks for some hundreds.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The value that t with `freedom` degrees exceeds with probability `alpha`; infinite where `freedom` is below one
/// or `alpha` is no number.
///
/// `alpha` is held within (0, 0.5]: the other half is its mirror image, and only this one is asked for.
pub fn upper_quantile(alpha: f64, freedom: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom) {
        // The lower tail keeps the digits that 1 − alpha would lose.
        Ok(t) if freedom >= 1.0 && !alpha.is_nan() => -t.inverse_cdf(alpha.clamp(1e-12, 0.5)),
        _ => f64::INFINITY,
    }
}

/// The probability that t with `freedom` degrees exceeds `x`; 1 where either is no number.
pub fn upper_tail(x: f64, freedom: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(t) if !x.is_nan() => t.sf(x).clamp(0.0, 1.0),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_an_independent_source() {
        for (freedom, p, expected) in [
            (2.0, 0.997_727_3, 14.7818),
            (4.0, 0.999_242_42, 7.72067),
            (15.0, 0.999_891_774_9, 4.839_552),
        ] {
            let found = upper_quantile(1.0 - p, freedom);
            // The first probability is given rounded; exactly 14.781 87 belongs to it.
            assert!(
                (found / expected - 1.0).abs() < 1e-5,
                "{freedom}: {found} instead of {expected}"
            );
        }
    }

    #[test]
    fn tails_and_quantiles_are_inverse() {
        for freedom in [1.0, 2.0, 7.0, 383.0] {
            for alpha in [1e-6, 3e-4, 0.025, 0.4] {
                let back = upper_tail(upper_quantile(alpha, freedom), freedom);
                assert!(
                    (back / alpha - 1.0).abs() < 1e-6,
                    "{freedom} {alpha} {back}"
                );
            }
        }
    }

    #[test]
    fn nonsense_is_answered_without_a_claim() {
        assert!(upper_quantile(0.05, 0.0).is_infinite());
        assert!(upper_quantile(f64::NAN, 3.0).is_infinite());
        assert!((upper_tail(f64::NAN, 3.0) - 1.0).abs() < 1e-12);
        assert!((upper_tail(0.0, 0.0) - 1.0).abs() < 1e-12);
    }
}
