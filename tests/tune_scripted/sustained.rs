//! The race under sustained load: what is asked of the bench, what is stated, and what a rest costs.

use super::script::{Asked, Script, chosen, count, decide, jitter, layout};
use std::cell::Cell;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Arm, Options, Stage, Step, Tuning};
use threadtune::units::Nanos;

const LOAD: Nanos = Nanos(5_000_000_000);
/// Samples of full load before each under load.
const LOADS: usize = 4;

fn options() -> Options {
    Options {
        sustained: Some(LOAD),
        ..Options::default()
    }
}

/// Four CPUs; four threads are the fastest until they have run for twenty samples on end, and two from then on, until two
/// samples on end are of fewer.
fn limited(milliseconds: f64) -> Script<'static> {
    let (wide, narrow, is_limited) = (Cell::new(0), Cell::new(0), Cell::new(false));
    Script::new(move |place| {
        let threads = place.arm.threads.as_usize();
        if threads == 4 {
            wide.set(wide.get() + 1);
            narrow.set(0);
        } else {
            narrow.set(narrow.get() + 1);
            wide.set(0);
        }
        is_limited.set(wide.get() >= 20 || is_limited.get() && narrow.get() < 2);
        let times = if is_limited.get() {
            [4.0, 2.2, 2.5, 2.8]
        } else {
            [4.0, 2.2, 2.1, 2.0]
        };
        times[threads - 1] * milliseconds * 1e-3 * jitter(place.sample, 0.002)
    })
}

fn widest() -> Arm {
    Arm {
        threads: count(4),
        placement: Placement::Close,
    }
}

#[test]
fn what_was_best_in_bursts_is_overruled_by_what_is_sustained() {
    let bursts = decide(&mut limited(0.5), layout(4, 4), Options::default());
    assert_eq!((chosen(&bursts), bursts.sustained), (4, None));
    let verdict = decide(&mut limited(0.5), layout(4, 4), options());
    assert_eq!((chosen(&verdict), verdict.sustained), (2, Some(LOAD)));
    assert_eq!(verdict.stop, StopReason::Separated);
    // Four threads are what programs take by themselves, and as slow as load makes them.
    let speedup = verdict.default.unwrap().speedup;
    assert!((speedup - 2.8 / 2.2).abs() < 0.02, "{speedup}");
    // Bound arms stay as bursts found them; unbound ones are told as under load, or not at all.
    assert_eq!(verdict.pinned.unwrap().arm, widest());
    let unbound = |threads| {
        let mut points = verdict.curve.iter();
        let point = points
            .find(|p| (p.arm.threads, p.arm.placement) == (count(threads), Placement::Unbound));
        point.map(|p| p.time.seconds_per_call)
    };
    assert!((unbound(4).unwrap() - 1.4e-3).abs() < 1e-5);
    assert!((unbound(2).unwrap() - 1.1e-3).abs() < 1e-5);
    assert_eq!(unbound(1), None, "1.8 times as slow as the best in bursts");
}

#[test]
fn load_comes_first_then_before_every_sample_and_nothing_rests_any_more() {
    let mut script = limited(0.5).flagging(|place| place.sample % 17 == 0);
    let verdict = decide(&mut script, layout(4, 4), options());
    // A tenth of a second is seventy calls or more.
    let is_load =
        |asked: &Asked| matches!(asked, Asked::Block(plan) if plan.len() == 1 && plan[0].1 > 60);
    let first = script.asked.iter().position(is_load).unwrap();
    let (bursts, rest) = script.asked.split_at(first);
    let long = rest
        .iter()
        .take_while(|asked| matches!(asked, Asked::Block(plan) if plan.len() == 1))
        .count();
    assert!((48..=52).contains(&long), "{long}");
    for asked in &rest[long..] {
        let Asked::Block(plan) = asked else {
            panic!("a rest under load: {asked:?}");
        };
        // A pause is load alone.
        if plan.iter().all(|(arm, _)| *arm == widest()) {
            continue;
        }
        for part in plan.chunks(LOADS + 1) {
            let (load, sample) = part.split_at(LOADS);
            assert!(
                load.iter()
                    .all(|(arm, calls)| *arm == widest() && *calls == sample[0].1),
                "{plan:?}"
            );
            assert_eq!(sample[0].0.placement, Placement::Unbound);
        }
    }
    assert!(bursts.len() > 10);
    // Neither the load nor what goes before samples is among them.
    assert!(verdict.samples < 400, "{}", verdict.samples);
    assert!(verdict.spent < Nanos(20_000_000_000), "{:?}", verdict.spent);
}

#[test]
fn a_rest_begins_the_load_anew() {
    let mut script = limited(0.5);
    let mut tuning = Tuning::new(layout(4, 4), options());
    let mut stages = Vec::new();
    let (verdict, loads) = loop {
        let json = serde_json::to_string(&tuning).unwrap();
        tuning = serde_json::from_str(&json).unwrap();
        match tuning.step(&mut script).unwrap() {
            Step::Rest(verdict, _) | Step::Done(verdict) => {
                break (
                    verdict,
                    stages.iter().filter(|s| **s == Stage::FullLoad).count(),
                );
            }
            Step::Progress(progress) => {
                let begins = stages.last() == Some(&Stage::LoadedScreening);
                if begins && progress.stage == Stage::SustainedRace {
                    tuning.has_rested();
                    assert_eq!(tuning.progress().stage, Stage::FullLoad);
                }
                stages.push(progress.stage);
            }
        }
    };
    assert!((96..=104).contains(&loads), "{loads}");
    assert_eq!(chosen(&verdict), 2);
    stages.dedup();
    let under_load: Vec<Stage> = stages
        .into_iter()
        .skip_while(|s| *s != Stage::FullLoad)
        .collect();
    let expected = [
        Stage::FullLoad,
        Stage::LoadedScreening,
        Stage::SustainedRace,
        Stage::FullLoad,
        Stage::SustainedRace,
    ];
    assert_eq!(under_load, expected);
    // Before that a rest changes nothing.
    let mut fresh = Tuning::new(layout(4, 4), options());
    fresh.has_rested();
    assert_eq!(fresh, Tuning::new(layout(4, 4), options()));
}

#[test]
fn without_time_for_a_race_under_load_bursts_are_no_answer() {
    let short = |sustained| Options {
        time_budget: Nanos(3_500_000_000),
        sustained,
        ..Options::counts_only()
    };
    // Calls of 40 to 80 ms: enough for one race, and not for another with four times as much load between its samples.
    let of = |sustained| decide(&mut limited(20.0), layout(4, 4), short(sustained));
    let bursts = of(None);
    assert_eq!((&bursts.stop, chosen(&bursts)), (&StopReason::Separated, 4));
    let verdict = of(Some(LOAD));
    assert_eq!(
        (&verdict.stop, verdict.sustained),
        (&StopReason::Short, None)
    );
    assert_eq!(chosen(&verdict), 4);
    // One CPU leaves nothing to choose.
    let mut script = Script::new(|_| 1e-3);
    let single = decide(&mut script, layout(1, 1), options());
    assert_eq!((single.stop, single.sustained), (StopReason::Single, None));
}
