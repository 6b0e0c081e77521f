//! A few rows of activations against a large weight matrix, as in decoding a small batch: each weight is read from
//! memory once and meets all activations while it is in cache. (A general matrix product packs its operands first,
//! which costs several times the work where one side is this narrow.)

// Vector code is compiled per instruction set at the dispatch, so everything below it must be inlined there.
#![allow(clippy::inline_always)]

use pulp::{Arch, Simd, WithSimd};

/// Rows of weights and of activations whose products are summed at once: 16 sums fit the vector registers.
const TILE: usize = 4;

/// Calls `store(i, j, w[j, :] · a[i, :])` for all rows of row-major `weights` and `activations` of `k` columns.
pub fn products(
    weights: &[f32],
    activations: &[f32],
    k: usize,
    store: impl FnMut(usize, usize, f32),
) {
    if k > 0 {
        Arch::new().dispatch(Products {
            weights,
            activations,
            k,
            store,
        });
    }
}

struct Products<'a, F> {
    weights: &'a [f32],
    activations: &'a [f32],
    k: usize,
    store: F,
}

impl<F: FnMut(usize, usize, f32)> WithSimd for Products<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let k = self.k;
        for (block, weights) in self.weights.chunks(TILE * k).enumerate() {
            let rows = four_rows(weights, k);
            for (group, activations) in self.activations.chunks(TILE * k).enumerate() {
                let sums = tile(simd, rows, four_rows(activations, k));
                for (i, sums) in sums.iter().enumerate().take(activations.len() / k) {
                    for (j, sum) in sums.iter().enumerate().take(weights.len() / k) {
                        (self.store)(group * TILE + i, block * TILE + j, *sum);
                    }
                }
            }
        }
    }
}

/// Up to four rows; the last one stands in for those that are missing, whose sums nobody stores.
#[inline(always)]
fn four_rows(values: &[f32], k: usize) -> [&[f32]; TILE] {
    let last = values.len() / k - 1;
    [0, 1, 2, 3].map(|i: usize| {
        let row = i.min(last);
        &values[row * k..(row + 1) * k]
    })
}

/// sums[i][j] = activations[i] · weights[j].
#[inline(always)]
fn tile<S: Simd>(
    simd: S,
    weights: [&[f32]; TILE],
    activations: [&[f32]; TILE],
) -> [[f32; TILE]; TILE] {
    let (w, w_tail) = split::<S>(weights);
    let (a, a_tail) = split::<S>(activations);
    let vectors = w[0].len();
    let (w, a) = (w.map(|row| &row[..vectors]), a.map(|row| &row[..vectors]));
    let mut sums = [[simd.splat_f32s(0.0); TILE]; TILE];
    for v in 0..vectors {
        let row = [w[0][v], w[1][v], w[2][v], w[3][v]];
        for i in 0..TILE {
            let activation = a[i][v];
            for j in 0..TILE {
                sums[i][j] = simd.mul_add_f32s(row[j], activation, sums[i][j]);
            }
        }
    }
    let mut result = [[0.0; TILE]; TILE];
    for i in 0..TILE {
        for j in 0..TILE {
            let tail: f32 = w_tail[j].iter().zip(a_tail[i]).map(|(w, a)| w * a).sum();
            result[i][j] = simd.reduce_sum_f32s(sums[i][j]) + tail;
        }
    }
    result
}

#[inline(always)]
fn split<S: Simd>(rows: [&[f32]; TILE]) -> ([&[S::f32s]; TILE], [&[f32]; TILE]) {
    let both = rows.map(|row| S::as_simd_f32s(row));
    (both.map(|(vectors, _)| vectors), both.map(|(_, tail)| tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_rows_is_multiplied_once() {
        for (n, m, k) in [(1, 1, 1), (4, 4, 16), (5, 3, 33), (9, 6, 100)] {
            let w: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let a: Vec<f32> = (0..m * k).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut stored = vec![f32::NAN; m * n];
            products(&w, &a, k, |i, j, sum| stored[i * n + j] = sum);
            for i in 0..m {
                for j in 0..n {
                    let exact: f32 = w[j * k..(j + 1) * k]
                        .iter()
                        .zip(&a[i * k..(i + 1) * k])
                        .map(|(w, a)| w * a)
                        .sum();
                    assert_eq!(stored[i * n + j], exact, "{m}×{n}×{k} at {i}, {j}");
                }
            }
        }
    }
}
