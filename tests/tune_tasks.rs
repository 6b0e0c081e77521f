//! `threadtune tune` of a user who may have few tasks only (`RLIMIT_NPROC`).

mod tuned_home;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use threadtune::profile::{Profile, StopReason};
use tuned_home::*;

const THREADTUNE: &str = env!("CARGO_BIN_EXE_threadtune");

/// A user whom nobody else is, each test another: the kernel counts all tasks of one, wherever they come from.
fn somebody(test: u32) -> [String; 3] {
    let id = 20_000 + std::process::id() % 20_000 * 2 + test;
    [
        format!("--reuid={id}"),
        format!("--regid={id}"),
        "--clear-groups".to_owned(),
    ]
}

/// A home that anybody may write to, with a copy of the binary; nothing where nobody else can be started.
fn shared_home(name: &str, test: u32) -> Option<Home> {
    let home = Home::new();
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(home.directory.path(), everybody).unwrap();
    let binary = home.directory.path().join("binary");
    fs::copy(THREADTUNE, &binary).unwrap();
    let tried = Command::new("setpriv")
        .args(somebody(test))
        .args(["prlimit", "--nproc=9"])
        .arg(&binary)
        .arg("--version")
        .output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped {name}: needs root, setpriv and prlimit");
        return None;
    }
    Some(home)
}

/// Tunes one small workload as a user who may have so many tasks.
fn tune(home: &Home, test: u32, tasks: usize, team: &str) -> Output {
    let own = |path: &str| home.directory.path().join(path);
    let _ = fs::remove_dir_all(own("threadtune"));
    Command::new("setpriv")
        .args(somebody(test))
        .args(["prlimit", &format!("--nproc={tasks}")])
        .arg(own("binary"))
        .args(["tune", "a", "--workload-budget", "2", "--team", team])
        .arg("--turns")
        .arg(home.directory.path())
        .arg("--catalog")
        .arg(home.catalog(TINY))
        .env("XDG_STATE_HOME", home.directory.path())
        .env("XDG_CONFIG_HOME", home.directory.path())
        .output()
        .unwrap()
}

/// The largest count that the profile says was timed.
fn largest(profile: &Profile) -> usize {
    let entry = &profile.workloads[0];
    assert!(
        !matches!(entry.stop, StopReason::Failed(_)),
        "{}",
        entry.stop
    );
    let counts = entry.curve.iter().map(|point| point.threads.as_usize());
    counts.max().unwrap_or(0)
}

#[test]
fn a_tuning_leaves_room_for_its_own_tasks() {
    let Some(home) = shared_home("a_tuning_leaves_room_for_its_own_tasks", 0) else {
        return;
    };
    // The supervisor is one task. The worker's main thread is another one unless the team is OpenMP's.
    for (team, tasks, threads) in [
        ("openmp", 2, 1),
        ("openmp", 3, 2),
        ("rayon", 3, 1),
        ("rayon", 4, 2),
        ("auto", 3, 1),
    ] {
        let case = format!("{team}, {tasks} tasks");
        let output = tune(&home, 0, tasks, team);
        let stderr = text(&output.stderr);
        if team == "openmp" && stderr.contains("no OpenMP") {
            eprintln!("skipped {case}: no OpenMP runtime");
            continue;
        }
        assert_eq!(output.status.code(), Some(0), "{case}: {stderr}");
        let profile = home.profile();
        let limit = profile.conditions[0].budget.limit.as_usize();
        assert!((1..=threads).contains(&limit), "{case}: {limit}");
        assert!(largest(&profile) <= threads, "{case}");
    }
}

#[test]
fn a_limit_without_room_for_one_thread_is_named_and_nothing_is_written() {
    const NAME: &str = "a_limit_without_room_for_one_thread_is_named_and_nothing_is_written";
    let Some(home) = shared_home(NAME, 1) else {
        return;
    };
    for (team, tasks, says) in [
        ("openmp", 1, "beside threadtune's own tasks (1)"),
        ("rayon", 2, "`--team openmp` needs one task less"),
    ] {
        let output = tune(&home, 1, tasks, team);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let limit = format!("RLIMIT_NPROC of {tasks}, 1 in use (proc/self/limits) has no room");
        for part in [&limit, "raise it by `ulimit -u`", says] {
            assert!(stderr.contains(part), "{stderr}");
        }
        assert!(!Path::exists(&home.directory.path().join("threadtune")));
    }
}
