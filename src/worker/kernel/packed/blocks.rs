//! The order in which a product is computed: block by block, and what is copied, transposed or read in place for it.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::super::buffer::LINE;
use super::super::isa::{MOST_ROWS, Op, Simd};
use super::Product;
use super::tile::{
    DEPTH, Fetch, MOST_COLUMNS, NARROW_DEPTH, Pack, STRIDE, Tile, VECTORS, most_rows,
};
use std::ops::Range;

/// A product of so few rows waits for its weights.
pub const NARROW_ROWS: usize = 24;
/// Panels of A that W is read in place for, at most.
pub const PANELS_IN_PLACE: usize = 4;
/// A tile reads at most so many rows of W in place: those a power of two apart share one set of the first-level cache,
/// which holds eight lines or more.
const ROWS_IN_PLACE: usize = 8;
/// So many numbers ahead, they are asked for.
const AHEAD: usize = 4 * LINE;
/// The sums of the largest tile.
const MOST_SUMS: usize = MOST_ROWS * MOST_COLUMNS;

/// The product block by block. Made by `run` only, whose caller promises what it needs.
pub struct Blocks<'a> {
    pub product: &'a Product,
    /// Rows of the largest block.
    pub rows: usize,
    /// Is W more than a core's second-level cache holds beside the rest?
    pub is_large: bool,
    /// What the block is multiplied with, in the first-level cache: a panel of W, or a tile's rows of A.
    pub near: &'a mut [f32],
    /// The block, in the second-level cache: all of A, or panels of W.
    pub far: &'a mut [f32],
}

/// `len` in as few parts of at most `most` as possible, as equal as possible.
#[inline(always)]
fn parts(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = len.div_ceil(most).max(1);
    (0..count).map(move |i| len * i / count..len * (i + 1) / count)
}

impl Op for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product { rows, k, .. } = *self.product;
        if self.is_in_place::<S>() {
            let width = rows.next_multiple_of(S::LANES);
            for depth in parts(k, self.rows * STRIDE / width) {
                self.in_place(simd, &depth);
            }
        } else if rows <= NARROW_ROWS {
            for part in parts(k, self.rows / rows * NARROW_DEPTH) {
                self.narrow(simd, part);
            }
        } else {
            self.wide(simd);
        }
    }
}

