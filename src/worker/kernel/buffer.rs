//! Memory that the threads of a team write together, each its own part.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::Range;

/// Elements of one cache line; parts of different threads begin on different lines where that matters.
pub const LINE: usize = 16;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; LINE]);

/// The system gave no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system refused another {} MiB of memory", .bytes.div_ceil(1 << 20))]
pub struct OutOfMemory {
    /// Asked for at once.
    pub bytes: u64,
}

/// Cache-line aligned `f32`s that several threads may use at once under the rules of [`Buffer::read`] and
/// [`Buffer::write`].
pub struct Buffer {
    lines: Box<[UnsafeCell<Line>]>,
    len: usize,
}

// SAFETY: shared access goes through `read` and `write`, whose callers promise that no element is written by one
// thread while another reads or writes it.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` elements, every one written by this thread, so that the pages lie on its node.
    pub fn filled(len: usize, mut value: impl FnMut(usize) -> f32) -> Result<Self, OutOfMemory> {
        let count = len.div_ceil(LINE);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| OutOfMemory {
            bytes: Self::bytes(len),
        })?;
        lines.extend((0..count).map(|line| {
            let mut values = [0.0; LINE];
            for (i, v) in values.iter_mut().enumerate() {
                *v = value(line * LINE + i);
            }
            UnsafeCell::new(Line(values))
        }));
        Ok(Self {
            lines: lines.into_boxed_slice(),
            len,
        })
    }

    /// Bytes that so many elements take: whole lines.
    pub fn bytes(len: usize) -> u64 {
        (len.div_ceil(LINE) * size_of::<Line>()) as u64
    }

    /// So many copies of what `copy` makes, given the number of each.
    pub fn copies<T>(
        count: usize,
        copy: impl Fn(u64) -> Result<T, OutOfMemory>,
    ) -> Result<Vec<T>, OutOfMemory> {
        let mut copies = Vec::new();
        copies.try_reserve_exact(count).map_err(|_| OutOfMemory {
            bytes: (count * size_of::<T>()) as u64,
        })?;
        for number in 0..count as u64 {
            copies.push(copy(number)?);
        }
        Ok(copies)
    }

    /// Zeros.
    pub fn zeros(len: usize) -> Result<Self, OutOfMemory> {
        Self::filled(len, |_| 0.0)
    }

    /// Numbers between −0.5 and 0.5 that look random, the same for the same seed: products of them stay far from
    /// overflow and from denormals.
    pub fn noise(len: usize, seed: u64) -> Result<Self, OutOfMemory> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        Self::filled(len, |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first element's address.
    pub fn as_ptr(&self) -> *mut f32 {
        self.lines.as_ptr().cast_mut().cast()
    }

    /// Reads elements.
    ///
    /// # Safety
    /// No thread writes any of them as long as the slice is in use: kernels read in a step only what was written
    /// in earlier ones.
    pub unsafe fn read(&self, range: Range<usize>) -> &[f32] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds (just asserted), aligned, initialised by `filled`; not written meanwhile (the caller).
        unsafe { std::slice::from_raw_parts(self.as_ptr().add(range.start), range.len()) }
    }

    /// Writes elements.
    ///
    /// # Safety
    /// No other thread uses any of them as long as the slice is in use: kernels give each thread of a step a part
    /// of its own.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write(&self, range: Range<usize>) -> &mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: in bounds (just asserted), aligned, initialised by `filled`, inside `UnsafeCell`s; used by nobody
        // else meanwhile (the caller).
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr().add(range.start), range.len()) }
    }
}
