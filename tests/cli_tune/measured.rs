//! What is measured, and what is said about it.

use super::tuned_home::*;
use super::unbindable::{can_be_denied, denied};
use std::fs;
use std::process::Command;
use threadtune::machine::{Placement, affinity};
use threadtune::profile::{CurvePoint, Entry, Residency, StopReason};

/// Other tests keep the CPUs busy: an entry may state no count, but then that is the reason it gives, and not every
/// sample was disturbed.
fn counted_unless_contaminated(entry: &Entry) {
    assert!(!entry.curve.is_empty(), "{:?}", entry.stop);
    assert!(
        entry.latency.is_some() || entry.stop == StopReason::Contaminated,
        "{:?}",
        entry.stop
    );
}

#[test]
fn a_tuning_prints_a_table_and_writes_a_profile() {
    let home = Home::new();
    let output = home.tune(TINY).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("workload"), "{stdout}");
    assert!(
        stdout.ends_with(&format!("\nProfile: {}\n", home.profile_path().display())),
        "{stdout}"
    );
    let lines: Vec<&str> = stderr.lines().filter(|l| l.contains("] ")).collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("threadtune: [1/2] a: ")
            && lines[1].starts_with("threadtune: [2/2] b: "),
        "{stderr}"
    );
    let profile = home.profile();
    assert_eq!(names(&profile), ["a", "b"]);
    assert_eq!(profile.entries, 2);
    for entry in &profile.workloads {
        assert!(
            !matches!(entry.stop, StopReason::Failed(_)),
            "{:?}",
            entry.stop
        );
        assert!(entry.samples > 0 && entry.first_call_us.is_some());
        counted_unless_contaminated(entry);
    }
}

#[test]
fn a_recording_holds_every_sample_and_can_be_replayed() {
    let home = Home::new();
    let file = home.directory.path().join("samples.csv");
    let output = home.tune(TINY).arg("--record").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let recorded = fs::read_to_string(&file).unwrap();
    assert!(
        recorded
            .starts_with("workload,threads,seconds,placement,flagged,calls,block,time_s,visit\na,"),
        "{recorded}"
    );
    let samples: u64 = home.profile().workloads.iter().map(|e| e.samples).sum();
    assert_eq!(recorded.lines().count() as u64, 1 + samples);
    let mut flags = recorded.lines().skip(1).map(|row| row.split(',').nth(4));
    assert!(
        flags.any(|flag| flag == Some("0")),
        "whatever else runs, not every sample is disturbed: {recorded}"
    );
    let machine = home.directory.path().join("samples.machine.toml");
    let replay = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["replay", "--json", "--machine"])
        .args([&machine, &file])
        .output()
        .unwrap();
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay.stderr));
    let json: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    let names: Vec<_> = json["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["workload"])
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn one_cpu_leaves_a_single_count() {
    let home = Home::new();
    let mut tune = home.tune(TINY);
    tune.arg("a");
    let output = on_one_cpu(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(
        (
            profile.conditions[0].budget.limit.get(),
            profile.conditions[0].budget.by.as_str()
        ),
        (1, "affinity")
    );
    let entry = profile.entry("a").unwrap();
    counted_unless_contaminated(entry);
    if let Some(latency) = &entry.latency {
        assert_eq!((latency.threads.get(), entry.ties.len()), (1, 1));
    }
    assert!(
        matches!(
            entry.stop,
            StopReason::Single | StopReason::Contaminated | StopReason::Budget
        ),
        "{:?}",
        entry.stop
    );
    assert!(entry.curve.iter().all(|point| point.threads.get() == 1));
}

#[test]
fn what_the_caller_inherited_does_not_reach_the_worker() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .arg("a")
        .env("OMP_THREAD_LIMIT", "1")
        .env("OMP_DYNAMIC", "true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!matches!(
        home.profile().workloads[0].stop,
        StopReason::Failed(_)
    ));
}

#[test]
fn a_rayon_team_is_recorded_as_such() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .args(["a", "--team", "rayon"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(home.profile().conditions[0].team, "rayon");
}

#[test]
fn tiny_data_in_memory_neither_fills_it_nor_takes_long() {
    let home = Home::new();
    let one = "[[workload]]\nname = \"one\"\nshape = \"gemm:1x1x1:f32\"\n";
    let output = home.tune(one).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("one: its data is too small to be kept out of the cache"),
        "{stderr}"
    );
    let profile = home.profile();
    let entry = profile.entry("one").unwrap();
    assert_eq!(entry.residency, Residency::Cache);
    // A call of nothing is mostly the call itself: no kernel is slow for that.
    assert_eq!(entry.share, None);
}

#[test]
fn the_configured_reserve_bounds_what_is_measured() {
    let home = Home::new();
    let file = home.directory.path().join("threadtune/threadtune.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[budget]\nreserve = 4096\n").unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(profile.conditions[0].budget.limit.get(), 1);
    let counts = profile.workloads[0].curve.iter().map(|p| p.threads.get());
    assert_eq!(counts.max(), Some(1));
    if affinity::current().unwrap().len() > 1 {
        assert_eq!(profile.conditions[0].budget.by, "reserve");
    }
}

#[test]
fn who_keeps_the_machine_busy_is_named_before_measuring() {
    let home = Home::new();
    let mut neighbour = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .unwrap();
    computed(neighbour.id(), 20);
    let output = home.tune(TINY).arg("a").output().unwrap();
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let stderr = text(&output.stderr);
    let warning = stderr.lines().next().unwrap();
    assert!(
        warning.contains("other processes use") && warning.contains(" CPUs: "),
        "{stderr}"
    );
}

#[test]
fn where_threads_cannot_be_bound_only_unbound_ones_are_timed() {
    if !can_be_denied("where_threads_cannot_be_bound_only_unbound_ones_are_timed") {
        return;
    }
    let home = Home::new();
    let mut tune = home.tune(TINY);
    tune.arg("a");
    let output = denied(&tune).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains(
            "threads cannot be bound to CPUs here (Operation not permitted (os error 1))"
        ),
        "{stderr}"
    );
    let profile = home.profile();
    let entry = profile.entry("a").unwrap();
    // Whoever traces is another process, which may disturb all of them.
    assert!(!matches!(entry.stop, StopReason::Failed(_)), "{stderr}");
    assert!(entry.samples > 1 && entry.pinned.is_none());
    let unbound = |point: &CurvePoint| point.placement == Placement::Unbound;
    assert!(entry.curve.iter().all(unbound), "{:?}", entry.curve);
}
