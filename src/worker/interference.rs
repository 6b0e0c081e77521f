//! Was a sample disturbed? What the kernel counts for each thread, for the CPUs and for the control group.
//!
//! The difference between right and wrong: with a busy neighbour on one core, two threads look 2–3 times slower
//! than one. A bound arm is judged by its own threads; where threads may move, waiting for a CPU can be their own
//! doing, so an unbound arm is judged by what other processes used.

mod judge;
mod team;
mod throttle;

pub use self::team::TeamCounters;

use self::judge::judge;
use self::throttle::{Group, GroupReading, is_by_others};
use crate::machine::Placement;
use crate::tune::Interference;
use crate::units::CpuSet;
use crate::worker::protocol::Counters;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Other processes' CPU time on a few CPUs is judged over at least this long: the kernel counts idle time in steps of
/// 10 ms.
const WINDOW: Duration = Duration::from_millis(250);
/// On so many CPUs; what the steps of more add up to needs a longer time.
const WINDOW_CPUS: f64 = 16.0;

/// Over how long other processes' CPU time on so many CPUs is judged: the error of a sum grows as the root of their
/// number.
fn window_of(cpus: usize) -> Duration {
    WINDOW.mul_f64((cpus as f64 / WINDOW_CPUS).sqrt().max(1.0))
}

fn nanos(time: rustix::time::Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One reading of the machine's counters.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reading {
    /// Idle and waiting for input or output, over the CPUs looked at.
    idle_ms: u64,
    steal_ms: u64,
    /// Of the own control group and its ancestors.
    groups: Vec<GroupReading>,
}

/// Reads what the machine counts, and remembers what it needs to judge other processes.
pub struct MachineCounters {
    /// The own control group and its ancestors.
    groups: Vec<Group>,
    /// The CPUs of this process.
    all_cpus: CpuSet,
    /// Does the kernel count for each of them? In a container whose files are those of LXCFS, CPUs are numbered anew: where
    /// one is missing, what stands beside another number may be its count.
    counts_each: bool,
    /// The begin of the stretch over which other processes are judged next: it spans samples and the pauses between.
    window: Window,
    /// The begin of the one before: what used a quota up did so up to a period before it was seen.
    before: Option<Window>,
    /// What they used in the last one.
    others_cpus: Option<f64>,
}

struct Window {
    since: Instant,
    reading: Reading,
    own_ns: u64,
}

/// A sample's beginning as the machine saw it.
pub struct Begun {
    reading: Reading,
}

impl MachineCounters {
    /// With the `cpu.stat` files of the control groups that may be throttled, and the CPUs of this process.
    pub fn new(cpu_stat: Vec<PathBuf>, all_cpus: CpuSet) -> Self {
        let window = Window {
            since: Instant::now(),
            reading: Reading::default(),
            own_ns: own_cpu_ns(),
        };
        let groups = cpu_stat.into_iter().map(Group::of).collect();
        let unlisted = unlisted(&proc_stat(), &all_cpus);
        if !unlisted.is_empty() {
            log::warn!(
                "/proc/stat has no line for CPUs {unlisted} of this process, as in containers that number CPUs anew: \
                 stolen time is not noticed, nor other processes while threads are unbound"
            );
        }
        let mut counters = Self {
            groups,
            all_cpus,
            counts_each: unlisted.is_empty(),
            window,
            before: None,
            others_cpus: None,
        };
        counters.window.reading = counters.read(&counters.all_cpus);
        counters
    }

    fn read(&self, cpus: &CpuSet) -> Reading {
        let (idle_ms, steal_ms) = if self.counts_each {
            idle_and_steal_ms(&proc_stat(), cpus)
        } else {
            (0, 0)
        };
        Reading {
            idle_ms,
            steal_ms,
            groups: self.groups.iter().map(Group::read).collect(),
        }
    }

    /// Before the timed calls of an arm on these CPUs.
    pub fn begin(&self, cpus: &CpuSet) -> Begun {
        Begun {
            reading: self.read(cpus),
        }
    }

