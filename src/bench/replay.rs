//! Deciding from a recording instead of the machine, on a virtual clock.

use super::recorded::RecordedBench;
use super::recording::{RecordedMachine, RecordedWorkload, Repetition, Times};
use super::simulated::{Disturbance, Machine, SimulatedBench};
use crate::machine::Placement;
use crate::stats::median;
use crate::tune::{After, Arm, BenchError, Options, Placements, Tuning, Verdict, VisitPlan};
use crate::units::{Nanos, ThreadCount};
use std::collections::{BTreeMap, BTreeSet};

/// What a caller decides about a replay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayOptions {
    /// Seed of the draws and of the shuffles; each workload has a stream of its own.
    pub seed: u64,
    /// The most virtual time that a workload may take.
    pub time_budget: Nanos,
    /// Coefficient of variation of a call, where one value a count was recorded.
    pub noise: f64,
}

/// A workload that was decided from its recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// Its name.
    pub name: String,
    /// The most virtual time that it might take.
    pub time_budget: Nanos,
    /// What the procedure says.
    pub verdict: Verdict,
    /// The counts that were recorded, ascending: no other one was a candidate.
    pub candidates: Vec<ThreadCount>,
    /// The choice against the recording; absent where no count is stated.
    pub score: Option<Score>,
}

impl Replayed {
    /// Is it inconclusive with over a quarter of the time left?
    pub fn gave_up_early(&self) -> bool {
        let spent = self.verdict.spent.as_secs_f64();
        !self.verdict.stop.is_conclusive() && spent < 0.75 * self.time_budget.as_secs_f64()
    }
}

/// A choice against what was recorded of all arms that are bound as it is, or unbound as it is; medians of a call,
/// seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Of the count chosen.
    pub chosen: f64,
    /// The fastest count.
    pub best: ThreadCount,
    /// Of that count.
    pub best_seconds: f64,
    /// Of all physical cores, where they were recorded.
    pub physical: Option<f64>,
    /// Of all logical CPUs, where they were recorded.
    pub logical: Option<f64>,
}

impl Score {
    /// Time of the choice over that of the fastest.
    pub fn ratio(&self) -> f64 {
        self.chosen / self.best_seconds
    }
}

/// Decides one workload from what was recorded of it.
pub fn replay(
    workload: &RecordedWorkload,
    machine: &RecordedMachine,
    options: &ReplayOptions,
) -> Result<Replayed, BenchError> {
    let medians = medians(&workload.times);
    let seed = options.seed ^ name_hash(&workload.name);
    let mut tuning = Tuning::new(
        machine.layout(),
        Options {
            seed,
            time_budget: options.time_budget,
            visit_plan: workload.holds_visits().then(VisitPlan::default),
            // What only later visits hold cannot be screened.
            ..options_for(&first_visit(&workload.times, &medians))
        },
    );
    let verdict = match &workload.times {
        Times::Single(times) => {
            let topology = machine.topology;
            let noise = Disturbance::of_recording(&topology, options.noise);
            let seconds = |n| times.get(&ThreadCount::clamped(n)).copied();
            let all = topology.logical() as usize;
            let curve = (1..=all).map(|n| seconds(n).unwrap_or(f64::NAN)).collect();
            let simulated = Machine::with_times(topology, curve, noise);
            tuning.run(&mut SimulatedBench::new(&simulated, seed))?
        }
        Times::Repeated(arms) => replay_visits(&mut tuning, arms, seed)?,
    };
    let candidates: BTreeSet<ThreadCount> = medians.keys().map(|arm| arm.threads).collect();
    Ok(Replayed {
        name: workload.name.clone(),
        time_budget: options.time_budget,
        candidates: candidates.into_iter().collect(),
        score: score(&verdict, &medians, machine),
        verdict,
    })
}

