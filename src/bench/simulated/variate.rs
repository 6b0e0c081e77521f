//! Random variates from uniform ones.

use rand::RngExt;
use rand_pcg::Pcg64;

/// Uniform between two numbers.
pub(super) fn uniform(low: f64, high: f64, rng: &mut Pcg64) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

/// Ten to the power of a uniform number.
pub(super) fn ten_to(low: f64, high: f64, rng: &mut Pcg64) -> f64 {
    10_f64.powf(uniform(low, high, rng))
}

/// Standard normal (Box and Muller 1958).
pub(super) fn normal(rng: &mut Pcg64) -> f64 {
    let radius = (-2.0 * positive(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Exponential with this mean.
pub(super) fn exponential(mean: f64, rng: &mut Pcg64) -> f64 {
    -mean * positive(rng).ln()
}

/// Pareto: at least `scale`, with tail exponent `shape`.
pub(super) fn pareto(scale: f64, shape: f64, rng: &mut Pcg64) -> f64 {
    scale * positive(rng).powf(-1.0 / shape)
}

/// Poisson with this mean: products of uniforms (Knuth) up to 30, beyond a rounded normal.
pub(super) fn poisson(mean: f64, rng: &mut Pcg64) -> u64 {
    if mean > 30.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let limit = (-mean).exp();
    let (mut product, mut count) = (positive(rng), 0);
    while product > limit {
        product *= rng.random::<f64>();
        count += 1;
    }
    count
}

/// Uniform on (0, 1].
fn positive(rng: &mut Pcg64) -> f64 {
    1.0 - rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn means_and_spreads_are_those_of_the_distributions() {
        let mut rng = Pcg64::seed_from_u64(1);
        let n = 40_000;
        let mut moments = |draw: &mut dyn FnMut(&mut Pcg64) -> f64| {
            let values: Vec<f64> = (0..n).map(|_| draw(&mut rng)).collect();
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            (mean, square.sqrt())
        };
        for ((mean, spread), expected) in [
            (moments(&mut normal), (0.0, 1.0)),
            (moments(&mut |rng| exponential(3.0, rng)), (3.0, 3.0)),
            (
                moments(&mut |rng| poisson(2.5, rng) as f64),
                (2.5, 2.5_f64.sqrt()),
            ),
            (
                moments(&mut |rng| poisson(90.0, rng) as f64),
                (90.0, 90.0_f64.sqrt()),
            ),
        ] {
            let tolerance = 0.03 * expected.1;
            assert!((mean - expected.0).abs() < tolerance, "{mean} {expected:?}");
            assert!(
                (spread - expected.1).abs() < tolerance,
                "{spread} {expected:?}"
            );
        }
        let mut median: Vec<f64> = (0..n).map(|_| pareto(1.0, 1.5, &mut rng)).collect();
        median.sort_by(f64::total_cmp);
        assert!((median[n as usize / 2] / 2_f64.powf(1.0 / 1.5) - 1.0).abs() < 0.02);
    }
}
