//! When what the profile says is checked, measured again, or kept beside what replaces it.

use super::daemon_home::*;
use rustix::process::Signal;
use std::fs;
use std::sync::Mutex;
use threadtune::daemon::status::State;
use threadtune::profile::{RegionConditions, StopReason, load, save};
use threadtune::units::ThreadCount;
use threadtune::workload::KERNEL_REVISION;

/// A daemon that has tuned everything and is stopped; each workload has a count.
fn tuned() -> Home {
    let mut home = Home::new(TINY);
    home.runs_until_idle();
    home.state_counts();
    home
}

/// Those on the real clock measure: one at a time, or each disturbs the other.
static ALONE: Mutex<()> = Mutex::new(());

/// Two cores multiply such matrices faster than one, but not by more than anything could turn round.
const MIDDLING: &str =
    "[[workload]]\nname = \"m\"\nshape = \"gemm:64x64x64:f32\"\nresidency = \"cache\"\n";

#[test]
#[ignore = "real clock"]
fn a_workload_is_looked_at_again_after_the_interval() {
    let _alone = ALONE.lock();
    let mut home = Home::new(MIDDLING);
    home.configure(&EAGER.replace("2s\"", "10s\"\nvisit_interval = \"5s\""));
    home.start();
    let first = home.is_idle();
    let entry = home.entry("m");
    assert_eq!(entry.stop, StopReason::Brief);
    assert_eq!(entry.visits, Some(1));
    assert!(
        home.log().contains("; looked at again in "),
        "{}",
        home.log()
    );
    assert!(first.next_wakeup.is_some());
    // What is to be looked at again survives a restart, and waits for its time, whatever was found.
    home.stop();
    let path = home.profile_path();
    let mut profile = load(&path).unwrap();
    profile.workloads[0].stop = StopReason::Unsteady;
    save(&path, &profile).unwrap();
    home.start();
    home.says("1 workload to be looked at again, the first in ", 1);
    home.says("measures m, once more", 1);
    home.wait("another visit", || home.entry("m").visits == Some(2));
    home.stop();
    // It began this verdict: nothing was replaced.
    assert!(!path.with_extension("previous.toml").exists());
    // Nothing waits for a profile that is gone.
    fs::remove_file(&path).unwrap();
    home.start();
    home.says(": to be measured: m", 2);
    home.wait("a first visit", || {
        path.exists() && home.entry("m").visits == Some(1)
    });
    home.stop();
    // What a run had no time for goes on from visit to visit, too, beside what was proven before.
    let mut profile = load(&path).unwrap();
    profile.workloads[0].stop = StopReason::Separated;
    profile.set_cut_short("m", true, &[]);
    save(&path, &profile).unwrap();
    let _ = fs::remove_file(home.path("state/unfinished.json"));
    let visits = home.log().matches("measures m, once more").count();
    home.start();
    home.says("m: the earlier verdict stays", 1);
    home.says("measures m, once more", visits + 1);
    home.stop();
}

#[test]
fn another_kernel_asks_for_a_check_and_keeps_the_verdicts() {
    let mut home = tuned();
    let path = home.profile_path();
    let profile = load(&path).unwrap();
    let kernel = format!("kernel = \"{}\"", profile.conditions[0].kernel);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&kernel), "{text}");
    fs::write(&path, text.replace(&kernel, "kernel = \"2.6.32\"")).unwrap();
    home.start();
    home.says("kernel 2.6.32 → ", 1);
    let is_one_cpu = profile.conditions[0].budget.limit.get() == 1;
    if !is_one_cpu {
        home.says("threadtune: checks ", 1);
    }
    home.is_idle();
    home.stop();
    let after = load(&path).unwrap();
    let [conditions] = &after.conditions[..] else {
        panic!("{:?}", after.conditions)
    };
    assert_eq!(conditions.kernel, profile.conditions[0].kernel);
    assert_eq!(conditions.budget, profile.conditions[0].budget);
    assert_eq!(home.names(), ["a", "b"]);
}

#[test]
fn what_older_kernels_said_is_measured_again() {
    let mut home = tuned();
    let path = home.profile_path();
    let text = fs::read_to_string(&path).unwrap();
    let kernels = format!("kernels = {KERNEL_REVISION}\n");
    assert_eq!(text.matches(&kernels).count(), 2, "{text}");
    fs::write(&path, text.replacen(&kernels, "", 1)).unwrap();
    home.start();
    home.says("to be measured: a", 2);
    home.is_idle();
    home.stop();
    assert_eq!(home.entry("a").kernels, Some(KERNEL_REVISION));
    assert_eq!(
        home.log().matches("threadtune: measures b").count(),
        1,
        "{}",
        home.log()
    );
}

