//! Attention of one token over a key-value cache, one query head at a time.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::dot::matrix_vector;
use super::isa::{Isa, Op, Simd};
use super::norm::SoftmaxRow;

/// Vectors of a value that are summed at once.
const WIDE: usize = 4;

/// One query head: softmax(q · Kᵀ / √d) · V.
///
/// `keys` and `values` are context × d, row-major; `scores` is scratch of one value a token of context, twice.
pub fn head(
    isa: Isa,
    query: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let d = query.len();
    let (raw, weights) = scores.split_at_mut(keys.len() / d.max(1));
    matrix_vector(isa, keys, query, raw);
    let scale = 1.0 / (d as f32).sqrt();
    raw.iter_mut().for_each(|s| *s *= scale);
    isa.run(SoftmaxRow {
        input: raw,
        out: weights,
        next: &[],
    });
    isa.run(Average {
        values,
        weights,
        out,
    });
}

/// out = Σ weights[t] · values[t, :].
struct Average<'a> {
    values: &'a [f32],
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl Op for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let d = self.out.len();
        let mut at = 0;
        // The sums of a few vectors stay in registers over all tokens.
        while at + WIDE * S::LANES <= d {
            sums::<S, WIDE>(simd, self.values, self.weights, &mut self.out[..], at);
            at += WIDE * S::LANES;
        }
        while at + S::LANES <= d {
            sums::<S, 1>(simd, self.values, self.weights, &mut self.out[..], at);
            at += S::LANES;
        }
        for i in at..d {
            let rows = self.values.chunks_exact(d).zip(self.weights);
            self.out[i] = rows.map(|(value, weight)| value[i] * weight).sum();
        }
    }
}

/// The sums from element `at` on, of so many vectors.
#[inline(always)]
fn sums<S: Simd, const W: usize>(
    simd: S,
    values: &[f32],
    weights: &[f32],
    out: &mut [f32],
    at: usize,
) {
    let d = out.len();
    assert!(at + W * S::LANES <= d);
    let mut sums = [simd.splat(0.0); W];
    for (value, weight) in values.chunks_exact(d).zip(weights) {
        let weight = simd.splat(*weight);
        for v in 0..W {
            // SAFETY: a value has `d` elements.
            let part = unsafe { simd.load(value.as_ptr().add(at + v * S::LANES)) };
            sums[v] = simd.mul_add(weight, part, sums[v]);
        }
    }
    for v in 0..W {
        // SAFETY: `out` has `d` elements.
        unsafe { simd.store(out.as_mut_ptr().add(at + v * S::LANES), sums[v]) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_averages_the_values_by_how_well_their_keys_match() {
        // two tokens; the query matches the second key by ln 3 · √d more, so its value weighs three quarters
        let query = [3.0f32.ln() * 2.0f32.sqrt(), 0.0];
        let keys = [0.0, 0.0, 1.0, 0.0];
        let values = [4.0, 0.0, 8.0, 1.0];
        let mut out = [0.0; 2];
        head(
            Isa::best(None),
            &query,
            &keys,
            &values,
            &mut [0.0; 4],
            &mut out,
        );
        assert!(
            (out[0] - 7.0).abs() < 1e-5 && (out[1] - 0.75).abs() < 1e-5,
            "{out:?}"
        );
    }
}
