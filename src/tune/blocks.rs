//! Taking blocks: random order, disturbed samples measured again, disturbed blocks thrown away.

use super::constants::DROPS_IN_A_ROW;
use super::screened::Tries;
use super::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use rand::seq::SliceRandom;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An arm in a race, with the calls that make one of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Racer {
    /// The arm.
    pub arm: Arm,
    /// Calls of one sample.
    pub calls: Calls,
}

/// What a bench is asked for next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    /// Samples of these arms, in this order.
    Block(Vec<(Arm, Calls)>),
    /// A pause.
    Idle(Nanos),
}

impl Request {
    /// Asks the bench, and rejects an answer that is no measurement.
    pub fn ask(&self, bench: &mut dyn Bench) -> Result<Answer, BenchError> {
        let plan = match self {
            Self::Idle(time) => return bench.idle(*time).map(|()| Answer::Waited),
            Self::Block(plan) => plan,
        };
        let samples = bench.block(plan)?;
        if samples.len() != plan.len() {
            let text = format!("{} samples for {} arms", samples.len(), plan.len());
            return Err(BenchError::Nonsense(text));
        }
        match samples
            .iter()
            .map(|sample| sample.seconds_per_call)
            .find(|seconds| !(seconds.is_finite() && *seconds > 0.0))
        {
            Some(seconds) => Err(BenchError::Nonsense(format!("{seconds} s"))),
            None => Ok(Answer::Samples(samples)),
        }
    }
}

/// What a bench answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// One sample an entry of the block, in its order.
    Samples(Vec<Sample>),
    /// The pause is over.
    Waited,
}

/// One complete block: a log time for each racer that was in it, by the racers' indices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    logs: Vec<Option<f64>>,
    dirty: bool,
}

impl Row {
    fn log(&self, racer: usize) -> Option<f64> {
        self.logs.get(racer).copied().flatten()
    }
}

/// What is being done for the block at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Doing {
    /// All its samples are asked for.
    Block,
    /// These came; the flagged ones are asked for again.
    Again(Vec<Sample>),
    /// It was thrown away; the disturbance is given time to pass.
    Wait,
}

/// The blocks of one race, and the one being taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Blocks {
    order: Vec<usize>,
    doing: Doing,
    drops_in_a_row: u32,
    rows: Vec<Row>,
    rejected: u64,
    /// The racers that were flagged since the last complete block.
    struck: BTreeSet<usize>,
    /// By the racers' indices.
    tries: Vec<Tries>,
}

impl Blocks {
    /// No blocks yet; the first is of these racers.
    pub fn new(alive: &[usize], rng: &mut Pcg32) -> Self {
        let mut blocks = Self {
            order: Vec::new(),
            doing: Doing::Block,
            drops_in_a_row: 0,
            rows: Vec::new(),
            rejected: 0,
            struck: BTreeSet::new(),
            tries: Vec::new(),
        };
        blocks.begin(alive, rng);
        blocks
    }

    /// The next block is of these racers, in a new random order.
    pub fn begin(&mut self, alive: &[usize], rng: &mut Pcg32) {
        self.order = alive.to_vec();
        self.order.shuffle(rng);
        self.doing = Doing::Block;
    }

    /// What to ask the bench for.
    pub fn request(&self, racers: &[Racer]) -> Request {
        let plan = |members: &mut dyn Iterator<Item = usize>| {
            Request::Block(
                members
                    .filter_map(|i| racers.get(i))
                    .map(|racer| (racer.arm, racer.calls))
                    .collect(),
            )
        };
        match &self.doing {
            Doing::Block => plan(&mut self.order.iter().copied()),
            Doing::Again(first) => plan(&mut flagged(&self.order, first)),
            Doing::Wait => Request::Idle(waiting_time(self.drops_in_a_row)),
        }
    }

    /// Takes the answer to [`Self::request`]; true when it completed a block, after which [`Self::begin`] is due.
    ///
    /// `racers` is how many there are; `over`: there is no time to wait, so the block is taken as it is.
    pub fn absorb(&mut self, answer: Answer, racers: usize, over: bool, rng: &mut Pcg32) -> bool {
        let Answer::Samples(samples) = answer else {
            let alive = std::mem::take(&mut self.order);
            self.begin(&alive, rng);
            return false;
        };
        let doing = std::mem::replace(&mut self.doing, Doing::Block);
        self.count(&doing, &samples, racers);
        let (samples, again) = match doing {
            Doing::Again(first) => (merge(first, samples), true),
            Doing::Block | Doing::Wait => (samples, false),
        };
        let flagged = samples
            .iter()
            .filter(|sample| sample.interference.is_flagged())
            .count();
        if flagged > 0 && !again {
            self.rejected += flagged as u64;
            self.doing = Doing::Again(samples);
            return false;
        }
        if flagged > 0 {
            self.drops_in_a_row = self.drops_in_a_row.saturating_add(1);
            if self.drops_in_a_row <= DROPS_IN_A_ROW && !over {
                self.rejected += samples.len() as u64;
                self.doing = Doing::Wait;
                return false;
            }
        }
        self.drops_in_a_row = 0;
        self.keep(&samples, racers, flagged > 0);
        true
    }

