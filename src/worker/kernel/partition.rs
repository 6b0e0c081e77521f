//! How work is cut among threads.

use std::ops::Range;

/// The part of `0..len` that thread `thread` of `of` takes: contiguous, in whole multiples of `grain` (but for the
/// end), parts differ by at most one grain; empty when there are more threads than grains.
pub fn part(len: usize, grain: usize, thread: usize, of: usize) -> Range<usize> {
    let grains = len.div_ceil(grain);
    let edge = |t: usize| (grains * t / of * grain).min(len);
    edge(thread)..edge(thread + 1)
}

/// Rows and columns of the grid of tiles into which `of` threads cut an m × n result.
///
/// Of all factorisations the one whose largest tile reads the fewest elements of the operands (rows + columns), and
/// is not larger than that of another one: what BLAS libraries aim at, too. Of two such, the one that cuts rows finer:
/// each thread then writes whole rows.
pub fn grid(m: usize, n: usize, grain: usize, of: usize) -> (usize, usize) {
    let tile = |len: usize, parts: usize| len.div_ceil(grain).div_ceil(parts) * grain;
    (1..=of)
        .rev()
        .filter(|rows| of.is_multiple_of(*rows))
        .map(|rows| (rows, of / rows))
        .min_by_key(|&(rows, columns)| {
            let (tall, wide) = (tile(m, rows).min(m), tile(n, columns).min(n));
            (tall * wide, tall + wide)
        })
        .unwrap_or((1, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once_in_whole_grains() {
        for (len, grain, of) in [(100, 16, 3), (5, 16, 4), (64, 1, 64), (7, 1, 9), (0, 8, 2)] {
            let mut next = 0;
            for thread in 0..of {
                let part = part(len, grain, thread, of);
                assert_eq!(part.start, next.min(len));
                assert!(part.start.is_multiple_of(grain) || part.start == len);
                next = part.end;
            }
            assert_eq!(next, len);
        }
    }

    #[test]
    fn the_grid_follows_the_result() {
        assert_eq!(grid(256, 256, 16, 1), (1, 1));
        assert_eq!(grid(256, 256, 16, 2), (2, 1));
        assert_eq!(grid(256, 256, 16, 4), (2, 2));
        assert_eq!(grid(4, 2048, 16, 8), (1, 8));
        assert_eq!(grid(2048, 16, 16, 8), (8, 1));
        assert_eq!(grid(1024, 1024, 16, 16), (4, 4));
    }
}
