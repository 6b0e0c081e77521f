//! What the daemon remembers from one start to the next: what it spent, and when it last checked.

use super::{StateDirectory, StateError};
use crate::daemon::schedule::Before;
use crate::daemon::status::WallTime;
use crate::machine::{BootAnchor, BootTime};
use crate::units::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

const FILE: &str = "daemon.json";

/// The file is some hundred bytes.
const MAX_BYTES: u64 = 64 << 10;

/// A year's worth of every CPU there is: more is nonsense.
const MOST_SECONDS: f64 = 1e12;

const DAY_SECONDS: u64 = 24 * 3600;

/// What outlives the process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Days since 1970 of `today_cpu_s`.
    day: i64,
    /// CPU time spent on that day, seconds.
    today_cpu_s: f64,
    /// CPU time spent since the first start, seconds.
    total_cpu_s: f64,
    /// When it was last looked whether the profile still holds.
    last_check: Option<WallTime>,
    /// From when on the time to the next check counts, however often the machine is switched off: the first start, or when
    /// it was last looked what there is to check.
    #[serde(default)]
    check_counts_from: Option<WallTime>,
    /// The workloads whose count lost when it was checked, and when: they are checked once more at another time.
    #[serde(default)]
    lost_at: BTreeMap<String, BootTime>,
    /// Of the boot whose clock told these moments.
    #[serde(default)]
    anchor: Option<BootAnchor>,
}

impl Memory {
    /// As the last daemon left it; begun now where there was none, or what it left is no use.
    pub fn read(state: &StateDirectory, anchor: &BootAnchor) -> Self {
        let (_, now) = anchor.moment();
        let path = state.file(FILE);
        let fresh = Self {
            check_counts_from: Some(now.into()),
            ..Self::default()
        };
        let problem = match state.read(FILE, MAX_BYTES) {
            Err(fault) if fault.is_absent() => return fresh,
            Err(fault) => fault.to_string(),
            Ok(text) => match serde_json::from_str::<Self>(&text) {
                Ok(mut memory) if memory.is_possible() => {
                    memory.forget_the_future(now);
                    if let Some(before) = memory.anchor.take() {
                        for lost in memory.lost_at.values_mut() {
                            *lost = before.carry(*lost, anchor);
                        }
                    }
                    return memory;
                }
                Ok(_) => format!("{}: a value is impossible", path.display()),
                Err(error) => format!("{}: {error}", path.display()),
            },
        };
        log::warn!("{problem}; what was spent, and when was checked, begins anew");
        fresh
    }

    /// What is dated a day or more from now was so by a clock that has been set back since. Nobody waits for that day to
    /// come.
    pub fn forget_the_future(&mut self, now: SystemTime) {
        let now = WallTime::from(now);
        let is_credible = |at: &WallTime| at.unix_s() < now.unix_s().saturating_add(DAY_SECONDS);
        self.last_check = self.last_check.filter(is_credible);
        self.check_counts_from = self.check_counts_from.filter(is_credible).or(Some(now));
    }

    fn is_possible(&self) -> bool {
        let amount = |seconds: f64| (0.0..=MOST_SECONDS).contains(&seconds);
        amount(self.today_cpu_s) && amount(self.total_cpu_s)
    }

    /// Keeps it on the disk.
    pub fn keep(&mut self, state: &StateDirectory, now: &BootAnchor) -> Result<(), StateError> {
        self.anchor = Some(now.clone());
        let text = serde_json::to_string(self).unwrap_or_default() + "\n";
        state.write(FILE, &text)
    }

    /// What a schedule wants to know.
    pub fn before(&self, now: SystemTime) -> Before {
        let since = |check: WallTime| {
            let seconds = WallTime::from(now).unix_s().saturating_sub(check.unix_s());
            Nanos(seconds.saturating_mul(1_000_000_000))
        };
        Before {
            spent: Some((self.day, Nanos::from_secs_f64(self.today_cpu_s))),
            since_check: self.check_counts_from.map(since),
        }
    }

