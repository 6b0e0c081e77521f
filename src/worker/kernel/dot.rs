//! Products of rows by rows along their common side: a matrix and a vector, or a few rows of activations against a
//! large weight matrix, as in decoding a small batch. Each weight is read once and meets all activations while it is in
//! a register or in the nearest cache; nothing is packed, which would cost more than the product where one side is this
//! narrow.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::isa::{Isa, Op, Simd};

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
        // Enough rows of weights for their loads to use all of a core's bandwidth, and enough sums for their latencies to
        // overlap, but no more than stay in registers.
        match self.activations.len() / self.k {
            0 => {}
            1 => self.tiles::<S, 1, 8>(simd),
            2 => self.tiles::<S, 2, 4>(simd),
            3 if S::DOT_SUMS >= 16 => self.tiles::<S, 3, 4>(simd),
            _ if S::DOT_SUMS >= 16 => self.tiles::<S, 4, 4>(simd),
            _ => self.tiles::<S, 4, 3>(simd),
        }
    }
}

impl<F: FnMut(usize, usize, f32)> Products<'_, F> {
    /// All products, `A` rows of activations and `W` rows of weights at a time.
    #[inline(always)]
    fn tiles<S: Simd, const A: usize, const W: usize>(&mut self, simd: S) {
        let k = self.k;
        let (weights, activations) = (self.weights.len() / k, self.activations.len() / k);
        for j in (0..weights).step_by(W) {
            for i in (0..activations).step_by(A) {
                let w = rows::<W>(self.weights, k, j);
                let a = rows::<A>(self.activations, k, i);
                let sums = tile::<S, A, W>(simd, a, w, k);
                for (row, sums) in sums.iter().enumerate().take(activations - i) {
                    for (column, sum) in sums.iter().enumerate().take(weights - j) {
                        (self.store)(i + row, j + column, *sum);
                    }
                }
            }
        }
    }
}

/// `R` rows of `k` numbers from row `first` on; the last one stands in for those that are missing, whose sums nobody
/// stores.
#[inline(always)]
fn rows<const R: usize>(values: &[f32], k: usize, first: usize) -> [&[f32]; R] {
    let last = values.len() / k - 1;
    let mut rows: [&[f32]; R] = [&[]; R];
    for (i, row) in rows.iter_mut().enumerate() {
        let at = (first + i).min(last) * k;
        *row = &values[at..at + k];
    }
    rows
}

/// `sums[i][j]` = `activations[i]` · `weights[j]`, rows of `k` numbers each.
// Plain loops: what an array's `map` or an iterator's adapters call is compiled for any processor and is not always
// inlined, and a call throws all vectors out of their registers.
#[inline(always)]
fn tile<S: Simd, const A: usize, const W: usize>(
    simd: S,
    activations: [&[f32]; A],
    weights: [&[f32]; W],
    k: usize,
) -> [[f32; W]; A] {
    for row in activations {
        assert!(row.len() == k);
    }
    for row in weights {
        assert!(row.len() == k);
    }
    let whole = k / S::LANES * S::LANES;
    let mut sums = [[simd.splat(0.0); W]; A];
    for at in (0..whole).step_by(S::LANES) {
        let mut column = [simd.splat(0.0); W];
        for j in 0..W {
            // SAFETY: `at` + LANES is at most `whole`, so the numbers are within the `k` of each row.
            column[j] = unsafe { simd.load(weights[j].as_ptr().add(at)) };
        }
        for i in 0..A {
            // SAFETY: as above.
            let activation = unsafe { simd.load(activations[i].as_ptr().add(at)) };
            for j in 0..W {
                sums[i][j] = simd.mul_add(column[j], activation, sums[i][j]);
            }
        }
    }
    let mut result = [[0.0; W]; A];
    for i in 0..A {
        for j in 0..W {
            result[i][j] = simd.sum(sums[i][j]);
            for p in whole..k {
                result[i][j] += weights[j][p] * activations[i][p];
            }
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
