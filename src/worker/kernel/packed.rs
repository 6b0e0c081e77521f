//! C = A · Wᵀ for one thread's tile of C, by blocks that stay in the caches (Goto and van de Geijn, "Anatomy of
//! high-performance matrix multiplication", 2008).
//!
//! Both operands are read along their rows. Panels of one of them, two vectors of its rows, are transposed; the innermost
//! tile multiplies rows of the other one with a panel and keeps up to 14 × 2 vectors of sums in registers.
//!
//! As a rule the panels are of W. A block of them is used for all rows of A, which are copied, a fixed distance apart, tile
//! by tile, so that what is added to in C lies side by side: down a column of C, each row is in another page, and rows a
//! power of two apart share the same few sets of a cache. Where there are few rows, all of A is the block, and W is read
//! once from one end to the other. Where they fill the vectors of panels of their own, or W is used too rarely for what its
//! panels cost, A is transposed instead, and W is read where it lies.

#![allow(unsafe_code)]

mod blocks;
mod tile;

use self::blocks::{Blocks, NARROW_ROWS, PANELS_IN_PLACE};
use self::tile::{DEPTH, MOST_COLUMNS, MOST_NEAR, NARROW_DEPTH, STRIDE};
use super::buffer::{LINE, OutOfMemory};
use super::isa::Isa;
use crate::machine::CoreCache;
use crate::workload::Level;
use std::cell::RefCell;

/// A block takes at most this much.
const MOST_BLOCK_BYTES: u64 = 768 << 10;
/// The second-level cache of a core that tells nothing: no processor of the last decade has a smaller one.
const CORE_CACHE_BYTES: u64 = 256 << 10;

/// At which level, and in how large blocks, products are computed.
#[derive(Debug, Clone, Copy)]
pub struct Blocking {
    /// The level.
    pub isa: Isa,
    /// Rows of an operand in a block, whole panels of W.
    rows: usize,
}

impl Blocking {
    /// Blocks that take three eighths of a core's second-level cache, through which the other operand and C pass.
    pub fn of(isa: Isa, caches: &[CoreCache]) -> Self {
        let second = caches.iter().find(|cache| cache.level == 2);
        let bytes = second.map_or(CORE_CACHE_BYTES, |cache| cache.share_bytes) / 8 * 3;
        let rows = bytes.min(MOST_BLOCK_BYTES) as usize / (DEPTH * size_of::<f32>());
        Self {
            isa,
            rows: (rows / MOST_COLUMNS).max(1) * MOST_COLUMNS,
        }
    }

    /// Rows in the largest block of a product of so many rows of A and of W, or of a part of it.
    fn rows_for(self, rows: usize, columns: usize, k: usize) -> usize {
        let of_a = rows
            .min(PANELS_IN_PLACE * MOST_COLUMNS)
            .saturating_mul(k.div_ceil(NARROW_DEPTH).max(1));
        of_a.max(columns.next_multiple_of(MOST_COLUMNS))
            .min(self.rows)
    }

    /// Up to so many rows of A, dot products are faster: blocks transpose weights, which rows of short vectors make up
    /// for later. With long ones, weights that come from memory would be faster by blocks from three rows on, those in
    /// the caches from about eight.
    pub fn few_rows(self) -> usize {
        match self.isa.level() {
            Level::Sse2 | Level::Portable => NARROW_ROWS,
            Level::Neon => 12,
            Level::Avx512 | Level::Avx2 => 4,
        }
    }
}

/// Operands of a product, each row-major: C (rows × columns) = A (rows × k) · W (columns × k)ᵀ.
pub struct Product {
    /// Rows of A and C.
    pub rows: usize,
    /// Rows of W, columns of C.
    pub columns: usize,
    /// Columns of A and W.
    pub k: usize,
    /// A, its rows `k` apart.
    pub a: *const f32,
    /// W, its rows `k` apart.
    pub w: *const f32,
    /// C.
    pub c: *mut f32,
    /// From one row of C to the next.
    pub c_stride: usize,
}

/// Where a thread keeps what it copies of the operands.
#[derive(Default)]
struct Scratch(Vec<CacheLine>);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct CacheLine([f32; LINE]);

impl Scratch {
    /// Makes room for a block of so many rows, and what it is multiplied with at a time.
    fn reserve(&mut self, rows: usize) -> Result<(), OutOfMemory> {
        let lines = (MOST_NEAR + rows * STRIDE) / LINE;
        if let Some(more) = lines.checked_sub(self.0.len()) {
            self.0.try_reserve_exact(more).map_err(|_| OutOfMemory {
                bytes: (lines * size_of::<CacheLine>()) as u64,
            })?;
            self.0.resize(lines, CacheLine([0.0; LINE]));
        }
        Ok(())
    }