    /// So much CPU time was spent on this day, and so much more in all.
    pub fn spent(&mut self, day: i64, today: Nanos, more: Nanos) {
        self.day = day;
        self.today_cpu_s = millis(today.as_secs_f64());
        self.total_cpu_s = millis(self.total_cpu_s + more.as_secs_f64()).min(MOST_SECONDS);
    }

    /// CPU time of all days, seconds.
    pub fn total_cpu_s(&self) -> f64 {
        self.total_cpu_s
    }

    /// When was last checked.
    pub fn last_check(&self) -> Option<WallTime> {
        self.last_check
    }

    /// The count of this workload lost when it was checked: had it lost before, so long ago or longer? What was found a
    /// moment ago is the same finding.
    pub fn lost(&mut self, workload: &str, after: Nanos, now: BootTime) -> bool {
        let is_confirmed = self
            .suspects(after, now)
            .any(|(suspect, wait)| suspect == workload && wait == Nanos::ZERO);
        if is_confirmed {
            self.lost_at.remove(workload);
        } else {
            let lost_at = &mut self.lost_at;
            lost_at.entry(workload.to_owned()).or_insert(now);
        }
        is_confirmed
    }

    /// That the count of this workload lost once was not confirmed.
    pub fn forget_loss(&mut self, workload: &str) {
        self.lost_at.remove(workload);
    }

    /// Whether this workload's count is lost could not be told: it is checked once more as much later.
    pub fn postpone_suspect(&mut self, workload: &str, now: BootTime) {
        if let Some(lost) = self.lost_at.get_mut(workload) {
            *lost = now;
        }
    }

    /// Forgets the losses of other workloads than these.
    pub fn retain_suspects(&mut self, is_checkable: impl Fn(&str) -> bool) {
        self.lost_at.retain(|workload, _| is_checkable(workload));
    }

    /// Workloads that are to be checked once more, and in how long, where that is to be so long after they lost.
    pub fn suspects(&self, after: Nanos, now: BootTime) -> impl Iterator<Item = (&str, Nanos)> {
        self.lost_at.iter().map(move |(workload, lost)| {
            let wait = after.saturating_sub(now.since(*lost));
            (workload.as_str(), wait)
        })
    }

    /// It was looked what there is to check now.
    pub fn checks_surveyed(&mut self, now: SystemTime) {
        self.check_counts_from = Some(now.into());
    }

    /// It was checked now.
    pub fn checked(&mut self, now: SystemTime) {
        self.last_check = Some(now.into());
        self.check_counts_from = self.last_check;
    }
}

