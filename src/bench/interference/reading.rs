//! What the kernel has counted for the CPUs, the control group and the worker.

use super::throttle::{Group, GroupReading};
use crate::machine::cpu_counts;
use crate::units::CpuSet;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One reading of the machine's counters, each of them since some moment in the past.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reading {
    /// Idle and waiting for input or output, summed over the CPUs looked at.
    pub idle_ms: u64,
    /// Taken by the hypervisor, summed likewise.
    pub steal_ms: u64,
    /// Of the own control group and its ancestors.
    pub groups: Vec<GroupReading>,
    /// CPU time of the worker and of this process, all threads.
    pub own_ms: u64,
}

/// Where it is read.
#[derive(Debug)]
pub(super) struct Source {
    stat: PathBuf,
    worker_stat: PathBuf,
    groups: Vec<Group>,
    /// The CPUs of the worker.
    all_cpus: CpuSet,
    /// Does the kernel count for each of them? In a container whose files are those of LXCFS, CPUs are numbered anew:
    /// where one is missing, what stands beside another number may be its count.
    pub counts_each: bool,
}

impl Source {
    /// For a worker with this process id and these CPUs, which is in the same control group.
    pub fn new(root: &Path, worker: u32, all_cpus: CpuSet) -> Self {
        let stat = root.join("proc/stat");
        let unlisted = unlisted(&text(&stat), &all_cpus);
        if !unlisted.is_empty() {
            log::warn!(
                "/proc/stat has no line for CPUs {unlisted} of this process, as in containers that number CPUs anew: \
                 stolen time is not noticed, nor other processes while threads are unbound"
            );
        }
        Self {
            stat,
            worker_stat: root.join(format!("proc/{worker}/stat")),
            groups: cpu_counts(root).into_iter().map(Group).collect(),
            all_cpus,
            counts_each: unlisted.is_empty(),
        }
    }

    /// How many CPUs the worker has.
    pub fn cpus(&self) -> usize {
        self.all_cpus.len()
    }

    /// Of all its CPUs.
    pub fn read_all(&self) -> Reading {
        self.read(&self.all_cpus)
    }

    /// Of these CPUs.
    pub fn read(&self, cpus: &CpuSet) -> Reading {
        let (idle_ms, steal_ms) = if self.counts_each {
            idle_and_steal_ms(&text(&self.stat), cpus)
        } else {
            (0, 0)
        };
        let ticks = cpu_ticks(&text(&self.worker_stat)).unwrap_or(0);
        Reading {
            idle_ms,
            steal_ms,
            groups: self.groups.iter().map(Group::read).collect(),
            own_ms: ticks * tick_ms() + this_process_ms(),
        }
    }
}

impl Reading {
    /// CPUs that others used since then: all time of so many CPUs, less what was idle, stolen or our own.
    pub fn others_cpus(&self, then: &Self, elapsed: Duration, cpus: usize) -> f64 {
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        let spent = |now: u64, then: u64| now.saturating_sub(then) as f64;
        let used_ms = elapsed_ms * cpus as f64
            - spent(self.idle_ms, then.idle_ms)
            - spent(self.steal_ms, then.steal_ms)
            - spent(self.own_ms, then.own_ms);
        (used_ms / elapsed_ms).max(0.0)
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// CPU time of this process.
fn this_process_ms() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Milliseconds of the unit in which the kernel counts CPU time.
pub(super) fn tick_ms() -> u64 {
    1000 / rustix::param::clock_ticks_per_second().max(1)
}

/// User and system time of a process, in ticks, from its `stat`; its name may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
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
            sums.0 += idle.saturating_add(iowait).saturating_mul(tick_ms);
            sums.1 += steal.saturating_mul(tick_ms);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> CpuSet {
        CpuSet::parse_list(text).unwrap()
    }

    #[test]
    fn idle_and_stolen_time_is_summed_over_the_cpus_of_the_arm() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 100 5 6 7 8 0 0\ncpu1 1 1 1 50 0 0 0 2 0 0\n\
                    cpu2 0 0 0 7 0 0 0 1 0 0\nintr 5 0\n";
        let tick = tick_ms();
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
        let of = |text: &str| unlisted(stat, &set(text)).to_string();
        assert_eq!(
            (of("0-3"), of("4-7"), of("2-5")),
            (String::new(), "4-7".to_owned(), "4-5".to_owned())
        );
    }

    #[test]
    fn the_time_of_a_process_stands_behind_its_name_whatever_that_is() {
        let of = |name: &str| {
            cpu_ticks(&format!(
                "12 ({name}) R 1 12 12 0 -1 4194304 9 8 7 6 250 34 1 2 20 0 3 0\n"
            ))
        };
        for name in ["threadtune", "a b", ") 1 2 (", ""] {
            assert_eq!(of(name), Some(284), "{name}");
        }
        assert_eq!(cpu_ticks(""), None);
        assert_eq!(cpu_ticks("12 (x) R 1"), None);
    }

    #[test]
    fn this_machine_counts_for_each_cpu_and_process() {
        let all = crate::machine::affinity::current().unwrap();
        let source = Source::new(Path::new("/"), std::process::id(), all);
        assert!(source.counts_each);
        let then = source.read_all();
        let begin = std::time::Instant::now();
        while begin.elapsed().as_millis() < 60 {}
        let now = source.read_all();
        // The loop is counted twice, by both of the processes that are the same here.
        assert!(now.own_ms > then.own_ms, "{then:?} {now:?}");
    }

    #[test]
    fn what_is_neither_idle_nor_ours_was_used_by_others() {
        let then = Reading {
            idle_ms: 1000,
            own_ms: 50,
            ..Reading::default()
        };
        let now = Reading {
            idle_ms: 1100,
            own_ms: 450,
            ..Reading::default()
        };
        // two CPUs for 500 ms: 1000 ms, of which 100 idle and 400 ours
        let others = now.others_cpus(&then, Duration::from_millis(500), 2);
        assert!((others - 1.0).abs() < 1e-9, "{others}");
    }
}
