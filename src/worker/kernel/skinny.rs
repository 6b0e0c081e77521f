//! A few rows of activations against a large weight matrix, as in decoding a small batch: each weight is read from
//! memory once and meets all activations while it is in cache. (A general matrix product packs its operands first,
//! which costs several times the work where one side is this narrow.)

// Vector code is compiled per instruction set at the dispatch, so everything below it must be inlined there.
#![allow(clippy::inline_always)]

use pulp::{Arch, Simd, WithSimd};

/// Rows of weights whose products are summed at once.
const TILE: usize = 4;

/// Vector registers that four rows of activations need: 16 sums, four weights, one activation.
const REGISTERS_OF_FOUR: usize = 21;

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
        // With fewer registers four rows of activations would spill to memory at every step.
        if S::REGISTER_COUNT >= REGISTERS_OF_FOUR {
            self.tiles::<S, 4>(simd);
        } else {
            self.tiles::<S, 2>(simd);
        }
    }
}

impl<F: FnMut(usize, usize, f32)> Products<'_, F> {
    /// All products, `A` rows of activations at a time.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize>(&mut self, simd: S) {
        let k = self.k;
        for (block, weights) in self.weights.chunks(TILE * k).enumerate() {
            let weight_rows = rows::<TILE>(weights, k);
            for (group, activations) in self.activations.chunks(A * k).enumerate() {
                let sums = tile(simd, weight_rows, rows::<A>(activations, k));
                for (i, sums) in sums.iter().enumerate().take(activations.len() / k) {
                    for (j, sum) in sums.iter().enumerate().take(weights.len() / k) {
                        (self.store)(group * A + i, block * TILE + j, *sum);
                    }
                }
            }
        }
    }
}

/// Up to `R` rows; the last one stands in for those that are missing, whose sums nobody stores.
#[inline(always)]
fn rows<const R: usize>(values: &[f32], k: usize) -> [&[f32]; R] {
    let last = values.len() / k - 1;
    std::array::from_fn(|i| {
        let row = i.min(last);
        &values[row * k..(row + 1) * k]
    })
}

/// sums[i][j] = activations[i] · weights[j].
#[inline(always)]
fn tile<S: Simd, const A: usize>(
    simd: S,
    weights: [&[f32]; TILE],
    activations: [&[f32]; A],
) -> [[f32; TILE]; A] {
    let (w, w_tail) = split::<S, TILE>(weights);
    let (a, a_tail) = split::<S, A>(activations);
    let vectors = w[0].len();
    let (w, a) = (w.map(|row| &row[..vectors]), a.map(|row| &row[..vectors]));
    let mut sums = [[simd.splat_f32s(0.0); TILE]; A];
    for v in 0..vectors {
        let row = [w[0][v], w[1][v], w[2][v], w[3][v]];
        for i in 0..A {
            let activation = a[i][v];
            for j in 0..TILE {
                sums[i][j] = simd.mul_add_f32s(row[j], activation, sums[i][j]);
            }
        }
    }
    let mut result = [[0.0; TILE]; A];
    for i in 0..A {
        for j in 0..TILE {
            let tail: f32 = w_tail[j].iter().zip(a_tail[i]).map(|(w, a)| w * a).sum();
            result[i][j] = simd.reduce_sum_f32s(sums[i][j]) + tail;
        }
    }
    result
}

#[inline(always)]
fn split<S: Simd, const R: usize>(rows: [&[f32]; R]) -> ([&[S::f32s]; R], [&[f32]; R]) {
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
