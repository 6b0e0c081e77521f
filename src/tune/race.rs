//! The race: blocks of the racers that are left, and a sequential test that controls its error.

mod outcome;
mod visits;

pub use outcome::RaceOutcome;
use visits::Visit;

use super::blocks::{Blocks, Racer};
use super::comparison::Comparison;
use super::constants::{DIRTY_BLOCKS, DROP, LEAST_BLOCKS, LOOKS, TRIM};
use super::request::{Answer, Request};
use super::screened::Tries;
use super::{Bench, BenchError, Options};
use crate::profile::StopReason;
use crate::stats::trimmed_mean;
use crate::units::{Nanos, ThreadCount};
use rand::SeedableRng;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A look at the blocks that is due.
pub(super) struct Look {
    /// Why there will be no more blocks, if so.
    pub last: Option<StopReason>,
}

/// A race between arms; racers are ordered best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Race {
    racers: Vec<Racer>,
    /// Indices of the racers still in the race.
    alive: Vec<usize>,
    /// Indices of those whose turn comes when the others are told apart, the likeliest first.
    waiting: Vec<usize>,
    /// The first of those that entered last, and how many may enter at once.
    entered_last: usize,
    at_once: usize,
    /// The incumbent of the last look.
    leader: usize,
    blocks: Blocks,
    /// Looks taken.
    looks: u32,
    /// No look before so many blocks.
    first_look: usize,
    /// After so many blocks without a newcomer what is undecided is left to further visits, or for good.
    most: usize,
    /// Blocks before the last ones entered.
    #[serde(default)]
    entered_at: usize,
    delta: f64,
    eps: f64,
    /// The moment after which no block is begun.
    deadline: Nanos,
    /// The moment after which no block may be expected to end.
    limit: Nanos,
    #[serde(default)]
    visit: Visit,
    /// The last of the racers, where it takes part in further visits without being a candidate: it is to be known what it
    /// loses.
    #[serde(default)]
    guest: Option<usize>,
}

impl Race {
    /// A race of these arms (best first) with error probability `delta` and the `eps` and time budget of `options`,
    /// that begins no block once `deadline` is spent. `None` where there are no racers.
    pub(super) fn new(
        racers: Vec<Racer>,
        delta: f64,
        deadline: Nanos,
        options: &Options,
        rng: &mut Pcg32,
    ) -> Option<Self> {
        if racers.is_empty() {
            return None;
        }
        let alive: Vec<usize> = (0..racers.len()).collect();
        Some(Self {
            blocks: Blocks::new(&alive, options.patience, rng),
            racers,
            alive,
            waiting: Vec::new(),
            entered_last: 0,
            at_once: 0,
            leader: 0,
            looks: 0,
            first_look: LOOKS[0],
            most: LOOKS[LOOKS.len() - 1],
            entered_at: 0,
            delta,
            eps: options.eps,
            deadline,
            limit: deadline + options.share(0.25),
            visit: Visit::default(),
            guest: None,
        })
    }

    /// The same race, in which these follow, a few at a time: nothing is concluded before they were told apart from the best,
    /// too.
    pub(super) fn followed_by(mut self, reserve: Vec<Racer>) -> Self {
        let first = self.racers.len();
        // With the one that they are to beat a block is no longer than those before.
        self.at_once = first.saturating_sub(1).max(1);
        self.racers.extend(reserve);
        self.waiting = (first..self.racers.len()).collect();
        self
    }

    /// The same race, looked at from this block on.
    pub(super) fn looking_from(self, first_look: usize) -> Self {
        Self { first_look, ..self }
    }

