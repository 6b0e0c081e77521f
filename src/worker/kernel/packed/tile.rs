//! What a product by blocks is made of: a panel, transposed rows, and the innermost tile, whose sums stay in registers.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::super::buffer::LINE;
use super::super::isa::{MOST_ROWS, Op, Simd};

/// Elements of the common side in a block.
pub const DEPTH: usize = 256;
/// The same where there are few rows: what is read ahead, a panel and the tile's rows of A stay in the first-level cache
/// together.
pub const NARROW_DEPTH: usize = DEPTH / 2;
/// From one row of a copied block of A to the next. A little more than [`DEPTH`], so that rows do not all fall into the
/// same few sets of a cache.
pub const STRIDE: usize = DEPTH + LINE;
/// Vectors in a row of the innermost tile.
pub const VECTORS: usize = 2;
/// The most numbers in a row of the innermost tile.
pub const MOST_COLUMNS: usize = VECTORS * 16;
/// The most numbers beside a block: a panel of W where there are few rows, a tile's rows of A, or rows of A that become a
/// panel.
pub const MOST_NEAR: usize = MOST_COLUMNS * STRIDE;
const _: () = assert!(MOST_COLUMNS >= MOST_ROWS && STRIDE >= NARROW_DEPTH);

/// Transposes `columns` rows of `depth` numbers, `stride` apart, to a panel of `depth` rows of as many vectors, one or two,
/// as they fill; what is missing to a whole one is zero. Whoever makes it promises that the rows can be read.
pub struct Pack<'a> {
    pub rows: *const f32,
    pub stride: usize,
    pub columns: usize,
    pub depth: usize,
    pub panel: &'a mut [f32],
}