/// Decides from one visit after the other: as many as were recorded, and as the tuning wants to see.
fn replay_visits(
    tuning: &mut Tuning,
    arms: &BTreeMap<Arm, Vec<Repetition>>,
    seed: u64,
) -> Result<Verdict, BenchError> {
    let mut begins: BTreeMap<u32, f64> = BTreeMap::new();
    for repetition in arms.values().flatten() {
        let begin = begins.entry(repetition.visit).or_insert(f64::INFINITY);
        *begin = begin.min(repetition.time_s.unwrap_or(0.0));
    }
    let mut verdict = None;
    for (visit, begin) in begins {
        let mut bench = RecordedBench::new(arms, visit, seed);
        if verdict.is_some() {
            tuning.only_these_are_present(bench.arms());
            tuning.revisit(Nanos::from_secs_f64(begin));
        }
        verdict = Some(tuning.run(&mut bench)?);
        if !tuning.rests() {
            break;
        }
    }
    // A recording has a row at least.
    verdict.ok_or_else(|| BenchError::Failed("nothing was recorded".to_owned()))
}

/// Median seconds a call of each arm, of its undisturbed repetitions where there are any.
fn medians(times: &Times) -> BTreeMap<Arm, f64> {
    match times {
        Times::Single(times) => times
            .iter()
            .map(|(threads, seconds)| (close(*threads), *seconds))
            .collect(),
        Times::Repeated(arms) => arms
            .iter()
            .filter_map(|(arm, repetitions)| {
                let of = |all: bool| {
                    let some = repetitions.iter().filter(|r| all || !r.flagged);
                    median(&some.map(|r| r.seconds).collect::<Vec<_>>())
                };
                Some((*arm, of(false).or_else(|| of(true))?))
            })
            .collect(),
    }
}

fn close(threads: ThreadCount) -> Arm {
    Arm {
        threads,
        placement: Placement::Close,
    }
}

/// The medians of the arms that the first visit holds.
fn first_visit(times: &Times, medians: &BTreeMap<Arm, f64>) -> BTreeMap<Arm, f64> {
    let Times::Repeated(arms) = times else {
        return medians.clone();
    };
    let first = arms.values().flatten().map(|r| r.visit).min();
    let holds = |arm: &Arm| {
        let repetitions = arms.get(arm).into_iter().flatten();
        repetitions
            .map(|r| Some(r.visit))
            .any(|visit| visit == first)
    };
    let of_first = medians.iter().filter(|(arm, _)| holds(arm));
    of_first.map(|(arm, median)| (*arm, *median)).collect()
}

/// The arms of the recording, and both races where it holds bound arms and at least two unbound ones.
fn options_for(medians: &BTreeMap<Arm, f64>) -> Options {
    let (bound, unbound): (BTreeSet<Arm>, BTreeSet<Arm>) =
        medians.keys().partition(|arm| is_bound(**arm));
    if bound.is_empty() {
        return Options {
            only: Some(unbound),
            efficient: false,
            ..Options::unbound_only()
        };
    }
    let mut at: BTreeMap<ThreadCount, Vec<Placement>> = BTreeMap::new();
    for arm in &bound {
        at.entry(arm.threads).or_default().push(arm.placement);
    }
    let two_races = unbound.len() > 1;
    Options {
        only: Some(if two_races {
            bound.union(&unbound).copied().collect()
        } else {
            bound
        }),
        placements: Placements {
            at,
            ..Placements::default()
        },
        then: if two_races {
            After::UnboundRace
        } else {
            After::Nothing
        },
        ..Options::counts_only()
    }
}

fn is_bound(arm: Arm) -> bool {
    arm.placement != Placement::Unbound
}

fn score(
    verdict: &Verdict,
    medians: &BTreeMap<Arm, f64>,
    machine: &RecordedMachine,
) -> Option<Score> {
    let chosen = verdict.latency?.arm;
    let alike = |arm: &Arm| is_bound(*arm) == is_bound(chosen);
    let fastest = |is: &dyn Fn(&Arm) -> bool| {
        let some = medians.iter().filter(|(arm, _)| alike(arm) && is(arm));
        some.min_by(|a, b| a.1.total_cmp(b.1))
    };
    let of = |threads| fastest(&|arm| arm.threads == threads).map(|(_, seconds)| *seconds);
    let (best, best_seconds) = fastest(&|_| true)?;
    let layout = machine.layout();
    Some(Score {
        chosen: *medians.get(&chosen)?,
        best: best.threads,
        best_seconds: *best_seconds,
        physical: of(layout.physical.min(layout.logical)),
        logical: of(layout.logical),
    })
}

/// Tells the streams of workloads apart (FNV-1a), whichever of them are replayed.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