    /// The same race, which ends after so many blocks without a newcomer: further visits follow.
    pub(super) fn resting_after(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Runs a race alone, from begin to end: for measuring the error of the stopping rule on a simulated bench.
    /// `options` give seed, `delta`, `eps` and time budget. `None` where there are no racers.
    pub fn run(
        racers: Vec<Racer>,
        options: &Options,
        bench: &mut dyn Bench,
    ) -> Result<Option<RaceOutcome>, BenchError> {
        let mut rng = Pcg32::seed_from_u64(options.seed);
        let budget = options.time_budget;
        let Some(mut race) = Self::new(racers, options.delta, budget, options, &mut rng) else {
            return Ok(None);
        };
        let mut spent = Nanos::ZERO;
        loop {
            let answer = race.request().ask(bench, &mut spent)?;
            if let Some(outcome) = race.absorb(answer, spent, &mut rng) {
                return Ok(Some(outcome));
            }
        }
    }

    /// What to ask the bench for.
    pub(super) fn request(&self) -> Request {
        self.blocks.request(&self.racers)
    }

    /// Takes the answer; the outcome if that ended the race.
    pub(super) fn absorb(
        &mut self,
        answer: Answer,
        spent: Nanos,
        rng: &mut Pcg32,
    ) -> Option<RaceOutcome> {
        let Look { last } = self.take(answer, spent, rng)?;
        let outcome = self.look(last.as_ref());
        if outcome.is_none() {
            self.go_on(rng);
        } else if self.must_be_judged() {
            return None;
        }
        outcome
    }

    /// Something is about to be concluded: true where what is known late must be asked for first.
    pub(super) fn must_be_judged(&mut self) -> bool {
        self.blocks.must_be_judged()
    }

    /// Takes the answer. Says if a look at the blocks is due; [`Self::go_on`] follows where it decides nothing.
    pub(super) fn take(&mut self, answer: Answer, spent: Nanos, rng: &mut Pcg32) -> Option<Look> {
        let over = spent >= self.deadline;
        let before = self.blocks.len();
        if !self.blocks.absorb(answer, self.racers.len(), over, rng) {
            return None;
        }
        if self.blocks.is_judged() {
            // The look that called for it is taken again.
            self.looks = self.looks.saturating_sub(1);
            if self.blocks.len() < before {
                self.readmit();
            }
        }
        let next = spent + self.blocks.cost(&self.racers, &self.alive);
        let most = self.entered_at + self.most;
        let last = if self.is_hopeless() || self.is_swamped() {
            Some(StopReason::Contaminated)
        } else if over || next > self.limit {
            Some(StopReason::Budget)
        } else {
            (self.blocks.len() >= most).then_some(StopReason::Undecided)
        };
        let mut looks = LOOKS.iter().filter(|look| **look >= self.first_look);
        let due = looks.nth(self.looks as usize).copied().unwrap_or(most);
        if self.blocks.len() >= due || last.is_some() {
            self.looks = self.looks.saturating_add(1);
            return Some(Look { last });
        }
        self.go_on(rng);
        None
    }

    /// All that entered last are back, and the one that they are to beat: what some of them left for was thrown away.
    fn readmit(&mut self) {
        self.alive = (self.entered_last..self.entered()).collect();
        if self.leader < self.entered_last {
            self.alive.push(self.leader);
        }
    }

    /// The racers that may win: the first ones, all but the guest.
    pub(super) fn candidates(&self) -> &[Racer] {
        let candidates = self.guest.unwrap_or(self.racers.len());
        self.racers.get(..candidates).unwrap_or_default()
    }

    /// How many candidates have entered: those that wait are the last.
    fn entered(&self) -> usize {
        let candidates = self.candidates().len();
        candidates.saturating_sub(self.waiting.len())
    }

    /// Another bench takes the place of this one, of which this became known at last.
    pub(super) fn change_bench(&mut self, disturbed: &[Range<Nanos>], rng: &mut Pcg32) {
        let before = self.blocks.len();
        self.blocks.change_bench(disturbed);
        if self.blocks.len() < before {
            self.readmit();
        }
        self.go_on(rng);
    }

    /// Begins another block.
    pub(super) fn go_on(&mut self, rng: &mut Pcg32) {
        self.blocks.begin(&self.alive, rng);
    }

    /// This racer is in no further block.
    pub(super) fn retire(&mut self, racer: usize) {
        self.alive.retain(|alive| *alive != racer);
    }

    /// Is there no end of the disturbance in sight?
    fn is_swamped(&self) -> bool {
        let dirty = self.blocks.dirty();
        dirty >= DIRTY_BLOCKS && 2 * dirty > self.blocks.len()
    }

    /// Is there a racer of which no count may be stated, whatever its clean samples say?
    fn is_hopeless(&self) -> bool {
        self.alive.iter().any(|racer| {
            let tries = self.tries(*racer);
            tries.is_hopeless() && tries.flagged >= self.blocks.patience().flagged()
        })
    }

    /// Tests what the blocks so far prove; `last`: why there will be no more.
    fn look(&mut self, last: Option<&StopReason>) -> Option<RaceOutcome> {
        let alpha = self.alpha();
        let Some(incumbent) = self.incumbent() else {
            return last.map(|why| self.outcome(self.leader, why.clone(), alpha));
        };
        self.leader = incumbent;
        let against = self.against(incumbent);
        let proven = against
            .iter()
            .all(|(_, c)| c.half_width(alpha) - c.mean <= self.eps);
        if proven {
            let back = self.returning(incumbent, alpha);
            if back.is_empty() && self.waiting.is_empty() {
                return Some(self.conclude(incumbent, &against, StopReason::Eps, alpha));
            }
            if last.is_none() {
                if back.is_empty() {
                    let smaller = self.fewer_threads(incumbent, &against, alpha);
                    let few = self.waiting.len().min(self.at_once);
                    self.entered_last = self.entered();
                    self.entered_at = self.blocks.len();
                    self.alive = self.waiting.drain(..few).collect();
                    self.alive.push(incumbent);
                    self.alive.extend(smaller);
                }
                self.alive.extend(back);
                return None;
            }
        }
        if let Some(why) = last {
            return Some(self.conclude(incumbent, &against, why.clone(), alpha));
        }
        for (i, c) in against {
            if c.lower(alpha) > -DROP {
                self.retire(i);
            }
        }
        None
    }

    /// How much slower each other racer that is in the race is than this one.
    fn against(&self, incumbent: usize) -> Vec<(usize, Comparison)> {
        let others = self.alive.iter().filter(|i| **i != incumbent);
        others.map(|i| (*i, self.compare(*i, incumbent))).collect()
    }

    /// The level of one comparison at this look: over all looks and the racers so far these sum to `delta`.
    pub(super) fn alpha(&self) -> f64 {
        let others = self.entered().saturating_sub(1).max(1) as f64;
        let look = f64::from(self.looks.max(1));
        self.delta / others / (look * (look + 1.0))
    }

    /// The racer with the least trimmed mean of block-centred log times, over the blocks complete for all alive.
    fn incumbent(&self) -> Option<usize> {
        let columns = self.blocks.centred(&self.alive);
        self.alive
            .iter()
            .zip(columns)
            .filter(|(_, visits)| visits.iter().map(Vec::len).sum::<usize>() >= LEAST_BLOCKS)
            .map(|(i, visits)| {
                let means = visits
                    .iter()
                    .filter_map(|column| Some(trimmed_mean(column, TRIM)?.mean));
                // Each visit counts alike, however many blocks it had.
                (*i, means.sum::<f64>())
            })
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(i, _)| i)
    }

