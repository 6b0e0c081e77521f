//! The way down from all physical cores, which ends where smaller counts are hopeless.

use super::constants::{HOPELESS, HOPELESS_BELOW, HOPELESS_RATIO};
use super::screened::Screened;
use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};

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

    /// The next smaller count, unless the last ones gave no hope; `to_the_end`: whatever they gave.
    pub fn descend(&mut self, known: &Screened, to_the_end: bool) -> Option<ThreadCount> {
        self.judge(known);
        let hope = to_the_end || self.hopeless < HOPELESS;
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