impl Blocks<'_> {
    /// Is W read where it lies? Not where it is in the caches when its panels are made.
    #[inline(always)]
    fn is_in_place<S: Simd>(&self) -> bool {
        let rows = self.product.rows;
        let fills = 8 * rows >= 7 * rows.next_multiple_of(S::LANES);
        let is_few = rows <= PANELS_IN_PLACE * VECTORS * S::LANES;
        self.is_large && is_few && (fills || rows > NARROW_ROWS)
    }

    /// This part of the common side, of which the panels of all rows of A fit into the block.
    #[inline(always)]
    fn in_place<S: Simd>(&mut self, simd: S, depth: &Range<usize>) {
        let product = self.product;
        let height = VECTORS * S::LANES;
        let panels = (0..product.rows)
            .step_by(height)
            .map(|top| top..product.rows.min(top + height));
        for rows in panels.clone() {
            self.transpose_a(simd, rows, depth);
        }
        let most = if product.rows <= S::LANES {
            most_rows::<S>(1)
        } else {
            most_rows::<S>(VECTORS)
        };
        for columns in parts(product.columns, most.min(ROWS_IN_PLACE)) {
            // SAFETY: the rows lie in W (`run`).
            let w = unsafe { product.w.add(columns.start * product.k + depth.start) };
            for rows in panels.clone() {
                let fetch = Fetch {
                    from: w.wrapping_add(AHEAD),
                    // They are near once the first panel has met them.
                    rows: if rows.start == 0 { columns.len() } else { 0 },
                    stride: product.k,
                };
                let width = rows.len().next_multiple_of(S::LANES);
                let tile = Tile {
                    depth: depth.len(),
                    rows: w,
                    stride: product.k,
                    panel: self.far[rows.start * depth.len()..].as_ptr(),
                    c: self.near.as_mut_ptr(),
                    c_stride: width,
                    columns: width,
                    adds: false,
                    fetch,
                };
                // SAFETY: W has so many rows from there on, the panel is as deep and as wide, and there is room for as
                // many rows of sums as any tile has.
                unsafe { tile.run_rows(simd, columns.len()) };
                let sums = &self.near[..MOST_SUMS];
                product.put_transposed(&rows, &columns, sums, width, depth.start > 0);
            }
        }
    }

    /// Makes a panel of these rows of A, which are at most two vectors.
    #[inline(always)]
    fn transpose_a<S: Simd>(&mut self, simd: S, rows: Range<usize>, depth: &Range<usize>) {
        let width = rows.len().next_multiple_of(S::LANES);
        let panel = &mut self.far[rows.start * depth.len()..][..width * depth.len()];
        for part in parts(depth.len(), DEPTH) {
            let panel = &mut panel[part.start * width..part.end * width];
            let part = depth.start + part.start..depth.start + part.end;
            self.product.copy(rows.clone(), part.clone(), self.near);
            // Nobody takes the sums of rows that are not there.
            self.near[rows.len() * STRIDE..width * STRIDE].fill(0.0);
            simd.enter(Pack {
                rows: self.near.as_ptr(),
                stride: STRIDE,
                columns: width,
                depth: part.len(),
                panel,
            });
        }
    }

    /// This part of the common side, of which all of A fits into the block.
    #[inline(always)]
    fn narrow<S: Simd>(&mut self, simd: S, part: Range<usize>) {
        let product = self.product;
        let (rows, columns) = (product.rows, product.columns);
        let width = VECTORS * S::LANES;
        let depths = parts(part.len(), NARROW_DEPTH)
            .map(|depth| part.start + depth.start..part.start + depth.end);
        for (number, depth) in depths.clone().enumerate() {
            product.copy(0..rows, depth, &mut self.far[number * rows * STRIDE..]);
        }
        let tiles = rows.div_ceil(S::TILE_ROWS);
        for left in (0..columns).step_by(width) {
            for (number, depth) in depths.clone().enumerate() {
                product.pack(simd, left, &depth, self.near);
                // What the next panel is made of comes into the cache meanwhile.
                let (next, from) = if depth.end < part.end {
                    (left, depth.end)
                } else {
                    (left + width, part.start)
                };
                let next = next.min(columns)..(next + width).min(columns);
                for (i, tile) in parts(rows, S::TILE_ROWS).enumerate() {
                    let share = next.len() * i / tiles..next.len() * (i + 1) / tiles;
                    let fetch = Fetch {
                        from: product
                            .w
                            .wrapping_add((next.start + share.start) * product.k + from),
                        rows: share.len(),
                        stride: product.k,
                    };
                    let a = &self.far[(number * rows + tile.start) * STRIDE..];
                    let at = Place {
                        rows: tile,
                        left,
                        depth: depth.clone(),
                    };
                    product.multiply(simd, &at, a, self.near, fetch);
                }
            }
        }
    }

    /// Block after block of W.
    #[inline(always)]
    fn wide<S: Simd>(&mut self, simd: S) {
        let product = self.product;
        let width = VECTORS * S::LANES;
        for panels in parts(product.columns.div_ceil(width), self.rows / width) {
            for depth in parts(product.k, DEPTH) {
                for (panel, left) in self.far.chunks_mut(DEPTH * width).zip(panels.clone()) {
                    product.pack(simd, left * width, &depth, panel);
                }
                for tile in parts(product.rows, S::TILE_ROWS) {
                    product.copy(tile.clone(), depth.clone(), self.near);
                    for (panel, left) in self.far.chunks(DEPTH * width).zip(panels.clone()) {
                        let at = Place {
                            rows: tile.clone(),
                            left: left * width,
                            depth: depth.clone(),
                        };
                        product.multiply(simd, &at, self.near, panel, Fetch::NOTHING);
                    }
                }
            }
        }
    }
}

impl Product {
    /// Copies these rows of A at this depth.
    #[inline(always)]
    fn copy(&self, rows: Range<usize>, depth: Range<usize>, to: &mut [f32]) {
        for (row, to) in rows.zip(to.chunks_exact_mut(STRIDE)) {
            // SAFETY: the row lies in A, which is not written meanwhile (`run`).
            let from = unsafe {
                let at = self.a.add(row * self.k + depth.start);
                std::slice::from_raw_parts(at, depth.len())
            };
            to[..depth.len()].copy_from_slice(from);
        }
    }