    /// Racers that left, and now look better than the incumbent and are not proven within eps of it, or of which nothing is
    /// known against it.
    fn returning(&self, incumbent: usize, alpha: f64) -> Vec<usize> {
        (0..self.entered())
            .filter(|i| !self.alive.contains(i))
            .filter(|i| {
                let c = self.compare(*i, incumbent);
                !c.is_known() || c.mean < 0.0 && c.half_width(alpha) - c.mean > self.eps
            })
            .collect()
    }

    /// Are so many blocks disturbed that nothing may be concluded from them?
    pub(super) fn is_dirty(&self) -> bool {
        self.blocks.are_dirty()
    }

    fn threads(&self, racer: usize) -> Option<ThreadCount> {
        self.racers.get(racer).map(|racer| racer.arm.threads)
    }

    /// How much slower racer `a` is than racer `b`: from blocks that both were in, or where one entered later, over the racer
    /// that met both and tells most.
    pub(super) fn compare(&self, a: usize, b: usize) -> Comparison {
        let met = |a: usize, b: usize| Comparison::of_visits(self.blocks.differences(a, b));
        let direct = met(a, b);
        if direct.is_known() || self.entered_last == 0 {
            return direct;
        }
        (0..self.entered())
            .filter(|between| *between != a && *between != b)
            .map(|between| met(a, between).then(met(between, b)))
            .filter(Comparison::is_known)
            .min_by(|x, y| x.standard_error.total_cmp(&y.standard_error))
            .unwrap_or(direct)
    }

    /// The racers, in the order given, and the guest.
    pub(super) fn racers(&self) -> &[Racer] {
        &self.racers
    }

    /// Indices of the racers still in the race.
    pub(super) fn alive(&self) -> &[usize] {
        &self.alive
    }

    /// Log times of one racer, by visit.
    pub(super) fn logs(&self, racer: usize) -> Vec<Vec<f64>> {
        self.blocks.logs(racer)
    }

    /// How often this racer was timed and disturbed.
    pub(super) fn tries(&self, racer: usize) -> Tries {
        self.blocks.tries(racer)
    }

    /// Complete blocks.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// About how far it has come, 0 to 1: most end within a few dozen blocks.
    pub(super) fn fraction(&self) -> f64 {
        1.0 - (-(self.len() as f64) / 15.0).exp()
    }

    /// Samples thrown away.
    pub(super) fn rejected(&self) -> u64 {
        self.blocks.rejected()
    }
}
