//! A `tune` whose worker dies or hangs, and signals to stop: real processes, real signals.

mod tuned_home;

use rustix::process::{Pid, Signal};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use threadtune::profile::StopReason;
use tuned_home::*;

#[test]
fn a_killed_worker_costs_its_workload_alone() {
    let home = Home::new();
    let tune = spawn(&mut home.tune(LONG_THEN_TINY));
    signal(busy_worker(&tune), Signal::KILL);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(names(&profile), ["long", "tiny"]);
    let StopReason::Failed(reason) = &profile.workloads[0].stop else {
        panic!("{:?}", profile.workloads[0].stop);
    };
    assert!(
        reason.contains("was ended by signal 9 (SIGKILL)"),
        "{reason}"
    );
    assert_eq!(profile.workloads[0].latency, None);
    assert!(!matches!(profile.workloads[1].stop, StopReason::Failed(_)));
}

#[test]
fn a_worker_that_hangs_is_ended_at_the_deadline() {
    let home = Home::new();
    let tune = spawn(home.tune(LONG_THEN_TINY).args(["--deadline", "20", "long"]));
    let worker = busy_worker(&tune);
    signal(worker, Signal::STOP);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let stop = home.profile().workloads[0].stop.to_string();
    assert!(
        stop.contains("did not answer within") && stop.contains("and was ended"),
        "{stop}"
    );
    assert!(
        !Path::new(&format!("/proc/{worker}")).exists(),
        "the worker is still there"
    );
}

#[test]
fn a_signal_to_stop_keeps_what_is_finished() {
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = Home::new();
        // the tiny one first
        let (long, tiny) = LONG_THEN_TINY.split_at(LONG_THEN_TINY.rfind("[[").unwrap());
        let tune = spawn(&mut home.tune(&format!("{tiny}{long}")));
        has_saved(&home);
        let worker = busy_worker(&tune);
        signal(tune.id(), number);
        let output = end_of(tune);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(names(&home.profile()), ["tiny"]);
        assert!(text(&output.stdout).contains("tiny"));
        assert!(
            text(&output.stderr).contains("1 of 2 workloads"),
            "{}",
            text(&output.stderr)
        );
        assert!(
            !Path::new(&format!("/proc/{worker}")).exists(),
            "the worker is still there"
        );
    }
}

#[test]
fn what_was_ignored_from_the_start_stays_ignored() {
    let home = Home::new();
    let tune = home.tune(TINY);
    let mut nohup = Command::new("sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(tune.get_program())
        .args(tune.get_args());
    let tune = spawn(nohup.env("XDG_STATE_HOME", home.directory.path()));
    // The shell has become threadtune: from here on, whenever the signal arrives, it changes nothing. (At the very
    // first the process still bears this test's name.)
    let comm = format!("/proc/{}/comm", tune.id());
    while fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "threadtune") {
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..20 {
        let _ = Pid::from_raw(tune.id().cast_signed())
            .map(|pid| rustix::process::kill_process(pid, Signal::HUP));
        thread::sleep(Duration::from_millis(5));
    }
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a", "b"]);
}

#[test]
fn a_second_ctrl_c_exits_at_once() {
    let home = Home::new();
    let tune = spawn(
        home.tune(LONG_THEN_TINY)
            .args(["--deadline", "86400", "long"]),
    );
    let worker = busy_worker(&tune);
    // the sample never ends
    signal(worker, Signal::STOP);
    signal(tune.id(), Signal::INT);
    thread::sleep(Duration::from_millis(100));
    signal(tune.id(), Signal::INT);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(130));
}
