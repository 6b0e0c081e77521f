//! Further visits to the racers of a race that is over: what was true in one moment may not be in another.

use super::{Race, RaceOutcome, Racer};
use crate::profile::StopReason;
use crate::tune::comparison::{Comparison, Visits};
use crate::tune::constants::{LEAST_BLOCKS, LONG_SAMPLE_SECONDS, TURNED_BY_NO_REGIME};
use crate::tune::request::Answer;
use crate::units::Nanos;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The visit at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Visit {
    /// Blocks before it, and when it ends.
    begins: usize,
    ends: usize,
    /// The time after which it ends earlier.
    time: Nanos,
}

/// The level at which one visit alone is taken to say something else than the others.
const CONTRADICTS: f64 = 0.01;
/// The level at which a racer is plainly slower in the visit at hand, which decides nothing but when the visit ends.
const PLAINLY: f64 = 0.1;

impl Race {
    /// The racers that may be the best at another time, the winner first, then what was visited least, then by what they lost
    /// to it: all but those that are many times slower.
    pub(in crate::tune) fn worth_visiting(&self, winner: usize) -> Vec<usize> {
        let limit = TURNED_BY_NO_REGIME.ln();
        let mut others: Vec<(usize, f64, usize)> = (0..self.candidates().len())
            .filter(|i| *i != winner)
            .map(|i| {
                let visits = self.visits_of(i, winner);
                (visits, self.compare(i, winner).mean, i)
            })
            .filter(|(_, loss, _)| *loss < limit)
            .collect();
        others.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let others = others.into_iter().map(|(_, _, i)| i);
        std::iter::once(winner).chain(others).collect()
    }

    /// This one takes part in further visits, too, if it is none of the racers: it is to be known what it loses, and no more.
    pub(in crate::tune) fn invite(&mut self, racer: Racer) {
        let is_there = self.racers.iter().any(|known| known.arm == racer.arm);
        if !is_there && self.guest.is_none() {
            self.guest = Some(self.racers.len());
            self.racers.push(racer);
        }
    }

    /// Begins another visit, by another bench, of `most` blocks of as many of these racers (in their order, two at least) as
    /// leave time for three. `time` is what it should take, and at most twice that.
    pub(in crate::tune) fn begin_visit(
        &mut self,
        mut members: Vec<usize>,
        most: usize,
        time: Nanos,
        spent: Nanos,
        rng: &mut Pcg32,
    ) {
        let fits = |members: &[usize]| {
            let block = self.blocks.cost(&self.racers, members).as_secs_f64();
            if block > 0.0 {
                (time.as_secs_f64() / block) as usize
            } else {
                most
            }
        };
        while members.len() > 2 && fits(&members) < LEAST_BLOCKS {
            members.pop();
        }
        members.extend(self.guest);
        if fits(&members) < LEAST_BLOCKS && self.guest.is_some() {
            members.pop();
        }
        let blocks = fits(&members).clamp(LEAST_BLOCKS, most);
        let sample = self.blocks.cost(&self.racers, &members).as_secs_f64() / members.len() as f64;
        self.blocks.begin_visit(sample < LONG_SAMPLE_SECONDS);
        self.visit = Visit {
            begins: self.blocks.len(),
            ends: self.blocks.len() + blocks,
            time: time + time,
        };
        self.deadline = spent + self.visit.time;
        self.alive = members;
        self.go_on(rng);
    }

    /// Does the next block not count?
    pub(in crate::tune) fn leaves_out_next(&self) -> bool {
        self.blocks.leaves_out_next()
    }

    /// Takes the answer; true when the visit is over.
    pub(in crate::tune) fn absorb_in_visit(
        &mut self,
        answer: Answer,
        spent: Nanos,
        rng: &mut Pcg32,
    ) -> bool {
        let is_warm = !self.blocks.leaves_out_next();
        let taken = self.blocks.len().saturating_sub(self.visit.begins);
        // Three blocks are taken however long they last: fewer would tell nothing.
        let over = is_warm && taken + 1 >= LEAST_BLOCKS && spent >= self.deadline;
        if !self.blocks.absorb(answer, self.racers.len(), over, rng) {
            return false;
        }
        if self.blocks.is_judged() {
            return true;
        }
        if !is_warm {
            // Bringing the machine up to its speed is no part of the visit.
            self.deadline = spent + self.visit.time;
        }
        self.leave_the_beaten();
        if self.alive.len() > 1 && self.blocks.len() < self.visit.ends && !over {
            self.go_on(rng);
            return false;
        }
        !self.must_be_judged()
    }

