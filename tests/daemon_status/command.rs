//! `threadtune status` as a process.

use crate::{TEXT, expected, measuring, waiting};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use threadtune::daemon::status::{BusyProcess, Reason, State, Status, write};

/// `threadtune status` on a file.
fn run(path: &Path, option: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
    command.env_clear().arg("status").args(option);
    command.arg("--file").arg(path).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn people_get_a_few_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    write(&path, &waiting()).unwrap();
    let output = run(&path, None);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let lines = format!(
        "waiting: other processes use 1.8 CPUs, `python3` most of all (1.2)\n\
         since 2026-11-22T10:00:00Z; threadtune 0.1.0, process {}, started 2026-11-22T09:00:00Z\n\
         workloads: 22 conclusive, 3 inconclusive, 1 failed, 4 left\n\
         CPU time spent: 12.5 s today, 341.2 s in all\n\
         last check: never; next wake-up: 2026-11-22T10:01:00Z\n\
         machine: made-up-1s2c2t-5f3a9c\n\
         profile: /var/lib/threadtune/profiles/x/native.toml\n",
        std::process::id()
    );
    assert_eq!(text(&output.stdout), lines);
    write(&path, &measuring()).unwrap();
    let output = run(&path, None);
    let first = text(&output.stdout).lines().next();
    assert_eq!(first, Some("measuring matmul-256: 40 %, about 12 s left"));
}

#[test]
fn scripts_get_the_file_as_it_was_understood() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    // A later version of the same schema may have more keys.
    fs::write(&path, expected().replacen("{\n", "{\n  \"new\": [1],\n", 1)).unwrap();
    let output = run(&path, Some("--json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), expected());
}

#[test]
fn a_daemon_that_is_gone_is_told_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let gone = Status {
        pid: child.id(),
        ..measuring()
    };
    write(&path, &gone).unwrap();
    let output = run(&path, None);
    assert_eq!(output.status.code(), Some(0));
    let told = format!("process {} is gone", child.id());
    assert!(text(&output.stderr).contains(&told));
    let stopped = Status {
        state: State::Stopped,
        ..gone
    };
    write(&path, &stopped).unwrap();
    assert_eq!(text(&run(&path, None).stderr), "");
}

#[test]
fn names_cannot_steer_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let hostile = || Some("a\u{1b}[2J\nb\u{9b}".to_owned());
    let status = Status {
        version: hostile().unwrap(),
        reason: Some(Reason::Busy {
            cpus: 1.0,
            busiest: hostile().map(|name| BusyProcess { name, cpus: 1.0 }),
        }),
        machine: hostile(),
        profile: hostile(),
        ..waiting()
    };
    write(&path, &status).unwrap();
    let output = run(&path, None);
    let printed = text(&output.stdout);
    assert_eq!(printed.lines().count(), 7);
    assert!(!printed.chars().any(|c| c.is_control() && c != '\n'));
    assert_eq!(printed.matches("a\u{fffd}[2J\u{fffd}b\u{fffd}").count(), 4);
}

#[test]
fn without_a_daemon_the_exit_code_is_3_and_the_text_says_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&directory.path().join("none.json"), None);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    assert!(
        told.contains(
            "none.json, which a daemon writes; start one with `systemctl start threadtune`"
        ),
        "{told}"
    );
}

#[test]
fn a_broken_file_is_told_by_line_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let cases = [
        (
            "\"pid\": PID",
            "\"pid\": \"x\"",
            "line 4, key `pid`: invalid type",
        ),
        (
            "\"waiting\"",
            "\"dozing\"",
            "line 6, key `state`: unknown variant `dozing`",
        ),
        (
            "\"cpus\": 1.75",
            "\"cpus\": -1.75",
            "line 10, key `cpus`: must be 0 or more",
        ),
        (
            "2026-11-22T10:01:00Z",
            "soon",
            "line 29, key `next_wakeup`: not a time",
        ),
        (
            "\"left\": 4",
            "\"left\": 4,",
            "line 23: key must be a string",
        ),
        ("\"failed\": 1,", "", "missing field `failed`"),
        (
            "\"schema\": 1",
            "\"schema\": 2",
            "has status schema 2 and this threadtune knows 1",
        ),
    ];
    for (good, bad, told) in cases {
        let broken = TEXT.replacen(good, bad, 1).replace("PID", "1");
        assert_ne!(broken, TEXT.replace("PID", "1"));
        fs::write(&path, broken).unwrap();
        let output = run(&path, None);
        assert_eq!(output.status.code(), Some(1), "{good}");
        assert_eq!(text(&output.stdout), "");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("status.json") && stderr.contains(told),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn what_is_no_regular_file_of_a_sound_size_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("large"), vec![b' '; (64 << 10) + 1]).unwrap();
    fs::write(at("bytes"), b"{\n\xff").unwrap();
    for (name, told) in [
        ("fifo", "is a FIFO, not a regular file"),
        ("directory", "is a directory, not a regular file"),
        ("large", "has 65537 bytes, and at most 65536 are read"),
        ("bytes", "line 2: the text is not UTF-8"),
    ] {
        let output = run(&at(name), None);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            text(&output.stderr).contains(told),
            "{}",
            text(&output.stderr)
        );
    }
}
