//! Who races next, from what is known, and whether the time holds it.

use super::blocks::Racer;
use super::candidates::physical;
use super::constants::{
    BLOCKS_WANTED, EFFICIENT_LOSS, LEAST_BLOCKS, LOOKS, NARROW, RACERS_LEAST, SECOND_RACERS,
    UNBOUND_NEAR, UNBOUND_SCREEN_SHARE,
};
use super::efficient::Efficient;
use super::race::Race;
use super::sustained::under_load;
use super::tuning::{Finished, Tuning};
use super::{After, Arm};
use crate::machine::Placement;
use crate::units::{Nanos, ThreadCount};
use std::iter;

impl Tuning {
    /// Duels of smaller counts with the winner, in half of the time that is left, if that holds one of them.
    pub(super) fn duels(&mut self) -> Option<Efficient> {
        let finished = self.latency_race().filter(|_| self.options.efficient)?;
        let winner = finished.winner()?;
        let challengers = self.challengers(winner.arm);
        let room = Nanos((self.options.time_budget - self.spent).0 / 2);
        let dearest = challengers
            .iter()
            .chain([&winner])
            .map(|racer| self.cost(racer))
            .fold(0.0, f64::max);
        if 2.0 * dearest * LOOKS[0] as f64 > room.as_secs_f64() {
            return None;
        }
        let delta = self.options.delta / 2.0;
        Efficient::new(challengers, winner, delta, self.spent + room, &mut self.rng)
    }

    /// A race that ends at `end`, of as many of these racers (best first) as that leaves time for; if three blocks of
    /// them fit into a quarter of the budget more than that: fewer would decide nothing.
    pub(super) fn race(&mut self, racers: Vec<Racer>, end: Nanos) -> Option<Race> {
        let cost = |racer: &Racer| self.cost(racer);
        let room = (end + self.options.share(0.25)) - self.spent;
        let block = (end - self.spent).as_secs_f64() / BLOCKS_WANTED;
        let racers = affordable(racers, cost, block, room)?;
        let delta = self.options.delta_of_a_race();
        Race::new(racers, delta, end, &self.options, &mut self.rng)
    }

    /// Seconds that one sample of this arm should take now.
    fn cost(&self, racer: &Racer) -> f64 {
        match &self.loaded {
            Some(screen) => under_load(screen.known.cost(racer)),
            None => self.screen.known.cost(racer),
        }
    }

    /// Counts that may be good unbound: those of the first race (or of screening, if there was none), best first, then
    /// those whose best bound time is near.
    pub(super) fn unbound_candidates(&self) -> UnboundCandidates {
        let known = &self.screen.known;
        let raced = match &self.first {
            Some(first) => first.order(),
            None => self.front.clone(),
        };
        let within = |distance: f64| {
            let best = known.best().unwrap_or(f64::NEG_INFINITY);
            best + (4.0 * known.spread()).max(distance)
        };
        let mut near = known.curve();
        near.retain(|(_, log)| *log <= within(UNBOUND_NEAR));
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        let near = near.into_iter().map(|(count, _)| count);
        // Of a recording every unbound arm is a candidate: there are few.
        let recorded = self.options.only.iter().flatten();
        let recorded = recorded
            .filter(|arm| arm.placement == Placement::Unbound && known.has(arm.threads))
            .map(|arm| arm.threads);
        let raced = raced.iter().map(|racer| racer.arm.threads);
        let mut counts: Vec<ThreadCount> = Vec::new();
        for count in raced.chain(self.defaults()).chain(near).chain(recorded) {
            if !counts.contains(&count) {
                counts.push(count);
            }
        }
        let mut racers = self.unbound(counts);
        let left = (self.options.time_budget - self.spent).as_secs_f64();
        let mut room = left * UNBOUND_SCREEN_SHARE;
        let affordable = racers
            .iter()
            .take_while(|racer| {
                room -= known.cost(racer);
                room >= 0.0
            })
            .count();
        let dropped = racers.split_off(affordable.max(SECOND_RACERS).min(racers.len()));
        let plausible = |racer: &Racer| {
            let log = known.estimate_count(racer.arm.threads);
            log.is_some_and(|log| log <= within(NARROW[0]))
        };
        UnboundCandidates {
            is_whole: !dropped.iter().any(plausible),
            racers,
        }
    }

    /// The racers of the unbound race: what screening found best unbound, and the count that is best bound; without
    /// that screening the best bound ones.
    pub(super) fn unbound_racers(&self) -> Vec<Racer> {
        let candidates = self.unbound_candidates().racers;
        match &self.unbound {
            Some(screen) => {
                let best_bound = candidates.first().map(|racer| racer.arm.threads);
                let always: Vec<ThreadCount> =
                    best_bound.into_iter().chain(self.defaults()).collect();
                screen.known.racers(SECOND_RACERS, &always)
            }
            None => candidates.into_iter().take(SECOND_RACERS).collect(),
        }
    }

