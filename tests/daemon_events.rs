//! What the daemon waits for, with the real kernel: signals, timers, notices. Bounded in time, and one at a time,
//! since signals reach every test of a process.

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime, clock_settime};
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
use signal_hook::low_level::raise;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;
use threadtune::daemon::events::Occurrence::{
    ClockSet, CpusChanged, Due, LimitsChanged, PowerChanged, Reload, Stop, TellStatus, TuneNow,
    Woken,
};
use threadtune::daemon::events::{Events, Occurrence};
use threadtune::machine::BootTime;
use threadtune::units::Nanos;

const MILLISECOND: u64 = 1_000_000;

/// Longer than any of these tests takes on a loaded machine.
const LIMIT: Duration = Duration::from_mins(2);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test alone, and ends the whole process where it hangs.
fn alone(test: impl FnOnce()) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (done, over) = mpsc::channel::<()>();
    thread::spawn(move || {
        if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a wait did not end within {LIMIT:?}");
            std::process::exit(1);
        }
    });
    test();
    drop(done);
}

/// A root without control groups, so that nothing of this machine's reaches the test.
fn nowhere() -> (TempDir, Events) {
    let root = tempfile::tempdir().unwrap();
    let events = Events::open(root.path()).unwrap();
    (root, events)
}

/// Now on the clock that events are timed by.
fn boottime_now() -> Nanos {
    BootTime::now().since_boot()
}

fn soon() -> Nanos {
    boottime_now() + Nanos(20 * MILLISECOND)
}

fn much_later() -> Nanos {
    boottime_now() + Nanos(3600 * 1000 * MILLISECOND)
}

/// All that happens until nothing does for a moment.
fn all(events: &mut Events) -> Vec<Occurrence> {
    let mut happened = Vec::new();
    loop {
        let more = events.wait(Some(soon())).unwrap();
        happened.extend(more.iter().filter(|o| **o != Due));
        if more == [Due] {
            return happened;
        }
    }
}

#[test]
fn a_signal_is_told_once_and_in_order() {
    alone(|| {
        let (_root, mut events) = nowhere();
        for signal in [SIGUSR2, SIGHUP, SIGUSR1, SIGHUP] {
            raise(signal).unwrap();
        }
        events.waker().wake();
        // What is due is told last, wherever the others come from.
        let happened = events.wait(Some(Nanos::ZERO)).unwrap();
        assert_eq!(happened, [Reload, TuneNow, TellStatus, Woken, Due]);
        assert_eq!(events.wait(Some(soon())).unwrap(), [Due]);
    });
}

#[test]
fn a_thousand_hangups_are_one_reload() {
    alone(|| {
        let (_root, mut events) = nowhere();
        for _ in 0..1000 {
            raise(SIGHUP).unwrap();
        }
        assert_eq!(all(&mut events), [Reload]);
    });
}

#[test]
fn a_signal_ends_a_wait_that_has_begun() {
    alone(|| {
        let (_root, mut events) = nowhere();
        let own = rustix::process::getpid();
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            kill_process(own, Signal::HUP).unwrap();
        });
        assert_eq!(events.wait(None).unwrap(), [Reload]);
        sender.join().unwrap();
    });
}

/// What the child of the next test does: it hears of the first request to stop and then never looks again.
#[test]
#[ignore = "the body of a child process"]
fn child_that_is_busy() {
    if std::env::var_os("THREADTUNE_TEST_CHILD").is_none() {
        return;
    }
    let (_root, mut events) = nowhere();
    println!("\nready");
    let happened = events.wait(None).unwrap();
    println!("\n{happened:?}");
    thread::sleep(LIMIT);
}

