//! What of a profile that is there already is kept, measured again or set aside.

use super::tuned_home::*;
use std::fs;
use std::process::Command;
use threadtune::profile::{Latency, Pause, RegionConditions, save};
use threadtune::units::ThreadCount;
use threadtune::worker::kernel::isa::Isa;
use threadtune::workload::KERNEL_REVISION;

#[test]
fn named_workloads_replace_their_entries_and_nothing_else() {
    let home = Home::new();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let path = home.profile_path();
    let marked = fs::read_to_string(&path)
        .unwrap()
        .replace("[machine]\n", "[machine]\nnote = \"kept\"\n");
    fs::write(&path, marked).unwrap();
    let before = home.profile();
    let output = home.tune(TINY).args(["b", "--seed", "5"]).output().unwrap();
    assert!(output.status.success());
    let after = home.profile();
    assert_eq!(names(&after), ["a", "b"]);
    assert_eq!(after.entry("a"), before.entry("a"));
    // On a busy machine it may have reached no verdict, and says so.
    let kept = text(&output.stderr).contains("the earlier verdict stays");
    assert_eq!(after.entry("b") == before.entry("b"), kept);
    assert!(after.spent_s > before.spent_s);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("note = \"kept\"\n")
    );
}

#[test]
fn missing_takes_only_what_the_profile_lacks() {
    let home = Home::new();
    assert!(home.tune(TINY).arg("a").output().unwrap().status.success());
    // the shape of `a` changes: its entry counts as missing, too
    let changed = TINY.replace("8x8x8", "8x8x9");
    let output = home.tune(&changed).arg("--missing").output().unwrap();
    assert!(output.status.success());
    let profile = home.profile();
    assert_eq!(names(&profile), ["a", "b"]);
    assert_eq!(profile.entry("a").unwrap().shape, "gemm:8x8x9:f32");
    if profile
        .workloads
        .iter()
        .all(|entry| entry.latency.is_some())
    {
        let before = fs::read_to_string(home.profile_path()).unwrap();
        let output = home.tune(&changed).arg("--missing").output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            (
                text(&output.stdout),
                fs::read_to_string(home.profile_path()).unwrap()
            ),
            (
                format!("{} lacks nothing\n", home.profile_path().display()),
                before
            )
        );
    }
}

