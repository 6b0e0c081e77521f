//! Who is screened and who races under full load.
//!
//! Which counts are best changes with the load, as it does with the binding: the counts that raced in bursts may all be
//! too wide. So those below the winner that a limit on power may favour are screened under load first.

use super::Arm;
use super::blocks::Racer;
use super::calibration::calls_for;
use super::constants::{LOADED_NEAR, LOADED_SAMPLE_SECONDS, LOADS, SECOND_RACERS};
use super::full_load::FullLoad;
use super::screen::{Context, Screen};
use super::tuning::{Finished, Tuning};
use crate::machine::Placement;
use crate::profile::StopReason;
use crate::units::{Calls, Nanos, ThreadCount};

impl Tuning {
    /// Full load, and screening of what races under it, in half of the time that is left. `None` where bursts decided
    /// nothing that could be raced again, or the time does not hold it.
    pub(super) fn loaded_screening(&mut self) -> Option<(FullLoad, Screen)> {
        let time = self.options.sustained?;
        let widest = self.options.arms_at(self.layout.logical).next()?;
        let mut candidates = self.loaded_candidates()?;
        let half = Nanos((self.options.time_budget - self.spent).0 / 2);
        let mut room = half.as_secs_f64();
        let affordable = candidates.iter().take_while(|racer| {
            room -= under_load(self.screen.known.cost(racer));
            room >= 0.0
        });
        let affordable = affordable.count();
        self.screen.incomplete |= affordable < candidates.len();
        candidates.truncate(affordable);
        if candidates.len() < 2 {
            return None;
        }
        let screen = Screen::of_arms(
            &candidates,
            self.spent + half,
            &mut Context {
                layout: &self.layout,
                options: &self.options,
                spent: self.spent,
                rng: &mut self.rng,
            },
        );
        screen.request()?;
        Some((FullLoad::new(widest, time), screen))
    }

    /// The racers of the last race, the winner first, then what programs take by themselves, then smaller counts that
    /// load may favour, the fastest first; with as many calls a sample as load asks for.
    fn loaded_candidates(&self) -> Option<Vec<Racer>> {
        let last = self.latency_race()?;
        if last.outcome.stop == StopReason::Contaminated || self.has_disturbed_contender() {
            return None;
        }
        let winner = last.winner()?.arm;
        let known = &self.screen.known;
        let limit = known.best()? + LOADED_NEAR;
        let mut near = known.curve();
        near.retain(|(count, log)| *count < winner.threads && *log <= limit);
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        let near = near.into_iter().map(|(count, _)| count);
        let others = self.defaults().chain(near);
        let mut arms: Vec<Arm> = last.order().iter().map(|racer| racer.arm).collect();
        for threads in others {
            let arm = Arm { threads, ..winner };
            let is_new = arms.iter().all(|known| known.threads != threads);
            if is_new && self.options.allows(arm) {
                arms.push(arm);
            }
        }
        let racer = |arm: Arm| {
            let seconds = known.estimate_count(arm.threads)?.exp();
            let calls = known.calls(arm.threads)?.get();
            let long = calls_for(LOADED_SAMPLE_SECONDS, seconds).get();
            Some(Racer {
                arm,
                calls: Calls::new(calls.max(long)),
            })
        };
        Some(arms.into_iter().filter_map(racer).collect())
    }

    /// The best of this screening under load, and always the winner of the bursts and what programs take by themselves.
    pub(super) fn sustained_racers(&self, screen: &Screen) -> Vec<Racer> {
        let winner = self.latency_race().and_then(Finished::winner);
        let winner = winner.map(|racer| racer.arm.threads);
        let always: Vec<ThreadCount> = winner.into_iter().chain(self.defaults()).collect();
        screen.known.racers(SECOND_RACERS, &always)
    }

    /// Does `latency` rest on a race under load whose kind of arms, bound or not, is this arm's? Then what bursts said
    /// of it counts no longer.
    pub(super) fn is_overruled_by_load(&self, arm: Arm) -> bool {
        let is_unbound = |arm: Arm| arm.placement == Placement::Unbound;
        let winner = self.sustained.as_ref().and_then(Finished::winner);
        winner.is_some_and(|winner| is_unbound(winner.arm) == is_unbound(arm))
    }
}

/// Seconds that a sample takes with the load before it.
pub(super) fn under_load(seconds: f64) -> f64 {
    (LOADS + 1) as f64 * seconds
}
