//! Row by row: root-mean-square normalisation and softmax. Threads take whole rows, as frameworks do.

#![allow(unsafe_code)]

use super::Kernel;
use super::buffer::Buffer;
use super::partition::part;
use super::simd::{exp_nonpositive, reduce, vectorised};

/// Keeps the root from zero, as models do.
const EPSILON: f32 = 1e-5;

/// out = in / √(mean(in²) + ε) · gain (Zhang and Sennrich 2019).
#[inline]
pub fn rms_norm(input: &[f32], gain: &[f32], out: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let sum = reduce(input, 0.0, |a, v| v * v + a, |a, b| a + b);
            let scale = 1.0 / (sum / input.len() as f32 + EPSILON).sqrt();
            for ((out, v), gain) in out.iter_mut().zip(input).zip(gain) {
                *out = v * scale * gain;
            }
        },
    );
}

/// values ← exp(values − max) / Σ, from `input` to `out`.
#[inline]
pub fn softmax(input: &[f32], out: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let largest = reduce(input, f32::NEG_INFINITY, f32::max, f32::max);
            for (out, v) in out.iter_mut().zip(input) {
                *out = exp_nonpositive(v - largest);
            }
            let scale = 1.0 / reduce(out, 0.0, |a, v| a + v, |a, b| a + b);
            for v in out.iter_mut() {
                *v *= scale;
            }
        },
    );
}

/// Rows in and out, in rotating copies.
struct Rows {
    rows: usize,
    columns: usize,
    copies: Vec<[Buffer; 2]>,
}

impl Rows {
    fn new(rows: usize, columns: usize, copies: usize) -> Self {
        let len = rows * columns;
        let copy = |i: u64| [Buffer::noise(len, 2 + i), Buffer::zeros(len)];
        Self {
            rows,
            columns,
            copies: (0..copies as u64).map(copy).collect(),
        }
    }

    /// Applies `row` to each row of this thread.
    fn each(&self, copy: usize, thread: usize, of: usize, row: impl Fn(&[f32], &mut [f32])) {
        let rows = part(self.rows, 1, thread, of);
        let range = rows.start * self.columns..rows.end * self.columns;
        let [input, output] = &self.copies[copy];
        // SAFETY: inputs are never written; the threads' rows do not overlap.
        let (input, output) = unsafe { (input.read(range.clone()), output.write(range)) };
        for (input, output) in input
            .chunks_exact(self.columns)
            .zip(output.chunks_exact_mut(self.columns))
        {
            row(input, output);
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
    pub fn new(rows: usize, columns: usize, copies: usize) -> Self {
        Self {
            rows: Rows::new(rows, columns, copies),
            gain: Buffer::noise(columns, 1),
        }
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
        self.rows.each(copy, thread, of, |input, output| {
            rms_norm(input, gain, output);
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
    pub fn new(rows: usize, columns: usize, copies: usize) -> Self {
        Self {
            rows: Rows::new(rows, columns, copies),
        }
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
        self.rows.each(copy, thread, of, softmax);
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
        let mut out = [0.0; 5];
        softmax(&[0.0, 1.0, 2.0, -100.0, 1.0], &mut out);
        assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((out[2] / out[1] - std::f32::consts::E).abs() < 1e-5);
        assert_eq!(out[1], out[4]);
        assert!(out[3] < 1e-30);
    }

    #[test]
    fn a_normalised_row_has_a_root_mean_square_of_one() {
        let input: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let mut out = vec![0.0; 100];
        rms_norm(&input, &[1.0; 100], &mut out);
        let mean_square = out.iter().map(|v| v * v).sum::<f32>() / 100.0;
        assert!((mean_square - 1.0).abs() < 1e-5);
    }
}