#[test]
fn the_second_request_to_stop_ends_a_busy_process() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_is_busy", "--ignored", "--nocapture"])
            .env("THREADTUNE_TEST_CHILD", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = |text: &str| lines.any(|line| line.unwrap() == text);
        assert!(told("ready"));
        kill_process(pid, Signal::TERM).unwrap();
        assert!(told(&format!("{:?}", [Stop])));
        kill_process(pid, second).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_wait_ends_when_its_time_has_come_and_not_before() {
    alone(|| {
        let (_root, mut events) = nowhere();
        for past in [Nanos::ZERO, Nanos(1), boottime_now()] {
            assert_eq!(events.wait(Some(past)).unwrap(), [Due]);
        }
        let until = soon();
        assert_eq!(events.wait(Some(until)).unwrap(), [Due]);
        assert!(boottime_now() >= until);
    });
}

#[test]
fn without_a_time_only_events_end_a_wait() {
    alone(|| {
        let (_root, mut events) = nowhere();
        let waker = events.waker();
        // An alarm of an earlier wait is gone.
        waker.wake();
        assert_eq!(events.wait(Some(soon())).unwrap(), [Woken]);
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(60));
            waker.wake();
        });
        assert_eq!(events.wait(None).unwrap(), [Woken]);
        other.join().unwrap();
    });
}

#[test]
fn many_wakes_are_one_and_none_is_lost() {
    alone(|| {
        let (_root, mut events) = nowhere();
        let waker = events.waker();
        for _ in 0..3 {
            waker.clone().wake();
        }
        assert_eq!(events.wait(Some(much_later())).unwrap(), [Woken]);
        assert_eq!(events.wait(Some(soon())).unwrap(), [Due]);
    });
}

#[test]
fn a_wait_sleeps_without_waking_up_in_between() {
    fn sleeps() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    }
    alone(|| {
        let (_root, mut events) = nowhere();
        let before = sleeps();
        let until = boottime_now() + Nanos(500 * MILLISECOND);
        assert_eq!(events.wait(Some(until)).unwrap(), [Due]);
        // One for the wait; reading the file may be another.
        let slept = sleeps() - before;
        assert!((1..=3).contains(&slept), "{slept}");
    });
}

/// A root whose only hierarchy is of this version and lies at `cg`, the own group in it at `/a/b`.
fn root_with_groups(kind: &str, options: &str, membership: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("proc/self");
    fs::create_dir_all(&own).unwrap();
    let mount = format!("30 20 0:26 / /cg rw - {kind} {kind} {options}\n");
    fs::write(own.join("mountinfo"), mount).unwrap();
    fs::write(own.join("cgroup"), membership).unwrap();
    root
}

#[test]
fn a_limit_of_any_ancestor_is_noticed_and_nothing_else() {
    alone(|| {
        let root = root_with_groups("cgroup2", "rw", "0::/a/b\n");
        let group = |path: &str| root.path().join("cg").join(path);
        fs::create_dir_all(group("a/b/c")).unwrap();
        for file in ["cpu.weight", "a/cpu.max", "a/b/cpu.max", "a/b/c/cpu.max"] {
            fs::write(group(file), "max 100000\n").unwrap();
        }
        fs::write(group("a/cpuset.cpus"), "0-1\n").unwrap();
        fs::write(group("a/cgroup.subtree_control"), "cpuset\n").unwrap();
        let mut events = Events::open(root.path()).unwrap();
        for file in ["a/b/cpu.max", "a/cpu.max", "a/cpuset.cpus"] {
            fs::write(group(file), "50000 100000\n").unwrap();
            assert_eq!(all(&mut events), [LimitsChanged], "{file}");
        }
        for file in ["cpu.weight", "a/b/c/cpu.max", "a/b/memory.max"] {
            fs::write(group(file), "1\n").unwrap();
            assert_eq!(all(&mut events), [], "{file}");
        }
        // A controller is switched on: its file appears in the group below, and is watched from then on.
        fs::write(group("a/b/cpuset.cpus"), "0-1\n").unwrap();
        assert_eq!(all(&mut events), []);
        fs::write(group("a/cgroup.subtree_control"), "cpu cpuset\n").unwrap();
        assert_eq!(all(&mut events), [LimitsChanged]);
        fs::write(group("a/b/cpuset.cpus"), "0\n").unwrap();
        assert_eq!(all(&mut events), [LimitsChanged]);
    });
}

/// A group of the kernel's own, removed again.
struct RealGroup(std::path::PathBuf);

