//! Workers that are killed, stopped or want too much memory.

use crate::daemon_home::*;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use threadtune::profile::StopReason;

fn failure(home: &Home, name: &str) -> String {
    match home.entry(name).stop {
        StopReason::Failed(why) => why,
        other => panic!("{name}: {other}"),
    }
}

/// On a busy machine samples are disturbed, and a count is not always reached.
fn is_measured(home: &Home, name: &str) -> bool {
    !matches!(home.entry(name).stop, StopReason::Failed(_))
}

/// All others were measured, and the one that failed is not tried again by itself.
fn others_are_measured(home: &Home, failed: &str) {
    let status = home.is_idle();
    assert_eq!((status.workloads.failed, status.workloads.left), (1, 0));
    for name in ["a", "b"] {
        assert!(is_measured(home, name), "{name}");
    }
    let times = home.log().matches(&format!("measures {failed}")).count();
    assert_eq!(times, 1, "{}", home.log());
}

#[test]
fn a_worker_that_is_killed_costs_one_workload() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    home.start();
    send(home.worker_with_data("large"), Signal::KILL);
    others_are_measured(&home, "large");
    let why = failure(&home, "large");
    assert!(why.contains("was ended by signal 9 (SIGKILL)"), "{why}");
    // Asked to, it tries again.
    home.signal(Signal::USR1);
    home.says("measures large", 2);
    home.is_idle();
    assert!(is_measured(&home, "large"));
    home.stop();
}

#[test]
fn a_worker_that_stands_still_is_ended_at_the_deadline() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    let mut command = home.command();
    home.start_as(command.args(["--deadline", "5"]));
    let worker = home.worker_with_data("large");
    send(worker, Signal::STOP);
    others_are_measured(&home, "large");
    let why = failure(&home, "large");
    // The deadline, and what filling its data may take where it was still at that.
    assert!(
        why.contains("did not answer within ") && why.ends_with("s and was ended"),
        "{why}"
    );
    assert!(
        !fs::exists(format!("/proc/{worker}")).unwrap(),
        "nothing is left of it"
    );
    home.stop();
}

#[test]
fn a_worker_that_wants_more_memory_than_it_may_have_costs_one_workload() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    let worker = stopped_before_it_orders(&mut home);
    // No more than it has and a little: its data are tens of megabytes.
    let limit = Some((data_kib(worker) << 10) + (4 << 20));
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    prlimit(Pid::from_raw(worker.cast_signed()), Resource::Data, limit).unwrap();
    home.signal(Signal::CONT);
    others_are_measured(&home, "large");
    let why = failure(&home, "large");
    // It says so itself, and nobody has to end it.
    assert!(
        why.contains("memory ran out (the system refused another "),
        "{why}"
    );
    assert!(why.contains("free some, or raise the limit"), "{why}");
    home.stop();
}

#[test]
fn a_worker_cannot_take_more_than_the_limit_it_was_given() {
    let mut home = Home::new(LARGE);
    home.configure(&patient());
    home.start();
    let worker = home.worker_with_data("large");
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max data size"));
    let fields: Vec<&str> = line.unwrap().split_whitespace().collect();
    let (soft, hard) = (fields[3], fields[4]);
    assert_eq!(soft, hard, "it cannot raise it again");
    let limit: u64 = soft.parse().expect("a limit in bytes");
    let command = fs::read(format!("/proc/{worker}/cmdline")).unwrap();
    let command = String::from_utf8(command).unwrap();
    let told = format!("--memory-limit\0{limit}\0");
    assert!(command.contains(&told), "{command:?} and {limit}");
    assert!(data_kib(worker) << 10 < limit);
    home.stop();
}

#[test]
fn what_a_killed_daemon_spent_is_not_forgotten() {
    let mut home = Home::new(LONG);
    home.configure(&patient());
    home.start();
    let spent = || {
        let text = fs::read_to_string(home.path("state/daemon.json")).unwrap_or_default();
        let rest = text.split("\"total_cpu_s\":").nth(1)?;
        rest.split(',').next()?.parse::<f64>().ok()
    };
    // It is kept four times a minute while a workload takes its time.
    home.wait("CPU time that is kept on the disk", || {
        spent().is_some_and(|seconds| seconds > 0.0)
    });
    assert_eq!(home.status().unwrap().workloads.left, 1, "it goes on");
    let before = spent().unwrap();
    home.signal(Signal::KILL);
    home.end();
    home.start();
    let status = home.is("a daemon that came after", |status| {
        status.pid == home.pid()
    });
    assert!(status.spent.total_cpu_s >= before, "{status:?}");
    home.stop();
}

/// Starts the daemon and stops it, as SIGSTOP does, before it can tell its first worker what to prepare; gives the worker,
/// which waits for that.
fn stopped_before_it_orders(home: &mut Home) -> u32 {
    for _ in 0..50 {
        home.start();
        let (begin, mut worker) = (Instant::now(), None);
        while worker.is_none() {
            assert!(begin.elapsed() < Duration::from_mins(1), "{}", home.log());
            // A pause would be too long.
            worker = children(home.pid()).first().copied();
        }
        home.signal(Signal::STOP);
        let worker = worker.unwrap();
        // Long enough for it to load its libraries, and to fill its data if it was told to.
        thread::sleep(Duration::from_millis(500));
        if resident_mib(worker) < 24 {
            return worker;
        }
        home.signal(Signal::KILL);
        home.end();
        fs::remove_dir_all(home.path("state")).unwrap();
        fs::remove_file(home.path("log")).unwrap();
    }
    panic!("the daemon is always faster");
}

/// What a process has mapped for its data, KiB.
fn data_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap()
}
