//! A tuning with visits over time: when it rests, what further visits change, and when it ends.

use super::script::{Script, chosen, layout, table};
use threadtune::bench::simulated::{Machine, SimulatedBench};
use threadtune::profile::StopReason;
use threadtune::tune::{Options, Step, Tuning, Verdict, VisitPlan};
use threadtune::units::Nanos;

const SECOND: u64 = 1_000_000_000;

fn visited() -> Options {
    Options {
        visit_plan: Some(VisitPlan::default()),
        ..Options::counts_only()
    }
}

/// What a tuning says at the end of a visit.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    verdict: Verdict,
    /// How long it wants to wait; nothing at the end.
    wait_s: Option<f64>,
    /// Blocks of both counts that it took.
    blocks: usize,
}

/// Goes on until the tuning rests or is over, on two CPUs where one thread takes 1 ms and two take this share of that.
fn visit(tuning: &mut Tuning, share: f64) -> Said {
    visit_with(tuning, &[1e-3, 1e-3 * share])
}

/// The same where one thread takes so many seconds, two so many, and so on; every step begins from what was written down.
fn visit_with(tuning: &mut Tuning, times: &[f64]) -> Said {
    let mut script = Script::new(table(times));
    loop {
        let json = serde_json::to_string(&tuning).unwrap();
        *tuning = serde_json::from_str(&json).unwrap();
        let (verdict, wait_s) = match tuning.step(&mut script).unwrap() {
            Step::Progress(_) => continue,
            Step::Rest(verdict, wait) => (verdict, Some(wait.as_secs_f64())),
            Step::Done(verdict) => (verdict, None),
        };
        return Said {
            verdict,
            wait_s,
            blocks: script.sizes().len(),
        };
    }
}

/// A visit so many seconds after the first one began.
fn later(tuning: &mut Tuning, seconds: u64, share: f64) -> Said {
    tuning.revisit(Nanos(seconds * SECOND));
    visit(tuning, share)
}

#[test]
fn what_holds_at_three_times_is_conclusive() {
    let mut tuning = Tuning::new(layout(2, 2), visited());
    let first = visit(&mut tuning, 0.7);
    assert_eq!(
        (first.verdict.stop.clone(), first.wait_s),
        (StopReason::Brief, Some(4.0))
    );
    assert_eq!(chosen(&first.verdict), 2);
    // It rests until it is told to go on.
    assert_eq!(visit(&mut tuning, 0.7).verdict, first.verdict);
    let second = later(&mut tuning, 4, 0.7);
    assert_eq!(
        (second.verdict.stop.clone(), second.wait_s),
        (StopReason::Brief, Some(4.0))
    );
    let third = later(&mut tuning, 9, 0.7);
    assert_eq!(
        (third.verdict.stop.clone(), third.wait_s),
        (StopReason::Separated, None)
    );
    assert_eq!(chosen(&third.verdict), 2);
    // A visit takes a fifth of what the opening took, of which the first block does not count.
    assert!(
        (4..=9).contains(&second.blocks) && second.blocks == third.blocks,
        "{second:?}"
    );
    // It is over: nothing is visited any more.
    assert_eq!(later(&mut tuning, 99, 2.0).verdict, third.verdict);
}

#[test]
fn three_times_within_too_short_a_time_are_not_enough() {
    let mut tuning = Tuning::new(layout(2, 2), visited());
    visit(&mut tuning, 0.7);
    for seconds in [1, 2] {
        let said = later(&mut tuning, seconds, 0.7);
        assert_eq!(said.verdict.stop, StopReason::Brief);
    }
    let said = later(&mut tuning, 8, 0.7);
    assert_eq!(
        (said.verdict.stop, said.wait_s),
        (StopReason::Separated, None)
    );
}

#[test]
fn counts_that_regimes_could_turn_round_are_seen_more_often_and_for_longer() {
    // Regimes may move a quarter, in log time, between counts that are half of the CPUs apart, of which the loss of the slower
    // one leaves more than half or a fifth.
    for (share, gaps, span) in [(0.9, 3, 29.4), (0.82, 2, 15.6)] {
        let mut tuning = Tuning::new(layout(2, 2), visited());
        let said = visit(&mut tuning, share);
        let wait = said.wait_s.unwrap();
        let expected = span / f64::from(gaps);
        assert!(
            (wait / expected - 1.0).abs() < 0.05,
            "{share}: {wait} instead of {expected}"
        );
    }
}