impl RealGroup {
    fn create(controller: &Path) -> Option<Self> {
        let path = controller.join(format!("threadtune-test-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for RealGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_kernel_tells_when_a_quota_is_written() {
    let hierarchies = [
        (
            "/sys/fs/cgroup",
            "cgroup2",
            "0::/a\n",
            "cpu.max",
            "50000 100000",
        ),
        (
            "/sys/fs/cgroup/cpu",
            "cgroup",
            "1:cpu:/a\n",
            "cpu.cfs_quota_us",
            "50000",
        ),
    ];
    alone(|| {
        for (mount, kind, membership, file, value) in hierarchies {
            let group = RealGroup::create(Path::new(mount));
            let Some(group) = group.filter(|group| group.0.join(file).exists()) else {
                eprintln!(
                    "skipped the_kernel_tells_when_a_quota_is_written: no control group with a {file} can be made in {mount}"
                );
                continue;
            };
            let root = root_with_groups(kind, "rw,cpu", membership);
            fs::create_dir(root.path().join("cg")).unwrap();
            symlink(&group.0, root.path().join("cg/a")).unwrap();
            let mut events = Events::open(root.path()).unwrap();
            fs::write(group.0.join(file), value).unwrap();
            assert_eq!(all(&mut events), [LimitsChanged]);
        }
    });
}

/// Makes the kernel send a notice about a device; false, with the reason told, where it is not allowed.
fn send_uevent(device: &str, action: &str) -> bool {
    match fs::write(Path::new(device).join("uevent"), action) {
        Ok(()) => true,
        Err(error) => {
            // The harness names its threads by their tests.
            let test = thread::current().name().unwrap_or_default().to_owned();
            eprintln!("skipped {test}: no notice of {device} can be asked for: {error}");
            false
        }
    }
}

const CPU: &str = "/sys/devices/system/cpu/cpu0";

#[test]
fn the_kernel_tells_of_cpus() {
    alone(|| {
        let (_root, mut events) = nowhere();
        if !send_uevent(CPU, "online") {
            return;
        }
        assert!(all(&mut events).contains(&CpusChanged));
        send_uevent(CPU, "change");
        assert!(!all(&mut events).contains(&CpusChanged));
    });
}

#[test]
fn another_process_cannot_speak_for_the_kernel() {
    alone(|| {
        let (_root, mut events) = nowhere();
        let family = AddressFamily::NETLINK;
        let sent = socket(family, SocketType::DGRAM, Some(KOBJECT_UEVENT)).and_then(|sender| {
            let message = b"online@/devices/system/cpu/cpu1\0ACTION=online\0SUBSYSTEM=cpu\0";
            let group = SocketAddrNetlink::new(0, 1);
            sendto(&sender, message, SendFlags::empty(), &group)
        });
        if let Err(errno) = sent {
            eprintln!("skipped another_process_cannot_speak_for_the_kernel: {errno}");
            return;
        }
        assert!(!all(&mut events).contains(&CpusChanged));
    });
}

#[test]
fn lost_notices_count_as_changes() {
    alone(|| {
        let (_root, mut events) = nowhere();
        // More than a socket holds, about a device that is of no interest.
        for _ in 0..2000 {
            if !send_uevent("/sys/devices/virtual/mem/null", "change") {
                return;
            }
        }
        let happened = events.wait(Some(much_later())).unwrap();
        assert_eq!(happened, [CpusChanged, PowerChanged]);
        // Nor does the flood come back.
        assert!(!all(&mut events).contains(&CpusChanged));
    });
}

#[test]
#[ignore = "sets the clock, by microseconds; for hands"]
fn a_clock_that_is_set_is_noticed_each_time() {
    alone(|| {
        let (_root, mut events) = nowhere();
        for _ in 0..2 {
            match clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime)) {
                Ok(()) => assert_eq!(all(&mut events), [ClockSet]),
                Err(error @ Errno::PERM) => {
                    eprintln!("skipped a_clock_that_is_set_is_noticed_each_time: {error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
}
