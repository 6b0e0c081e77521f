//! C = A · B in single precision: each thread computes its tile of C with the `gemm` crate on one thread, or, where
//! A has few rows, its columns of C by dot products.

#![allow(unsafe_code)]

use super::Kernel;
use super::buffer::Buffer;
use super::partition::{grid, part};
use super::skinny;
use gemm::Parallelism;

/// Tiles begin on multiples of this, the micro-kernel's longer side.
const GRAIN: usize = 16;

/// Up to so many rows of A against weights of so many elements (4 MiB: more than a core's own cache), dot products are
/// faster than a packed matrix product: packing transposes weights that are used a few times only.
const SKINNY_ROWS: usize = 128;
const SKINNY_WEIGHTS: usize = 1 << 20;

/// A matrix product over rotating copies of the weights B.
pub struct Gemm {
    m: usize,
    n: usize,
    k: usize,
    /// M×K, row-major: the activations.
    a: Buffer,
    /// Each N×K, row-major, as frameworks store a layer's weights: B is its transpose.
    weights: Vec<Buffer>,
    /// M×N, row-major.
    c: Buffer,
}

impl Gemm {
    /// Operands of an m × n × k product with so many copies of the weights.
    pub fn new(m: usize, n: usize, k: usize, copies: usize) -> Self {
        let weights = (0..copies)
            .map(|i| Buffer::noise(n * k, 2 + i as u64))
            .collect();
        Self {
            m,
            n,
            k,
            a: Buffer::noise(m * k, 1),
            weights,
            c: Buffer::zeros(m * n),
        }
    }
}

impl Gemm {
    /// All rows of this thread's columns of C.
    fn run_skinny(&self, copy: usize, thread: usize, of: usize) {
        let columns = part(self.n, GRAIN, thread, of);
        // SAFETY: A and the weights are never written.
        let (weights, a) = unsafe {
            let rows = columns.start * self.k..columns.end * self.k;
            (
                self.weights[copy].read(rows),
                self.a.read(0..self.m * self.k),
            )
        };
        skinny::products(weights, a, self.k, |i, j, sum| {
            let at = i * self.n + columns.start + j;
            // SAFETY: the columns of the threads do not overlap.
            let cell = unsafe { self.c.write(at..at + 1) };
            cell[0] = sum;
        });
    }
}

impl Kernel for Gemm {
    fn steps(&self) -> usize {
        1
    }

    fn copies(&self) -> usize {
        self.weights.len()
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        if self.m <= SKINNY_ROWS && self.n * self.k >= SKINNY_WEIGHTS {
            return self.run_skinny(copy, thread, of);
        }
        let (tile_rows, tile_columns) = grid(self.m, self.n, GRAIN, of);
        let rows = part(self.m, GRAIN, thread / tile_columns, tile_rows);
        let columns = part(self.n, GRAIN, thread % tile_columns, tile_columns);
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let (n, k) = (self.n.cast_signed(), self.k.cast_signed());
        // SAFETY: the tile lies inside C (`part` stays below m and n), A's rows and the weights' rows inside theirs,
        // all with the strides of their row-major layouts; A and the weights are never written, and no other thread
        // writes this tile, as the tiles of a grid do not overlap.
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                self.k,
                self.c.as_ptr().add(rows.start * self.n + columns.start),
                1,
                n,
                false,
                self.a.as_ptr().add(rows.start * self.k),
                1,
                k,
                self.weights[copy].as_ptr().add(columns.start * self.k),
                k,
                1,
                0.0f32,
                1.0f32,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.c.read(0..count.min(self.c.len())) }.to_vec()
    }
}
