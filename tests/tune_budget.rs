//! `threadtune tune` with too little time, and the order in which time is spent.

mod tuned_home;

use std::fs;
use std::process::Output;
use threadtune::profile::{Entry, Latency, StopReason, save};
use threadtune::units::ThreadCount;
use threadtune::workload::Catalog;
use tuned_home::*;

/// Runs `tune` with less time than it takes to fill the first workload's data, on any machine.
fn with_time_for_none(home: &Home) -> Output {
    home.tune(LONG_THEN_TINY)
        .args(["--budget", "1ms"])
        .output()
        .unwrap()
}

/// An entry that states a count, made from one that may not.
fn conclusive(entry: &Entry, name: &str, shape: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        shape: shape.to_owned(),
        stop: StopReason::Separated,
        p_within: 0.99,
        latency: Some(Latency {
            threads: ThreadCount::ONE,
            median_us: 1.0,
            ci95_us: [0.9, 1.1],
        }),
        ..entry.clone()
    }
}

#[test]
fn what_the_budget_of_a_run_cuts_short_is_named_and_made_up_for() {
    let home = Home::new();
    let output = with_time_for_none(&home);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let profile = home.profile();
    assert_eq!((names(&profile), profile.entries), (vec!["long"], 1));
    let long = &profile.workloads[0];
    assert_eq!((&long.stop, long.samples), (&StopReason::Budget, 0));
    assert_eq!(profile.cut_short, ["long", "tiny"]);
    assert!(
        stderr.contains(
            "the budget of 1ms was too short for long, tiny; `threadtune tune --missing --catalog /"
        ),
        "{stderr}"
    );
    assert!(!stderr.contains("[2/2]"), "{stderr}");
    assert!(text(&output.stdout).contains("\nlong "));

    let output = home
        .tune(LONG_THEN_TINY)
        .args(["--missing", "tiny"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(names(&profile), ["long", "tiny"]);
    assert_eq!(profile.cut_short, ["long"]);
}

#[test]
fn what_a_run_leaves_undecided_or_out_is_cut_short_and_nothing_else() {
    let home = Home::new();
    let output = home
        .tune(LONG_THEN_TINY)
        .args(["--budget", "1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let profile = home.profile();
    // How far a second reaches is the machine's business.
    let undecided = |name: &&str| {
        profile
            .entry(name)
            .is_none_or(|entry| !entry.stop.is_conclusive())
    };
    let expected: Vec<&str> = ["long", "tiny"].into_iter().filter(undecided).collect();
    assert_eq!(profile.cut_short, expected);
    assert_eq!(
        text(&output.stderr).contains("the budget of 1s was too short for"),
        !expected.is_empty()
    );
}

#[test]
fn a_verdict_that_was_cut_short_replaces_no_conclusive_one() {
    let home = Home::new();
    let tiny = home.tune(LONG_THEN_TINY).arg("tiny").output().unwrap();
    assert_eq!(tiny.status.code(), Some(0), "{}", text(&tiny.stderr));
    let mut profile = home.profile();
    let catalog = Catalog::parse(LONG_THEN_TINY).unwrap();
    let shape = &catalog.get("long").unwrap().shape;
    let long = conclusive(&profile.workloads[0], "long", &shape.to_string());
    profile.merge([long.clone()], &["long", "tiny"], 0.0);
    save(&home.profile_path(), &profile).unwrap();

    let output = with_time_for_none(&home);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("long: the earlier verdict stays"),
        "{stderr}"
    );
    let after = home.profile();
    assert_eq!(after.workloads, profile.workloads);
    assert_eq!(after.cut_short, ["long", "tiny"]);
}

#[test]
fn what_was_cut_short_is_missing_until_it_is_measured() {
    let home = Home::new();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let path = home.profile_path();
    let cut = fs::read_to_string(&path).unwrap().replace(
        "entries = 2\n",
        "entries = 2\ncut_short = [\"a\", \"elsewhere\"]\n",
    );
    fs::write(&path, cut).unwrap();
    let output = home.tune(TINY).arg("--missing").output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("] a: "), "{stderr}");
    // Another catalogue may hold the other one.
    assert_eq!(home.profile().cut_short, ["elsewhere"]);
}

#[test]
fn quick_workloads_are_measured_first_and_printed_in_the_catalogues_order() {
    let home = Home::new();
    let catalog = format!("{TINY}quick = true\n");
    let output = home
        .tune(&catalog)
        .args(["--budget", "1h"])
        .output()
        .unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let at = |part: &str| stderr.find(part).unwrap_or_else(|| panic!("{stderr}"));
    assert!(
        at(" s expected, at most 6 s\n") < at("[1/2] b: ") && at("[1/2] b: ") < at("[2/2] a: "),
        "{stderr}"
    );
    assert!(stdout.find("\na ").unwrap() < stdout.find("\nb ").unwrap());
    assert_eq!(names(&home.profile()), ["a", "b"]);
    assert!(home.profile().cut_short.is_empty());
    assert!(!stderr.contains("too short"), "{stderr}");
}

#[test]
fn the_expected_time_is_progress_and_bounded_by_the_budget() {
    let home = Home::new();
    let tune = |arguments: &[&str]| {
        let output = home.tune(TINY).arg("a").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let says = "1 workload, about 1 s expected, at most 1 s\n";
    let stderr = tune(&["--budget", "1"]);
    assert!(stderr.contains(says), "{stderr}");
    assert!(!tune(&["--quiet"]).contains("expected"));
}

#[test]
fn a_budget_that_is_no_time_is_wrong_usage() {
    for budget in ["0", "-1", "soon", "25h", "0.5"] {
        for option in ["--budget", "--workload-budget"] {
            let output = Home::new()
                .tune(TINY)
                .args(["a", &format!("{option}={budget}")])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{option} {budget}");
            assert!(text(&output.stderr).contains(option));
        }
    }
}