    /// Counts what was tried, and what was flagged.
    fn count(&mut self, doing: &Doing, samples: &[Sample], racers: usize) {
        let tried: Vec<usize> = match doing {
            Doing::Again(first) => flagged(&self.order, first).collect(),
            Doing::Block | Doing::Wait => self.order.clone(),
        };
        self.tries.resize(racers, Tries::default());
        for (i, sample) in tried.into_iter().zip(samples) {
            let Some(tries) = self.tries.get_mut(i) else {
                continue;
            };
            tries.samples = tries.samples.saturating_add(1);
            if sample.interference.is_flagged() {
                tries.flagged = tries.flagged.saturating_add(1);
                self.struck.insert(i);
            }
        }
    }

    fn keep(&mut self, samples: &[Sample], racers: usize, dirty: bool) {
        let mut logs = vec![None; racers];
        for (i, sample) in self.order.iter().zip(samples) {
            if let Some(log) = logs.get_mut(*i) {
                *log = Some(sample.seconds_per_call.ln());
            }
        }
        self.rows.push(Row { logs, dirty });
        for i in &self.order {
            if let Some(tries) = self.tries.get_mut(*i) {
                tries.blocks = tries.blocks.saturating_add(1);
                let is_struck = self.struck.contains(i);
                tries.struck = tries.struck.saturating_add(u32::from(is_struck));
            }
        }
        self.struck.clear();
    }

    /// How many blocks are complete.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them hold a flagged sample.
    pub fn dirty(&self) -> usize {
        self.rows.iter().filter(|row| row.dirty).count()
    }

    /// How often this racer was timed and disturbed.
    pub fn tries(&self, racer: usize) -> Tries {
        self.tries.get(racer).copied().unwrap_or_default()
    }

    /// Samples thrown away.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Log times of one racer, in the order of the blocks.
    pub fn logs(&self, racer: usize) -> Vec<f64> {
        self.rows.iter().filter_map(|row| row.log(racer)).collect()
    }

    /// Log time of `a` less that of `b`, in the blocks that have both.
    pub fn differences(&self, a: usize, b: usize) -> Vec<f64> {
        self.rows
            .iter()
            .filter_map(|row| Some(row.log(a)? - row.log(b)?))
            .collect()
    }

    /// For each of these racers its log times less the mean of the block, over the blocks that have them all.
    pub fn centred(&self, alive: &[usize]) -> Vec<Vec<f64>> {
        let mut columns = vec![Vec::new(); alive.len()];
        for row in &self.rows {
            let Some(logs) = alive
                .iter()
                .map(|i| row.log(*i))
                .collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            for (column, log) in columns.iter_mut().zip(logs) {
                column.push(log - mean);
            }
        }
        columns
    }

    /// How long another block of these racers should take, from the latest one.
    pub fn cost(&self, racers: &[Racer], alive: &[usize]) -> Nanos {
        let Some(row) = self.rows.last() else {
            return Nanos::ZERO;
        };
        let seconds = alive
            .iter()
            .filter_map(|i| Some(row.log(*i)?.exp() * f64::from(racers.get(*i)?.calls.get())))
            .sum();
        Nanos::from_secs_f64(seconds)
    }
}

/// The racers of a block whose samples are flagged.
fn flagged<'a>(order: &'a [usize], samples: &'a [Sample]) -> impl Iterator<Item = usize> + 'a {
    order
        .iter()
        .zip(samples)
        .filter(|(_, sample)| sample.interference.is_flagged())
        .map(|(i, _)| *i)
}

/// The first samples, with the flagged ones replaced by those of the second try, in order.
fn merge(mut first: Vec<Sample>, again: Vec<Sample>) -> Vec<Sample> {
    let flagged = first
        .iter_mut()
        .filter(|sample| sample.interference.is_flagged());
    for (old, new) in flagged.zip(again) {
        *old = new;
    }
    first
}

/// 20 ms · 2^`drops`, at most a second.
fn waiting_time(drops: u32) -> Nanos {
    Nanos((20_000_000_u64 << drops.min(10)).min(1_000_000_000))
}
