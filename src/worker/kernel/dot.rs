//! Products of rows by rows along their common side: a matrix and a vector, or a few rows of activations against a
//! large weight matrix, as in decoding a small batch. Each weight is read once and meets all activations while it is in
//! a register or in the nearest cache; nothing is packed, which would cost more than the product where one side is this
//! narrow.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::buffer::LINE;
use super::isa::{Isa, Op, Simd};

/// Rows of weights whose products are summed at once: enough loads in flight to use all of a core's bandwidth.
const TILE: usize = 4;
/// The processor's own prefetcher follows longer rows by itself, and has hardly begun with shorter ones when they end.
const SHORT_ROW: usize = 1024;

/// y[i] = weights[i, :] · x for the rows of a row-major matrix.
pub fn matrix_vector(isa: Isa, weights: &[f32], x: &[f32], y: &mut [f32]) {
    products(isa, weights, x, x.len(), |_, j, sum| y[j] = sum);
}

/// Calls `store(i, j, weights[j, :] · activations[i, :])` for all rows of row-major `weights` and `activations` of `k`
/// columns.
pub fn products(
    isa: Isa,
    weights: &[f32],
    activations: &[f32],
    k: usize,
    store: impl FnMut(usize, usize, f32),
) {
    if k > 0 {
        isa.run(Products {
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

impl<F: FnMut(usize, usize, f32)> Op for Products<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        match self.activations.len() / self.k {
            0 => {}
            // One row has registers to spare for twice as many sums, whose latencies overlap.
            1 => self.tiles::<S, 1, 2>(simd),
            2 => self.tiles::<S, 2, 1>(simd),
            3 if S::DOT_ROWS >= 3 => self.tiles::<S, 3, 1>(simd),
            _ if S::DOT_ROWS >= 4 => self.tiles::<S, 4, 1>(simd),
            // With fewer registers four rows of activations would spill to memory at every step.
            _ => self.tiles::<S, 2, 1>(simd),
        }
    }
}

impl<F: FnMut(usize, usize, f32)> Products<'_, F> {
    /// All products, `A` rows of activations at a time, `U` vectors of each at a step.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const U: usize>(&mut self, simd: S) {
        let k = self.k;
        for (block, weights) in self.weights.chunks(TILE * k).enumerate() {
            let weight_rows = rows::<TILE>(weights, k);
            for (group, activations) in self.activations.chunks(A * k).enumerate() {
                let sums = tile::<S, A, U>(simd, weight_rows, rows::<A>(activations, k), k);
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

/// `sums[i][j]` = `activations[i]` · `weights[j]`, rows of `k` numbers each.
#[inline(always)]
fn tile<S: Simd, const A: usize, const U: usize>(
    simd: S,
    weights: [&[f32]; TILE],
    activations: [&[f32]; A],
    k: usize,
) -> [[f32; TILE]; A] {
    assert!(weights.iter().chain(&activations).all(|row| row.len() == k));
    let (w, a) = (
        weights.map(<[f32]>::as_ptr),
        activations.map(<[f32]>::as_ptr),
    );
    let next = w[0].wrapping_add(TILE * k);
    let mut sums = [[[simd.splat(0.0); U]; TILE]; A];
    let step = U * S::LANES;
    let mut at = 0;
    while at + step <= k {
        if k <= SHORT_ROW {
            // The next rows of weights, in the order of memory, as the processor's own prefetcher likes it.
            for line in (0..TILE * step).step_by(LINE) {
                simd.prefetch(next.wrapping_add(TILE * at + line));
            }
        }
        for u in 0..U {
            let from = at + u * S::LANES;
            let mut row = [simd.splat(0.0); TILE];
            for j in 0..TILE {
                // SAFETY: `from` + LANES stays within `step` of `at`, so within the `k` of each row.
                row[j] = unsafe { simd.load(w[j].add(from)) };
            }
            for i in 0..A {
                // SAFETY: as above.
                let activation = unsafe { simd.load(a[i].add(from)) };
                for j in 0..TILE {
                    sums[i][j][u] = simd.mul_add(row[j], activation, sums[i][j][u]);
                }
            }
        }
        at += step;
    }
    let mut result = [[0.0; TILE]; A];
    for i in 0..A {
        for j in 0..TILE {
            let whole = sums[i][j][1..]
                .iter()
                .fold(sums[i][j][0], |sum, more| simd.add(sum, *more));
            let rest = weights[j][at..].iter().zip(&activations[i][at..]);
            result[i][j] = simd.sum(whole) + rest.map(|(w, a)| w * a).sum::<f32>();
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_rows_is_multiplied_once() {
        for isa in Isa::all() {
            for (n, m, k) in [
                (1, 1, 1),
                (3, 1, 7),
                (4, 4, 16),
                (5, 3, 33),
                (9, 6, 100),
                (7, 2, 75),
            ] {
                let w: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 - 3.0).collect();
                let a: Vec<f32> = (0..m * k).map(|i| (i % 5) as f32 - 2.0).collect();
                let mut stored = vec![f32::NAN; m * n];
                products(isa, &w, &a, k, |i, j, sum| {
                    let cell = &mut stored[i * n + j];
                    assert!(cell.is_nan(), "{m}×{n}×{k}: {i}, {j} is stored twice");
                    *cell = sum;
                });
                for i in 0..m {
                    for j in 0..n {
                        let exact: f32 = w[j * k..(j + 1) * k]
                            .iter()
                            .zip(&a[i * k..(i + 1) * k])
                            .map(|(w, a)| w * a)
                            .sum();
                        let level = isa.level();
                        assert_eq!(stored[i * n + j], exact, "{level}: {m}×{n}×{k} at {i}, {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_times_nothing_is_stored_nowhere() {
        products(Isa::best(None), &[], &[], 0, |_, _, _| panic!("stored"));
        products(Isa::best(None), &[], &[1.0], 1, |_, _, _| panic!("stored"));
    }
}
