//! C = A · Wᵀ for one thread's tile of C, by blocks that stay in the caches (Goto and van de Geijn, "Anatomy of
//! high-performance matrix multiplication", 2008).
//!
//! Both operands are read along their rows. A block of A is copied, its rows a fixed distance apart; a panel of W, two
//! vectors of its rows, is transposed when it is needed and used at once for all rows of the block. The innermost tile
//! keeps up to 14 × 2 vectors of sums in registers.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

mod tile;

use self::tile::{DEPTH, MOST_PANEL, Pack, STRIDE, Tile, VECTORS};
use super::buffer::{LINE, OutOfMemory};
use super::isa::{Isa, Op, Simd};
use crate::machine::CoreCache;
use crate::workload::Level;
use std::cell::RefCell;
use std::ops::Range;

/// Rows of A in the smallest block, a multiple of the rows of every level's tile.
const LEAST_ROWS: usize = 84;
/// A block of A takes at most this much.
const MOST_BLOCK_BYTES: u64 = 1 << 20;
/// The second-level cache of a core that tells nothing: no processor of the last decade has a smaller one.
const CORE_CACHE_BYTES: u64 = 256 << 10;
/// A product of so few rows waits for its weights.
const NARROW_ROWS: usize = 24;
/// Elements of the common side in its blocks: what it reads ahead, its panel and its rows of A stay in the first-level
/// cache together.
const NARROW_DEPTH: usize = DEPTH / 2;

/// At which level, and in how large blocks, products are computed.
#[derive(Debug, Clone, Copy)]
pub struct Blocking {
    /// The level.
    pub isa: Isa,
    /// Rows of A in a block.
    rows: usize,
}

impl Blocking {
    /// Blocks that take half of a core's second-level cache: each panel of W is then read and transposed for as many rows
    /// as possible.
    pub fn of(isa: Isa, caches: &[CoreCache]) -> Self {
        let second = caches.iter().find(|cache| cache.level == 2);
        let bytes = second.map_or(CORE_CACHE_BYTES, |cache| cache.share_bytes) / 2;
        let rows = bytes.min(MOST_BLOCK_BYTES) as usize / (STRIDE * size_of::<f32>());
        Self {
            isa,
            rows: (rows / LEAST_ROWS * LEAST_ROWS).max(LEAST_ROWS),
        }
    }

