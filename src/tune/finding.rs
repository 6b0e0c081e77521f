//! What the blocks of a drift check prove, and what the check found out.

use super::Contenders;
use super::blocks::Racer;
use super::constants::DRIFT_LOSS;
use super::race::Race;
use super::verdict::Timing;
use crate::profile::StopReason;
use crate::units::{Nanos, ThreadCount};
use serde::{Deserialize, Serialize};
use std::iter;

/// Index of the chosen count among the racers of a drift check.
const CHOSEN: usize = 0;

/// What a drift check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Proven: none of the other counts that raced is faster than the chosen one by more than 5 %.
    Holds,
    /// Proven twice: one of them is.
    Lost,
    /// Neither, for this reason.
    Unknown(StopReason),
}

/// What a drift check found out.
///
/// As far as the assumptions of a race hold: if the chosen count truly loses at most 5 % to each count that raced, `Lost`
/// has at most the probability [`Options::delta`](super::Options::delta); if it loses more to one, `Holds` has at most that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Has the chosen count lost?
    pub verdict: Drift,
    /// The count that was checked.
    pub chosen: ThreadCount,
    /// Its seconds a call.
    pub chosen_seconds: f64,
    /// The fastest of the counts timed (of those proven to be faster, where the verdict is `Lost`); `chosen` if none is.
    pub best: ThreadCount,
    /// Its seconds a call: `chosen_seconds` over one plus `loss`.
    pub best_seconds: f64,
    /// How much slower the chosen count is than the best, as a ratio, from the blocks they share; 0.07 is 7 %. An
    /// estimate: what is proven, `verdict` says. Of a loss that was proven twice it is the second race's, which the
    /// choice of the moment does not flatter.
    pub loss: f64,
    /// The counts in the blocks, ascending; empty where the time held no blocks.
    pub raced: Vec<ThreadCount>,
    /// Complete blocks of all races.
    pub blocks: usize,
    /// Samples taken, clean and flagged, calibration included.
    pub samples: u64,
    /// Samples thrown away because of interference.
    pub rejected: u64,
    /// Time spent.
    pub spent: Nanos,
}

impl Finding {
    /// Nothing is known yet.
    pub(super) fn nothing(contenders: &Contenders) -> Self {
        let chosen = contenders.chosen;
        Self {
            verdict: Drift::Unknown(if contenders.others.is_empty() {
                StopReason::Undecided
            } else {
                StopReason::Budget
            }),
            chosen,
            chosen_seconds: 0.0,
            best: chosen,
            best_seconds: 0.0,
            loss: 0.0,
            raced: Vec::new(),
            blocks: 0,
            samples: 0,
            rejected: 0,
            spent: Nanos::ZERO,
        }
    }

    /// The chosen count takes so long; of others nothing is known.
    pub(super) fn alone(&mut self, seconds: f64) {
        self.chosen_seconds = seconds;
        self.best_seconds = seconds;
    }

    /// Takes in what a race measured: the fastest of `rivals` is the best, if it is faster than the chosen count.
    pub(super) fn settle(&mut self, race: &Race, rivals: &[usize]) {
        let threads = |i: usize| race.racers().get(i).map(|racer| racer.arm.threads);
        let (best, log_loss) = rivals
            .iter()
            .filter_map(|i| Some((threads(*i)?, race.compare(CHOSEN, *i).mean)))
            .filter(|(_, log_loss)| *log_loss > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or((self.chosen, 0.0));
        if let Some(timing) = Timing::of(&race.logs(CHOSEN)) {
            self.chosen_seconds = timing.seconds_per_call;
        }
        self.best = best;
        self.best_seconds = self.chosen_seconds * (-log_loss).exp();
        self.loss = log_loss.exp_m1();
        if self.raced.is_empty() {
            self.raced = race.racers().iter().map(|r| r.arm.threads).collect();
            self.raced.sort_unstable();
        }
        self.blocks += race.len();
        self.rejected += race.rejected();
    }
}

/// What the blocks of a race prove.
pub(super) struct Proof {
    pub verdict: Drift,
    /// The racers that the chosen count has lost to, or else may have.
    pub rivals: Vec<usize>,
}

impl Proof {
    /// The chosen count and its rivals.
    pub fn racers(&self, race: &Race) -> Vec<Racer> {
        let some = iter::once(&CHOSEN).chain(&self.rivals);
        some.filter_map(|i| race.racers().get(*i).copied())
            .collect()
    }

    /// At this look, after which there may be no more for this reason; `None`: too little yet. Racers that are proven to
    /// gain no more than 5 % leave.
    pub fn of(race: &mut Race, last: Option<StopReason>) -> Option<Self> {
        let others: Vec<usize> = (1..race.racers().len()).collect();
        let unknown = |stop| Self {
            verdict: Drift::Unknown(stop),
            rivals: others.clone(),
        };
        if race.is_dirty() {
            return last.map(|_| unknown(StopReason::Contaminated));
        }
        let (limit, alpha) = (DRIFT_LOSS.ln_1p(), race.alpha());
        let mut proven = Vec::new();
        for i in &others {
            let loss = race.compare(CHOSEN, *i);
            if loss.lower(alpha) > limit {
                proven.push(*i);
            } else if loss.upper(alpha) <= limit {
                race.retire(*i);
            }
        }
        if !proven.is_empty() {
            return Some(Self {
                verdict: Drift::Lost,
                rivals: proven,
            });
        }
        if race.alive() == [CHOSEN] {
            return Some(Self {
                verdict: Drift::Holds,
                rivals: others,
            });
        }
        last.map(unknown)
    }
}
