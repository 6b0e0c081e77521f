//! What it measures, why it waits, how it ends, and what is told of that.

use super::daemon_home::*;
use rustix::process::Signal;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use threadtune::daemon::status::{Purpose, Reason, State, Status};

#[test]
fn it_measures_what_the_profile_lacks_and_then_does_nothing() {
    let mut home = Home::new(TINY);
    let metrics = home.path("threadtune.prom");
    home.configure(&format!(
        "{EAGER}[metrics]\ntextfile = \"{}\"\n",
        metrics.display()
    ));
    home.start();
    let status = home.is_idle();
    let profile = home.profile();
    assert_eq!(home.names(), ["a", "b"]);
    let count = &status.workloads;
    assert_eq!(
        (
            count.conclusive + count.inconclusive,
            count.failed,
            count.left
        ),
        (2, 0, 0)
    );
    assert!(status.spent.total_cpu_s > 0.0);
    assert_eq!(status.machine, Some(profile.machine.id.clone()));
    assert_eq!(
        status.profile,
        Some(home.profile_path().display().to_string())
    );
    assert!(status.next_wakeup > Some(status.since), "{status:?}");
    assert_eq!(children(home.pid()), [0; 0], "the worker has ended");
    // They are written after the status.
    home.wait("metrics of an idle daemon", || {
        let text = fs::read_to_string(&metrics).unwrap_or_default();
        text.contains("threadtune_state{state=\"idle\"} 1\n")
    });
    // What it knows, it does not measure again.
    home.stop();
    home.state_counts();
    assert_eq!(home.status().unwrap().state, State::Stopped);
    let spent = home.status().unwrap().spent.total_cpu_s;
    let written = fs::metadata(home.profile_path()).unwrap();
    home.start();
    home.says("nothing is to be measured", 1);
    home.stop();
    assert_eq!(home.log().matches("measures ").count(), 2, "{}", home.log());
    assert_eq!(home.status().unwrap().spent.total_cpu_s, spent);
    let after = fs::metadata(home.profile_path()).unwrap();
    assert_eq!(after.modified().unwrap(), written.modified().unwrap());
}

#[test]
fn whoever_needs_the_cpu_is_named_and_sigusr1_measures_all_the_same() {
    let mut home = Home::new(TINY);
    let mut busy = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .unwrap();
    home.configure("[daemon]\nquiet = \"1s\"\nidle_cpus = 0.01\nworkload_budget = \"2s\"\n");
    home.start();
    let status = home.is("a daemon that waits", |status| {
        matches!(status.reason, Some(Reason::Busy { .. }))
    });
    assert_eq!(status.state, State::Waiting);
    let Some(Reason::Busy { cpus, busiest }) = status.reason else {
        panic!("{:?}", status.reason);
    };
    // It may be a neighbour that is even busier than the loop.
    let busiest = busiest.unwrap();
    assert!(!busiest.name.is_empty());
    assert!(cpus > 0.01 && busiest.cpus > 0.0 && busiest.cpus <= cpus + 1e-9);
    assert!(!home.profile_path().exists());
    home.signal(Signal::USR1);
    home.is_idle();
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert_eq!(home.names(), ["a", "b"]);
    assert!(home.log().contains("told to tune now"), "{}", home.log());
    home.stop();
}

#[test]
fn stopped_in_the_middle_it_keeps_what_is_finished_and_goes_on_where_it_was() {
    let mut home = Home::new(TINY);
    home.runs_until_idle();
    fs::write(home.path("catalogue.toml"), format!("{TINY}{MANY}")).unwrap();
    home.configure(&patient());
    home.start();
    home.has_begun("many");
    home.stop();
    assert_eq!(home.names(), ["a", "b"]);
    let kept = fs::read_to_string(home.path("state/unfinished.json"));
    assert!(kept.is_ok_and(|text| text.contains("\"many\"")));
    home.start();
    home.says("measures many, from where it was put aside", 1);
    home.stop();
    assert_eq!(home.names(), ["a", "b"]);
    assert!(!home.log().contains("error"), "{}", home.log());
}

