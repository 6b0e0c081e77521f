//! Where placements compete, and which counts race unbound.

use super::script::{Asked, Place, Script, count, decide, jitter, layout};
use std::collections::BTreeSet;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{After, Arm, Options, Placements, Stage, Step, Tuning};

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
            Step::Rest(..) => unreachable!("it is done in one go"),
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

#[test]
fn candidates_that_the_time_does_not_hold_leave_the_verdict_open() {
    // Six threads are plainly best; all others are near enough to be best unbound.
    let seconds = |call: f64| {
        move |place: &Place| match place.arm.threads.get() {
            6 => call * jitter(place.sample, 0.002),
            _ => 1.1 * call * jitter(place.sample, 0.002),
        }
    };
    let decide = |call| {
        let mut script = Script::new(seconds(call));
        decide(&mut script, layout(12, 12), Options::default())
    };
    let short = decide(3e-3);
    assert_eq!(short.stop, StopReason::Separated);
    let long = decide(0.45);
    assert_eq!(long.stop, StopReason::Short);
    for verdict in [short, long] {
        assert_eq!(verdict.latency.unwrap().arm.threads, count(6));
    }
}

/// What was recorded, and the placements at each count.
fn recorded(arms: &[Arm]) -> Options {
    let mut options = Options {
        only: Some(arms.iter().copied().collect()),
        ..Options::default()
    };
    for arm in arms.iter().filter(|a| a.placement != Placement::Unbound) {
        let at = options.placements.at.entry(arm.threads).or_default();
        at.push(arm.placement);
    }
    options
}

#[test]
fn all_logical_cpus_never_race_alone() {
    // Bound, four threads are best by far; unbound, only two and all sixteen were recorded.
    let seconds = |place: &Place| {
        let n = place.arm.threads.get();
        let off = f64::from(n.abs_diff(4));
        let unbound = place.arm.placement == Placement::Unbound;
        let seconds = if unbound && n == 2 {
            1e-3
        } else {
            2e-3 + 1e-3 * off
        };
        seconds * jitter(place.sample, 0.002)
    };
    let close = (1..=16).map(|n| arm(n, Placement::Close));
    let unbound = [2, 16].map(|n| arm(n, Placement::Unbound));
    let arms: Vec<Arm> = close.chain(unbound).collect();
    let mut script = Script::new(seconds);
    let verdict = decide(&mut script, layout(16, 16), recorded(&arms));
    assert_eq!(verdict.latency.unwrap().arm, arm(2, Placement::Unbound));
    // One unbound arm that was never looked at bound: nothing can be said about unbound threads.
    let mut script = Script::new(seconds);
    let close: Vec<Arm> = (3..=15).map(|n| arm(n, Placement::Close)).collect();
    let arms = [close, vec![arm(16, Placement::Unbound)]].concat();
    let verdict = decide(&mut script, layout(16, 16), recorded(&arms));
    assert_eq!(verdict.latency.unwrap().arm, arm(4, Placement::Close));
    assert_eq!(verdict.stop, StopReason::Undecided);
}

#[test]
fn one_count_with_two_placements_is_a_choice() {
    let seconds = |place: &Place| match place.arm.placement {
        Placement::Spread => 0.9e-3 * jitter(place.sample, 0.002),
        _ => 1e-3 * jitter(place.sample, 0.002),
    };
    let both = [arm(4, Placement::Close), arm(4, Placement::Spread)];
    let options = |arms: &[Arm]| Options {
        then: After::Nothing,
        ..recorded(arms)
    };
    let stop = |options| decide(&mut Script::new(seconds), layout(4, 4), options);
    let verdict = stop(options(&both));
    assert_eq!(verdict.stop, StopReason::Separated);
    assert_eq!(verdict.pinned.unwrap().arm, both[1]);
    assert_eq!(stop(options(&both[..1])).stop, StopReason::Single);
}
