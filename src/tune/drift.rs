//! The drift check: is the count that a profile states still within 5 % of the best?
//!
//! The chosen count and a few others are timed in the same blocks as those of a race, at the same looks, with the same
//! error probability spent on each of them. Only the question differs: not which is best, but whether any of them is
//! faster than the chosen one by more than 5 %. A loss must be proven twice, by two races with a pause between them:
//! with one alone a machine that was slow for a moment, or samples that depend on each other, looked like a loss. Where
//! each of five counts was faster by exactly 5 %, one race took that for more in 2.7, 6.6 and 13.7 % of 1000 runs at
//! autocorrelation 0, 0.3 and 0.6; two races in 0.1, 0.2 and 1.8 % (`tests/decide_drift/margin.rs`).

use super::blocks::Racer;
use super::calibration::Calibration;
use super::constants::{CALIBRATION_SHARE, DRIFT_BLOCKS_WANTED, DRIFT_PAUSE, FIRST_RACE_SHARE};
use super::finding::{Drift, Finding, Proof};
use super::lineup::affordable;
use super::race::{Look, Race};
use super::request::{Answer, Request};
use super::verdict::told;
use super::{Arm, Bench, BenchError, Contenders, Options, Progress, Stage};
use crate::machine::Placement;
use crate::profile::StopReason;
use crate::units::{Calls, Nanos, ThreadCount};
use rand::SeedableRng;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The drift check of one workload, advanced by [`Self::step`] until there is a finding.
///
/// It serialises at every point between steps, as a tuning does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftCheck {
    options: Options,
    rng: Pcg32,
    /// Counts that are calibrated, the chosen one first, with the seconds of a call.
    calibrated: Vec<(Racer, f64)>,
    phase: Phase,
    /// As far as it is known; the answer once the phase is `Done`.
    finding: Finding,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    Calibrating(Calibrating),
    Racing(Race),
    /// A loss was proven. These race again, after a pause.
    Pausing(Vec<Racer>),
    Confirming(Race),
    Done,
}

/// The count of which is asked how many calls make a sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Calibrating {
    threads: ThreadCount,
    /// How many are timed; absent at first: one.
    calls: Option<Calls>,
    /// The counts after it.
    next: VecDeque<ThreadCount>,
}

/// What a step of a drift check led to.
#[derive(Debug, Clone, PartialEq)]
pub enum DriftStep {
    /// The check goes on.
    Progress(Progress),
    /// It is over; every further step says the same.
    Done(Finding),
}

impl DriftCheck {
    /// A check that has not begun. `options` give seed, time budget, error probability and length of a sample, such as
    /// [`Options::drift_check`]; all arms are unbound, as programs run.
    pub fn new(contenders: Contenders, options: &Options) -> Self {
        Self {
            options: options.clone(),
            rng: Pcg32::seed_from_u64(options.seed),
            calibrated: Vec::new(),
            finding: Finding::nothing(&contenders),
            phase: Phase::Calibrating(Calibrating {
                threads: contenders.chosen,
                calls: None,
                next: contenders.others.into(),
            }),
        }
    }

    /// Asks the bench once, for a block or a pause, and takes in what it answers.
    ///
    /// After an error the check is as it was before: a block that was interrupted is thrown away whole.
    pub fn step(&mut self, bench: &mut dyn Bench) -> Result<DriftStep, BenchError> {
        if let Some(request) = self.request() {
            let answer = request.ask(bench, &mut self.finding.spent)?;
            if let Answer::Samples(samples, _) = &answer {
                self.finding.samples += samples.len() as u64;
            }
            self.absorb(answer);
        }
        Ok(match &self.phase {
            Phase::Done => DriftStep::Done(Finding {
                verdict: match self.finding.verdict.clone() {
                    Drift::Unknown(stop) => {
                        Drift::Unknown(told(stop, self.finding.spent, self.options.time_budget))
                    }
                    proven => proven,
                },
                ..self.finding.clone()
            }),
            _ => DriftStep::Progress(self.progress()),
        })
    }

    /// Steps until there is a finding; the first error ends it.
    pub fn run(&mut self, bench: &mut dyn Bench) -> Result<Finding, BenchError> {
        loop {
            if let DriftStep::Done(finding) = self.step(bench)? {
                return Ok(finding);
            }
        }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let arms = match self.request() {
            Some(Request::Block(plan)) => plan.into_iter().map(|(arm, _)| arm).collect(),
            _ => Vec::new(),
        };
        let fraction = match &self.phase {
            Phase::Calibrating(_) => 0.0,
            Phase::Racing(race) => 0.5 * race.fraction(),
            Phase::Pausing(_) => 0.5,
            Phase::Confirming(race) => 0.5 + 0.5 * race.fraction(),
            Phase::Done => 1.0,
        };
        Progress {
            stage: if self.phase == Phase::Done {
                Stage::Done
            } else {
                Stage::DriftCheck
            },
            arms,
            samples: self.finding.samples,
            spent: self.finding.spent,
            fraction,
        }
    }