/// Milliseconds are exact enough, and readable.
fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn it_is_what_it_was_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::take(directory.path()).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        // A boot two hours after the one before, which was at 0.
        let anchor = |boot: &str, seconds| {
            let booted = if boot == "a" { 0 } else { 7200 };
            let since = Nanos((seconds - booted) * 1_000_000_000);
            BootAnchor::of(boot.to_owned(), BootTime::after_boot(since), at(seconds))
        };
        let read = |seconds| {
            let mut memory = Memory::read(&state, &anchor("a", seconds));
            memory.anchor = None;
            memory
        };
        let keep = |memory: &mut Memory, seconds| {
            memory.keep(&state, &anchor("a", seconds)).unwrap();
            memory.anchor = None;
        };
        let mut memory = read(400);
        memory.spent(20_000, Nanos(1_500_000_000), Nanos(500_000_000));
        memory.spent(20_000, Nanos(2_000_000_000), Nanos(500_000_000));
        keep(&mut memory, 900);
        // Nothing was checked, and a check is due an interval after the beginning.
        assert_eq!(read(900), memory);
        assert_eq!(memory.last_check(), None);
        let since = |memory: &Memory, now| memory.before(at(now)).since_check;
        assert_eq!(since(&memory, 1_000), Some(Nanos(600_000_000_000)));
        // There was nothing to check.
        memory.checks_surveyed(at(950));
        assert_eq!(memory.last_check(), None);
        assert_eq!(since(&memory, 1_000), Some(Nanos(50_000_000_000)));
        memory.checked(at(1_000));
        keep(&mut memory, 1_001);
        assert_eq!(read(1_001), memory);
        assert_eq!(memory.total_cpu_s(), 1.0);
        let before = memory.before(at(1_060));
        assert_eq!(before.spent, Some((20_000, Nanos(2_000_000_000))));
        assert_eq!(before.since_check, Some(Nanos(60_000_000_000)));
        // A clock that was set back by minutes, and by more.
        assert_eq!(memory.before(at(10)).since_check, Some(Nanos::ZERO));
        assert_eq!(read(10), memory);
        memory.checked(at(100_000));
        keep(&mut memory, 1_000);
        let of_the_future = read(1_000);
        assert_eq!(of_the_future.last_check(), None);
        assert_eq!(since(&of_the_future, 1_060), Some(Nanos(60_000_000_000)));
        // A loss is as long ago after a boot as the clock of the day says.
        let hour = Nanos(3_600_000_000_000);
        memory.lost("a", hour, anchor("a", 6_800).moment().0);
        memory.keep(&state, &anchor("a", 7_000)).unwrap();
        let later = anchor("b", 7_300);
        let read = Memory::read(&state, &later);
        let waits: Vec<_> = read.suspects(hour, later.moment().0).collect();
        assert_eq!(waits, [("a", Nanos(hour.0 - 500_000_000_000))]);
    }

    #[test]
    fn a_count_is_lost_when_it_lost_twice() {
        let at = |seconds: u64| BootTime::after_boot(Nanos(seconds * 1_000_000_000));
        let hour = Nanos(3_600_000_000_000);
        let mut memory = Memory::default();
        assert!(!memory.lost("a", hour, at(1000)));
        assert!(!memory.lost("b", hour, at(1600)));
        assert!(!memory.lost("a", hour, at(4599)), "not an hour later");
        let due: Vec<(&str, Nanos)> = memory.suspects(hour, at(4600)).collect();
        assert_eq!(due, [("a", Nanos::ZERO), ("b", Nanos(600_000_000_000))]);
        assert!(memory.lost("a", hour, at(4600)));
        memory.postpone_suspect("b", at(5200));
        memory.postpone_suspect("c", at(5200));
        let due: Vec<(&str, Nanos)> = memory.suspects(hour, at(8800)).collect();
        assert_eq!(due, [("b", Nanos::ZERO)]);
        assert_eq!(
            memory.suspects(hour, at(8799)).next(),
            Some(("b", Nanos(1_000_000_000)))
        );
        memory.forget_loss("b");
        assert!(!memory.lost("gone", hour, at(9000)));
        memory.retain_suspects(|workload| workload != "gone");
        assert_eq!(memory.suspects(hour, at(9000)).count(), 0);
        assert!(!memory.lost("a", hour, at(9000)), "it was confirmed then");
    }

    #[test]
    fn garbage_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::take(directory.path()).unwrap();
        let now = BootAnchor::of(String::new(), BootTime::default(), UNIX_EPOCH);
        let fresh = Memory {
            check_counts_from: Some(UNIX_EPOCH.into()),
            ..Memory::default()
        };
        for text in [
            "",
            "{",
            "[]",
            "{\"day\":1,\"today_cpu_s\":-1.0,\"total_cpu_s\":0.0,\"last_check\":null}",
            "{\"day\":1,\"today_cpu_s\":0.0,\"total_cpu_s\":1e300,\"last_check\":null}",
        ] {
            fs::write(state.file(FILE), text).unwrap();
            assert_eq!(Memory::read(&state, &now), fresh, "{text}");
        }
        fs::remove_file(state.file(FILE)).unwrap();
        fs::create_dir(state.file(FILE)).unwrap();
        assert_eq!(Memory::read(&state, &now), fresh);
        // And cannot be written either.
        assert!(Memory::default().keep(&state, &now).is_err());
    }
}
