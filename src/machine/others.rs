//! What the processes of others do to this machine while this one and its children measure.
//!
//! Two views, each blind where the other sees. The process list names who is busy, but a program that starts a thousand
//! short-lived ones, as compiling does, hardly appears in it. The machine's own count misses nothing, but from it what is
//! our own must be taken away.

use super::conditions::cpu_pressure_percent;
use super::cpu_time;
use super::load::{BusyProcess, LoadError, LoadWatch};
use super::power::on_mains;
use super::tree::Tree;
use crate::units::Nanos;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel counts its own way for the machine and for a process: of our own time so much may seem to be of others.
const OWN_SLACK: f64 = 0.02;

/// How others used the machine since the look before.
#[derive(Debug, Clone, PartialEq)]
pub struct OthersLoad {
    /// CPUs of the machine that are online; 1 where that is unknown.
    pub online: usize,
    /// CPUs that processes other than this one and its children used.
    pub cpus: f64,
    /// The one that used most, if the process list shows any.
    pub busiest: Option<BusyProcess>,
    /// Share of the last ten seconds in which a runnable thread waited for a CPU, percent; absent where unknown.
    pub pressure_percent: Option<f64>,
    /// Is the machine fed from the mains?
    pub on_mains: bool,
    /// CPU time that this process and its children used.
    pub own: Nanos,
}

/// Looks at the load of others now and then.
#[derive(Debug)]
pub struct OthersWatch {
    root: PathBuf,
    processes: LoadWatch,
    then: Reading,
}

impl OthersWatch {
    /// The first look, from which the next one counts. `root` is `/` but for tests: the process list is the live one.
    pub fn start(root: &Path) -> Result<Self, LoadError> {
        let processes = LoadWatch::start()?;
        Ok(Self {
            then: Reading::now(root, processes.children()),
            root: root.to_owned(),
            processes,
        })
    }

    /// What happened since the last look, which should be [`LoadWatch::LEAST_MS`] ago or longer.
    pub fn look(&mut self) -> OthersLoad {
        let busy = self.processes.busy(&[], 0.0);
        let now = Reading::now(&self.root, self.processes.children());
        let then = std::mem::replace(&mut self.then, now);
        let listed: f64 = busy.iter().map(|process| process.cores).sum();
        let online = Tree::new(&self.root).list("sys/devices/system/cpu/online");
        OthersLoad {
            online: online.map_or(1, |cpus| cpus.len().max(1)),
            cpus: listed.max(self.then.others_since(&then)),
            busiest: busy.into_iter().next(),
            pressure_percent: cpu_pressure_percent(&self.root),
            on_mains: on_mains(&self.root),
            own: self.then.own - then.own,
        }
    }
}

/// CPU time so far, of all and of our own.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    /// All that was not idle; absent where the kernel does not tell.
    busy: Option<Nanos>,
    /// Of this process and its children.
    own: Nanos,
}

impl Reading {
    fn now(root: &Path, children: impl Iterator<Item = u32>) -> Self {
        let living = children.filter_map(|pid| cpu_time::of(root, pid));
        // One right after the other: what happens in between belongs to nobody.
        let own = living.fold(
            cpu_time::own_and_children(root).unwrap_or(Nanos::ZERO),
            |sum, child| sum + child,
        );
        Self {
            at: Instant::now(),
            busy: Tree::new(root)
                .head("proc/stat", FIRST_LINE)
                .and_then(|stat| busy(&stat)),
            own,
        }
    }

    /// CPUs of others since an earlier reading; never negative.
    fn others_since(&self, then: &Self) -> f64 {
        let (Some(busy_then), Some(busy_now)) = (then.busy, self.busy) else {
            return 0.0;
        };
        let elapsed = self
            .at
            .duration_since(then.at)
            .max(Duration::from_millis(1));
        let own = (self.own - then.own).as_secs_f64() * (1.0 + OWN_SLACK);
        let others = (busy_now - busy_then).as_secs_f64() - own;
        (others / elapsed.as_secs_f64()).max(0.0)
    }
}

/// More than the first line of `/proc/stat` may have; behind it the file grows with the machine.
const FIRST_LINE: usize = 256;

