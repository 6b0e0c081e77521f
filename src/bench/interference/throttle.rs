//! A control group that its CPU quota stopped: whose doing was it?
//!
//! A process that has a group to itself uses its quota up by its own threads, and so it would at any time: that is what so
//! many threads cost. Where others use the group, too, it is their disturbance.

use crate::machine::CpuCounts;
use std::fs;
use std::path::Path;

/// Others that used at most this share of a group's CPU time did not use its quota up.
const OTHERS_SHARE: f64 = 0.1;

/// A control group that may be throttled.
#[derive(Debug)]
pub(super) struct Group(pub CpuCounts);

/// What a group has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GroupReading {
    /// Time for which it was stopped, microseconds.
    pub throttled_us: u64,
    /// CPU time of all its processes, microseconds, if it is counted.
    pub used_us: Option<u64>,
}

impl Group {
    pub fn read(&self) -> GroupReading {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let usage = self.0.usage.as_deref().map(text);
        reading(&text(&self.0.stat), usage.as_deref().unwrap_or_default())
    }
}

/// From `cpu.stat` of version 2 (`throttled_usec`, `usage_usec`), or of version 1 (`throttled_time`, nanoseconds) and
/// `cpuacct.usage` (nanoseconds).
fn reading(cpu_stat: &str, cpuacct: &str) -> GroupReading {
    let field = |name: &str| {
        cpu_stat
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    let of_version_1 = || field("throttled_time ").map(|ns| ns / 1000);
    let acct = || cpuacct.trim().parse().ok().map(|ns: u64| ns / 1000);
    GroupReading {
        throttled_us: field("throttled_usec ").or_else(of_version_1).unwrap_or(0),
        used_us: field("usage_usec ").or_else(acct),
    }
}

/// Did others have a part in it that the group was stopped, to judge by what it used since `then`, `own_us` of it by this
/// process? Yes, if that cannot be told.
pub(super) fn is_by_others(then: GroupReading, now: GroupReading, own_us: u64) -> bool {
    let used = |(then, now): (u64, u64)| now.saturating_sub(then);
    let Some(used_us) = then.used_us.zip(now.used_us).map(used) else {
        return true;
    };
    used_us.saturating_sub(own_us) as f64 > OTHERS_SHARE * used_us as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let of = |throttled_us, used_us| GroupReading {
            throttled_us,
            used_us,
        };
        assert_eq!(
            reading("usage_usec 5\nnr_throttled 1\nthrottled_usec 1234\n", ""),
            of(1234, Some(5))
        );
        let old = "nr_periods 2\nthrottled_time 5000000\n";
        assert_eq!(reading(old, "70000\n"), of(5000, Some(70)));
        assert_eq!(reading(old, ""), of(5000, None));
        assert_eq!(reading("", "many"), of(0, None));
    }

    #[test]
    fn a_group_that_only_this_process_used_was_stopped_by_its_own_threads() {
        let of = |used_us| GroupReading {
            throttled_us: 0,
            used_us,
        };
        let (then, now) = (of(Some(1_000)), of(Some(101_000)));
        assert!(!is_by_others(then, now, 100_000));
        assert!(!is_by_others(then, now, 95_000));
        assert!(is_by_others(then, now, 85_000));
        assert!(is_by_others(then, now, 0));
        // The kernel counts the process a little ahead of the group.
        assert!(!is_by_others(then, now, 104_000));
        assert!(is_by_others(of(None), now, 100_000));
        assert!(!is_by_others(then, then, 0));
    }
}
