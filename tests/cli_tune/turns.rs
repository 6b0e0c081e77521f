//! Two that measure: one at a time does, and neither loses what the other wrote.

use super::tuned_home::*;
use rustix::process::Signal;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command};
use threadtune::machine::{Turn, TurnHolder};

/// This process measures, as far as others can tell.
fn take(home: &Home) -> Turn {
    let turn = Turn::take(home.directory.path()).unwrap();
    turn.expect("nobody else has the turn")
}

/// One of the subcommands that measure, in this home.
fn measure(home: &Home, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
    command
        .env("XDG_STATE_HOME", home.directory.path())
        .env("XDG_CONFIG_HOME", home.directory.path())
        .args(words)
        .arg("--turns")
        .arg(home.directory.path())
        .arg("--catalog")
        .arg(home.catalog(TINY));
    command
}

/// Who has the turn where `/proc` shows this process its own locks.
fn is_named(stderr: &str, process: u32) -> bool {
    stderr.contains(&format!("(process {process} of ")) || stderr.contains("another threadtune")
}

/// What a command says first.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    // Whatever follows stays in the pipe, which is larger than what is said.
    let stderr = child.stderr.take().unwrap();
    let mut stderr = BufReader::with_capacity(1, stderr);
    stderr.read_line(&mut line).unwrap();
    child.stderr = Some(stderr.into_inner());
    line
}

#[test]
fn without_waiting_it_says_who_measures_and_ends_with_75() {
    let home = Home::new();
    let turn = take(&home);
    for words in [&["tune"][..], &["check"], &["repeat", "2"]] {
        let output = measure(&home, words).arg("--no-wait").output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{words:?}: {stderr}");
        assert!(is_named(&stderr, std::process::id()), "{stderr}");
        assert!(
            stderr.contains(" is measuring, and two at a time"),
            "{stderr}"
        );
        assert!(output.stdout.is_empty());
    }
    assert!(!home.profile_path().exists());
    drop(turn);
    let free = home.tune(TINY).args(["a", "--no-wait"]).output().unwrap();
    assert_eq!(free.status.code(), Some(0), "{}", text(&free.stderr));
    // Where there is no such lock nobody waits for it.
    let none = ["a", "--no-wait", "--turns", "/nonexistent"];
    let none = measure_anywhere(&home).args(none).output().unwrap();
    assert_eq!(none.status.code(), Some(0), "{}", text(&none.stderr));
}

/// `tune` without a word of where turns are taken.
fn measure_anywhere(home: &Home) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
    command
        .env("XDG_STATE_HOME", home.directory.path())
        .env("XDG_CONFIG_HOME", home.directory.path())
        .args(["tune", "--workload-budget", "2", "--catalog"])
        .arg(home.catalog(TINY));
    command
}

#[test]
fn it_waits_for_its_turn_and_says_for_whom() {
    let home = Home::new();
    let turn = take(&home);
    let mut tune = spawn(home.tune(TINY).arg("a"));
    let line = first_line(&mut tune);
    let told = " is measuring; waiting for it to end (--no-wait exits with code 75 instead)\n";
    assert!(line.ends_with(told), "{line}");
    assert!(is_named(&line, std::process::id()), "{line}");
    assert!(!home.profile_path().exists());
    assert!(tune.try_wait().unwrap().is_none());
    drop(turn);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a"]);
}

#[test]
fn whoever_waits_can_be_stopped() {
    let home = Home::new();
    let _turn = take(&home);
    let mut tune = spawn(home.tune(TINY).arg("a"));
    first_line(&mut tune);
    signal(tune.id(), Signal::INT);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(!home.profile_path().exists());
}

#[test]
fn the_turn_lasts_as_long_as_the_process_and_no_longer() {
    let home = Home::new();
    let tune = spawn(home.tune(LONG_THEN_TINY).arg("long"));
    let worker = busy_worker(&tune);
    let holder = TurnHolder::of(home.directory.path()).expect("it measures");
    let holder = holder.to_string();
    let its = format!("`threadtune tune` (process {} of ", tune.id());
    assert!(holder.starts_with(&its) || holder == "another threadtune");
    // A worker that outlived it would keep nobody from measuring.
    let files = fs::read_dir(format!("/proc/{worker}/fd")).unwrap();
    let places = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let is_turn = |place: &PathBuf| *place == home.directory.path();
    assert_eq!(places.filter(is_turn).count(), 0);
    signal(tune.id(), Signal::KILL);
    end_of(tune);
    wait_for("the turn is free", || {
        Turn::take(home.directory.path()).unwrap()
    });
}

#[test]
fn two_that_write_one_profile_at_a_time_keep_what_both_found() {
    let home = Home::new();
    // As if they could not know of each other.
    let apart = tempfile::tempdir().unwrap();
    let mut other = measure_anywhere(&home);
    other.arg("--turns").arg(apart.path()).arg("b");
    let both = [spawn(home.tune(TINY).arg("a")), spawn(&mut other)];
    for tune in both {
        let output = end_of(tune);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(names(&home.profile()), ["a", "b"]);
}

#[test]
fn the_second_goes_on_from_what_the_first_found() {
    let home = Home::new();
    let turn = take(&home);
    let mut tune = spawn(home.tune(TINY).arg("--missing"));
    first_line(&mut tune);
    // Meanwhile somebody else measures everything.
    let mut other = measure_anywhere(&home);
    let output = other.args(["--turns", "/nonexistent"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = home.profile();
    drop(turn);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // On a busy machine something may have no count, and be missing all the same.
    if found.workloads.iter().all(|entry| entry.latency.is_some()) {
        assert!(text(&output.stdout).ends_with(" lacks nothing\n"));
    } else {
        eprintln!("skipped: the machine was too busy for a count of each");
    }
}