fn measure_what_is_missing(home: &Home) {
    let output = home.tune(TINY).arg("--missing").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn what_other_kernels_said_is_missing_and_measured_again() {
    let home = Home::new();
    let capped = home
        .tune(TINY)
        .args(["--isa", "portable"])
        .output()
        .unwrap();
    assert_eq!(capped.status.code(), Some(0), "{}", text(&capped.stderr));
    let highest = Isa::best(None).level();
    let profile = home.profile();
    assert_eq!(profile.conditions[0].level.as_deref(), Some(highest.name()));
    let clock = profile.conditions[0].clock.as_ref().unwrap();
    assert!(
        !clock.source.is_empty() && clock.bracket_ns > clock.read_ns,
        "{clock:?}"
    );
    for entry in &profile.workloads {
        assert_eq!(entry.kernels, Some(KERNEL_REVISION));
        assert_eq!(entry.isa_cap.as_deref(), Some("portable"));
    }
    assert!(text(&capped.stdout).contains("capped at portable"));
    measure_what_is_missing(&home);
    let profile = home.profile();
    assert!(
        profile
            .workloads
            .iter()
            .all(|entry| entry.isa_cap.is_none())
    );
    // As if an earlier version had measured them.
    let path = home.profile_path();
    let today = fs::read_to_string(&path).unwrap();
    let kernels = format!("kernels = {KERNEL_REVISION}\n");
    assert_eq!(today.matches(&kernels).count(), 2);
    fs::write(&path, today.replace(&kernels, "")).unwrap();
    let show = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["show", "--profile"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(text(&show.stdout).contains("? a, b: measured with kernels older than revision"));
    measure_what_is_missing(&home);
    let again = fs::read_to_string(&path).unwrap();
    assert_eq!(again.matches(&kernels).count(), 2);
}

#[test]
fn a_broken_profile_makes_way_and_a_newer_one_stays() {
    let home = Home::new();
    let path = home.profile_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "schema = 1\nentries = 3\n").unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a"]);
    assert_eq!(
        fs::read_to_string(path.with_extension("toml.broken")).unwrap(),
        "schema = 1\nentries = 3\n"
    );

    let newer = fs::read_to_string(&path)
        .unwrap()
        .replace("schema = 2", "schema = 3");
    fs::write(&path, &newer).unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

/// Puts a time into the profile that no measurement gives.
fn mark_regions(home: &Home) {
    let mut profile = home.profile();
    profile.regions[0].after_us.insert(Pause::NONE, 59e6);
    save(&home.profile_path(), &profile).unwrap();
}

fn are_marked(home: &Home) -> bool {
    home.profile().regions[0].after_us[&Pause::NONE] == 59e6
}

fn succeeds(tune: &mut Command) -> String {
    let output = tune.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn regions_are_measured_once_a_machine_and_again_by_a_tuning_of_everything() {
    let home = Home::new();
    let said = succeeds(home.tune(TINY).arg("a"));
    assert!(said.contains("`threadtune show --regions`"), "{said}");
    let profile = home.profile();
    let today = RegionConditions::from(&profile.conditions[0]);
    assert_eq!(profile.region_conditions, Some(today));
    let limit = profile.conditions[0].budget.limit;
    assert_eq!(profile.regions.last().unwrap().threads, limit);
    for region in &profile.regions {
        let pauses: Vec<u32> = region.after_us.keys().map(|pause| pause.as_us()).collect();
        assert_eq!(pauses, [0, 1000, 10_000]);
    }
    // A workload more, and a machine that is known.
    mark_regions(&home);
    let said = succeeds(home.tune(TINY).arg("b"));
    assert!(!said.contains("--regions"), "{said}");
    succeeds(home.tune(TINY).args(["--missing", "a"]));
    assert!(are_marked(&home));
    succeeds(&mut home.tune(TINY));
    assert!(!are_marked(&home));
    assert_eq!(names(&home.profile()), ["a", "b"]);
    // Another team is another measurement, and nothing of the old one stays.
    mark_regions(&home);
    succeeds(home.tune(TINY).args(["a", "--team", "rayon"]));
    let profile = home.profile();
    assert!(!are_marked(&home));
    assert_eq!(profile.region_conditions.unwrap().team, "rayon");
}

#[test]
fn regions_are_missing_where_there_are_none() {
    let home = Home::new();
    succeeds(&mut home.tune(TINY));
    let mut profile = home.profile();
    (profile.region_conditions, profile.regions) = (None, Vec::new());
    // A busy machine may have left a workload without a count, which is missing, too.
    for entry in &mut profile.workloads {
        entry.latency.get_or_insert(Latency {
            threads: ThreadCount::ONE,
            median_us: 1.0,
            ci95_us: [0.9, 1.1],
        });
    }
    save(&home.profile_path(), &profile).unwrap();
    let said = succeeds(home.tune(TINY).arg("--missing"));
    assert!(said.contains("`threadtune show --regions`"), "{said}");
    let after = home.profile();
    assert!(!after.regions.is_empty());
    assert_eq!(after.workloads, profile.workloads);
}

#[test]
fn no_more_threads_than_the_budget_allows_run_a_region() {
    let home = Home::new();
    let mut tune = home.tune(TINY);
    tune.arg("a");
    let output = on_one_cpu(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let profile = home.profile();
    let counts: Vec<ThreadCount> = profile.regions.iter().map(|r| r.threads).collect();
    assert_eq!(counts, [ThreadCount::ONE]);
    let budget = profile.region_conditions.unwrap().budget;
    assert_eq!(budget.limit, ThreadCount::ONE);
}
