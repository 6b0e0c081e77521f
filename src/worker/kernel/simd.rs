//! The vector loops that several kernels share, compiled for every instruction set that pulp knows and chosen when
//! the program runs.

// Vector code is compiled per instruction set at the dispatch, so everything below it must be inlined there.
#![allow(clippy::inline_always)]

use pulp::{Arch, Simd, WithSimd};

/// y[i] = w[i, :] · x for the rows of a row-major matrix.
pub fn rows_dot(weights: &[f32], x: &[f32], y: &mut [f32]) {
    Arch::new().dispatch(RowsDot { weights, x, y });
}

struct RowsDot<'a> {
    weights: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for RowsDot<'_> {
    type Output = ();

    /// Four rows at once, two accumulators each: enough loads in flight to saturate a core's memory bandwidth and
    /// enough chains to hide the latency of the multiply-add.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let k = self.x.len();
        let mut blocks = self.y.chunks_exact_mut(4);
        let mut weights = self.weights.chunks_exact(4 * k.max(1));
        for (y, w) in (&mut blocks).zip(&mut weights) {
            let rows = [&w[..k], &w[k..2 * k], &w[2 * k..3 * k], &w[3 * k..]];
            let sums = dot4(simd, rows, self.x);
            y.copy_from_slice(&sums);
        }
        for (y, w) in blocks
            .into_remainder()
            .iter_mut()
            .zip(weights.remainder().chunks_exact(k.max(1)))
        {
            let [sum, ..] = dot4(simd, [w; 4], self.x);
            *y = sum;
        }
    }
}

#[inline(always)]
fn dot4<S: Simd>(simd: S, rows: [&[f32]; 4], x: &[f32]) -> [f32; 4] {
    let (x_vectors, x_tail) = S::as_simd_f32s(x);
    let split = rows.map(|row| S::as_simd_f32s(row));
    let zero = simd.splat_f32s(0.0);
    let mut even = [zero; 4];
    let mut odd = [zero; 4];
    let pairs = x_vectors.len() / 2;
    let heads = split.map(|(vectors, _)| &vectors[..x_vectors.len()]);
    for i in 0..pairs {
        for r in 0..4 {
            even[r] = simd.mul_add_f32s(heads[r][2 * i], x_vectors[2 * i], even[r]);
            odd[r] = simd.mul_add_f32s(heads[r][2 * i + 1], x_vectors[2 * i + 1], odd[r]);
        }
    }
    if x_vectors.len() % 2 == 1 {
        let last = x_vectors.len() - 1;
        for r in 0..4 {
            even[r] = simd.mul_add_f32s(heads[r][last], x_vectors[last], even[r]);
        }
    }
    let mut sums = [0.0; 4];
    for r in 0..4 {
        sums[r] = simd.reduce_sum_f32s(simd.add_f32s(even[r], odd[r]));
        for (w, v) in split[r].1.iter().zip(x_tail) {
            sums[r] += w * v;
        }
    }
    sums
}

/// Runs a loop compiled for the widest vectors at hand; `body` and what it calls must be inlined.
#[inline]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(body)
}

/// Lanes over which reductions are spread, so that the compiler may keep them in vectors without reordering sums.
const LANES: usize = 32;

/// Folds a slice lane by lane, then the lanes.
#[inline(always)]
pub fn reduce(
    values: &[f32],
    start: f32,
    step: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *v);
        }
    }
    let body = lanes.iter().fold(start, |a, b| join(a, *b));
    tail.iter().fold(body, |a, v| step(a, *v))
}

/// eˣ for x ≤ 0 to about 2·10⁻⁷ relative, without branches or calls, so that loops over it become vector code.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, eʳ by its Taylor polynomial of degree 7, 2ⁿ by the exponent's bits. Below
/// −87 the result is held at e⁻⁸⁷ (10⁻³⁸), where a sum of such terms no longer notices.
#[inline(always)]
pub fn exp_nonpositive(x: f32) -> f32 {
    /// Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 0.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    for c in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + c;
    }
    let scale = f32::from_bits(rounded.to_bits().wrapping_shl(23).wrapping_add(0x3F80_0000));
    p * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_single_precision() {
        for i in 0..=8700 {
            let x = -(i as f32) / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_nonpositive(x)) - exact).abs() / exact;
            assert!(error < 5e-7, "exp({x}) is off by {error}");
        }
        assert!(exp_nonpositive(-1e9) < 2e-38);
        assert!(exp_nonpositive(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn dot_products_of_any_length_are_right() {
        for (rows, k) in [(1, 1), (3, 7), (4, 16), (5, 33), (9, 100)] {
            let w: Vec<f32> = (0..rows * k).map(|i| (i % 13) as f32 - 6.0).collect();
            let x: Vec<f32> = (0..k).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut y = vec![f32::NAN; rows];
            rows_dot(&w, &x, &mut y);
            for (i, y) in y.iter().enumerate() {
                let exact: f32 = w[i * k..(i + 1) * k]
                    .iter()
                    .zip(&x)
                    .map(|(a, b)| a * b)
                    .sum();
                assert_eq!(*y, exact, "row {i} of {rows}×{k}");
            }
        }
    }

    #[test]
    fn reductions_see_every_element() {
        let values: Vec<f32> = (1..=77).map(|i| i as f32).collect();
        assert_eq!(
            reduce(&values, 0.0, |a, v| a + v, |a, b| a + b),
            77.0 * 78.0 / 2.0
        );
        assert_eq!(reduce(&values, f32::NEG_INFINITY, f32::max, f32::max), 77.0);
    }
}