    /// After them: the counters, and what they mean for an arm of this placement.
    pub fn end(
        &mut self,
        begun: &Begun,
        cpus: &CpuSet,
        team: &TeamCounters,
        sample: Duration,
        placement: Placement,
    ) -> (Interference, Counters) {
        let now = self.read(cpus);
        let (throttled_us, throttled_by_others_us) = self.throttled_us(&begun.reading, &now);
        if self.window.since.elapsed() >= window_of(self.all_cpus.len()) {
            self.judge_others();
        }
        let (run_delay_share, cpu_share) = team.shares(sample.as_nanos() as u64);
        let counters = Counters {
            run_delay_share,
            cpu_share,
            steal_ms: now.steal_ms.saturating_sub(begun.reading.steal_ms),
            throttled_us,
            throttled_by_others_us,
            others_cpus: if placement == Placement::Unbound {
                self.others_cpus
            } else {
                None
            },
        };
        (judge(&counters, placement, cpus.len(), sample), counters)
    }
}

impl MachineCounters {
    /// Before the first sample that is judged by other processes: waits until they can be judged at all.
    pub fn settle(&mut self) {
        if self.others_cpus.is_none() && self.counts_each {
            let window = window_of(self.all_cpus.len());
            thread::sleep(window.saturating_sub(self.window.since.elapsed()));
            self.judge_others();
        }
    }

    /// For how long groups were stopped between two readings, and of that what others had a part in.
    fn throttled_us(&self, then: &Reading, now: &Reading) -> (u64, u64) {
        let from = self.before.as_ref().unwrap_or(&self.window);
        let own_us = own_cpu_ns().saturating_sub(from.own_ns) / 1000;
        let mut sums = (0, 0);
        let groups = then.groups.iter().zip(&now.groups);
        for ((then, now), from) in groups.zip(&from.reading.groups) {
            let throttled_us = now.throttled_us.saturating_sub(then.throttled_us);
            sums.0 += throttled_us;
            if is_by_others(*from, *now, own_us) {
                sums.1 += throttled_us;
            }
        }
        sums
    }

    /// Ends the window and begins the next.
    fn judge_others(&mut self) {
        let next = Window {
            since: Instant::now(),
            reading: self.read(&self.all_cpus),
            own_ns: own_cpu_ns(),
        };
        let last = std::mem::replace(&mut self.window, next);
        if self.counts_each {
            self.others_cpus = Some(others_cpus(
                &last.reading,
                &self.window.reading,
                self.window.since.duration_since(last.since),
                self.window.own_ns.saturating_sub(last.own_ns),
                self.all_cpus.len(),
            ));
        }
        self.before = Some(last);
    }
}

/// CPU time of this process, all threads.
fn own_cpu_ns() -> u64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPUs that others used: all time, less what was idle, stolen or our own.
fn others_cpus(then: &Reading, now: &Reading, elapsed: Duration, own_ns: u64, cpus: usize) -> f64 {
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    let idle_ms = now.idle_ms.saturating_sub(then.idle_ms) as f64;
    let steal_ms = now.steal_ms.saturating_sub(then.steal_ms) as f64;
    let used_ms = elapsed_ms * cpus as f64 - idle_ms - steal_ms - own_ns as f64 / 1e6;
    (used_ms / elapsed_ms).max(0.0)
}

fn proc_stat() -> String {
    fs::read_to_string("/proc/stat").unwrap_or_default()
}

/// The number of the CPU that a line of `/proc/stat` is about.
fn cpu_of(line: &str) -> Option<u32> {
    let name = line.split_ascii_whitespace().next()?;
    name.strip_prefix("cpu")?.parse().ok()
}

/// Those of the CPUs for which `/proc/stat` has no line.
fn unlisted(stat: &str, cpus: &CpuSet) -> CpuSet {
    let lines = stat.lines().filter_map(cpu_of);
    let listed: CpuSet = lines.filter(|cpu| cpus.contains(*cpu)).collect();
    cpus.difference(&listed)
}

