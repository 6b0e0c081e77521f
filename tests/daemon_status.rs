//! The status of a daemon: its file, its metrics, and `threadtune status` as a process.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use threadtune::daemon::metrics;
use threadtune::daemon::status::{
    BusyProcess, Purpose, Reason, Spent, State, Status, StatusError, Task, WallTime, Workloads,
    read, write,
};

/// 2026-11-22T10:00:00Z.
const TEN: u64 = 1_795_341_600;

fn waiting() -> Status {
    Status {
        schema: 1,
        version: "0.1.0".to_owned(),
        // This process, which is certainly there.
        pid: std::process::id(),
        started: WallTime::from_unix_s(TEN - 3600),
        state: State::Waiting,
        since: WallTime::from_unix_s(TEN),
        reason: Some(Reason::Busy {
            cpus: 1.75,
            busiest: Some(BusyProcess {
                name: "python3".to_owned(),
                cpus: 1.25,
            }),
        }),
        task: None,
        workloads: Workloads {
            conclusive: 22,
            inconclusive: 3,
            failed: 1,
            left: 4,
        },
        spent: Spent {
            today_cpu_s: 12.5,
            total_cpu_s: 341.25,
        },
        last_check: None,
        next_wakeup: Some(WallTime::from_unix_s(TEN + 60)),
        machine: Some("made-up-1s2c2t-5f3a9c".to_owned()),
        profile: Some("/var/lib/threadtune/profiles/x/native.toml".to_owned()),
    }
}

fn measuring() -> Status {
    Status {
        state: State::Measuring,
        reason: None,
        task: Some(Task {
            purpose: Purpose::Tune,
            workload: "matmul-256".to_owned(),
            progress: 0.4,
            remaining_s: Some(11.6),
        }),
        ..waiting()
    }
}

const TEXT: &str = r#"{
  "schema": 1,
  "version": "0.1.0",
  "pid": PID,
  "started": "2026-11-22T09:00:00Z",
  "state": "waiting",
  "since": "2026-11-22T10:00:00Z",
  "reason": {
    "busy": {
      "cpus": 1.75,
      "busiest": {
        "name": "python3",
        "cpus": 1.25
      }
    }
  },
  "task": null,
  "workloads": {
    "conclusive": 22,
    "inconclusive": 3,
    "failed": 1,
    "left": 4
  },
  "spent": {
    "today_cpu_s": 12.5,
    "total_cpu_s": 341.25
  },
  "last_check": null,
  "next_wakeup": "2026-11-22T10:01:00Z",
  "machine": "made-up-1s2c2t-5f3a9c",
  "profile": "/var/lib/threadtune/profiles/x/native.toml"
}
"#;

fn expected() -> String {
    TEXT.replace("PID", &std::process::id().to_string())
}

#[test]
fn the_file_is_json_that_everyone_may_read_and_nothing_lies_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    // The directory is made, and a link is replaced, not followed.
    let path = directory.path().join("run/status.json");
    let elsewhere = directory.path().join("elsewhere");
    write(&path, &measuring()).unwrap();
    fs::write(&elsewhere, "untouched").unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    write(&path, &waiting()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn every_state_and_reason_is_read_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let reasons = [
        Reason::Quiet,
        Reason::Busy {
            cpus: 0.5,
            busiest: None,
        },
        Reason::Pressure { percent: 12.5 },
        Reason::Battery,
        Reason::Hours,
        Reason::DailyLimit,
        Reason::Changed,
        Reason::Stopping,
        Reason::Stuck {
            why: "the disk is full".to_owned(),
        },
    ];
    for state in State::ALL {
        for reason in reasons.clone() {
            let status = Status {
                state,
                reason: Some(reason.clone()),
                ..measuring()
            };
            write(&path, &status).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&format!("\"state\": \"{}\"", state.name())));
            assert!(text.contains(&format!("\"{}\"", reason.name())), "{text}");
            assert_eq!(read(&path).unwrap(), status);
        }
    }
}

