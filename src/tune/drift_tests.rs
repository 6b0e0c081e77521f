//! Drift checks of scripted benches.

use super::*;
use crate::profile::StopReason;
use crate::tune::{Interference, Sample};
use std::collections::BTreeMap;
use std::ops::Range;

/// Gives what a rule says for each sample: seconds, and whether it is flagged; from the threads and how many samples of
/// them went before.
struct Script<'a> {
    rule: &'a dyn Fn(u32, u64) -> (f64, bool),
    taken: BTreeMap<u32, u64>,
    clock: f64,
    /// The arms and calls of every block.
    plans: Vec<Vec<(Arm, Calls)>>,
    /// Told when it is asked for the first time.
    disturbed: Vec<Range<Nanos>>,
}

impl<'a> Script<'a> {
    fn new(rule: &'a dyn Fn(u32, u64) -> (f64, bool)) -> Self {
        Self {
            rule,
            taken: BTreeMap::new(),
            clock: 0.0,
            plans: Vec::new(),
            disturbed: Vec::new(),
        }
    }
}

impl Bench for Script<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        self.plans.push(plan.to_vec());
        Ok(plan
            .iter()
            .map(|(arm, calls)| {
                let before = self.taken.entry(arm.threads.get()).or_default();
                let (seconds, flagged) = (self.rule)(arm.threads.get(), *before);
                *before += 1;
                self.clock += seconds * f64::from(calls.get());
                Sample {
                    seconds_per_call: seconds,
                    calls: *calls,
                    first_call: None,
                    interference: if flagged {
                        Interference::OtherProcesses
                    } else {
                        Interference::None
                    },
                }
            })
            .collect())
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.clock += time.as_secs_f64();
        Ok(())
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        std::mem::take(&mut self.disturbed)
    }

    fn now(&self) -> Nanos {
        Nanos::from_secs_f64(self.clock)
    }
}

fn count(n: u32) -> ThreadCount {
    ThreadCount::clamped(n as usize)
}

fn check(chosen: u32, others: &[u32]) -> DriftCheck {
    let contenders = Contenders {
        chosen: count(chosen),
        others: others.iter().map(|n| count(*n)).collect(),
    };
    DriftCheck::new(contenders, &Options::drift_check())
}

fn close(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-6
}

#[test]
fn a_loss_is_stated_with_both_times() {
    let rule = |threads, _| (if threads == 8 { 1.2e-3 } else { 1e-3 }, false);
    let mut script = Script::new(&rule);
    let found = check(8, &[4, 16]).run(&mut script).unwrap();
    assert_eq!(found.verdict, Drift::Lost);
    assert_eq!(found.chosen, count(8));
    assert_ne!(found.best, count(8));
    assert!(close(found.chosen_seconds, 1.2e-3) && close(found.best_seconds, 1e-3));
    assert!(close(found.loss, 0.2), "{}", found.loss);
    assert_eq!(found.raced, [count(4), count(8), count(16)]);
    // Three calibrations, and the blocks of the first look of two races.
    assert_eq!((found.blocks, found.samples, found.rejected), (10, 33, 0));
    assert_eq!(found.spent, script.now());
    let arms = script.plans.iter().flatten().map(|(arm, _)| arm.placement);
    assert!(arms.into_iter().all(|p| p == Placement::Unbound));
}

#[test]
fn five_percent_are_the_limit_on_both_sides() {
    let verdict = |loss: f64| {
        let rule = move |threads, _| (if threads == 2 { 1.0 + loss } else { 1.0 } * 1e-3, false);
        let found = check(2, &[1, 4]).run(&mut Script::new(&rule)).unwrap();
        (found.verdict, found.best)
    };
    assert_eq!(verdict(-0.1), (Drift::Holds, count(2)));
    assert_eq!(verdict(0.045).0, Drift::Holds);
    assert_eq!(verdict(0.055).0, Drift::Lost);
    assert_eq!(
        verdict(0.05).0,
        Drift::Unknown(StopReason::Undecided),
        "exactly at the limit nothing can be proven"
    );
}

#[test]
fn what_is_proven_to_gain_nothing_is_timed_no_more() {
    // 4 is plainly slower; 16 is at the limit, which takes all the blocks there are.
    let rule = |threads, _| match threads {
        4 => (2e-3, false),
        8 => (1.05e-3, false),
        _ => (1e-3, false),
    };
    let mut script = Script::new(&rule);
    let found = check(8, &[4, 16]).run(&mut script).unwrap();
    assert_eq!(found.verdict, Drift::Unknown(StopReason::Undecided));
    assert_eq!((found.best, found.blocks), (count(16), 640));
    assert!(close(found.loss, 0.05));
    let with_four = |plan: &&Vec<(Arm, Calls)>| plan.iter().any(|(arm, _)| arm.threads == count(4));
    assert_eq!(script.plans.iter().filter(with_four).count(), 1 + 5);
}

#[test]
fn the_better_count_is_one_that_was_proven() {
    // 16 is faster on the average, but so erratic that nothing is proven of it.
    let rule = |threads, i| match threads {
        16 if i % 2 == 0 => (2e-4, false),
        16 => (4e-3, false),
        8 => (1.2e-3, false),
        _ => (1e-3, false),
    };
    let mut script = Script::new(&rule);
    let found = check(8, &[4, 16]).run(&mut script).unwrap();
    assert_eq!((found.verdict, found.best), (Drift::Lost, count(4)));
    assert_eq!(found.raced, [count(4), count(8), count(16)]);
    // Only that one races again.
    assert_eq!(script.plans.last().map(Vec::len), Some(2));
}

