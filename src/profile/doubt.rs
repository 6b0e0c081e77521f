//! Why a verdict is to be measured again, however sure it is of itself: other kernels ran than run now, or it was seen at one
//! time only. Pure.

use super::schema::{Entry, StopReason};
use crate::workload::KERNEL_REVISION;
use std::fmt;

/// A kernel that attains less than this share of what a core could is slow for reasons of its own.
const SLOW_SHARE: f64 = 0.25;

/// Why a verdict is doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It does not say which revision of our kernels ran, as those of the first one did not.
    UnknownKernels,
    /// Kernels of this older revision ran.
    OldKernels(u32),
    /// Kernels for this instruction set ran, and the processor has a higher one.
    CappedKernels(String),
    /// An earlier version measured it, and did not record when and under what: the profile's conditions may be those of
    /// another run.
    Undated,
    /// It was looked at once, by an earlier version, and may hold at that time alone.
    SeenOnce,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKernels => write!(
                f,
                "measured with kernels older than revision {KERNEL_REVISION}, whose speed was another"
            ),
            Self::OldKernels(revision) => write!(
                f,
                "measured with kernels of revision {revision}, whose speed was another than that of revision \
                 {KERNEL_REVISION}"
            ),
            Self::CappedKernels(level) => write!(
                f,
                "measured with kernels capped at {level}, slower than those that this processor can run"
            ),
            Self::Undated => write!(
                f,
                "measured by an earlier version, which did not record when and under what conditions"
            ),
            Self::SeenOnce => write!(
                f,
                "measured at one time only, by an earlier version, and it may hold at that time alone"
            ),
        }
    }
}

impl Entry {
    /// Why it is doubtful, if it is. It is used as long as there is nothing better, and never kept for being surer than
    /// one that is not.
    pub fn doubt(&self) -> Option<Doubt> {
        match (self.kernels, &self.isa_cap) {
            (None, _) => Some(Doubt::UnknownKernels),
            (Some(revision), _) if revision < KERNEL_REVISION => Some(Doubt::OldKernels(revision)),
            (_, Some(level)) => Some(Doubt::CappedKernels(level.clone())),
            _ if self.measured.is_none() => Some(Doubt::Undated),
            // Where only one count is possible there is nothing to be seen again.
            // Nor does a race under sustained load look again.
            _ if self.visits.is_none()
                && self.sustained_s.is_none()
                && matches!(self.stop, StopReason::Eps | StopReason::Separated) =>
            {
                Some(Doubt::SeenOnce)
            }
            _ => None,
        }
    }

    /// Did its kernel attain less than a quarter of what one core could? A slow kernel scales better than a fast one, so
    /// its count comes out too high.
    pub fn is_slow(&self) -> bool {
        self.share.is_some_and(|share| share < SLOW_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use std::path::Path;

    fn entry(kernels: Option<u32>, isa_cap: Option<&str>) -> Entry {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        Entry {
            kernels,
            isa_cap: isa_cap.map(str::to_owned),
            ..profile.workloads[0].clone()
        }
    }

    #[test]
    fn what_earlier_versions_called_proven_was_seen_once() {
        let seen = |visits, stop| {
            let entry = Entry {
                visits,
                stop,
                ..entry(Some(KERNEL_REVISION), None)
            };
            entry.doubt()
        };
        assert_eq!(seen(None, StopReason::Eps), Some(Doubt::SeenOnce));
        assert_eq!(seen(None, StopReason::Separated), Some(Doubt::SeenOnce));
        assert_eq!(seen(None, StopReason::Single), None);
        assert_eq!(seen(None, StopReason::Budget), None);
        assert_eq!(seen(Some(1), StopReason::Separated), None);
        // Whose kernels were others is told first.
        assert_eq!(entry(None, None).doubt(), Some(Doubt::UnknownKernels));
    }

    #[test]
    fn only_today_s_kernels_at_their_best_are_beyond_doubt() {
        let doubt = |kernels, cap| entry(kernels, cap).doubt();
        assert_eq!(doubt(Some(KERNEL_REVISION), None), None);
        // A newer version measured it.
        assert_eq!(doubt(Some(KERNEL_REVISION + 1), None), None);
        assert_eq!(doubt(None, None), Some(Doubt::UnknownKernels));
        let older = KERNEL_REVISION - 1;
        assert_eq!(doubt(Some(older), None), Some(Doubt::OldKernels(older)));
        let capped = doubt(Some(KERNEL_REVISION), Some("sse2")).unwrap();
        assert_eq!(
            capped.to_string(),
            "measured with kernels capped at sse2, slower than those that this processor can run"
        );
    }

    #[test]
    fn less_than_a_quarter_is_slow_and_what_is_unknown_is_not() {
        let slow = |share| {
            let entry = entry(None, None);
            Entry { share, ..entry }.is_slow()
        };
        assert_eq!(
            [slow(None), slow(Some(0.25)), slow(Some(0.249))],
            [false, false, true]
        );
    }
}