/// Milliseconds of the unit in which the kernel counts CPU time.
fn tick_ms() -> u64 {
    1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// Milliseconds idle (or waiting for a disk) and stolen, summed over these CPUs, from `/proc/stat`.
fn idle_and_steal_ms(stat: &str, cpus: &CpuSet) -> (u64, u64) {
    let tick_ms = tick_ms();
    let mut sums = (0, 0);
    for line in stat.lines().take_while(|line| line.starts_with("cpu")) {
        if !cpu_of(line).is_some_and(|cpu| cpus.contains(cpu)) {
            continue;
        }
        // user nice system idle iowait irq softirq steal
        let fields = line.split_ascii_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = fields.map(|f| f.parse().unwrap_or(0)).collect();
        if let [_, _, _, idle, iowait, _, _, steal] = ticks[..] {
            sums.0 += (idle + iowait) * tick_ms;
            sums.1 += steal * tick_ms;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_summed_over_the_cpus_of_the_arm() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 100 5 6 7 8 0 0\ncpu1 1 1 1 50 0 0 0 2 0 0\n\
                    cpu2 0 0 0 7 0 0 0 1 0 0\nintr 5 0\n";
        let tick = 1000 / rustix::param::clock_ticks_per_second();
        let set = |text: &str| CpuSet::parse_list(text).unwrap();
        assert_eq!(
            idle_and_steal_ms(stat, &set("0-1")),
            (155 * tick, 10 * tick)
        );
        assert_eq!(idle_and_steal_ms(stat, &set("2")), (7 * tick, tick));
        assert_eq!(idle_and_steal_ms("", &set("0")), (0, 0));
        assert_eq!(idle_and_steal_ms("cpu0 1 2\ncpux\n", &set("0")), (0, 0));
    }

    #[test]
    fn cpus_without_a_line_of_their_own_are_named() {
        // What a container of CPUs 4 to 7 is shown.
        let stat = "cpu  4 0 0 4 0 0 0 0\ncpu0 1 0 0 1 0 0 0 0\ncpu1 1 0 0 1 0 0 0 0\ncpu2 1 0 0 1 0 0 0 0\n\
                    cpu3 1 0 0 1 0 0 0 0\nctxt 5\n";
        let of = |text: &str| unlisted(stat, &CpuSet::parse_list(text).unwrap()).to_string();
        assert_eq!(
            (of("0-3"), of("4-7"), of("2-5")),
            (String::new(), "4-7".to_owned(), "4-5".to_owned())
        );
        let counters =
            |all: &str| MachineCounters::new(Vec::new(), CpuSet::parse_list(all).unwrap());
        // No machine has the last one: nothing is judged by others' time, and nothing waited for.
        let mut blind = counters("4095");
        blind.settle();
        assert_eq!(
            (blind.others_cpus, blind.window.reading),
            (None, Reading::default())
        );
        let this = crate::machine::affinity::current().unwrap().to_string();
        assert!(counters(&this).counts_each);
    }

    #[test]
    fn others_are_judged_for_longer_the_more_cpus_there_are() {
        assert_eq!(window_of(2), WINDOW);
        assert_eq!(window_of(16), WINDOW);
        assert_eq!(window_of(64), 2 * WINDOW);
        assert_eq!(window_of(1024), 8 * WINDOW);
    }

    #[test]
    fn a_quota_that_others_used_up_is_told_from_one_that_this_process_did() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cpu.stat");
        let count = |used_us: u64, throttled_us: u64| {
            let text = format!("usage_usec {used_us}\nthrottled_usec {throttled_us}\n");
            fs::write(&path, text).unwrap();
        };
        count(0, 0);
        let counters = MachineCounters::new(vec![path.clone()], CpuSet::default());
        let begun = counters.begin(&CpuSet::default());
        let after = |used_us, throttled_us| {
            count(used_us, throttled_us);
            counters.throttled_us(&begun.reading, &counters.read(&CpuSet::default()))
        };
        assert_eq!(after(0, 0), (0, 0));
        assert_eq!(after(0, 700), (700, 0));
        // No test runs for an hour.
        assert_eq!(after(3_600_000_000, 700), (700, 700));
    }

    #[test]
    fn what_is_neither_idle_nor_ours_was_used_by_others() {
        let then = Reading {
            idle_ms: 1000,
            ..Reading::default()
        };
        let now = Reading {
            idle_ms: 1100,
            ..Reading::default()
        };
        // two CPUs for 500 ms: 1000 ms, of which 100 idle and 400 ours
        let others = others_cpus(&then, &now, Duration::from_millis(500), 400_000_000, 2);
        assert!((others - 1.0).abs() < 1e-9, "{others}");
    }
}