    /// Up to so many rows of A, dot products are faster: blocks transpose weights, which rows of short vectors make up
    /// for later.
    pub fn few_rows(self) -> usize {
        match self.isa.level() {
            Level::Sse2 | Level::Portable => 16,
            Level::Avx512 | Level::Avx2 | Level::Neon => 12,
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

/// Where a thread keeps its panel of W, and then its block of A, row after row.
#[derive(Default)]
struct Scratch(Vec<CacheLine>);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct CacheLine([f32; LINE]);

impl Scratch {
    /// Makes room for a panel and a block of so many rows.
    fn reserve(&mut self, rows: usize) -> Result<(), OutOfMemory> {
        let lines = (MOST_PANEL + rows * STRIDE) / LINE;
        if let Some(more) = lines.checked_sub(self.0.len()) {
            self.0.try_reserve_exact(more).map_err(|_| OutOfMemory {
                bytes: (lines * size_of::<CacheLine>()) as u64,
            })?;
            self.0.resize(lines, CacheLine([0.0; LINE]));
        }
        Ok(())
    }

    /// A panel and a block, if there is room for so many rows of it.
    fn parts(&mut self, rows: usize) -> Option<(&mut [f32], &mut [f32])> {
        self.reserve(rows).ok()?;
        let all = self.0.as_mut_ptr().cast::<f32>();
        // SAFETY: a cache line is so many numbers, one after another, and nothing else.
        let all = unsafe { std::slice::from_raw_parts_mut(all, self.0.len() * LINE) };
        Some(all.split_at_mut(MOST_PANEL))
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Allocates what the calling thread needs for its tile of a product of so many rows of A, if it has not yet.
pub fn reserve(blocking: Blocking, rows: usize, k: usize) -> Result<(), OutOfMemory> {
    let most = rows.saturating_mul(k.div_ceil(NARROW_DEPTH).max(1));
    SCRATCH.with_borrow_mut(|scratch| scratch.reserve(most.min(blocking.rows)))
}

/// Computes the tile, on a thread that has called [`reserve`].
///
/// # Panics
/// If there is no memory for what the thread should have reserved.
///
/// # Safety
/// A and W can be read and are not written meanwhile, and nobody else uses the tile of C, which can be written.
pub unsafe fn run(blocking: Blocking, product: &Product) {
    let depth = if product.rows <= NARROW_ROWS {
        NARROW_DEPTH
    } else {
        DEPTH
    };
    let all = product.rows * product.k.div_ceil(depth).max(1);
    let rows = if all <= blocking.rows {
        all
    } else {
        blocking.rows.min(product.rows)
    };
    SCRATCH.with_borrow_mut(|scratch| {
        let (panel, block) = scratch.parts(rows).expect("the thread has reserved it");
        // The level begins here: a closure within it would not be compiled for it.
        blocking.isa.run(Blocks {
            product,
            rows,
            depth,
            panel,
            block,
        });
    });
}

/// The product block by block. Made by [`run`] only, whose caller promises what it needs.
struct Blocks<'a> {
    product: &'a Product,
    /// The most rows of a block: all rows of A at all depths, if so many.
    rows: usize,
    /// The most elements of the common side in a block.
    depth: usize,
    panel: &'a mut [f32],
    block: &'a mut [f32],
}

/// `len` in as few parts of at most `most` as possible, as equal as possible: the bounds of each.
#[inline(always)]
fn parts(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = len.div_ceil(most).max(1);
    (0..count).map(move |i| (len * i / count, len * (i + 1) / count))
}

impl Op for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product {
            rows, columns, k, ..
        } = *self.product;
        let width = VECTORS * S::LANES;
        let depths = parts(k, self.depth);
        if rows * depths.clone().count() <= self.rows {
            // All of A is copied once; rows of W are read from one end to the other.
            for (number, (begin, end)) in depths.clone().enumerate() {
                self.copy(number * rows, 0..rows, begin..end);
            }
            for left in (0..columns).step_by(width) {
                for (number, (begin, end)) in depths.clone().enumerate() {
                    let ahead = if end < k {
                        (left, end)
                    } else {
                        (left + width, 0)
                    };
                    self.columns(simd, left, begin..end, 0..rows, number * rows, ahead);
                }
            }
        } else {
            for (begin, end) in depths {
                for (top, bottom) in parts(rows, self.rows) {
                    self.copy(0, top..bottom, begin..end);
                    for left in (0..columns).step_by(width) {
                        let ahead = (left + width, begin);
                        self.columns(simd, left, begin..end, top..bottom, 0, ahead);
                    }
                }
            }
        }
    }
}

impl Blocks<'_> {
    /// Copies these rows of A at this depth to the block, from its row `at` on.
    #[inline(always)]
    fn copy(&mut self, at: usize, rows: Range<usize>, depth: Range<usize>) {
        let to = self.block[at * STRIDE..].chunks_exact_mut(STRIDE);
        for (row, to) in rows.zip(to) {
            // SAFETY: the row lies in A, which is not written meanwhile (`run`).
            let from = unsafe {
                let at = self.product.a.add(row * self.product.k + depth.start);
                std::slice::from_raw_parts(at, depth.len())
            };
            to[..depth.len()].copy_from_slice(from);
        }
    }

    /// Multiplies these rows of A, which are in the block from its row `at` on, with the panel of W that begins at column
    /// `left` of C. What the next panel is made of, which begins `ahead`, comes into the cache meanwhile.
    #[inline(always)]
    fn columns<S: Simd>(
        &mut self,
        simd: S,
        left: usize,
        depth: Range<usize>,
        rows: Range<usize>,
        at: usize,
        ahead: (usize, usize),
    ) {
        let Product {
            columns,
            k,
            w,
            c,
            c_stride,
            ..
        } = *self.product;
        let width = VECTORS * S::LANES;
        simd.enter(Pack {
            // SAFETY: these rows lie in W, as far as the end of `depth` (`run`).
            w: unsafe { w.add(left * k + depth.start) },
            stride: k,
            columns: width.min(columns - left),
            depth: depth.len(),
            panel: self.panel,
        });
        let (next, next_begin) = ahead;
        let next_rows = width.min(columns.saturating_sub(next));
        let tiles = rows.len().div_ceil(S::TILE_ROWS);
        for (number, (from, to)) in parts(rows.len(), S::TILE_ROWS).enumerate() {
            for row in next_rows * number / tiles..next_rows * (number + 1) / tiles {
                let row = w.wrapping_add((next + row) * k);
                for p in (next_begin..k.min(next_begin + self.depth)).step_by(LINE) {
                    simd.prefetch(row.wrapping_add(p));
                }
            }
            let tile = Tile {
                depth: depth.len(),
                a: self.block[(at + from) * STRIDE..].as_ptr(),
                panel: self.panel.as_ptr(),
                // SAFETY: the tile lies in C (`run`).
                c: unsafe { c.add((rows.start + from) * c_stride + left) },
                c_stride,
                columns: width.min(columns - left),
                adds: depth.start > 0,
            };
            // SAFETY: the block has so many rows from there on, the panel so many columns, and the tile of C is this
            // thread's.
            unsafe { tile.run_rows(simd, to - from) };
        }
    }
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
            // all heights of a tile, all ends of a panel
            for rows in 1..=15 {
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
    fn every_order_of_blocks_gives_the_exact_sums() {
        let second = CoreCache {
            level: 2,
            bytes: 2 << 20,
            share_bytes: 2 << 20,
        };
        for isa in Isa::all() {
            let large = Blocking::of(isa, &[second]);
            // all of A at once, at several depths; several blocks; neither rows nor columns in whole tiles
            for (rows, columns, k) in [(50, 33, 513), (1000, 35, 300), (16, 70, 1030)] {
                product(large, rows, columns, k);
                product(Blocking::of(isa, &[]), rows, columns, k);
            }
        }
    }

    #[test]
    fn a_block_takes_half_of_the_core_s_own_cache() {
        let rows = |caches: &[CoreCache]| Blocking::of(Isa::best(None), caches).rows;
        let cache = |level, share_bytes| CoreCache {
            level,
            bytes: 1 << 40,
            share_bytes,
        };
        assert_eq!(rows(&[]), 84);
        assert_eq!(rows(&[cache(1, 1 << 20), cache(3, 1 << 20)]), 84);
        assert_eq!(rows(&[cache(2, 1)]), 84);
        assert_eq!(rows(&[cache(1, 32 << 10), cache(2, 512 << 10)]), 168);
        assert_eq!(rows(&[cache(2, 2 << 20)]), 924);
        assert_eq!(rows(&[cache(2, 1 << 40)]), 924);
    }

    #[test]
    fn parts_are_few_and_alike() {
        let all = |len, most| parts(len, most).collect::<Vec<_>>();
        assert_eq!(
            all(64, 14),
            [(0, 12), (12, 25), (25, 38), (38, 51), (51, 64)]
        );
        assert_eq!(all(14, 14), [(0, 14)]);
        assert_eq!(all(15, 14), [(0, 7), (7, 15)]);
        assert_eq!(all(0, 14), [(0, 0)]);
    }
}
