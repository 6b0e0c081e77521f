//! The race of the winner with one thread more than a CPU quota pays in full.
//!
//! A team above its quota is stopped for a part of every period, so its samples take five periods at least, and a shorter
//! one of the same arm goes before each: what the other arm left of the quota, or used up of it, is gone by then.

use super::Arm;
use super::blocks::Racer;
use super::constants::{LOOKS, MOST_CALLS, QUOTA_PERIODS};
use super::race::{Race, RaceOutcome};
use super::request::{Answer, Request};
use super::tuning::{Finished, Tuning};
use super::verdict::{Choice, OneAbove, Timing};
use crate::machine::Placement;
use crate::profile::StopReason;
use crate::units::{Calls, Nanos};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};

/// The two of the race.
const WITHIN: usize = 0;
const ABOVE: usize = 1;

/// The race, and what goes before its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct QuotaRace(pub Race);

impl QuotaRace {
    /// What to ask the bench for.
    pub fn request(&self) -> Request {
        match self.0.request() {
            Request::Block(plan) => {
                let with_lead = |(arm, calls): (Arm, Calls)| {
                    let lead = Calls::new(calls.get().div_ceil(QUOTA_PERIODS));
                    [(arm, lead), (arm, calls)]
                };
                Request::Block(plan.into_iter().flat_map(with_lead).collect())
            }
            other => other,
        }
    }

    /// Takes the answer; the outcome if that ended the race.
    pub fn absorb(&mut self, answer: Answer, spent: Nanos, rng: &mut Pcg32) -> Option<RaceOutcome> {
        let answer = match answer {
            Answer::Samples(samples, taken) => {
                Answer::Samples(samples.into_iter().skip(1).step_by(2).collect(), taken)
            }
            other => other,
        };
        self.0.absorb(answer, spent, rng)
    }
}

impl Tuning {
    /// The winner against one thread more than the quota pays, where there is such a count that could win by more than
    /// eps if the work scaled perfectly, and the time holds it.
    pub(super) fn quota_race(&mut self) -> Option<QuotaRace> {
        let above = self.options.above_quota?;
        if !self.stop().is_conclusive() {
            return None;
        }
        let winner = self.latency_race()?.winner()?.arm;
        // Bound threads that are stopped look as if others took their CPUs.
        if winner.placement != Placement::Unbound {
            return None;
        }
        let known = &self.screen.known;
        let paid = self.layout.logical;
        let seconds = known.estimate_count(winner.threads)?.exp();
        // At best as many threads as are paid do as much each, and the part of a CPU that is left over does its part.
        let least = known.estimate_count(paid)?.exp() * f64::from(paid.get()) / above.cpus;
        if least.ln() > seconds.ln() - self.options.eps {
            return None;
        }
        let sample = f64::from(QUOTA_PERIODS) * above.period_us as f64 / 1e6;
        let racer = |arm: Arm, per_call: f64| {
            let calls = (sample / per_call).ceil().max(1.0);
            (calls <= MOST_CALLS).then_some(Racer {
                arm,
                calls: Calls::new(calls as u32),
            })
        };
        let arm = Arm {
            threads: above.threads,
            ..winner
        };
        let racers = vec![racer(winner, seconds)?, racer(arm, least)?];
        let cost = |racer: &Racer, per_call: f64| per_call * f64::from(racer.calls.get());
        let block = cost(&racers[WITHIN], seconds) + cost(&racers[ABOVE], least);
        let leads = 1.0 + f64::from(QUOTA_PERIODS).recip();
        let end = self.options.time_budget;
        let room = end + self.options.share(0.25) - self.spent;
        if block * leads * LOOKS[0] as f64 > room.as_secs_f64() {
            return None;
        }
        let delta = self.options.delta_of_a_race();
        Race::new(racers, delta, end, &self.options, &mut self.rng).map(QuotaRace)
    }

    /// The count above the quota, as far as it was raced; fewer threads win what is nearly a tie.
    pub(super) fn one_above(&self) -> Option<OneAbove> {
        let Finished { race, outcome } = self.above.as_ref()?;
        if outcome.stop == StopReason::Contaminated {
            return None;
        }
        let arm = race.racers().get(ABOVE)?.arm;
        let choice = Choice::of(arm, &race.logs(ABOVE))?;
        let paired = race.compare(WITHIN, ABOVE);
        Some(OneAbove {
            speedup: if paired.is_known() {
                paired.mean.exp()
            } else {
                // Too few blocks to pair.
                let within = Timing::of(&race.logs(WITHIN))?;
                within.seconds_per_call / choice.time.seconds_per_call
            },
            choice,
            quota: self.options.above_quota?.cpus,
            won: outcome.winner == ABOVE && outcome.stop.is_conclusive(),
        })
    }
}