    /// Transposes a panel of W, that of the columns of C from `left` on, at this depth.
    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, left: usize, depth: &Range<usize>, panel: &mut [f32]) {
        simd.enter(Pack {
            // SAFETY: these rows lie in W, as far as the end of `depth` (`run`).
            rows: unsafe { self.w.add(left * self.k + depth.start) },
            stride: self.k,
            columns: (VECTORS * S::LANES).min(self.columns - left),
            depth: depth.len(),
            panel,
        });
    }

    /// Multiplies a tile's rows of A, copied, with a panel.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, at: &Place, a: &[f32], panel: &[f32], fetch: Fetch) {
        let tile = Tile {
            depth: at.depth.len(),
            rows: a.as_ptr(),
            stride: STRIDE,
            panel: panel.as_ptr(),
            // SAFETY: the tile lies in C (`run`).
            c: unsafe { self.c.add(at.rows.start * self.c_stride + at.left) },
            c_stride: self.c_stride,
            columns: (VECTORS * S::LANES).min(self.columns - at.left),
            adds: at.depth.start > 0,
            fetch,
        };
        // SAFETY: so many rows of A are copied, the panel has so many columns, and the tile of C is this thread's.
        unsafe { tile.run_rows(simd, at.rows.len()) };
    }

    /// Puts sums, a row of `width` of them for each of these columns of C, to where they belong.
    #[inline(always)]
    fn put_transposed(
        &self,
        rows: &Range<usize>,
        columns: &Range<usize>,
        sums: &[f32],
        width: usize,
        adds: bool,
    ) {
        for (i, row) in rows.clone().enumerate() {
            for (column, sums) in columns.clone().zip(sums.chunks_exact(width)) {
                // SAFETY: the cell lies in this thread's tile of C (`run`).
                unsafe {
                    let at = self.c.add(row * self.c_stride + column);
                    *at = if adds { *at + sums[i] } else { sums[i] };
                }
            }
        }
    }
}

/// Where a tile lies in the product.
struct Place {
    /// Rows of A and C.
    rows: Range<usize>,
    /// Its first column of C.
    left: usize,
    /// Its part of the common side.
    depth: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::super::super::isa::Isa;
    use super::*;

    /// Whether W is read in place, by rows of A.
    struct InPlace<'a> {
        product: &'a Product,
        is_large: bool,
    }

    impl Op for InPlace<'_> {
        type Output = (usize, bool);

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (usize, bool) {
            let blocks = Blocks {
                product: self.product,
                rows: 32,
                is_large: self.is_large,
                near: &mut [],
                far: &mut [],
            };
            (S::LANES, blocks.is_in_place::<S>())
        }
    }

    #[test]
    fn large_weights_of_rows_that_fill_vectors_are_read_in_place() {
        for isa in Isa::all() {
            for rows in 1..=200 {
                let nothing = std::ptr::null_mut();
                let product = Product {
                    rows,
                    columns: 0,
                    k: 0,
                    a: nothing,
                    w: nothing,
                    c: nothing,
                    c_stride: 0,
                };
                let ask = |is_large| {
                    isa.run(InPlace {
                        product: &product,
                        is_large,
                    })
                };
                assert!(!ask(false).1, "{rows}");
                let (lanes, is_in_place) = ask(true);
                let expected = match lanes {
                    4 => [4, 7, 8, 11, 12, 14, 15, 16].contains(&rows) || (18..=32).contains(&rows),
                    8 => [7, 8, 14, 15, 16].contains(&rows) || (21..=64).contains(&rows),
                    _ => [14, 15, 16].contains(&rows) || (25..=128).contains(&rows),
                };
                assert_eq!(is_in_place, expected, "{lanes} lanes, {rows} rows");
            }
        }
    }

    #[test]
    fn parts_are_few_and_alike() {
        let ends = |len, most| parts(len, most).map(|part| part.end).collect::<Vec<_>>();
        assert_eq!(ends(64, 14), [12, 25, 38, 51, 64]);
        assert_eq!(ends(14, 14), [14]);
        assert_eq!(ends(15, 14), [7, 15]);
        assert_eq!(ends(0, 14), [0]);
        let starts = |len, most| parts(len, most).map(|part| part.start).collect::<Vec<_>>();
        assert_eq!(starts(64, 14), [0, 12, 25, 38, 51]);
    }
}