#[test]
fn a_value_that_could_not_be_read_again_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let busy = |cpus| Status {
        reason: Some(Reason::Busy {
            cpus,
            busiest: None,
        }),
        ..waiting()
    };
    let broken = [
        (busy(f64::NAN), "cpus"),
        (busy(-1.0), "cpus"),
        (
            Status {
                reason: None,
                ..waiting()
            },
            "reason",
        ),
        (
            Status {
                task: None,
                ..measuring()
            },
            "task",
        ),
    ];
    for (status, wrong) in broken {
        let error = write(&path, &status).unwrap_err();
        assert!(
            matches!(error, StatusError::Impossible { key, .. } if key == wrong),
            "{error}"
        );
        assert!(!path.exists());
    }
}

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
        told.contains("none.json; start it with `systemctl start threadtune`"),
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
            "line 29, key `next_wakeup`: a time like",
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
fn any_cut_of_the_file_is_an_error_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("status.json");
    let whole = expected();
    let end = whole.trim_end().len();
    for length in 0..end {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(
            matches!(read(&path), Err(StatusError::Malformed { .. })),
            "{length}"
        );
    }
    fs::write(&path, &whole[..end]).unwrap();
    assert_eq!(read(&path).unwrap(), waiting());
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
        ("large", "has 65537 bytes and a status at most 65536"),
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

#[test]
fn metrics_have_units_in_their_names_and_one_state_that_is_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("threadtune.prom");
    metrics::write(&path, &waiting()).unwrap();
    let expected = r#"# HELP threadtune_info What runs, where, and for which profile.
# TYPE threadtune_info gauge
threadtune_info{version="0.1.0",machine="made-up-1s2c2t-5f3a9c",profile="/var/lib/threadtune/profiles/x/native.toml"} 1
# HELP threadtune_state 1 for the state of the daemon, 0 for the others.
# TYPE threadtune_state gauge
threadtune_state{state="idle"} 0
threadtune_state{state="waiting"} 1
threadtune_state{state="measuring"} 0
threadtune_state{state="standing_back"} 0
threadtune_state{state="stopped"} 0
# HELP threadtune_reason Why the daemon does not measure.
# TYPE threadtune_reason gauge
threadtune_reason{reason="busy"} 1
# HELP threadtune_workloads Workloads by what is known about them.
# TYPE threadtune_workloads gauge
threadtune_workloads{verdict="conclusive"} 22
threadtune_workloads{verdict="inconclusive"} 3
threadtune_workloads{verdict="failed"} 1
threadtune_workloads{verdict="left"} 4
# HELP threadtune_cpu_seconds_total CPU time spent on measuring.
# TYPE threadtune_cpu_seconds_total counter
threadtune_cpu_seconds_total 341.25
# HELP threadtune_cpu_today_seconds CPU time spent on measuring since midnight.
# TYPE threadtune_cpu_today_seconds gauge
threadtune_cpu_today_seconds 12.5
# HELP threadtune_start_time_seconds When the daemon was started. Seconds since 1970.
# TYPE threadtune_start_time_seconds gauge
threadtune_start_time_seconds 1795338000
# HELP threadtune_state_since_seconds When its state began. Seconds since 1970.
# TYPE threadtune_state_since_seconds gauge
threadtune_state_since_seconds 1795341600
# HELP threadtune_next_wakeup_seconds When the daemon will look again. Seconds since 1970.
# TYPE threadtune_next_wakeup_seconds gauge
threadtune_next_wakeup_seconds 1795341660
"#;
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    let text = metrics::text(&measuring());
    assert!(
        text.contains("\nthreadtune_task_progress_ratio 0.4\n"),
        "{text}"
    );
    assert!(!text.contains("threadtune_reason"));
}

#[test]
fn labels_are_escaped_and_processes_are_not_named() {
    let status = Status {
        profile: Some("/a\"} 1\nforged{x=\"\\".to_owned()),
        ..waiting()
    };
    let text = metrics::text(&status);
    assert!(
        text.contains(r#",profile="/a\"} 1\nforged{x=\"\\"} 1"#),
        "{text}"
    );
    assert!(!text.lines().any(|line| line.starts_with("forged")));
    assert!(!text.contains("python3"));
}
