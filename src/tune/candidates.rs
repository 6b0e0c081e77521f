//! The counts that are tried first on a machine.

use super::constants::EVERY_COUNT;
use crate::machine::Layout;
use crate::units::ThreadCount;
use std::collections::BTreeSet;

/// Counts that are round numbers to programs and libraries.
const ROUND: [u32; 18] = [
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512,
];

/// The grid that screening starts from, ascending: every count up to eight logical CPUs; beyond, round numbers and the
/// counts at which a machine of this layout changes its nature, clipped to all logical CPUs.
pub fn grid(layout: &Layout) -> Vec<ThreadCount> {
    let all = layout.logical.get();
    let counts: BTreeSet<u32> = if all <= EVERY_COUNT {
        (1..=all).collect()
    } else {
        ROUND.into_iter().chain(structural(layout)).collect()
    };
    counts
        .into_iter()
        .filter(|n| (1..=all).contains(n))
        .map(|n| ThreadCount::clamped(n as usize))
        .collect()
}

/// Counts that fill a level of the machine, or stay just below it.
fn structural(layout: &Layout) -> Vec<u32> {
    let all = layout.logical.get();
    let physical = physical(layout).get();
    let mut counts = kind_boundaries(&layout.cores_of_kinds);
    counts.extend([
        all,
        physical,
        physical / 2,
        physical.saturating_mul(3) / 4,
        physical - 1,
        u32::midpoint(physical, all),
        layout.cores_per_package,
        layout
            .cores_per_package
            .saturating_mul(layout.threads_per_core),
        layout.cores_per_llc,
        layout.cores_per_llc.saturating_mul(2),
    ]);
    counts
}

/// Counts that use up a kind of cores, and those that take half of the next kind as well.
fn kind_boundaries(cores_of_kinds: &[u32]) -> Vec<u32> {
    let (mut counts, mut before) = (Vec::new(), 0_u32);
    for cores in cores_of_kinds {
        if before > 0 {
            counts.push(before.saturating_add(cores / 2));
        }
        before = before.saturating_add(*cores);
        counts.push(before);
    }
    counts
}

/// All physical cores, at most all logical CPUs.
pub(super) fn physical(layout: &Layout) -> ThreadCount {
    layout.physical.min(layout.logical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(logical: usize, physical: usize, kinds: &[u32], [c, smt, llc]: [u32; 3]) -> Layout {
        Layout {
            logical: ThreadCount::clamped(logical),
            physical: ThreadCount::clamped(physical),
            cores_of_kinds: kinds.to_vec(),
            cores_per_package: c,
            threads_per_core: smt,
            cores_per_llc: llc,
        }
    }

    fn counts(layout: &Layout) -> Vec<u32> {
        grid(layout).into_iter().map(ThreadCount::get).collect()
    }

    #[test]
    fn small_machines_try_every_count() {
        assert_eq!(counts(&layout(1, 1, &[1], [1, 1, 1])), [1]);
        assert_eq!(
            counts(&layout(8, 4, &[4], [4, 2, 4])),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn two_packages_of_24_cores_with_two_threads() {
        assert_eq!(
            counts(&layout(96, 48, &[48], [24, 2, 24])),
            [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 36, 47, 48, 64, 72, 96]
        );
    }

    #[test]
    fn hybrid_of_8_performance_and_16_efficiency_cores() {
        assert_eq!(
            counts(&layout(32, 24, &[8, 16], [8, 2, 8])),
            [1, 2, 3, 4, 6, 8, 12, 16, 18, 23, 24, 28, 32]
        );
    }

    #[test]
    fn three_kinds_add_the_end_and_the_middle_of_each() {
        // Six performance cores with two threads, eight efficiency cores, two slow ones.
        assert_eq!(
            counts(&layout(22, 16, &[6, 8, 2], [6, 2, 14])),
            [1, 2, 3, 4, 6, 8, 10, 12, 14, 15, 16, 19, 22]
        );
    }

    #[test]
    fn contradicting_layouts_stay_inside_the_budget() {
        let odd = layout(10, 64, &[u32::MAX; 3], [u32::MAX; 3]);
        assert_eq!(counts(&odd), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(physical(&odd).get(), 10);
    }
}
