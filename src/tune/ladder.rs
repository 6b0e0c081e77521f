//! The way down from all physical cores, which ends where smaller counts are hopeless.

use super::constants::{HOPELESS, HOPELESS_BELOW, HOPELESS_RATIO, THINNED_RATIO};
use super::screened::Screened;
use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};

/// How many of the counts on the way are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// All, whatever they give: there are few.
    EveryCount,
    /// All, while there is hope.
    Grid,
    /// Those that are far apart, and none below the first that gives no hope: calls are long.
    Thinned,
}

/// The counts above `top` that are far apart from each other and from it, and the largest in any case; the largest
/// comes first, as the grid is ascending.
pub(super) fn thinned_above(grid: &[ThreadCount], top: ThreadCount) -> Vec<ThreadCount> {
    let mut kept: Vec<ThreadCount> = Vec::new();
    for count in grid.iter().rev().filter(|count| **count > top) {
        let fits = |last: &ThreadCount| far_apart(*count, *last) && far_apart(top, *count);
        if kept.last().is_none_or(fits) {
            kept.push(*count);
        }
    }
    kept
}

fn far_apart(low: ThreadCount, high: ThreadCount) -> bool {
    THINNED_RATIO * f64::from(low.get()) <= f64::from(high.get())
}

/// The way down from all physical cores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ladder {
    /// Counts still to sample, the next one last.
    left: Vec<ThreadCount>,
    /// The one sampled just now.
    last: Option<ThreadCount>,
    /// The best so far.
    best: ThreadCount,
    /// Small and slow counts in a row.
    hopeless: u32,
}

impl Ladder {
    /// From `top` downwards over the counts of this grid (ascending).
    pub fn new(grid: &[ThreadCount], top: ThreadCount) -> Self {
        Self {
            left: grid.iter().copied().filter(|n| *n <= top).collect(),
            last: None,
            best: top,
            hopeless: 0,
        }
    }

    /// The next smaller count, unless the last ones gave no hope.
    pub fn descend(&mut self, known: &Screened, pace: Pace) -> Option<ThreadCount> {
        self.judge(known);
        let hope = match pace {
            Pace::EveryCount => true,
            Pace::Grid => self.hopeless < HOPELESS,
            Pace::Thinned => self.hopeless == 0,
        };
        if let (Pace::Thinned, Some(last)) = (pace, self.last) {
            self.left.retain(|count| far_apart(*count, last));
        }
        self.last = self.left.pop().filter(|_| hope);
        self.last
    }

    /// How many counts are left.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Learns from the count sampled last.
    fn judge(&mut self, known: &Screened) {
        let Some((last, estimate)) = self
            .last
            .and_then(|last| Some((last, known.estimate_count(last)?)))
        else {
            return;
        };
        let best = known.best();
        if best.is_none_or(|best| estimate <= best) {
            self.best = last;
        }
        if f64::from(last.get()) <= HOPELESS_BELOW * f64::from(self.best.get()) {
            let slow = best.is_some_and(|best| estimate > best + HOPELESS_RATIO.ln());
            self.hopeless = if slow { self.hopeless + 1 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(numbers: &[usize]) -> Vec<ThreadCount> {
        numbers.iter().copied().map(ThreadCount::clamped).collect()
    }

    #[test]
    fn upwards_the_largest_is_kept_and_what_is_far_from_it_and_the_cores() {
        let grid = counts(&[16, 24, 32, 48, 64, 96, 128, 192]);
        let above = |top| thinned_above(&grid, ThreadCount::clamped(top));
        assert_eq!(above(96), counts(&[192]));
        assert_eq!(above(48), counts(&[192, 96]));
        assert_eq!(
            above(128),
            counts(&[192]),
            "close to the cores, but all there is"
        );
        assert_eq!(above(192), counts(&[]));
    }
}
