//! The clock that counts from the boot, suspends included, and that nobody can set; moments on it that outlive the boot.

use super::tree::Tree;
use crate::units::Nanos;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::SystemTime;

const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";

/// A moment on the boot-time clock; negative before this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime {
    nanos: i64,
}

impl BootTime {
    /// Now.
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        Self {
            nanos: now
                .tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(now.tv_nsec),
        }
    }

    /// So long after the boot.
    pub fn after_boot(time: Nanos) -> Self {
        Self::default() + time
    }

    /// The time from the boot to this moment; none from a moment before it.
    pub fn since_boot(self) -> Nanos {
        self.since(Self::default())
    }

    /// The time from an earlier moment to this one; none from a later one.
    pub fn since(self, earlier: Self) -> Nanos {
        let nanos = self.nanos.saturating_sub(earlier.nanos);
        Nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

impl std::ops::Add<Nanos> for BootTime {
    type Output = Self;
    fn add(self, time: Nanos) -> Self {
        Self {
            nanos: self.nanos.saturating_add_unsigned(time.0),
        }
    }
}

/// What both clocks tell at one moment of one boot: by it the moments of that boot are found again in a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootAnchor {
    /// Empty where the kernel tells none.
    boot_id: String,
    at: BootTime,
    day: SystemTime,
}

impl BootAnchor {
    /// Of this moment, on the machine whose files lie under this root.
    pub fn now(root: &Path) -> Self {
        let id = Tree::new(root).text(BOOT_ID);
        Self::of(id.unwrap_or_default(), BootTime::now(), SystemTime::now())
    }

    /// Of a boot and a moment in it, which the clock of the day tells so.
    pub fn of(boot_id: String, at: BootTime, day: SystemTime) -> Self {
        Self { boot_id, at, day }
    }

    /// What both clocks told.
    pub fn moment(&self) -> (BootTime, SystemTime) {
        (self.at, self.day)
    }

    /// A moment of this anchor's boot by the clock of another one's, which tells the time between the two anchors by the clock
    /// of the day; no time at all where that was set back between them.
    pub fn carry(&self, moment: BootTime, to: &Self) -> BootTime {
        if self.boot_id == to.boot_id && !self.boot_id.is_empty() {
            return moment;
        }
        let apart = to.day.duration_since(self.day).unwrap_or_default();
        let apart = i64::try_from(apart.as_nanos()).unwrap_or(i64::MAX);
        let before = self.at.nanos.saturating_sub(moment.nanos);
        BootTime {
            nanos: to.at.nanos.saturating_sub(apart).saturating_sub(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: u64) -> BootTime {
        BootTime::after_boot(Nanos(seconds * SECOND))
    }

    fn anchor(boot: &str, seconds: u64, day: u64) -> BootAnchor {
        let day = UNIX_EPOCH + Duration::from_secs(day);
        BootAnchor::of(boot.to_owned(), at(seconds), day)
    }

    #[test]
    fn time_passes_one_way() {
        assert_eq!(at(7).since(at(4)), Nanos(3 * SECOND));
        assert_eq!(at(4).since(at(7)), Nanos::ZERO);
        assert_eq!(at(4).since_boot(), Nanos(4 * SECOND));
        let before = BootTime::now();
        assert!(BootTime::now() >= before);
        let end = BootTime { nanos: i64::MAX };
        assert_eq!(end + Nanos(u64::MAX), end);
        let begin = BootTime { nanos: i64::MIN };
        assert_eq!(end.since(begin), Nanos(i64::MAX.cast_unsigned()));
    }

    #[test]
    fn a_moment_is_found_again_after_a_boot() {
        let saved = anchor("a", 5000, 100_000);
        // The machine was off for five minutes, and runs for one.
        let now = anchor("b", 60, 100_360);
        let carried = saved.carry(at(4000), &now);
        assert_eq!(at(60).since(carried), Nanos(1360 * SECOND));
        // In the same boot nobody cares what the clock of the day was set to.
        let now = anchor("a", 5100, 900_000);
        assert_eq!(saved.carry(at(4000), &now), at(4000));
        // It was set back by a day between the boots.
        let now = anchor("b", 60, 13_600);
        let carried = saved.carry(at(4000), &now);
        assert_eq!(at(60).since(carried), Nanos(1000 * SECOND));
        // Boots without a name are never the same.
        let carried = anchor("", 5000, 100_000).carry(at(4000), &anchor("", 5100, 100_100));
        assert_eq!(carried, at(4000));
        let carried = anchor("", 5000, 100_000).carry(at(4000), &anchor("", 9, 100_100));
        assert_eq!(at(9).since(carried), Nanos(1100 * SECOND));
        // What a damaged file may hold.
        let wild = BootTime { nanos: i64::MIN };
        let carried = saved.carry(wild, &anchor("b", 60, u64::from(u32::MAX)));
        assert_eq!(carried, wild);
    }

    #[test]
    fn the_boot_is_told_by_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(BootAnchor::now(root.path()).boot_id, "");
        let file = root.path().join(BOOT_ID);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "4f5a\n").unwrap();
        let anchor = BootAnchor::now(root.path());
        assert_eq!(anchor.boot_id, "4f5a");
        assert_eq!(anchor.moment(), (anchor.at, anchor.day));
    }
}
