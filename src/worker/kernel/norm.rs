//! Row by row: root-mean-square normalisation and softmax. Threads take whole rows, as frameworks do.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::Kernel;
use super::buffer::{Buffer, OutOfMemory};
use super::isa::{Isa, Op, Simd};
use super::loops::{exp, fetch, fold, largest, map, map_in_place};
use super::partition::part;

/// Keeps the root from zero, as models do.
const EPSILON: f32 = 1e-5;

/// out = in / √(mean(in²) + ε) · gain (Zhang and Sennrich 2019); meanwhile `next` is fetched.
pub struct RmsNormRow<'a> {
    /// The row.
    pub input: &'a [f32],
    /// As long as the row.
    pub gain: &'a [f32],
    /// As long as the row.
    pub out: &'a mut [f32],
    /// What is needed next; may be empty.
    pub next: &'a [f32],
}

impl Op for RmsNormRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        fetch(simd, self.next);
        let squares = fold(
            simd,
            self.input,
            0.0,
            #[inline(always)]
            |sum, v| simd.mul_add(v, v, sum),
            #[inline(always)]
            |a, b| simd.add(a, b),
        );
        let mean = simd.sum(squares) / self.input.len() as f32;
        let scale = simd.splat(1.0 / (mean + EPSILON).sqrt());
        map(
            simd,
            [self.input, self.gain],
            self.out,
            #[inline(always)]
            |[v, gain]| simd.mul(simd.mul(v, scale), gain),
        );
    }
}

/// out = exp(in − max) / Σ exp(in − max); meanwhile `next` is fetched.
pub struct SoftmaxRow<'a> {
    /// The row, at least one element.
    pub input: &'a [f32],
    /// As long as the row.
    pub out: &'a mut [f32],
    /// What is needed next; may be empty.
    pub next: &'a [f32],
}

impl Op for SoftmaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        fetch(simd, self.next);
        let largest_lanes = fold(
            simd,
            self.input,
            f32::NEG_INFINITY,
            #[inline(always)]
            |a, b| simd.max(a, b),
            #[inline(always)]
            |a, b| simd.max(a, b),
        );
        let shift = simd.splat(-largest(simd, largest_lanes));
        map(
            simd,
            [self.input],
            self.out,
            #[inline(always)]
            |[v]| exp(simd, simd.add(v, shift)),
        );
        let sums = fold(
            simd,
            self.out,
            0.0,
            #[inline(always)]
            |a, b| simd.add(a, b),
            #[inline(always)]
            |a, b| simd.add(a, b),
        );
        let scale = simd.splat(1.0 / simd.sum(sums));
        map_in_place(
            simd,
            self.out,
            #[inline(always)]
            |v| simd.mul(v, scale),
        );
    }
}

/// Rows in and out, in rotating copies.
struct Rows {
    isa: Isa,
    rows: usize,
    columns: usize,
    copies: Vec<[Buffer; 2]>,
}

impl Rows {
    fn new(isa: Isa, rows: usize, columns: usize, copies: usize) -> Result<Self, OutOfMemory> {
        let len = rows * columns;
        Ok(Self {
            isa,
            rows,
            columns,
            copies: Buffer::copies(copies, |i| {
                Ok([Buffer::noise(len, 2 + i)?, Buffer::zeros(len)?])
            })?,
        })
    }

    /// Applies `row` to each row of this thread: given the row, where its result goes, and the row after it, if any.
    fn each(
        &self,
        copy: usize,
        thread: usize,
        of: usize,
        row: impl Fn(&[f32], &mut [f32], &[f32]),
    ) {
        let rows = part(self.rows, 1, thread, of);
        let range = rows.start * self.columns..rows.end * self.columns;
        let [input, output] = &self.copies[copy];
        // SAFETY: inputs are never written; the threads' rows do not overlap.
        let (input, output) = unsafe { (input.read(range.clone()), output.write(range)) };
        let mut inputs = input.chunks_exact(self.columns);
        for output in output.chunks_exact_mut(self.columns) {
            if let Some(input) = inputs.next() {
                row(input, output, inputs.clone().next().unwrap_or_default());
            }
        }
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        let output = &self.copies[0][1];
        // SAFETY: called between calls, when no thread writes.
        unsafe { output.read(0..count.min(output.len())) }.to_vec()
    }
}

/// Root-mean-square normalisation of many rows.
pub struct RmsNorm {
    rows: Rows,
    gain: Buffer,
}

impl RmsNorm {
    /// Rows × columns in so many copies.
    pub fn new(isa: Isa, rows: usize, columns: usize, copies: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            rows: Rows::new(isa, rows, columns, copies)?,
            gain: Buffer::noise(columns, 1)?,
        })
    }
}

impl Kernel for RmsNorm {
    fn steps(&self) -> usize {
        1
    }

    fn copies(&self) -> usize {
        self.rows.copies.len()
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        // SAFETY: the gain is never written.
        let gain = unsafe { self.gain.read(0..self.rows.columns) };
        self.rows.each(copy, thread, of, |input, out, next| {
            self.rows.isa.run(RmsNormRow {
                input,
                gain,
                out,
                next,
            });
        });
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        self.rows.result(count)
    }
}

/// Softmax of many rows.
pub struct Softmax {
    rows: Rows,
}

impl Softmax {
    /// Rows × columns in so many copies.
    pub fn new(isa: Isa, rows: usize, columns: usize, copies: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            rows: Rows::new(isa, rows, columns, copies)?,
        })
    }
}

impl Kernel for Softmax {
    fn steps(&self) -> usize {
        1
    }

    fn copies(&self) -> usize {
        self.rows.copies.len()
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        self.rows.each(copy, thread, of, |input, out, next| {
            self.rows.isa.run(SoftmaxRow { input, out, next });
        });
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        self.rows.result(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_softmax_sums_to_one_and_keeps_the_order() {
        for isa in Isa::all() {
            let mut out = [0.0; 5];
            isa.run(SoftmaxRow {
                input: &[0.0, 1.0, 2.0, -100.0, 1.0],
                out: &mut out,
                next: &[],
            });
            assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!((out[2] / out[1] - std::f32::consts::E).abs() < 1e-5);
            assert_eq!(out[1], out[4]);
            assert!(out[3] < 1e-30);
        }
    }

    #[test]
    fn a_softmax_of_large_numbers_neither_overflows_nor_loses_digits() {
        for isa in Isa::all() {
            let input: Vec<f32> = (0..50).map(|i| 200.0 - i as f32 / 8.0).collect();
            let mut out = [0.0; 50];
            isa.run(SoftmaxRow {
                input: &input,
                out: &mut out,
                next: &[],
            });
            let exact = |i: usize| (-(i as f64) / 8.0).exp();
            let sum: f64 = (0..50).map(exact).sum();
            for (i, found) in out.iter().enumerate() {
                let error = (f64::from(*found) * sum / exact(i) - 1.0).abs();
                assert!(
                    error < 2e-6,
                    "{}: element {i} is off by {error}",
                    isa.level()
                );
            }
        }
    }

    #[test]
    fn a_normalised_row_has_a_root_mean_square_of_one() {
        let input: Vec<f32> = (0..100).map(|i| i as f32).collect();
        for isa in Isa::all() {
            let mut out = vec![0.0; 100];
            isa.run(RmsNormRow {
                input: &input,
                gain: &[1.0; 100],
                out: &mut out,
                next: &[],
            });
            let mean_square = out.iter().map(|v| v * v).sum::<f32>() / 100.0;
            assert!((mean_square - 1.0).abs() < 1e-5);
        }
    }
}
