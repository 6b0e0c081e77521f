//! C = A · B in single precision: each thread computes its tile of C by blocks, or, where A has few rows, its columns
//! of C by dot products.

#![allow(unsafe_code)]

use super::Kernel;
use super::buffer::{Buffer, OutOfMemory};
use super::dot;
use super::packed::{self, Blocking, Product};
use super::partition::{grid, part};

/// Tiles begin on multiples of this.
const GRAIN: usize = 16;

/// A matrix product over rotating copies of the weights B.
pub struct Gemm {
    blocking: Blocking,
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
    pub fn new(
        blocking: Blocking,
        [m, n, k]: [usize; 3],
        copies: usize,
    ) -> Result<Self, OutOfMemory> {
        let a = Buffer::noise(m * k, 1)?;
        let c = Buffer::zeros(m * n)?;
        let weights = Buffer::copies(copies, |i| Buffer::noise(n * k, 2 + i))?;
        Ok(Self {
            blocking,
            m,
            n,
            k,
            a,
            weights,
            c,
        })
    }
}

impl Gemm {
    /// All rows of this thread's columns of C.
    fn by_dot_products(&self, copy: usize, thread: usize, of: usize) {
        let columns = part(self.n, GRAIN, thread, of);
        // SAFETY: A and the weights are never written.
        let (weights, a) = unsafe {
            let rows = columns.start * self.k..columns.end * self.k;
            (
                self.weights[copy].read(rows),
                self.a.read(0..self.m * self.k),
            )
        };
        dot::products(self.blocking.isa, weights, a, self.k, |i, j, sum| {
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

    fn reserve(&self) -> Result<(), OutOfMemory> {
        if self.m <= self.blocking.few_rows() {
            return Ok(());
        }
        packed::reserve(self.blocking, self.m, self.n, self.k)
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        if self.m <= self.blocking.few_rows() {
            return self.by_dot_products(copy, thread, of);
        }
        let (tile_rows, tile_columns) = grid(self.m, self.n, GRAIN, of);
        let rows = part(self.m, GRAIN, thread / tile_columns, tile_rows);
        let columns = part(self.n, GRAIN, thread % tile_columns, tile_columns);
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        // SAFETY: the tile lies inside C (`part` stays below m and n), A's rows and the weights' rows inside theirs; A and
        // the weights are never written, and no other thread uses this tile, as the tiles of a grid do not overlap.
        unsafe {
            let tile = Product {
                rows: rows.len(),
                columns: columns.len(),
                k: self.k,
                a: self.a.as_ptr().add(rows.start * self.k),
                w: self.weights[copy].as_ptr().add(columns.start * self.k),
                c: self.c.as_ptr().add(rows.start * self.n + columns.start),
                c_stride: self.n,
            };
            packed::run(self.blocking, &tile);
        }
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.c.read(0..count.min(self.c.len())) }.to_vec()
    }
}
