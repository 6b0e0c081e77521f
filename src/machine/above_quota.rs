//! The count just above a CPU quota that is no whole number of CPUs.

use super::budget::{Budget, LimitKind, trimmed};
use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A count that a quota pays but for a part of its last thread.
///
/// One thread less leaves that part of a CPU unused; so many are stopped, all of them, for the rest of every period. Which
/// is better depends on how the work scales, and holds at this very quota.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AboveQuota {
    /// The least count that is no less than the quota.
    pub threads: ThreadCount,
    /// The quota in CPUs: more than `threads` less one, and less than `threads`.
    pub cpus: f64,
    /// The time after which the kernel pays anew, microseconds.
    pub period_us: u64,
}

/// Quotas this close are the same one.
const SAME: f64 = 1e-6;

impl AboveQuota {
    /// Is this quota the same?
    pub fn is_at(&self, cpus: f64) -> bool {
        (self.cpus - cpus).abs() < SAME
    }
}

/// The quota: `1.5 CPUs`.
impl fmt::Display for AboveQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPUs", trimmed(self.cpus))
    }
}

impl Budget {
    /// The count just above the quota, where nothing but a quota between two whole numbers of CPUs keeps a team from it:
    /// at least one thread is paid in full, and CPUs and all other limits have room for one more.
    pub fn above_quota(&self) -> Option<AboveQuota> {
        let (cpus, period_us) = self.quota.zip(self.quota_period_us)?;
        let paid = cpus.floor();
        if self.by != LimitKind::Quota || paid < 1.0 || cpus - paid < SAME {
            return None;
        }
        let threads = ThreadCount::clamped(paid as usize + 1);
        let mut others = self.limits.iter().filter(|l| l.kind != LimitKind::Quota);
        let has_room = others.all(|limit| limit.threads >= threads);
        (has_room && self.cpus.len() >= threads.as_usize()).then_some(AboveQuota {
            threads,
            cpus,
            period_us,
        })
    }
}
