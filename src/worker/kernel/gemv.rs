//! y = W · x in single precision: each thread computes its rows of y. Bound by memory bandwidth when W is large.

#![allow(unsafe_code)]

use super::Kernel;
use super::buffer::{Buffer, LINE, OutOfMemory};
use super::dot::matrix_vector;
use super::isa::Isa;
use super::partition::part;

/// A matrix-vector product over rotating copies of the weights.
pub struct Gemv {
    isa: Isa,
    k: usize,
    /// Each N×K, row-major.
    weights: Vec<Buffer>,
    x: Buffer,
    y: Buffer,
}

impl Gemv {
    /// Operands of an n × k product with so many copies of the weights.
    pub fn new(isa: Isa, n: usize, k: usize, copies: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            isa,
            k,
            weights: Buffer::copies(copies, |i| Buffer::noise(n * k, 2 + i))?,
            x: Buffer::noise(k, 1)?,
            y: Buffer::zeros(n)?,
        })
    }
}

/// One thread's rows of y = W · x; also the projections of a decoder layer.
///
/// # Safety
/// No thread writes `x`, and no other step runs on `y`.
pub unsafe fn rows_of(isa: Isa, weights: &Buffer, x: &[f32], y: &Buffer, thread: usize, of: usize) {
    let rows = part(y.len(), LINE, thread, of);
    // SAFETY: weights are never written.
    let w = unsafe { weights.read(rows.start * x.len()..rows.end * x.len()) };
    // SAFETY: the parts of the threads do not overlap; nobody else uses y in this step (the caller).
    matrix_vector(isa, w, x, unsafe { y.write(rows) });
}

impl Kernel for Gemv {
    fn steps(&self) -> usize {
        1
    }

    fn copies(&self) -> usize {
        self.weights.len()
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        // SAFETY: x is never written; y is used by this one step alone.
        unsafe {
            rows_of(
                self.isa,
                &self.weights[copy],
                self.x.read(0..self.k),
                &self.y,
                thread,
                of,
            );
        }
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.y.read(0..count.min(self.y.len())) }.to_vec()
    }
}
