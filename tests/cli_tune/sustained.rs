//! `--sustained`: what it adds to a run, what it leaves in the profile, and what leaves that alone.

use super::tuned_home::*;
use std::fs;
use std::process::Command;
use threadtune::profile::{Entry, Latency, StopReason, save};
use threadtune::units::ThreadCount;

fn show(home: &Home) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["show", "a", "--profile"])
        .arg(home.profile_path())
        .output()
        .unwrap();
    text(&output.stdout)
}

#[test]
fn full_load_is_forecast_recorded_and_shown() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .args(["a", "--sustained", "1s"])
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let says = "at most 3 s, 1s of full load for each of them included";
    assert!(stderr.contains(says), "{stderr}");
    let profile = home.profile();
    let entry = profile.entry("a").unwrap();
    let is_raced = entry.stop.is_conclusive() && entry.stop != StopReason::Single;
    if is_raced {
        assert_eq!(entry.sustained_s, Some(1.0));
    } else if entry.latency.is_none() || entry.stop == StopReason::Single {
        assert_eq!(entry.sustained_s, None);
    }
    let told = show(&home).contains("raced after 1 s of full load");
    assert_eq!(told, entry.sustained_s.is_some());
}

#[test]
fn the_load_ends_when_it_is_asked_to() {
    let home = Home::new();
    let mut tune = home.tune(TINY);
    tune.args(["a", "--sustained", "10m"]);
    let mut tune = spawn(&mut tune);
    let worker = worker_of(&tune);
    // More than two CPUs could compute in all that comes before; a machine that disturbs the bursts is not loaded at all.
    let is_over = wait_for("the load", || {
        let is_over = tune.try_wait().unwrap().is_some();
        (is_over || ticks(worker) > 700).then_some(is_over)
    });
    if is_over {
        println!("SKIPPED: other processes disturb too much for a race under load");
        return;
    }
    signal(tune.id(), rustix::process::Signal::INT);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(!home.profile_path().exists());
}

#[test]
fn a_time_that_is_no_load_is_wrong_usage() {
    for (time, says) in [
        ("0", "`0` is not allowed; expected 1 second to 1 hour"),
        ("2h", "`2h` is not allowed; expected 1 second to 1 hour"),
        ("soon", "`soon` is not a duration"),
    ] {
        let output = Home::new()
            .tune(TINY)
            .args(["a", &format!("--sustained={time}")])
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
    // What is timed under load could not be told from bursts.
    let output = Home::new()
        .tune(TINY)
        .args(["a", "--sustained", "1s", "--record", "r.csv"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn bursts_replace_what_is_sustained_only_where_it_is_named() {
    let home = Home::new();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let mut profile = home.profile();
    let sustained = |entry: &Entry| Entry {
        stop: StopReason::Separated,
        p_within: 0.99,
        sustained_s: Some(30.0),
        latency: Some(Latency {
            threads: ThreadCount::ONE,
            median_us: 1.0,
            ci95_us: [0.9, 1.1],
        }),
        ..entry.clone()
    };
    profile.workloads = profile.workloads.iter().map(sustained).collect();
    save(&home.profile_path(), &profile).unwrap();
    let before = fs::read_to_string(home.profile_path()).unwrap();
    let output = home.tune(TINY).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains(
            "found under sustained load: a b; `threadtune tune --sustained 30s a b` does so"
        ),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(home.profile_path()).unwrap(), before);
    // Regions are the machine's: where there are none they are measured all the same.
    let regions = std::mem::take(&mut profile.regions);
    assert!(!regions.is_empty());
    profile.region_conditions = None;
    save(&home.profile_path(), &profile).unwrap();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let after = home.profile();
    assert_eq!(after.workloads, profile.workloads);
    assert_eq!(after.regions.len(), regions.len());
    // What is known from long load is not missing; what is known from bursts alone is.
    let missing = || {
        let mut tune = home.tune(TINY);
        let output = tune.args(["--missing", "--sustained", "1s"]).output();
        output.unwrap()
    };
    assert!(text(&missing().stdout).ends_with("lacks nothing\n"));
    let mut bursts = after;
    bursts.workloads[0].sustained_s = None;
    save(&home.profile_path(), &bursts).unwrap();
    let stderr = text(&missing().stderr);
    assert!(stderr.contains("threadtune: 1 workload,"), "{stderr}");
    save(&home.profile_path(), &profile).unwrap();

    let output = home.tune(TINY).arg("a").output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let after = home.profile();
    assert_eq!(after.entry("b"), profile.entry("b"));
    // On a busy machine bursts may have reached no verdict.
    let kept = stderr.contains("the earlier verdict stays");
    assert_eq!(after.entry("a").unwrap().sustained_s.is_some(), kept);
}