    /// What programs take that are told nothing: some all logical CPUs, some all physical cores.
    pub(super) fn defaults(&self) -> impl Iterator<Item = ThreadCount> + use<> {
        let (logical, cores) = (self.layout.logical, physical(&self.layout));
        iter::once(logical).chain((cores != logical).then_some(cores))
    }

    /// These counts as unbound arms.
    pub(super) fn unbound(&self, counts: Vec<ThreadCount>) -> Vec<Racer> {
        let racer = |threads| {
            let arm = Arm {
                threads,
                placement: Placement::Unbound,
            };
            let calls = self.screen.known.calls(threads)?;
            self.options.allows(arm).then_some(Racer { arm, calls })
        };
        counts.into_iter().filter_map(racer).collect()
    }

    /// Screened counts below the winner's that may be within 5 %, ascending, placed as the winner.
    fn challengers(&self, winner: Arm) -> Vec<Racer> {
        let known = &self.loaded.as_ref().unwrap_or(&self.screen).known;
        let Some(best) = known.best() else {
            return Vec::new();
        };
        let limit = best + EFFICIENT_LOSS + 2.0 * known.spread();
        known
            .curve()
            .into_iter()
            .filter(|(count, log)| *count < winner.threads && *log <= limit)
            .filter_map(|(threads, _)| {
                let arm = Arm { threads, ..winner };
                let calls = known.calls(threads)?;
                self.options.allows(arm).then_some(Racer { arm, calls })
            })
            .collect()
    }

    /// The races that are over, the latest first.
    pub(super) fn races(&self) -> impl Iterator<Item = &Finished> {
        let races = [&self.sustained, &self.second, &self.first];
        races.into_iter().flatten()
    }

    /// The race that `latency` rests on.
    pub(super) fn latency_race(&self) -> Option<&Finished> {
        self.races().next()
    }

    /// Is there nothing to choose: one count, and one way to bind it?
    pub(super) fn is_single(&self) -> bool {
        let unbound = |threads| {
            let arm = Arm {
                threads,
                placement: Placement::Unbound,
            };
            self.options.then == After::UnboundRace && self.options.allows(arm)
        };
        let bound = |n| self.options.arms_at(n).count();
        let mut possible = (1..=self.layout.logical.as_usize())
            .map(ThreadCount::clamped)
            .filter(|n| bound(*n) > 0 || unbound(*n));
        possible.next().is_some_and(|n| bound(n) <= 1) && possible.next().is_none()
    }
}

/// As many of these racers (best first) as a block of `wanted` seconds holds, three at least, by the seconds of a sample of
/// each; `None` where `room` does not hold three blocks.
pub(super) fn affordable(
    mut racers: Vec<Racer>,
    cost: impl Fn(&Racer) -> f64,
    wanted: f64,
    room: Nanos,
) -> Option<Vec<Racer>> {
    let mut block: f64 = racers.iter().map(&cost).sum();
    while racers.len() > RACERS_LEAST && block > wanted {
        block -= racers.pop().map_or(0.0, |racer| cost(&racer));
    }
    (block * LEAST_BLOCKS as f64 <= room.as_secs_f64()).then_some(racers)
}

/// The arms from which those of the unbound race are chosen.
pub(super) struct UnboundCandidates {
    /// As many as the time holds a sample of, and enough for a race.
    pub racers: Vec<Racer>,
    /// Is every plausible one among them?
    pub is_whole: bool,
}

impl Finished {
    pub(super) fn winner(&self) -> Option<Racer> {
        self.race.racers().get(self.outcome.winner).copied()
    }

    /// The racer with this many threads.
    pub(super) fn place_of(&self, threads: ThreadCount) -> Option<usize> {
        let racers = self.race.racers();
        racers.iter().position(|racer| racer.arm.threads == threads)
    }

    /// All racers, the winner first, the others by what they lost to it.
    pub(super) fn order(&self) -> Vec<Racer> {
        let winner = self.outcome.winner;
        let mut order: Vec<(f64, Racer)> = self
            .race
            .racers()
            .iter()
            .enumerate()
            .map(|(i, racer)| {
                let loss = if i == winner {
                    f64::NEG_INFINITY
                } else {
                    self.race.compare(i, winner).mean
                };
                (loss, *racer)
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.into_iter().map(|(_, racer)| racer).collect()
    }
}
