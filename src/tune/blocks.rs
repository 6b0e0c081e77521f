//! Taking blocks: random order, disturbed samples measured again, disturbed blocks thrown away.

use super::constants::{DIRTY_SHARE, LEAST_BLOCKS, WARMING};
use super::request::{Answer, Request};
use super::screened::Tries;
use super::{Arm, Patience, Sample};
use crate::units::{Calls, Nanos};
use rand::seq::SliceRandom;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;

/// An arm in a race, with the calls that make one of its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Racer {
    /// The arm.
    pub arm: Arm,
    /// Calls of one sample.
    pub calls: Calls,
}

/// One complete block: a log time for each racer that was in it, by the racers' indices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    logs: Vec<Option<f64>>,
    dirty: bool,
    /// In which visit, from 0 on.
    #[serde(default)]
    visit: u32,
    /// When, on the bench's clock; absent where another bench has taken its place since, and nothing more becomes known.
    taken: Option<Range<Nanos>>,
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
    /// These came, from then on; the flagged ones are asked for again.
    Again(Vec<Sample>, Nanos),
    /// It was thrown away; the disturbance is given time to pass.
    Wait,
    /// It is complete, and something is to be concluded: what is known late is asked for.
    Judge,
}

/// The blocks of one race, and the one being taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Blocks {
    order: Vec<usize>,
    doing: Doing,
    patience: Patience,
    drops_in_a_row: u32,
    /// The visit at hand, from 0 on.
    #[serde(default)]
    visit: u32,
    /// Is the next block left out, as it finds the caches as others left them?
    #[serde(default)]
    leaves_out_next: bool,
    rows: Vec<Row>,
    /// Is everything known that is known late of these rows?
    is_judged: bool,
    /// The rows that were thrown away for what became known late.
    voided: Vec<Row>,
    rejected: u64,
    /// The racers that were flagged since the last complete block.
    struck: BTreeSet<usize>,
    /// By the racers' indices.
    tries: Vec<Tries>,
}