#[test]
fn a_count_that_is_better_at_times_only_is_unsteady() {
    let mut tuning = Tuning::new(layout(2, 2), visited());
    assert_eq!(chosen(&visit(&mut tuning, 1.15).verdict), 1);
    let mut waits = Vec::new();
    let shares = [0.5, 0.5, 0.5, 1.15, 0.5, 0.5, 0.5];
    let mut last = None;
    for (i, share) in shares.into_iter().enumerate() {
        let said = later(&mut tuning, 10 * (i as u64 + 1), share);
        waits.push(said.wait_s);
        last = Some(said.verdict);
    }
    let last = last.unwrap();
    // On average over all times two threads are better, although the first visit, the longest, says otherwise.
    assert_eq!(
        (last.stop.clone(), chosen(&last)),
        (StopReason::Unsteady, 2)
    );
    // It waits longer each time once it was seen often enough, until the eighth visit is the last.
    assert_eq!(waits.iter().flatten().count(), 6);
    assert_eq!(waits[6], None);
    let longer = |pair: &[Option<f64>]| pair[1].zip(pair[0]).is_none_or(|(b, a)| b > 1.4 * a);
    assert!(waits[3..].windows(2).all(longer), "{waits:?}");
    // What visits said of the other count is told: slower by half, but for two visits.
    let regimes = last.regimes.unwrap();
    assert_eq!((regimes.against.get(), regimes.speedups.len()), (1, 8));
    let is_better = |speedup: &&f64| **speedup > 1.9;
    let is_worse = |speedup: &&f64| **speedup < 0.9;
    let count = |is: &dyn Fn(&&f64) -> bool| regimes.speedups.iter().filter(is).count();
    assert_eq!((count(&is_better), count(&is_worse)), (6, 2));
    // The time that is stated is over all of them.
    let latency = last.latency.unwrap();
    assert!(
        latency.ci95[0] < 0.5e-3 && latency.ci95[1] > 0.6e-3,
        "{latency:?}"
    );
}

#[test]
fn what_no_time_could_turn_round_needs_one_visit() {
    let mut tuning = Tuning::new(layout(2, 2), visited());
    let said = visit(&mut tuning, 0.25);
    assert_eq!(
        (said.verdict.stop, said.wait_s),
        (StopReason::Separated, None)
    );
    let mut single = Tuning::new(layout(1, 1), visited());
    assert_eq!(visit(&mut single, 1.0).verdict.stop, StopReason::Single);
}

#[test]
fn without_a_plan_of_visits_there_is_one() {
    let mut tuning = Tuning::new(layout(2, 2), Options::counts_only());
    let said = visit(&mut tuning, 0.7);
    assert_eq!(
        (said.verdict.stop, said.wait_s),
        (StopReason::Separated, None)
    );
}

#[test]
fn both_races_are_visited() {
    let options = Options {
        visit_plan: Some(VisitPlan::default()),
        ..Options::default()
    };
    let mut tuning = Tuning::new(layout(2, 2), options);
    let mut said = visit(&mut tuning, 0.7);
    let mut seconds = 0;
    while let Some(wait) = said.wait_s {
        seconds += wait.ceil() as u64;
        said = later(&mut tuning, seconds, 0.7);
        // Bound and unbound.
        assert!(said.blocks >= 8, "{said:?}");
    }
    assert_eq!(
        (said.verdict.stop.clone(), seconds),
        (StopReason::Separated, 8)
    );
    assert_eq!(said.verdict.pinned.unwrap().arm.threads.get(), 2);
}

#[test]
fn what_is_raced_under_sustained_load_is_looked_at_once() {
    for seed in 0..6 {
        let machine = Machine::generate(seed);
        let verdict = |visit_plan| {
            let options = Options {
                seed,
                visit_plan,
                sustained: Some(Nanos(SECOND)),
                ..Options::default()
            };
            let mut bench = SimulatedBench::new(&machine, seed);
            let mut tuning = Tuning::new(machine.layout(), options);
            tuning.run(&mut bench).unwrap()
        };
        let said = verdict(Some(VisitPlan::default()));
        assert_eq!(said, verdict(None), "{seed}");
        assert_eq!(said.visits, 1);
    }
}

#[test]
fn samples_that_do_not_count_are_told_apart() {
    let mut tuning = Tuning::new(layout(2, 2), visited());
    let before = visit(&mut tuning, 0.7).verdict.samples;
    tuning.revisit(Nanos(4 * SECOND));
    let times = [1e-3, 0.7e-3];
    let mut script = Script::new(table(&times));
    assert!(!tuning.next_counts());
    assert!(matches!(tuning.step(&mut script), Ok(Step::Progress(_))));
    assert!(tuning.next_counts());
    let said = visit(&mut tuning, 0.7);
    assert_eq!(said.verdict.samples - before, 2 * said.blocks as u64);
}

#[test]
fn the_fewest_threads_are_stated_only_if_they_lose_little_at_every_time() {
    let usual = [8e-3, 4.4e-3, 3.1e-3, 3.35e-3, 3.3e-3, 3.0e-3];
    let slow = [8e-3, 4.4e-3, 3.6e-3, 3.35e-3, 3.3e-3, 3.0e-3];
    let tuned = |later: &[f64]| {
        let options = Options {
            efficient: true,
            ..visited()
        };
        let mut tuning = Tuning::new(layout(6, 6), options);
        let mut said = visit_with(&mut tuning, &usual);
        assert_eq!(chosen(&said.verdict), 6);
        assert_eq!(said.verdict.efficient.unwrap().arm.threads.get(), 3);
        let mut at = 0.0;
        while let Some(wait_s) = said.wait_s {
            at += wait_s;
            tuning.revisit(Nanos::from_secs_f64(at));
            said = visit_with(&mut tuning, later);
        }
        assert!(said.verdict.stop.is_conclusive(), "{said:?}");
        assert_eq!(chosen(&said.verdict), 6);
        said.verdict.efficient.unwrap()
    };
    let efficient = tuned(&usual);
    assert_eq!(efficient.arm.threads.get(), 3);
    assert!((efficient.loss - 0.0333).abs() < 0.005, "{efficient:?}");
    // Nothing but the best is left.
    let efficient = tuned(&slow);
    assert_eq!((efficient.arm.threads.get(), efficient.loss), (6, 0.0));
}
