//! Visits to a workload over time: what a machine does in one second tells little about the next minute.
//!
//! A tuning that has its answer rests, and visits those that raced again, in another process, until the visits together
//! prove it (`Comparison::of_visits`).

use super::Arm;
use super::blocks::Racer;
use super::constants::{MOVED_BY_REGIMES, OPENING_BLOCKS, SAME_WIDTH, VISIT_BLOCKS, VISIT_SHARE};
use super::race::Race;
use super::request::{Answer, Request};
use super::tuning::{Finished, Phase, Tuning};
use crate::units::Nanos;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// When a workload is visited again: how often, and for how long altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitPlan {
    /// Nothing is conclusive before so many visits, the first included …
    pub min_visits: u32,
    /// … the last of which began so long after the first …
    pub min_span: Nanos,
    /// … or so long, where the counts are closer to each other than what a machine's regimes may change.
    pub close_span: Nanos,
    /// After so many visits what is undecided stays so.
    pub max_visits: u32,
}

impl Default for VisitPlan {
    fn default() -> Self {
        Self {
            min_visits: 3,
            min_span: Nanos(8_000_000_000),
            close_span: Nanos(45_000_000_000),
            max_visits: 8,
        }
    }
}

/// From this closeness on there is another visit.
const CLOSE: f64 = 0.3;
/// Each visit beyond the fewest is so many times as long after the one before as that was …
const LATER: f64 = 1.5;
/// … and may take so many times as much: what is not told apart by then needs more blocks, too.
const MORE: f64 = 1.5;

/// The race that is being visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Visited {
    First,
    Second,
}

impl Tuning {
    /// Begins another visit, so long after the first one began, on another bench. Nothing happens to a tuning that does not
    /// rest.
    pub fn revisit(&mut self, elapsed: Nanos) {
        if self.phase == Phase::Resting {
            // A clock that was set back does not undo what was seen.
            let (_, span) = self.span();
            self.visits.push(elapsed.max(span));
            self.visit(Visited::First);
        }
    }

    /// Does it wait for another visit?
    pub fn rests(&self) -> bool {
        self.phase == Phase::Resting
    }

    /// From now on the bench has these arms only, as a recording may lack others in the next visit.
    pub fn only_these_are_present(&mut self, arms: BTreeSet<Arm>) {
        self.present = Some(arms);
    }

    /// Do the samples that are wanted next count? The first ones of a visit find the caches as others left them.
    pub fn next_counts(&self) -> bool {
        match &self.phase {
            Phase::Visiting(race) => {
                let finished = self.finished(*race);
                finished.is_none_or(|finished| !finished.race.leaves_out_next())
            }
            _ => true,
        }
    }

    /// A race of the first visit ends early where others follow.
    pub(super) fn opening(&self, race: Race) -> Race {
        match self.visit_plan() {
            Some(_) => race.resting_after(OPENING_BLOCKS),
            None => race,
        }
    }

    /// The plan of its visits: what a race under sustained load found is not looked at again.
    fn visit_plan(&self) -> Option<VisitPlan> {
        let is_in_bursts = self.options.sustained.is_none();
        self.options.visit_plan.filter(|_| is_in_bursts)
    }

    /// How many visits there were, and from the first one's begin to the last one's.
    pub(super) fn span(&self) -> (u32, Nanos) {
        let span = self.visits.last().copied().unwrap_or_default();
        (1 + self.visits.len() as u32, span)
    }

    /// Which visit this is, from 1 on, and when it began, since the first one did.
    pub fn visit_at_hand(&self) -> (u32, Nanos) {
        self.span()
    }

    /// How long after this visit the next one is to begin, if it waits for one.
    pub fn next_visit(&self) -> Option<Nanos> {
        self.rests().then(|| self.wait())
    }

    /// From the begin of this visit to that of the next one.
    pub(super) fn wait(&self) -> Nanos {
        let plan = self.visit_plan().unwrap_or_default();
        let gaps = self.wanted_gaps(&plan);
        let even = self.wanted_span(&plan).as_secs_f64() / f64::from(gaps);
        let beyond = self.visits.len().saturating_sub(gaps as usize - 1);
        Nanos::from_secs_f64(even * LATER.powf(beyond as f64))
    }

    pub(super) fn visited(&mut self, race: Visited) -> &mut Option<Finished> {
        match race {
            Visited::First => &mut self.first,
            Visited::Second => &mut self.second,
        }
    }

    fn finished(&self, race: Visited) -> Option<&Finished> {
        match race {
            Visited::First => self.first.as_ref(),
            Visited::Second => self.second.as_ref(),
        }
    }

    /// What the race that is visited asks for.
    pub(super) fn wanted_in_visit(&self, race: Visited) -> Option<Request> {
        Some(self.finished(race)?.race.request())
    }