impl Blocks {
    /// No blocks yet; the first is of these racers.
    pub fn new(alive: &[usize], patience: Patience, rng: &mut Pcg32) -> Self {
        let mut blocks = Self {
            order: Vec::new(),
            doing: Doing::Block,
            patience,
            drops_in_a_row: 0,
            visit: 0,
            leaves_out_next: false,
            rows: Vec::new(),
            is_judged: false,
            voided: Vec::new(),
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
        self.is_judged = false;
    }

    /// Something is about to be concluded from these blocks: true where what is known late of them must be asked for first.
    /// Then the next request does so, and [`Self::absorb`] says when to conclude again.
    pub fn must_be_judged(&mut self) -> bool {
        if !self.is_judged {
            self.doing = Doing::Judge;
        }
        !self.is_judged
    }

    /// Was the answer that was absorbed last one to what is known late?
    pub fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// What to ask the bench for.
    pub fn request(&self, racers: &[Racer]) -> Request {
        let plan = |members: &mut dyn Iterator<Item = usize>| {
            Request::Block(
                members
                    .filter_map(|i| racers.get(i))
                    .map(|racer| (racer.arm, self.calls(racer)))
                    .collect(),
            )
        };
        match &self.doing {
            Doing::Block => plan(&mut self.order.iter().copied()),
            Doing::Again(first, _) => plan(&mut flagged(&self.order, first)),
            Doing::Judge => Request::Judge,
            Doing::Wait => Request::Idle(waiting_time(self.drops_in_a_row)),
        }
    }

    /// Fewer where the sample does not count.
    fn calls(&self, racer: &Racer) -> Calls {
        if self.leaves_out_next {
            Calls::new(racer.calls.get().div_ceil(WARMING))
        } else {
            racer.calls
        }
    }

    /// Takes the answer to [`Self::request`]; true when it completed a block or told what is known late of all of them,
    /// after which [`Self::begin`] is due.
    ///
    /// `racers` is how many there are; `over`: there is no time to wait, so the block is taken as it is.
    pub fn absorb(&mut self, answer: Answer, racers: usize, over: bool, rng: &mut Pcg32) -> bool {
        let (samples, taken) = match answer {
            Answer::Samples(samples, taken) => (samples, taken),
            Answer::Judged(stretches) => {
                self.void(&stretches);
                self.is_judged = true;
                return true;
            }
            Answer::Waited => {
                let alive = std::mem::take(&mut self.order);
                self.begin(&alive, rng);
                return false;
            }
        };
        let doing = std::mem::replace(&mut self.doing, Doing::Block);
        self.count(&doing, &samples, racers);
        let (samples, since, again) = match doing {
            Doing::Again(first, since) => (merge(first, samples), since, true),
            Doing::Block | Doing::Wait | Doing::Judge => (samples, taken.start, false),
        };
        let flagged = samples
            .iter()
            .filter(|sample| sample.interference.is_flagged())
            .count();
        if flagged > 0 && !again {
            self.rejected += flagged as u64;
            self.doing = Doing::Again(samples, since);
            return false;
        }
        if flagged > 0 {
            self.drops_in_a_row = self.drops_in_a_row.saturating_add(1);
            if self.drops_in_a_row <= self.patience.drops_in_a_row() && !over {
                self.rejected += samples.len() as u64;
                self.doing = Doing::Wait;
                return false;
            }
        }
        self.drops_in_a_row = 0;
        self.keep(&samples, racers, flagged > 0, since..taken.end);
        true
    }

    /// Counts what was tried, and what was flagged.
    fn count(&mut self, doing: &Doing, samples: &[Sample], racers: usize) {
        let tried: Vec<usize> = match doing {
            Doing::Again(first, _) => flagged(&self.order, first).collect(),
            Doing::Block | Doing::Wait | Doing::Judge => self.order.clone(),
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

    /// From the next block on it is another visit, by another bench; that block does not count where it `is_cold`.
    pub fn begin_visit(&mut self, is_cold: bool) {
        self.visit = self.visit.saturating_add(1);
        self.leaves_out_next = is_cold;
        for row in &mut self.rows {
            row.taken = None;
        }
    }

    /// The next block does not count: it finds the caches as others left them.
    pub fn leave_out_next(&mut self) {
        self.leaves_out_next = true;
    }

    /// Is the next block such a one?
    pub fn leaves_out_next(&self) -> bool {
        self.leaves_out_next
    }

    /// Another bench takes the place of this one, of which this became known at last.
    pub fn change_bench(&mut self, stretches: &[Range<Nanos>]) {
        self.void(stretches);
        for row in &mut self.rows {
            row.taken = None;
        }
        // What was taken of the block at hand is taken again.
        self.doing = Doing::Block;
    }

    /// Throws away the rows that were taken while the machine was disturbed, as is known now.
    fn void(&mut self, stretches: &[Range<Nanos>]) {
        let is_disturbed = |row: &Row| {
            let Some(taken) = &row.taken else {
                return false;
            };
            let overlaps = |at: &Range<Nanos>| taken.start < at.end && at.start < taken.end;
            stretches.iter().any(overlaps)
        };
        for row in self.rows.extract_if(.., |row| is_disturbed(row)) {
            for (tries, _) in self
                .tries
                .iter_mut()
                .zip(&row.logs)
                .filter(|(_, log)| log.is_some())
            {
                tries.flagged = tries.flagged.saturating_add(1);
                tries.struck = tries.struck.saturating_add(1);
                self.rejected += 1;
            }
            self.voided.push(row);
        }
    }

    fn keep(&mut self, samples: &[Sample], racers: usize, dirty: bool, taken: Range<Nanos>) {
        if std::mem::take(&mut self.leaves_out_next) {
            self.struck.clear();
            return;
        }
        let mut logs = vec![None; racers];
        for (i, sample) in self.order.iter().zip(samples) {
            if let Some(log) = logs.get_mut(*i) {
                *log = Some(sample.seconds_per_call.ln());
            }
        }
        self.rows.push(Row {
            logs,
            dirty,
            visit: self.visit,
            taken: Some(taken),
        });
        for i in &self.order {
            if let Some(tries) = self.tries.get_mut(*i) {
                tries.blocks = tries.blocks.saturating_add(1);
                let is_struck = self.struck.contains(i);
                tries.struck = tries.struck.saturating_add(u32::from(is_struck));
            }
        }
        self.struck.clear();
    }

    /// For how long disturbances are waited through.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// How many blocks are complete.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them hold a flagged sample.
    pub fn dirty(&self) -> usize {
        self.rows.iter().filter(|row| row.dirty).count()
    }

    /// Are so many of them disturbed, or so few left where others were, that nothing may be concluded?
    pub fn are_dirty(&self) -> bool {
        self.dirty() as f64 > DIRTY_SHARE * self.len() as f64
            || !self.voided.is_empty() && self.len() < LEAST_BLOCKS
    }

    /// How often this racer was timed and disturbed.
    pub fn tries(&self, racer: usize) -> Tries {
        self.tries.get(racer).copied().unwrap_or_default()
    }

    /// Samples thrown away.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Log times of one racer, in the order of the blocks, by visit; of those thrown away where there are no others, as a
    /// count without an alternative has a time, too.
    pub fn logs(&self, racer: usize) -> Vec<Vec<f64>> {
        let logs = self.by_visit(|row| row.log(racer));
        if logs.is_empty() {
            let voided = self.voided.iter().filter_map(|row| row.log(racer));
            vec![voided.collect()]
        } else {
            logs
        }
    }

    /// Log time of `a` less that of `b`, in the blocks that have both, by visit; visits without such a block are left out.
    pub fn differences(&self, a: usize, b: usize) -> Vec<Vec<f64>> {
        self.by_visit(|row| Some(row.log(a)? - row.log(b)?))
    }

    /// The same in the visit at hand.
    pub fn differences_at_last(&self, a: usize, b: usize) -> Vec<f64> {
        let here = self.rows.iter().filter(|row| row.visit == self.visit);
        here.filter_map(|row| Some(row.log(a)? - row.log(b)?))
            .collect()
    }

    /// For each of these racers its log times less the mean of the block, by visit, over the blocks that have them all.
    pub fn centred(&self, alive: &[usize]) -> Vec<Vec<Vec<f64>>> {
        let of = |racer: usize| {
            self.by_visit(|row| {
                let logs: Option<Vec<f64>> = alive.iter().map(|i| row.log(*i)).collect();
                let logs = logs?;
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                Some(row.log(racer)? - mean)
            })
        };
        alive.iter().map(|racer| of(*racer)).collect()
    }

    /// What these rows give, by visit; visits that give nothing are left out.
    fn by_visit(&self, value: impl Fn(&Row) -> Option<f64>) -> Vec<Vec<f64>> {
        self.rows
            .chunk_by(|a, b| a.visit == b.visit)
            .map(|rows| rows.iter().filter_map(&value).collect())
            .filter(|values: &Vec<f64>| !values.is_empty())
            .collect()
    }

    /// How long another block of these racers should take, from the latest one.
    pub fn cost(&self, racers: &[Racer], alive: &[usize]) -> Nanos {
        let Some(row) = self.rows.last() else {
            return Nanos::ZERO;
        };
        let seconds = |i: usize| Some(row.log(i)?.exp() * f64::from(racers.get(i)?.calls.get()));
        let dearest = (0..racers.len()).filter_map(seconds).fold(0.0, f64::max);
        // What was not in it takes no longer than the dearest that was, as far as is known.
        let sum = alive.iter().map(|i| seconds(*i).unwrap_or(dearest)).sum();
        Nanos::from_secs_f64(sum)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::Interference;
    use crate::units::ThreadCount;
    use rand::SeedableRng;

    const MS: u64 = 1_000_000;

    fn racers() -> Vec<Racer> {
        let racer = |threads| Racer {
            arm: Arm {
                threads: ThreadCount::clamped(threads),
                placement: Placement::Unbound,
            },
            calls: Calls::ONE,
        };
        vec![racer(1), racer(2)]
    }

    /// Two samples, taken in the millisecond that begins then.
    fn at(begin_ms: u64) -> Answer {
        let sample = Sample {
            seconds_per_call: 1e-3,
            calls: Calls::ONE,
            interference: Interference::None,
            first_call: None,
        };
        let begin = Nanos(begin_ms * MS);
        Answer::Samples(vec![sample; 2], begin..begin + Nanos(MS))
    }

    #[test]
    fn blocks_taken_while_the_machine_was_disturbed_are_thrown_away() {
        let rng = &mut Pcg32::seed_from_u64(1);
        let racers = racers();
        let mut blocks = Blocks::new(&[0, 1], Patience::Long, rng);
        for begin_ms in [0, 10, 20, 30] {
            assert!(blocks.absorb(at(begin_ms), 2, false, rng));
            blocks.begin(&[0, 1], rng);
        }
        assert!(blocks.must_be_judged());
        assert_eq!(blocks.request(&racers), Request::Judge);
        // The end of the second block, and the time between the third and the fourth.
        let stretches = [(10, 11), (21, 30)].map(|(a, b)| Nanos(a * MS + 1)..Nanos(b * MS));
        assert!(blocks.absorb(Answer::Judged(stretches.to_vec()), 2, false, rng));
        assert_eq!((blocks.len(), blocks.rejected()), (3, 2));
        assert!(!blocks.are_dirty());
        let tries = blocks.tries(0);
        assert_eq!((tries.samples, tries.flagged, tries.struck), (4, 1, 1));
        let rest = vec![Nanos::ZERO..Nanos(MS)];
        assert!(blocks.absorb(Answer::Judged(rest), 2, false, rng));
        // Two are left, and disturbances are why there are not more.
        assert!(blocks.len() == 2 && blocks.are_dirty());
        let all = vec![Nanos::ZERO..Nanos(100 * MS)];
        assert!(blocks.absorb(Answer::Judged(all), 2, false, rng));
        assert_eq!((blocks.len(), blocks.differences(0, 1)), (0, Vec::new()));
        assert_eq!(blocks.logs(0), [[1e-3f64.ln(); 4]]);
        // All of them are known now; the next block is not.
        assert!(!blocks.must_be_judged());
        blocks.begin(&[0, 1], rng);
        assert!(blocks.must_be_judged());
    }
}