#[test]
fn more_cpus_than_the_profile_knows_are_tuned_for_and_the_profile_before_is_kept() {
    let mut home = Home::new(TINY);
    home.runs_until_idle();
    let path = home.profile_path();
    let mut profile = load(&path).unwrap();
    let budget = profile.conditions[0].budget.clone();
    if budget.limit.get() == 1 {
        eprintln!("skipped more_cpus_than_the_profile_knows: there is one CPU");
        return;
    }
    for conditions in &mut profile.conditions {
        conditions.budget.limit = ThreadCount::ONE;
    }
    save(&path, &profile).unwrap();
    home.start();
    home.says("which are tuned again: a, b", 1);
    // Killed before all is tuned, it has not forgotten the rest.
    home.worker();
    home.signal(Signal::KILL);
    home.end();
    assert_eq!(home.names(), ["a", "b"]);
    home.runs_until_idle();
    // On a busy machine there may be no count that replaces the one before, which then stays as it was.
    let after = load(&path).unwrap();
    for entry in &after.workloads {
        let stays = format!("{}: the earlier verdict stays", entry.name);
        let conditions = after.conditions_of(entry).unwrap();
        assert!(
            conditions.budget == budget || home.log().contains(&stays),
            "{}",
            home.log()
        );
    }
    // Where nothing was replaced, there is nothing to be kept.
    if home.log().contains(" before, and takes ") {
        let previous = load(&path.with_extension("previous.toml")).unwrap();
        for entry in profile.workloads.iter().filter(|e| e.latency.is_some()) {
            let kept = previous.entry(&entry.name).unwrap();
            assert_eq!(kept, entry);
            let conditions = previous.conditions_of(kept).unwrap();
            assert_eq!(conditions.budget.limit, ThreadCount::ONE);
        }
    }
}

/// On the real clock: the machine must let a loss be proven that is many times what it takes, in one check of a few.
#[test]
#[ignore = "real clock"]
fn a_count_that_lost_is_tuned_again_and_both_numbers_are_told() {
    let _alone = ALONE.lock();
    let mut home = Home::new(TINY);
    home.configure(&EAGER.replace("2s\"", "10s\"\nvisit_interval = \"1s\""));
    home.runs_until_idle();
    let path = home.profile_path();
    let mut profile = load(&path).unwrap();
    let entry = &mut profile.workloads[0];
    let two = entry.curve.iter().find(|point| point.threads.get() == 2);
    let Some(two) = two.cloned() else {
        eprintln!("skipped a_count_that_lost: no second count was timed");
        return;
    };
    // Forking a thread takes longer than this whole product.
    let latency = entry
        .latency
        .as_mut()
        .expect("a quiet machine states a count");
    assert_eq!(latency.threads, ThreadCount::ONE);
    latency.threads = two.threads;
    save(&path, &profile).unwrap();
    home.start();
    home.is("the profile as it was", |status| {
        status.state == State::Idle && status.pid == home.pid()
    });
    // A neighbour may disturb a check; what was found a moment ago is not found twice.
    let twice = "for the second time";
    for checks in 1..=12 {
        home.signal(Signal::HUP);
        home.says("a: a call takes ", checks);
        home.is_idle();
        if home.log().contains(twice) {
            break;
        }
    }
    home.stop();
    let log = home.log();
    let once = log.lines().filter(|line| line.contains("are lost"));
    assert!(once.count() >= 2, "{log}");
    let line = log.lines().find(|line| line.contains(twice));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("a: a call takes ") && line.contains("with a count of 2"),
        "{line}"
    );
    let after = load(&path).unwrap();
    assert_eq!(
        after.workloads[0].latency.as_ref().unwrap().threads,
        ThreadCount::ONE
    );
    let previous = load(&path.with_extension("previous.toml")).unwrap();
    assert_eq!(
        previous.workloads[0]
            .latency
            .as_ref()
            .unwrap()
            .threads
            .get(),
        2
    );
}

#[test]
fn what_regions_cost_is_measured_beside_a_task_where_the_profile_does_not_know_it() {
    let mut home = tuned();
    let path = home.profile_path();
    let told = "what an empty parallel region costs was measured";
    assert_eq!(home.log().matches(told).count(), 1, "{}", home.log());
    let profile = load(&path).unwrap();
    let today = RegionConditions::from(&profile.conditions[0]);
    assert!(profile.has_regions(&today));
    let mut other = profile.clone();
    let conditions = other.region_conditions.as_mut().unwrap();
    conditions.governor = "made up".to_owned();
    // Known under other conditions only; then under those of today.
    for (before, plans) in [(other, 2), (profile, 3)] {
        let mut due = before;
        due.set_cut_short("a", true, &[]);
        save(&path, &due).unwrap();
        home.start();
        home.says("to be measured: a", plans);
        home.is_idle();
        home.stop();
        assert_eq!(home.log().matches(told).count(), 2, "{}", home.log());
        assert!(load(&path).unwrap().has_regions(&today));
    }
}