    /// What a block is multiplied with, and the block, if there is room for so many rows of it.
    fn parts(&mut self, rows: usize) -> Option<(&mut [f32], &mut [f32])> {
        self.reserve(rows).ok()?;
        let all = self.0.as_mut_ptr().cast::<f32>();
        // SAFETY: a cache line is so many numbers, one after another, and nothing else.
        let all = unsafe { std::slice::from_raw_parts_mut(all, self.0.len() * LINE) };
        Some(all.split_at_mut(MOST_NEAR))
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Allocates what the calling thread needs for its tile of a product of so many rows and columns, if it has not yet.
pub fn reserve(
    blocking: Blocking,
    rows: usize,
    columns: usize,
    k: usize,
) -> Result<(), OutOfMemory> {
    let most = blocking.rows_for(rows, columns, k);
    SCRATCH.with_borrow_mut(|scratch| scratch.reserve(most))
}

/// Computes the tile, on a thread that has called [`reserve`].
///
/// # Panics
/// If there is no memory for what the thread should have reserved.
///
/// # Safety
/// A and W can be read and are not written meanwhile, and nobody else uses the tile of C, which can be written.
pub unsafe fn run(blocking: Blocking, product: &Product) {
    let rows = blocking.rows_for(product.rows, product.columns, product.k);
    SCRATCH.with_borrow_mut(|scratch| {
        let (near, far) = scratch.parts(rows).expect("the thread has reserved it");
        // The level begins here: a closure within it would not be compiled for it.
        blocking.isa.run(Blocks {
            product,
            rows,
            is_large: product.columns.saturating_mul(product.k) > 2 * blocking.rows * DEPTH,
            near,
            far,
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both operands hold small whole numbers, so that every order of summing gives the same sums exactly.
    fn product(blocking: Blocking, rows: usize, columns: usize, k: usize) {
        let isa = blocking.isa;
        let a: Vec<f32> = (0..rows * k).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let w: Vec<f32> = (0..columns * k)
            .map(|i| (i * 5 % 13) as f32 - 6.0)
            .collect();
        let c_stride = columns + 3;
        let mut c = vec![f32::NAN; rows * c_stride];
        // SAFETY: the vectors are as large as it says, and nobody else uses them.
        unsafe {
            run(
                blocking,
                &Product {
                    rows,
                    columns,
                    k,
                    a: a.as_ptr(),
                    w: w.as_ptr(),
                    c: c.as_mut_ptr(),
                    c_stride,
                },
            );
        }
        for (i, row) in c.chunks(c_stride).enumerate() {
            for (j, value) in row.iter().enumerate() {
                let what = format!("{}: {rows}×{columns}×{k} at {i}, {j}", isa.level());
                if j >= columns {
                    assert!(value.is_nan(), "{what}: written beyond the tile");
                    continue;
                }
                let (a, w) = (&a[i * k..(i + 1) * k], &w[j * k..(j + 1) * k]);
                let exact: f32 = a.iter().zip(w).map(|(a, w)| a * w).sum();
                assert_eq!(*value, exact, "{what}");
            }
        }
    }

    #[test]
    fn every_size_gives_the_exact_sums() {
        for isa in Isa::all() {
            // all heights of a tile, few rows and more, all ends of a panel
            for rows in 1..=40 {
                product(Blocking::of(isa, &[]), rows, 33, 5);
            }
            for columns in 1..=65 {
                product(Blocking::of(isa, &[]), 5, columns, 7);
            }
            // more than one block along each side
            for (rows, columns, k) in [(1, 1, 1), (17, 40, 257), (170, 3, 64), (337, 35, 513)] {
                product(Blocking::of(isa, &[]), rows, columns, k);
            }
        }
    }

    #[test]
    fn every_number_of_rows_gives_the_exact_sums_with_weights_in_place() {
        let tiny = CoreCache {
            level: 2,
            bytes: 1,
            share_bytes: 1,
        };
        for isa in Isa::all() {
            // one vector and more, whole panels and not, more rows than panels of A may have
            for rows in (1..=40).chain([63, 64, 65, 127, 128, 129]) {
                product(Blocking::of(isa, &[tiny]), rows, 37, 517);
            }
        }
    }

    #[test]
    fn every_order_of_blocks_gives_the_exact_sums() {
        let second = CoreCache {
            level: 2,
            bytes: 2 << 20,
            share_bytes: 2 << 20,
        };
        for isa in Isa::all() {
            let large = Blocking::of(isa, &[second]);
            // several depths; several blocks of either operand; neither rows nor columns in whole tiles
            for (rows, columns, k) in [
                (50, 33, 513),
                (30, 1100, 300),
                (16, 70, 1030),
                (17, 35, 900),
            ] {
                product(large, rows, columns, k);
                product(Blocking::of(isa, &[]), rows, columns, k);
            }
        }
    }

    #[test]
    fn a_block_takes_three_eighths_of_the_core_s_own_cache() {
        let rows = |caches: &[CoreCache]| Blocking::of(Isa::best(None), caches).rows;
        let cache = |level, share_bytes| CoreCache {
            level,
            bytes: 1 << 40,
            share_bytes,
        };
        assert_eq!(rows(&[]), 96);
        assert_eq!(rows(&[cache(1, 1 << 20), cache(3, 1 << 20)]), 96);
        assert_eq!(rows(&[cache(2, 1)]), 32);
        assert_eq!(rows(&[cache(1, 32 << 10), cache(2, 520 << 10)]), 192);
        assert_eq!(rows(&[cache(2, 2 << 20)]), 768);
        assert_eq!(rows(&[cache(2, 1 << 40)]), 768);
    }
}
