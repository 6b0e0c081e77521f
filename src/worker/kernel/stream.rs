//! The STREAM triad a = b + s·c (McCalpin): nothing but memory traffic.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::Kernel;
use super::buffer::{Buffer, LINE, OutOfMemory};
use super::isa::{Isa, Op, Simd};
use super::loops::map;
use super::partition::part;

/// The scalar s.
const SCALAR: f32 = 3.0;

/// Three vectors, in rotating copies.
pub struct Triad {
    isa: Isa,
    n: usize,
    copies: Vec<[Buffer; 3]>,
}

impl Triad {
    /// So many copies of three vectors of n elements.
    pub fn new(isa: Isa, n: usize, copies: usize) -> Result<Self, OutOfMemory> {
        let copy = |i| {
            Ok([
                Buffer::zeros(n)?,
                Buffer::noise(n, 2 * i + 1)?,
                Buffer::noise(n, 2 * i + 2)?,
            ])
        };
        Ok(Self {
            isa,
            n,
            copies: Buffer::copies(copies, copy)?,
        })
    }
}

/// One thread's part.
struct Part<'a> {
    a: &'a mut [f32],
    b: &'a [f32],
    c: &'a [f32],
}

impl Op for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let scalar = simd.splat(SCALAR);
        map(
            simd,
            [self.b, self.c],
            self.a,
            #[inline(always)]
            |[b, c]| simd.mul_add(scalar, c, b),
        );
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
        self.isa.run(Part { a, b, c });
    }

    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32> {
        // SAFETY: called between calls, when no thread writes.
        unsafe { self.copies[0][0].read(0..count.min(self.n)) }.to_vec()
    }
}
