//! The metrics for the textfile collector.

use crate::{measuring, waiting};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use threadtune::daemon::metrics;
use threadtune::daemon::status::Status;

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