impl Op for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            rows: from,
            stride,
            columns,
            depth,
            panel,
        } = self;
        let width = columns.next_multiple_of(S::LANES);
        assert!(panel.len() >= depth * width);
        let whole = columns / S::LANES * S::LANES;
        let quads = depth / 4 * 4;
        let to = panel.as_mut_ptr();
        for v in (0..whole).step_by(S::LANES) {
            for p in (0..quads).step_by(4) {
                let mut of_rows = [simd.splat(0.0); 4];
                for (j, rows) in of_rows.iter_mut().enumerate() {
                    // SAFETY: rows v to v + LANES are there, columns p to p + 4 too; group g of vector j is row v + 4g + j.
                    *rows = unsafe { simd.load_groups(from.add((v + j) * stride + p), 4 * stride) };
                }
                for (i, column) in simd.transpose_groups(of_rows).into_iter().enumerate() {
                    // SAFETY: the panel has room for `depth` rows, more than p + 3, of `width` numbers, which is at least v + LANES.
                    unsafe { simd.store(to.add((p + i) * width + v), column) };
                }
            }
        }
        // What the vectors left: the ends of all rows, and the last rows.
        let ends = (quads..depth, 0..whole);
        let last = (if whole < width { 0..depth } else { 0..0 }, whole..width);
        for (depths, rows) in [ends, last] {
            for p in depths {
                for j in rows.clone() {
                    panel[p * width + j] = if j < columns {
                        // SAFETY: the number lies in a row that can be read.
                        unsafe { *from.add(j * stride + p) }
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// The innermost tile.
#[derive(Clone, Copy)]
pub struct Tile {
    pub depth: usize,
    /// Of one operand.
    pub rows: *const f32,
    /// From one of its rows to the next.
    pub stride: usize,
    /// Of the other one: rows of as many vectors as `columns` fill.
    pub panel: *const f32,
    pub c: *mut f32,
    pub c_stride: usize,
    /// So many numbers of a row are stored.
    pub columns: usize,
    /// To what is in C already.
    pub adds: bool,
    /// What comes into the cache meanwhile.
    pub fetch: Fetch,
}

/// Numbers that are needed soon, which may lie beyond what can be read.
#[derive(Clone, Copy)]
pub struct Fetch {
    pub from: *const f32,
    /// Rows, `stride` numbers apart, of each as many numbers as the tile is deep.
    pub rows: usize,
    pub stride: usize,
}

impl Fetch {
    /// No rows.
    pub const NOTHING: Self = Self {
        from: std::ptr::null(),
        rows: 0,
        stride: 0,
    };
}

/// Rows of the largest tile of so many vectors in a row.
#[inline(always)]
pub fn most_rows<S: Simd>(vectors: usize) -> usize {
    (S::TILE_ROWS * VECTORS / vectors).min(MOST_ROWS)
}

impl Tile {
    /// With so many rows.
    ///
    /// # Safety
    /// All operands are as large as the tile says, and nobody else uses its part of C.
    #[inline(always)]
    pub unsafe fn run_rows<S: Simd>(self, simd: S, rows: usize) {
        const { assert!(MOST_ROWS == 14) };
        macro_rules! of_rows {
            ($($n:literal)*) => {
                match rows {
                    $($n if $n <= most_rows::<S>(1) && self.columns <= S::LANES => {
                        simd.enter(Fixed::<$n, 1>(self));
                    }
                    $n if $n <= most_rows::<S>(VECTORS) => {
                        simd.enter(Fixed::<$n, VECTORS>(self));
                    })*
                    _ => unreachable!("a tile has at most `most_rows`"),
                }
            };
        }
        of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}

/// A tile of `ROWS` rows, each of `WIDE` vectors. Made by [`Tile::run_rows`] only, whose caller promises what it needs.
struct Fixed<const ROWS: usize, const WIDE: usize>(Tile);

impl<const ROWS: usize, const WIDE: usize> Op for Fixed<ROWS, WIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tile = self.0;
        if tile.adds {
            // It is there by the time that the sums are.
            for i in 0..ROWS {
                for v in 0..WIDE {
                    simd.prefetch(tile.c.wrapping_add(i * tile.c_stride + v * S::LANES));
                }
            }
        }
        let mut sums = [[simd.splat(0.0); WIDE]; ROWS];
        // Few at a time: a core waits for few lines at once, and stands still when it is to wait for more.
        let step = if tile.fetch.rows > 0 {
            LINE
        } else {
            tile.depth.max(1)
        };
        for line in (0..tile.depth).step_by(step) {
            for row in 0..tile.fetch.rows {
                simd.prefetch(tile.fetch.from.wrapping_add(row * tile.fetch.stride + line));
            }
            for p in line..tile.depth.min(line + step) {
                let mut of_panel = [simd.splat(0.0); WIDE];
                for v in 0..WIDE {
                    // SAFETY: a panel has `depth` rows of so many vectors.
                    of_panel[v] = unsafe { simd.load(tile.panel.add((p * WIDE + v) * S::LANES)) };
                }
                for i in 0..ROWS {
                    // SAFETY: there are `ROWS` rows from here on, of at least `depth` numbers.
                    let of_row = simd.splat(unsafe { *tile.rows.add(i * tile.stride + p) });
                    for v in 0..WIDE {
                        sums[i][v] = simd.mul_add(of_row, of_panel[v], sums[i][v]);
                    }
                }
            }
        }
        // Each of the three ways out is a loop so small that it is unrolled: sums that are indexed by a variable anywhere
        // lie in memory everywhere.
        let is_whole = tile.columns == WIDE * S::LANES;
        if is_whole && !tile.adds {
            for i in 0..ROWS {
                for v in 0..WIDE {
                    // SAFETY: the tile of C has `ROWS` rows of `columns` numbers, `c_stride` apart.
                    unsafe { simd.store(tile.c.add(i * tile.c_stride + v * S::LANES), sums[i][v]) };
                }
            }
        } else if is_whole {
            for i in 0..ROWS {
                for v in 0..WIDE {
                    // SAFETY: as above.
                    unsafe {
                        let at = tile.c.add(i * tile.c_stride + v * S::LANES);
                        simd.store(at, simd.add(simd.load(at), sums[i][v]));
                    }
                }
            }
        } else {
            let mut whole = [[0.0; MOST_COLUMNS]; ROWS];
            for i in 0..ROWS {
                for v in 0..WIDE {
                    // SAFETY: a row of `whole` has room for the longest vectors.
                    unsafe { simd.store(whole[i].as_mut_ptr().add(v * S::LANES), sums[i][v]) };
                }
            }
            for (i, row) in whole.iter().enumerate() {
                for (j, sum) in row.iter().enumerate().take(tile.columns) {
                    // SAFETY: as above.
                    unsafe {
                        let at = tile.c.add(i * tile.c_stride + j);
                        *at = if tile.adds { *at + sum } else { *sum };
                    }
                }
            }
        }
    }
}