    /// Visits this race, or the next one, or ends the visit.
    fn visit(&mut self, race: Visited) {
        // One race after another takes its part of what the opening took.
        let races = self.races().count().max(1) as f64;
        let least = self.visit_plan().unwrap_or_default().min_visits;
        // This visit counts already.
        let beyond = (self.visits.len() + 1).saturating_sub(least as usize);
        let growth = MORE.powf(beyond as f64);
        let left = self.options.time_budget.saturating_sub(self.spent) + self.options.share(0.25);
        let time = growth * self.spent_on_opening.as_secs_f64() * VISIT_SHARE;
        let time = time.min(left.as_secs_f64()) / races;
        let blocks = (growth * VISIT_BLOCKS) as usize;
        let is_last = race == Visited::Second || self.second.is_none();
        let few = self.efficient.as_ref().and_then(|duels| duels.taken);
        let guest = few.filter(|_| is_last).map(|(racer, _)| racer);
        let mut finished = self.visited(race).take();
        let (present, spent) = (&self.present, self.spent);
        let begins = finished.as_mut().is_some_and(|Finished { race, outcome }| {
            let mut members = race.worth_visiting(outcome.winner);
            let is_present = |i: &usize| {
                let arm = race.racers().get(*i).map(|racer| racer.arm);
                present
                    .as_ref()
                    .is_none_or(|present| arm.is_some_and(|arm| present.contains(&arm)))
            };
            members.retain(is_present);
            let are_several = members.len() > 1;
            if let Some(guest) = guest {
                race.invite(guest);
            }
            if are_several {
                let time = Nanos::from_secs_f64(time);
                race.begin_visit(members, blocks, time, spent, &mut self.rng);
            }
            are_several
        });
        *self.visited(race) = finished;
        if begins {
            self.phase = Phase::Visiting(race);
        } else {
            self.after(race);
        }
    }

    /// Takes what the race that is visited asked for.
    pub(super) fn absorb_in_visit(&mut self, race: Visited, answer: Answer) {
        self.phase = Phase::Visiting(race);
        let mut finished = self.visited(race).take();
        let is_over = finished.as_mut().is_none_or(|finished| {
            let Finished { race, .. } = finished;
            race.absorb_in_visit(answer, self.spent, &mut self.rng)
        });
        *self.visited(race) = finished;
        if is_over {
            self.after(race);
        }
    }

    /// Goes on when this race was visited.
    fn after(&mut self, race: Visited) {
        match race {
            Visited::First => self.visit(Visited::Second),
            Visited::Second => self.end_visit(),
        }
    }

    fn end_visit(&mut self) {
        let (visits, _) = self.span();
        let least = self.visit_plan().unwrap_or_default().min_visits;
        if let Some(look) = visits.checked_sub(least) {
            for Finished { race, outcome } in
                [&mut self.first, &mut self.second].into_iter().flatten()
            {
                if race.was_visited() {
                    *outcome = race.over_visits(look + 1, least as usize);
                }
            }
        }
        if self.above.is_none() && self.stop().is_conclusive() {
            // What is not conclusive before has no race above a quota yet.
            self.look_above_quota();
        } else {
            self.finish();
        }
    }

    /// Can no regime turn the answer round, as all others are many times slower?
    fn is_beyond_doubt(&self) -> bool {
        self.races()
            .all(|finished| finished.race.worth_visiting(finished.outcome.winner).len() < 2)
    }

    /// Was what the races say seen too few times, or within too short a time?
    pub(super) fn is_brief(&self) -> bool {
        let Some(plan) = self.visit_plan() else {
            return false;
        };
        let (visits, span) = self.span();
        (visits < self.wanted_visits(&plan) || span < self.least_span(&plan))
            && !self.is_beyond_doubt()
            || self.has_unvisited_race()
    }

    /// Is there a race, not beyond doubt, to which there was no further visit?
    fn has_unvisited_race(&self) -> bool {
        self.races().any(|Finished { race, outcome }| {
            !race.was_visited() && race.worth_visiting(outcome.winner).len() > 1
        })
    }

    /// How many visits there must be at least: another one where little keeps the counts apart.
    fn wanted_visits(&self, plan: &VisitPlan) -> u32 {
        plan.min_visits + u32::from(self.closeness() > CLOSE)
    }

    /// The gaps between these.
    fn wanted_gaps(&self, plan: &VisitPlan) -> u32 {
        self.wanted_visits(plan).saturating_sub(1).max(1)
    }

    /// How far apart the first and the last visit must be: the farther, the less keeps the counts apart.
    fn wanted_span(&self, plan: &VisitPlan) -> Nanos {
        let (span, long) = (plan.min_span.as_secs_f64(), plan.close_span.as_secs_f64());
        Nanos::from_secs_f64(span + (long - span).max(0.0) * self.closeness())
    }

    /// The span that is enough: how close the counts are is known a little better at each visit, which is no reason for one
    /// more.
    fn least_span(&self, plan: &VisitPlan) -> Nanos {
        let most = self.wanted_span(plan).as_secs_f64();
        Nanos::from_secs_f64(0.9 * most).max(plan.min_span)
    }

    /// How much of what regimes are known to move is not made up for by what a racer of another width loses: from 0 where each
    /// loses as much as that to 1 where one loses nothing.
    fn closeness(&self) -> f64 {
        let Some(finished) = self.latency_race() else {
            return 0.0;
        };
        let all = f64::from(self.layout.logical.get());
        let share = |racer: &Racer| f64::from(racer.arm.threads.get()) / all;
        let winner = finished.outcome.winner;
        let best = finished.winner().map_or(0.0, |racer| share(&racer));
        let candidates = finished.race.candidates().iter().enumerate();
        candidates
            .map(|(i, racer)| (i, (share(racer) - best).abs()))
            .filter(|(_, apart)| *apart > SAME_WIDTH)
            .map(|(i, apart)| {
                let loss = finished.race.compare(i, winner).mean;
                1.0 - loss / (MOVED_BY_REGIMES * apart)
            })
            .fold(0.0, f64::max)
            .min(1.0)
    }

    /// Is there another visit, if it would tell more?
    pub(super) fn may_be_visited(&self) -> bool {
        let (visits, _) = self.span();
        let is_left = |plan: VisitPlan| visits < plan.max_visits;
        self.visit_plan().is_some_and(is_left) && self.spent < self.options.time_budget
    }

    /// Would another visit tell more?
    pub(super) fn wants_another_visit(&self) -> bool {
        self.may_be_visited() && self.stop().may_change()
    }
}