/// CPU time in which some CPU of this machine worked, from the first line of `/proc/stat`.
fn busy(stat: &str) -> Option<Nanos> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    // Neither idle nor waiting for a disk nor taken by the hypervisor; a guest's time is among the user's.
    let [user, nice, system, _idle, _iowait, irq, softirq, _steal] = ticks[..] else {
        return None;
    };
    let all = [user, nice, system, irq, softirq].into_iter();
    Some(cpu_time::from_ticks(all.fold(0, u64::saturating_add)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn reading(at: Instant, busy_ms: u64, own_ms: u64) -> Reading {
        Reading {
            at,
            busy: Some(Nanos(busy_ms * 1_000_000)),
            own: Nanos(own_ms * 1_000_000),
        }
    }

    #[test]
    fn what_is_not_our_own_was_used_by_others() {
        let start = Instant::now();
        let then = reading(start, 5000, 1000);
        let others = |after_ms, busy_ms, own_ms| {
            let at = start + Duration::from_millis(after_ms);
            reading(at, busy_ms, own_ms).others_since(&then)
        };
        assert_eq!(others(500, 5750, 1000), 1.5);
        // Two per cent more than our own may be our own …
        assert_eq!(others(1000, 7040, 3000), 0.0);
        let beside_us = others(1000, 7540, 3000);
        assert!((beside_us - 0.5).abs() < 1e-9, "{beside_us}");
        // … and it is never negative.
        assert_eq!(others(1000, 5000, 3000), 0.0);
        assert_eq!(others(1000, 4000, 1000), 0.0);
        assert_eq!(others(0, 5001, 1000), 1.0);
        let unknown = Reading { busy: None, ..then };
        assert_eq!(unknown.others_since(&then), 0.0);
        assert_eq!(then.others_since(&unknown), 0.0);
    }

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let ticks = cpu_time::from_ticks(1 + 20 + 300 + 6000 + 70_000);
        let stat = "cpu  1 20 300 1000000 2000000 6000 70000 3000000 1 1\ncpu0 9 9 9 9 9 9 9 9\n";
        assert_eq!(busy(stat), Some(ticks));
        for garbage in [
            "",
            "cpu0 1 2 3 4 5 6 7 8",
            "cpu  1 2 3",
            "cpu  1 2 x 4 5 6 7 8",
        ] {
            assert_eq!(busy(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn our_own_time_is_that_of_living_and_ended_children_too() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let fields = |own: u64, ended: u64| {
            format!("1 (x) S 1 1 1 0 -1 0 0 0 0 0 {own} 0 {ended} 0 20 0 1 0 5")
        };
        write("proc/self/stat", &fields(1, 20));
        write("proc/7/stat", &fields(300, 4000));
        write("proc/8/stat", &fields(90_000, 0));
        write("proc/stat", "cpu  5 0 0 0 0 0 0 0\n");
        let reading = Reading::now(root.path(), [7, 9].into_iter());
        assert_eq!(reading.own, cpu_time::from_ticks(4321));
        assert_eq!(reading.busy, Some(cpu_time::from_ticks(5)));
    }

    #[test]
    fn a_look_tells_cpus_pressure_and_power() {
        let root = tempfile::tempdir().unwrap();
        let pressure = root.path().join("proc/pressure");
        let battery = root.path().join("sys/class/power_supply/BAT0");
        let cpus = root.path().join("sys/devices/system/cpu");
        for directory in [&pressure, &battery, &cpus] {
            fs::create_dir_all(directory).unwrap();
        }
        let text = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n";
        fs::write(pressure.join("cpu"), text).unwrap();
        fs::write(cpus.join("online"), "0-95\n").unwrap();
        fs::write(battery.join("type"), "Battery\n").unwrap();
        fs::write(battery.join("status"), "Discharging\n").unwrap();
        let mut watch = OthersWatch::start(root.path()).unwrap();
        let load = watch.look();
        assert_eq!((load.online, load.pressure_percent), (96, Some(12.5)));
        assert!(!load.on_mains && load.cpus >= 0.0);
    }

    /// What one look costs; run by hand.
    #[test]
    #[ignore = "reads the clock"]
    fn cost_of_a_look() {
        let mut watch = OthersWatch::start(Path::new("/")).unwrap();
        let processes = fs::read_dir("/proc").unwrap().count();
        let begin = Instant::now();
        for _ in 0..100 {
            watch.look();
        }
        eprintln!(
            "{:?} a look, {processes} entries in /proc",
            begin.elapsed() / 100
        );
    }
}