    fn request(&self) -> Option<Request> {
        match &self.phase {
            Phase::Calibrating(at) => {
                let calls = at.calls.unwrap_or(Calls::ONE);
                Some(Request::Block(vec![(unbound(at.threads), calls)]))
            }
            Phase::Racing(race) | Phase::Confirming(race) => Some(race.request()),
            Phase::Pausing(_) => Some(Request::Idle(DRIFT_PAUSE)),
            Phase::Done => None,
        }
    }

    fn absorb(&mut self, answer: Answer) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Calibrating(at) => self.calibrate(&answer, at),
            Phase::Racing(mut race) => match self.advance(&mut race, answer) {
                None => self.phase = Phase::Racing(race),
                Some(proof) if proof.verdict == Drift::Lost => {
                    self.phase = Phase::Pausing(proof.racers(&race));
                }
                Some(proof) => self.finding.verdict = proof.verdict,
            },
            Phase::Pausing(racers) => {
                let race = self.race(racers, self.options.time_budget);
                self.phase = race.map_or(Phase::Done, Phase::Confirming);
            }
            Phase::Confirming(mut race) => match self.advance(&mut race, answer) {
                None => self.phase = Phase::Confirming(race),
                // Two proofs that contradict each other are none.
                Some(proof) if proof.verdict == Drift::Holds => {
                    self.finding.verdict = Drift::Unknown(StopReason::Undecided);
                }
                Some(proof) => self.finding.verdict = proof.verdict,
            },
            Phase::Done => {}
        }
    }

    /// Takes the answer, and what the race says if that decided it.
    fn advance(&mut self, race: &mut Race, answer: Answer) -> Option<Proof> {
        let Look { last } = race.take(answer, self.finding.spent, &mut self.rng)?;
        let proof = Proof::of(race, last);
        if proof.is_some() && race.must_be_judged() {
            return None;
        }
        match &proof {
            Some(proof) => self.finding.settle(race, &proof.rivals),
            None => race.go_on(&mut self.rng),
        }
        proof
    }

    /// Takes the time of the count at hand, and goes on to the next one or to the race.
    fn calibrate(&mut self, answer: &Answer, mut at: Calibrating) {
        let samples = match answer {
            Answer::Samples(samples, _) => samples.as_slice(),
            Answer::Waited | Answer::Judged(_) => &[],
        };
        let aim = self.options.sample.as_secs_f64();
        for sample in samples {
            let call = sample.seconds_per_call;
            match Calibration::of(call, at.calls.is_none(), aim) {
                Calibration::Again(calls) => at.calls = Some(calls),
                Calibration::Sample(calls) => {
                    let arm = unbound(at.threads);
                    if self.calibrated.is_empty() {
                        self.finding.alone(call);
                    }
                    self.calibrated.push((Racer { arm, calls }, call));
                    let over = self.finding.spent >= self.options.share(CALIBRATION_SHARE);
                    let Some(threads) = at.next.pop_front().filter(|_| !over) else {
                        return self.begin_race();
                    };
                    (at.threads, at.calls) = (threads, None);
                }
            }
        }
        self.phase = Phase::Calibrating(at);
    }

    /// What is calibrated races, the fastest first, if the time holds it.
    fn begin_race(&mut self) {
        if let Some((_, others)) = self.calibrated.split_first_mut() {
            others.sort_by(|a, b| a.1.total_cmp(&b.1));
        }
        let racers = self.calibrated.iter().map(|(racer, _)| *racer).collect();
        let race = self.race(racers, self.options.share(FIRST_RACE_SHARE));
        self.phase = race.map_or(Phase::Done, Phase::Racing);
    }

    /// A race that ends at `end`, of as many of these racers as that leaves time for: the chosen count is the first.
    fn race(&mut self, racers: Vec<Racer>, end: Nanos) -> Option<Race> {
        let cost = |racer: &Racer| {
            let known = self.calibrated.iter().find(|(known, _)| known == racer);
            known.map_or(0.0, |(_, call)| call * f64::from(racer.calls.get()))
        };
        let spent = self.finding.spent;
        let room = (end + self.options.share(0.25)) - spent;
        let block = (end - spent).as_secs_f64() / DRIFT_BLOCKS_WANTED;
        let racers = affordable(racers, cost, block, room)?;
        let delta = self.options.delta;
        Race::new(racers, delta, end, &self.options, &mut self.rng)
            .filter(|race| race.racers().len() > 1)
    }
}

fn unbound(threads: ThreadCount) -> Arm {
    Arm {
        threads,
        placement: Placement::Unbound,
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
