//! Attention of one token over a key-value cache, one query head at a time.

use super::norm::softmax;
use super::simd::{rows_dot, vectorised};

/// One query head: softmax(q · Kᵀ / √d) · V.
///
/// `keys` and `values` are context × d, row-major; `scores` is scratch of one value a token of context, twice.
pub fn head(query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32]) {
    let d = query.len();
    let (raw, weights) = scores.split_at_mut(keys.len() / d.max(1));
    rows_dot(keys, query, raw);
    let scale = 1.0 / (d as f32).sqrt();
    raw.iter_mut().for_each(|s| *s *= scale);
    softmax(raw, weights);
    vectorised(
        #[inline(always)]
        || {
            out.fill(0.0);
            for (value, weight) in values.chunks_exact(d).zip(weights.iter()) {
                for (out, v) in out.iter_mut().zip(value) {
                    *out += weight * v;
                }
            }
        },
    );
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
        head(&query, &keys, &values, &mut [0.0; 4], &mut out);
        assert!(
            (out[0] - 7.0).abs() < 1e-5 && (out[1] - 0.75).abs() < 1e-5,
            "{out:?}"
        );
    }
}
