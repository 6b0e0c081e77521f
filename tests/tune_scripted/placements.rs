//! Where placements compete, and which counts race unbound.

use super::script::{Asked, Place, Script, count, decide, jitter, layout};
use std::collections::BTreeSet;
use threadtune::machine::Placement;
use threadtune::tune::{Arm, Options, Placements, Stage, Step, Tuning};

/// `close` and `spread` at two to eleven of twelve CPUs.
fn both() -> Options {
    let both = vec![Placement::Close, Placement::Spread];
    Options {
        placements: Placements {
            at: (2..12).map(|n| (count(n), both.clone())).collect(),
            ..Placements::default()
        },
        ..Options::default()
    }
}

fn arm(threads: u32, placement: Placement) -> Arm {
    Arm {
        threads: count(threads),
        placement,
    }
}

fn sampled(script: &Script) -> BTreeSet<Arm> {
    let blocks = script.asked.iter().filter_map(|asked| match asked {
        Asked::Block(plan) => Some(plan),
        Asked::Idle(_) => None,
    });
    blocks.flatten().map(|(arm, _)| *arm).collect()
}

/// Fastest at six threads; spread ones are so much faster as this says, unbound ones as fast as close ones.
fn around_six(spread: f64) -> impl Fn(&Place) -> f64 {
    move |place| {
        let off = f64::from(place.arm.threads.get()) - 6.0;
        let seconds = 1e-3 * (1.0 + 0.02 * off * off) * jitter(place.sample, 0.002);
        match place.arm.placement {
            Placement::Spread => seconds * spread,
            _ => seconds,
        }
    }
}

#[test]
fn the_placement_that_is_faster_wins_the_bound_race() {
    for (spread, winner) in [(0.97, Placement::Spread), (1.03, Placement::Close)] {
        let mut script = Script::new(around_six(spread));
        let verdict = decide(&mut script, layout(12, 12), both());
        assert_eq!(verdict.pinned.unwrap().arm, arm(6, winner));
        assert_eq!(
            verdict.latency.unwrap().arm,
            arm(6, Placement::Unbound),
            "what launch gives without --pin is raced unbound"
        );
        let raced: BTreeSet<Arm> = verdict
            .curve
            .iter()
            .filter(|timed| timed.raced)
            .map(|timed| timed.arm)
            .collect();
        assert!(raced.contains(&arm(6, Placement::Close)));
        assert!(raced.contains(&arm(6, Placement::Spread)));
    }
}

#[test]
fn spread_is_sampled_only_where_it_means_other_cpus() {
    let mut script = Script::new(around_six(0.9));
    decide(&mut script, layout(12, 12), both());
    let asked = sampled(&script);
    for n in 1..=12 {
        assert!(asked.contains(&arm(n, Placement::Close)), "{n}");
        let spread = asked.contains(&arm(n, Placement::Spread));
        assert_eq!(spread, (2..12).contains(&n), "{n}");
    }
}

#[test]
fn a_count_that_is_best_only_unbound_is_found() {
    // Bound, two to six threads are within two percent and nine a third slower; unbound, nine are the best.
    let seconds = |place: &Place| {
        let n = place.arm.threads.get();
        let seconds = match (place.arm.placement, n) {
            (Placement::Unbound, 9) => 1.0e-3,
            (Placement::Unbound, _) => 1.1e-3 + 1e-5 * f64::from(n),
            (_, 2..=6) => 1.0e-3 + 4e-6 * f64::from(n),
            (_, 9) => 1.33e-3,
            _ => 1.5e-3,
        };
        seconds * jitter(place.sample, 0.002)
    };
    let mut script = Script::new(seconds);
    let mut tuning = Tuning::new(layout(12, 12), Options::default());
    let mut stages = Vec::new();
    let verdict = loop {
        // Every state between two steps can be stored.
        let json = serde_json::to_string(&tuning).unwrap();
        tuning = serde_json::from_str(&json).unwrap();
        match tuning.step(&mut script).unwrap() {
            Step::Done(verdict) => break verdict,
            Step::Progress(progress) => stages.push(progress.stage),
        }
    };
    stages.dedup();
    let screened = stages.iter().position(|s| *s == Stage::UnboundScreening);
    let raced = stages.iter().position(|s| *s == Stage::UnboundRace);
    assert!(screened.is_some() && screened < raced, "{stages:?}");
    assert_eq!(verdict.latency.unwrap().arm, arm(9, Placement::Unbound));
    assert!(verdict.pinned.unwrap().arm.threads <= count(6));
    assert!(verdict.stop.is_conclusive());
    // What was screened unbound is in the curve, marked as such.
    let screened_only = verdict
        .curve
        .iter()
        .filter(|timed| timed.arm.placement == Placement::Unbound && !timed.raced);
    assert!(screened_only.count() >= 4);
}

#[test]
fn a_disturbed_unbound_screening_falls_back_on_the_best_bound_counts() {
    let seconds = |place: &Place| 1e-3 * (1.0 + 0.01 * f64::from(place.arm.threads.get()));
    let unbound_so_far = std::cell::Cell::new(0);
    // Every unbound sample up to the race is disturbed.
    let mut script = Script::new(seconds).flagging(|place| {
        let unbound = place.arm.placement == Placement::Unbound && place.block < 8;
        unbound_so_far.set(unbound_so_far.get() + u32::from(unbound));
        unbound
    });
    let verdict = decide(&mut script, layout(12, 12), Options::default());
    drop(script);
    assert!(unbound_so_far.get() > 12);
    assert_eq!(verdict.latency.unwrap().arm, arm(1, Placement::Unbound));
}

#[test]
fn few_counts_race_unbound_at_once() {
    let seconds = |place: &Place| {
        let times = [4e-3, 2.1e-3, 2e-3, 2.2e-3];
        times[place.arm.threads.as_usize() - 1] * jitter(place.sample, 0.002)
    };
    let mut script = Script::new(seconds);
    let verdict = decide(&mut script, layout(4, 4), Options::default());
    assert_eq!(verdict.latency.unwrap().arm, arm(3, Placement::Unbound));
    let alone = script.asked.iter().any(|asked| match asked {
        Asked::Block(plan) => plan.len() == 1 && plan[0].0.placement == Placement::Unbound,
        Asked::Idle(_) => false,
    });
    assert!(!alone, "nothing was screened unbound");
}