    /// Those that are plainly slower in this visit, too, have shown all that there is to be seen.
    fn leave_the_beaten(&mut self) {
        let Some(first) = self.alive.first().copied() else {
            return;
        };
        let candidates = self.candidates().len();
        let beaten: Vec<usize> = self.alive[1..]
            .iter()
            .copied()
            .filter(|i| *i < candidates)
            .filter(|i| {
                let here = self.blocks.differences_at_last(*i, first);
                Comparison::of(here).lower(PLAINLY) > self.eps
            })
            .collect();
        beaten.into_iter().for_each(|i| self.retire(i));
    }

    /// What all visits prove together, at the look of this number, from 1 on: the level over all looks and the racers that
    /// were visited sums to `delta`, as if the looks of the first visit had concluded nothing.
    /// Nothing is proven of a racer that met the best in fewer than `least` visits.
    pub(in crate::tune) fn over_visits(&mut self, look: u32, least: usize) -> RaceOutcome {
        // Those that waited for their turn had it in a visit.
        self.waiting.clear();
        // Those that left this visit early, or that it had no time for, are in the race as before.
        self.alive = self.worth_visiting(self.leader);
        let others = self.alive.len().saturating_sub(1).max(1) as f64;
        let alpha = self.delta / others / (f64::from(look) * f64::from(look + 1));
        // Visits count as much as they tell, which the difference to any one of them shows.
        let first = self.leader;
        let loss = |i: usize| {
            if i == first {
                0.0
            } else {
                self.compare(i, first).mean
            }
        };
        let racers = self.alive.iter().copied();
        let incumbent = racers.fold(first, |best, i| if loss(i) < loss(best) { i } else { best });
        self.leader = incumbent;
        let against = self.against(incumbent);
        let is_proven = |(i, c): &(usize, Comparison)| {
            self.visits_of(*i, incumbent) >= least && c.half_width(alpha) - c.mean <= self.eps
        };
        let stop = if against.iter().any(|(i, _)| self.turns(*i, incumbent)) {
            StopReason::Unsteady
        } else if against.iter().all(is_proven) {
            StopReason::Eps
        } else {
            StopReason::Undecided
        };
        self.conclude(incumbent, &against, stop, alpha)
    }

    /// Another bench takes the place of this one in the midst of a visit, of which this became known at last.
    pub(in crate::tune) fn change_bench_in_visit(
        &mut self,
        disturbed: &[Range<Nanos>],
        rng: &mut Pcg32,
    ) {
        self.blocks.change_bench(disturbed);
        self.blocks.leave_out_next();
        self.go_on(rng);
    }

    /// Was there a visit after the first one?
    pub(in crate::tune) fn was_visited(&self) -> bool {
        self.visit != Visit::default()
    }

    /// In how many visits both were in enough blocks to tell anything.
    fn visits_of(&self, a: usize, b: usize) -> usize {
        let visits = self.blocks.differences(a, b);
        visits
            .iter()
            .filter(|blocks| blocks.len() >= LEAST_BLOCKS)
            .count()
    }

    /// Where visits disagree about a racer and this one: that racer, and its loss in each visit, in log time. Of several the
    /// one that is better at times, then the one that loses least.
    pub(in crate::tune) fn disagreement(&self, winner: usize) -> Option<(usize, Vec<f64>)> {
        let disputed = |i: usize| {
            let visits = Visits::of(self.blocks.differences(i, winner)).ok()?;
            let turns = self.turns(i, winner);
            (turns || visits.disagree(CONTRADICTS)).then_some((!turns, i, visits.means))
        };
        (0..self.candidates().len())
            .filter(|i| *i != winner)
            .filter_map(disputed)
            .min_by(|a, b| {
                let loss = |i: usize| self.compare(i, winner).mean;
                a.0.cmp(&b.0).then(loss(a.1).total_cmp(&loss(b.1)))
            })
            .map(|(_, i, means)| (i, means))
    }

    /// Was this racer better than the incumbent by more than the indifference zone in any visit, beyond noise?
    fn turns(&self, racer: usize, incumbent: usize) -> bool {
        let visits = self.blocks.differences(racer, incumbent);
        visits
            .into_iter()
            .any(|visit| Comparison::of(visit).upper(CONTRADICTS) < -self.eps)
    }
}
