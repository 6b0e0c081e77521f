//! How the time of a run is shared among its workloads: each gets what it needs, in turn, until nothing is left. Pure.

use crate::profile::StopReason;
use crate::units::Nanos;

/// The most time that a run and each of its workloads may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// All workloads together, what preparing them takes included; no limit where absent.
    pub run: Option<Nanos>,
    /// Each workload, full load apart.
    pub workload: Nanos,
    /// Full load of each workload, which comes on top.
    pub sustained: Nanos,
}

impl Allowance {
    /// What a workload may take, full load apart, that begins when the run has taken so long; `None` when nothing is
    /// left for it.
    pub fn of_next(&self, spent: Nanos) -> Option<Nanos> {
        let left = self.run.map_or(self.workload, |run| {
            run.saturating_sub(spent).saturating_sub(self.sustained)
        });
        (left > Nanos::ZERO).then(|| left.min(self.workload))
    }

    /// Was a workload left undecided because it could take only so long, less than its own limit?
    ///
    /// A disturbed one only if it used all of that: then it might have waited for the disturbance to pass. One that
    /// failed was not short of time.
    pub fn cuts_short(&self, stop: &StopReason, allowed: Nanos, spent: Nanos) -> bool {
        allowed < self.workload
            && match stop {
                StopReason::Budget | StopReason::Short | StopReason::Brief => true,
                StopReason::Contaminated => spent >= allowed,
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance {
        run: Some(Nanos(100)),
        workload: Nanos(60),
        sustained: Nanos::ZERO,
    };

    #[test]
    fn a_workload_gets_its_own_limit_or_what_is_left_of_the_runs() {
        let at = |spent| ALLOWANCE.of_next(Nanos(spent));
        assert_eq!(at(0), Some(Nanos(60)));
        assert_eq!(at(40), Some(Nanos(60)));
        assert_eq!(at(41), Some(Nanos(59)));
        assert_eq!(at(99), Some(Nanos(1)));
        assert_eq!(at(100), None);
        assert_eq!(at(1000), None);
    }

    #[test]
    fn full_load_takes_its_part_of_what_is_left_of_the_runs() {
        let allowance = Allowance {
            sustained: Nanos(30),
            ..ALLOWANCE
        };
        let at = |spent| allowance.of_next(Nanos(spent));
        assert_eq!([at(0), at(10)], [Some(Nanos(60)); 2]);
        assert_eq!(at(11), Some(Nanos(59)));
        assert_eq!(at(69), Some(Nanos(1)));
        assert_eq!(at(70), None);
    }

    #[test]
    fn without_a_limit_of_the_run_every_workload_gets_its_own() {
        let unlimited = Allowance {
            run: None,
            ..ALLOWANCE
        };
        assert_eq!(unlimited.of_next(Nanos(u64::MAX)), Some(Nanos(60)));
    }

    #[test]
    fn only_what_got_less_than_its_own_limit_and_stayed_undecided_is_cut_short() {
        let cuts = |stop: &StopReason, allowed, spent| {
            ALLOWANCE.cuts_short(stop, Nanos(allowed), Nanos(spent))
        };
        assert!(cuts(&StopReason::Budget, 59, 20));
        assert!(!cuts(&StopReason::Budget, 60, 60));
        assert!(cuts(&StopReason::Short, 59, 20));
        assert!(cuts(&StopReason::Brief, 59, 59));
        assert!(
            !cuts(&StopReason::Undecided, 59, 59),
            "no time would have helped"
        );
        assert!(cuts(&StopReason::Contaminated, 59, 59));
        assert!(!cuts(&StopReason::Contaminated, 59, 20), "given up early");
        assert!(!cuts(&StopReason::Contaminated, 60, 60));
        for stop in [
            StopReason::Eps,
            StopReason::Separated,
            StopReason::Single,
            StopReason::Failed("gone".to_owned()),
        ] {
            assert!(!cuts(&stop, 1, 1), "{stop}");
        }
    }
}
