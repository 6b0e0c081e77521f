//! The STREAM triad a = b + s·c (McCalpin): nothing but memory traffic.

#![allow(unsafe_code)]

use super::Kernel;
use super::buffer::{Buffer, LINE};
use super::partition::part;
use super::simd::vectorised;

/// The scalar s.
const SCALAR: f32 = 3.0;

/// Three vectors, in rotating copies.
pub struct Triad {
    n: usize,
    copies: Vec<[Buffer; 3]>,
}

impl Triad {
    /// So many copies of three vectors of n elements.
    pub fn new(n: usize, copies: usize) -> Self {
        let copy = |i: u64| {
            [
                Buffer::zeros(n),
                Buffer::noise(n, 2 * i + 1),
                Buffer::noise(n, 2 * i + 2),
            ]
        };
        Self {
            n,
            copies: (0..copies as u64).map(copy).collect(),
        }
    }
}

impl Kernel for Triad {
    fn steps(&self) -> usize {
        1
    }

    fn copies(&self) -> usize {
        self.copies.len()
    }

    unsafe fn run(&self, _step: usize, copy: usize, thread: usize, of: usize) {
        let part = part(self.n, LINE, thread, of);
        let [a, b, c] = &self.copies[copy];
        // SAFETY: b and c are never written; the threads' parts of a do not overlap.
        let (a, b, c) = unsafe { (a.write(part.clone()), b.read(part.clone()), c.read(part)) };
        vectorised(
            #[inline(always)]
            || {
                for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                    *a = b + SCALAR * c;
                }
            },
        );
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.copies[0][0].read(0..count.min(self.n)) }.to_vec()
    }
}