#[test]
fn a_second_signal_does_not_wait_for_the_running_sample() {
    let mut home = Home::new(LONG);
    home.configure(&patient());
    home.start();
    // One sample follows the other, each a call of a second or more.
    home.has_begun("long");
    home.signal(Signal::INT);
    let status = home.is("a daemon about to end", |status| {
        status.state == State::StandingBack
    });
    assert_eq!(status.reason, Some(Reason::Stopping));
    home.signal(Signal::INT);
    assert!(!home.end().success());
    assert!(!home.profile_path().exists());
}

#[test]
fn what_is_unfinished_is_resumed_after_a_reload() {
    let mut home = Home::new(MANY);
    home.configure(&patient());
    home.start();
    home.has_begun("many");
    home.signal(Signal::HUP);
    home.says("measures many, from where it was put aside", 1);
    home.stop();
    assert!(!home.profile_path().exists());
}

#[test]
fn why_it_waits_is_told_everywhere_once_and_no_check_is_made_up() {
    let mut home = Home::new(TINY);
    let metrics = home.path("threadtune.prom");
    let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let hour = unix_s.as_secs() / 3600;
    home.configure(&format!(
        "{EAGER}hours = \"{}-{}\"\n[metrics]\ntextfile = \"{}\"\n",
        (hour + 2) % 24,
        (hour + 3) % 24,
        metrics.display()
    ));
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
    command
        .current_dir(&home.directory)
        .env("TZ", "UTC")
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .args(["daemon", "--configuration", "threadtune.toml"])
        .args(["--state", "state", "--runtime", "run", "--turns", "."]);
    home.start_as(&mut command);
    let is_waiting = |status: &Status| status.reason == Some(Reason::Hours);
    let status = home.is("a daemon that waits for its hours", is_waiting);
    assert_eq!(status.workloads.left, 2);
    // Others do not know where it was started.
    let profile = status.profile.unwrap();
    assert_eq!(profile, home.profile_path().display().to_string());
    let told = "threadtune: waiting: this hour is not one of those allowed\n";
    home.says(told, 1);
    home.wait("metrics of a daemon that waits for its hours", || {
        let text = fs::read_to_string(&metrics).unwrap_or_default();
        text.contains("threadtune_reason{reason=\"hours\"} 1\n")
            && text.contains("threadtune_workloads{verdict=\"left\"} 2\n")
    });
    // Another file for the metrics, and nothing else to tell.
    let other = home.path("other.prom");
    let file = home.path("threadtune.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("threadtune.prom", "other.prom")).unwrap();
    home.signal(Signal::HUP);
    home.says("was read again", 1);
    home.is("a daemon that waits for its hours", is_waiting);
    home.wait("metrics in the other file", || other.exists());
    home.stop();
    let log = home.log();
    assert_eq!(log.matches("threadtune: waiting: ").count(), 1, "{log}");
    assert_eq!(home.status().unwrap().last_check, None);
}

#[test]
fn a_second_daemon_exits_and_says_whose_place_it_is() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    let second = home.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let told = String::from_utf8(second.stderr).unwrap();
    let by = format!(
        "another threadtune daemon (process {}) works in",
        home.pid()
    );
    assert!(told.contains(&by), "{told}");
    assert_eq!(home.status().unwrap().pid, home.pid());
    home.stop();
    // The place of one that was killed is free.
    home.start();
    home.is_idle();
    home.signal(Signal::KILL);
    home.end();
    home.start();
    home.is("a daemon that came after", |status| {
        status.pid == home.pid()
    });
    home.stop();
}

#[test]
fn sigusr2_tells_the_status_in_the_log() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    home.signal(Signal::USR2);
    home.says("idle; ", 1);
    let log = home.log();
    let line = log.lines().find(|line| line.contains("idle; ")).unwrap();
    assert!(line.contains(", 0 failed, 0 left; "), "{line}");
    assert!(line.contains(" s of CPU time today, "), "{line}");
    home.stop();
}

#[test]
fn its_purpose_is_told_while_it_measures() {
    let mut home = Home::new(LONG);
    home.start();
    let status = home.is("a measuring daemon", |status| {
        status.state == State::Measuring
    });
    let task = status.task.unwrap();
    assert_eq!(
        (task.purpose, task.workload.as_str()),
        (Purpose::Tune, "long")
    );
    assert_eq!(status.workloads.left, 1);
    home.stop();
}