#[test]
fn a_loss_that_a_second_race_does_not_confirm_is_none() {
    for (later, verdict) in [
        (1e-3, Drift::Unknown(StopReason::Undecided)),
        (1.06e-3, Drift::Lost),
    ] {
        // The calibration, and the blocks of the first look.
        let rule = move |threads, i| match threads {
            8 if i < 6 => (2e-3, false),
            8 => (later, false),
            _ => (1e-3, false),
        };
        let mut script = Script::new(&rule);
        let found = check(8, &[4]).run(&mut script).unwrap();
        assert_eq!(found.verdict, verdict);
        assert!(close(found.chosen_seconds, later), "of the second race");
        assert!(close(1.0 + found.loss, later / 1e-3));
        assert_eq!(found.blocks, 10);
        // A second of waiting lies between the two.
        assert!(found.spent > Nanos(1_000_000_000));
    }
}

#[test]
fn short_calls_are_repeated_until_they_make_a_sample() {
    let rule = |_, _| (1e-5, false);
    let mut script = Script::new(&rule);
    check(2, &[1]).run(&mut script).unwrap();
    let calls: Vec<u32> = script
        .plans
        .iter()
        .take(5)
        .map(|plan| plan[0].1.get())
        .collect();
    assert_eq!(calls, [1, 10, 1, 10, 100]);
}

#[test]
fn a_machine_that_is_never_quiet_proves_nothing() {
    let rule = |threads, _| (if threads == 2 { 2e-3 } else { 1e-3 }, true);
    let found = check(2, &[1, 4]).run(&mut Script::new(&rule)).unwrap();
    assert_eq!(found.verdict, Drift::Unknown(StopReason::Contaminated));
    assert!(found.rejected > 0);
    assert!(found.spent < Nanos::from_secs_f64(20.0));
}

#[test]
fn calls_that_the_time_does_not_hold_are_given_up_early() {
    // One call of the chosen count: no time for another count.
    let found = check(2, &[1, 4])
        .run(&mut Script::new(&|_, _| (3.0, false)))
        .unwrap();
    assert_eq!(found.verdict, Drift::Unknown(StopReason::Short));
    assert_eq!(
        (found.samples, found.chosen_seconds, found.loss),
        (1, 3.0, 0.0)
    );
    assert!(found.raced.is_empty());
    // The two fastest others race where five would leave too few blocks.
    let rule = |threads: u32, _| (0.12 + 1e-3 * f64::from(threads), false);
    let found = check(8, &[32, 4, 16, 2, 12])
        .run(&mut Script::new(&rule))
        .unwrap();
    assert_eq!(found.raced, [count(2), count(4), count(8)]);
    assert_eq!(found.verdict, Drift::Holds);
}

#[test]
fn what_others_disturbed_is_measured_again_before_a_loss_is_called_one() {
    let rule = |threads, _| (1e-3 * f64::from(threads), false);
    let mut quiet = Script::new(&rule);
    let undisturbed = check(2, &[1]).run(&mut quiet).unwrap();
    assert_eq!(undisturbed.verdict, Drift::Lost);
    let mut script = Script::new(&rule);
    // All of the first race, as is known when it is about to end.
    script.disturbed = vec![Nanos::ZERO..Nanos(60_000_000_000)];
    let found = check(2, &[1]).run(&mut script).unwrap();
    assert_eq!(found.verdict, Drift::Lost);
    assert!(script.plans.len() > quiet.plans.len());
    assert!(found.samples > undisturbed.samples);
}

#[test]
fn a_count_that_others_made_look_slow_is_not_passed_over() {
    // Samples of the other count are slow at first, and faster than those of the chosen one from then on.
    let rule = |threads, before: u64| match (threads, before) {
        (2, _) => (1e-3, false),
        (_, 0..9) => (3e-3, false),
        _ => (5e-4, false),
    };
    let misled = check(2, &[1]).run(&mut Script::new(&rule)).unwrap();
    assert_eq!(misled.verdict, Drift::Holds);
    let mut script = Script::new(&rule);
    script.disturbed = vec![Nanos::ZERO..Nanos(60_000_000_000)];
    let found = check(2, &[1]).run(&mut script).unwrap();
    assert_eq!(found.verdict, Drift::Lost);
}

#[test]
fn without_another_count_nothing_is_proven() {
    let found = check(2, &[])
        .run(&mut Script::new(&|_, _| (1e-3, false)))
        .unwrap();
    assert_eq!(found.verdict, Drift::Unknown(StopReason::Undecided));
}

#[test]
fn progress_names_what_is_measured_next_and_never_goes_back() {
    let rule = |threads, i| {
        (
            1e-3 * f64::from(threads) * if i % 2 == 0 { 1.02 } else { 1.0 },
            false,
        )
    };
    let mut script = Script::new(&rule);
    let mut check = check(2, &[1, 4]);
    let mut last = check.progress();
    let mut pauses = 0;
    assert_eq!(last.arms, [unbound(count(2))]);
    let found = loop {
        match check.step(&mut script).unwrap() {
            DriftStep::Done(found) => break found,
            DriftStep::Progress(progress) => {
                assert_eq!(progress.stage, Stage::DriftCheck);
                assert!(last.fraction <= progress.fraction && progress.fraction < 1.0);
                pauses += u32::from(progress.arms.is_empty());
                last = progress;
            }
        }
    };
    assert_eq!(found.verdict, Drift::Lost);
    assert_eq!(
        pauses, 3,
        "before the second race, and before each race concludes"
    );
    assert_eq!(check.progress().stage, Stage::Done);
    assert_eq!(check.step(&mut script).unwrap(), DriftStep::Done(found));
}
