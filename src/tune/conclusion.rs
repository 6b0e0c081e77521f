//! What the finished parts of a tuning say together.

use super::blocks::Racer;
use super::comparison::Comparison;
use super::constants::{EFFICIENT_LOSS, NARROW};
use super::efficient::Efficient;
use super::screen::Screen;
use super::screened::Tries;
use super::tuning::{Finished, Tuning};
use super::verdict::{Baseline, Choice, FewestThreads, Regimes, Timed, Timing, Verdict, told};
use super::{After, Arm};
use crate::machine::Placement;
use crate::profile::StopReason;
use crate::units::ThreadCount;
use std::collections::BTreeSet;

impl Tuning {
    /// The verdict, from whatever was measured.
    pub(super) fn conclude(&self) -> Verdict {
        let stop = self.stop();
        // Disturbances hit large teams more: what is left clean is small, whatever would be best.
        let states_count = stop != StopReason::Contaminated;
        let latency = self.latency().filter(|_| states_count);
        let race = self.latency_race();
        Verdict {
            stop,
            pinned: self.pinned().filter(|_| states_count),
            efficient: latency.map(|latency| self.fewest(latency)),
            default: latency.and_then(|latency| self.baseline(&latency, self.layout.logical)),
            default_cores: latency.and_then(|latency| {
                let cores = self.defaults().nth(1)?;
                self.baseline(&latency, cores)
            }),
            one_above: latency.and_then(|_| self.one_above()),
            ties: if states_count {
                self.ties()
            } else {
                Vec::new()
            },
            p_within: match race {
                _ if latency.is_none() => 0.0,
                _ if self.is_single() => 1.0,
                Some(finished) => finished.outcome.p_within,
                None => 0.0,
            },
            samples: self.samples,
            rejected: self.screens().map(|screen| screen.rejected).sum::<u64>()
                + self
                    .races()
                    .chain(&self.above)
                    .map(|finished| finished.race.rejected())
                    .sum::<u64>()
                + self.efficient.as_ref().map_or(0, Efficient::rejected),
            spent: self.spent,
            first_call: self.first_call,
            sustained: self
                .options
                .sustained
                .filter(|_| self.sustained.is_some() && latency.is_some()),
            visits: self.span().0,
            span: self.span().1,
            regimes: latency.and_then(|_| self.regimes()),
            curve: self.curve(),
            latency,
        }
    }

    /// Why it ended; the time was up only where none is left.
    pub(super) fn stop(&self) -> StopReason {
        told(self.reason(), self.spent, self.options.time_budget)
    }

    fn reason(&self) -> StopReason {
        if !self.screen.has_candidates() {
            return StopReason::Failed("no count may be tried".to_owned());
        }
        if self.samples == 0 {
            return StopReason::Budget;
        }
        if self.screen.known.best().is_none() {
            return StopReason::Contaminated;
        }
        if self.is_single() {
            return StopReason::Single;
        }
        if self.has_disturbed_contender() {
            return StopReason::Contaminated;
        }
        // Whatever the races before say, the count would be that of this one.
        let is_contaminated = |race: &Finished| race.outcome.stop == StopReason::Contaminated;
        if self.latency_race().is_some_and(is_contaminated) {
            return StopReason::Contaminated;
        }
        let stop_of = |finished: &Option<Finished>| {
            finished
                .as_ref()
                .map_or(StopReason::Budget, |f| f.outcome.stop.clone())
        };
        // Each race is between what the one before left: it proves no more than that one did.
        let mut stop = stop_of(&self.first);
        if stop.is_conclusive() && self.options.then == After::UnboundRace {
            // Only a recording lacks unbound arms.
            let lacks_unbound = self.unbound_racers().is_empty();
            stop = if lacks_unbound {
                StopReason::Undecided
            } else {
                stop_of(&self.second)
            };
        }
        if stop.is_conclusive() && self.options.sustained.is_some() {
            stop = stop_of(&self.sustained);
        }
        // A race tells nothing about counts that were never looked at.
        if stop.is_conclusive() && self.screen.incomplete {
            return StopReason::Budget;
        }
        match stop {
            stop if stop.is_conclusive() && self.is_brief() => StopReason::Brief,
            StopReason::Undecided if self.may_be_visited() => StopReason::Brief,
            stop => stop,
        }
    }

    /// Has an arm that may be among the best, or the count that most programs take by themselves, been timed under
    /// disturbances only, or nearly so?
    pub(super) fn has_disturbed_contender(&self) -> bool {
        self.screens().any(|screen| {
            let known = &screen.known;
            // Where nothing is clean, another screening has what is stated.
            let Some(best) = known.best() else {
                return false;
            };
            let all = self.layout.logical;
            known.arms().iter().any(|samples| {
                let raced = self.tries_in_races(samples.arm);
                if raced.blocks > 0 {
                    return raced.is_hopeless();
                }
                let may_be_good = samples
                    .optimistic
                    .is_some_and(|log| log <= best + NARROW[0] || samples.arm.threads == all);
                may_be_good && samples.clean.is_empty()
            })
        })
    }

    fn tries_in_races(&self, arm: Arm) -> Tries {
        self.races()
            .filter_map(|finished| {
                // A guest's own troubles are none of the candidates'.
                let mut candidates = finished.race.candidates().iter();
                let place = candidates.position(|racer| racer.arm == arm)?;
                Some(finished.race.tries(place))
            })
            .fold(Tries::default(), Tries::and)
    }

    fn latency(&self) -> Option<Choice> {
        match self.latency_race() {
            Some(finished) => self.choice(finished.winner()?.arm),
            None => self.choice(self.front.first()?.arm),
        }
    }

    fn pinned(&self) -> Option<Choice> {
        let is_bound = |racer: &Racer| racer.arm.placement != Placement::Unbound;
        let mut winners = self.races().filter_map(Finished::winner);
        let best = winners.find(is_bound).or(self.front.first().copied());
        self.choice(best.filter(is_bound)?.arm)
    }

    fn choice(&self, arm: Arm) -> Option<Choice> {
        Choice::of(arm, &self.logs(arm).0)
    }

    /// What was screened: under load, bound, unbound.
    fn screens(&self) -> impl Iterator<Item = &Screen> {
        self.loaded
            .iter()
            .chain([&self.screen])
            .chain(&self.unbound)
    }

    /// What visits say of another count than the one stated, where they disagree.
    fn regimes(&self) -> Option<Regimes> {
        let Finished { race, outcome } = self.latency_race()?;
        let (against, losses) = race.disagreement(outcome.winner)?;
        Some(Regimes {
            against: race.racers().get(against)?.arm.threads,
            speedups: losses.iter().map(|loss| loss.exp()).collect(),
        })
    }

    /// How many of the screenings and races, the latest first, tell about an arm: the one under load alone, or all.
    fn telling(&self, arm: Arm) -> usize {
        if self.is_overruled_by_load(arm) {
            1
        } else {
            usize::MAX
        }
    }

    /// The log times that tell most about an arm, by visit, and whether they come from a race.
    fn logs(&self, arm: Arm) -> (Vec<Vec<f64>>, bool) {
        let telling = self.telling(arm);
        let races = self.races().take(telling).filter_map(|finished| {
            let racers = finished.race.racers();
            let i = racers.iter().position(|racer| racer.arm == arm)?;
            Some(finished.race.logs(i))
        });
        let duels = self
            .efficient
            .iter()
            .flat_map(|efficient| &efficient.past)
            .filter(|(racer, _)| racer.arm == arm)
            .map(|(_, logs)| vec![logs.clone()]);
        let count = |visits: &[Vec<f64>]| visits.iter().map(Vec::len).sum::<usize>();
        let raced = races.chain(duels).find(|visits| count(visits) > 0);
        let screened = self
            .screens()
            .take(telling)
            .find_map(|screen| screen.known.get(arm))
            .map(|samples| &samples.clean);
        match (raced, screened) {
            (Some(raced), Some(screened)) if count(&raced) < screened.len().min(3) => {
                (vec![screened.clone()], true)
            }
            (Some(raced), _) => (raced, true),
            (None, screened) => (screened.cloned().into_iter().collect(), false),
        }
    }

    /// The count that was proven in a duel, else the winner itself.
    fn fewest(&self, latency: Choice) -> FewestThreads {
        // Further visits may have changed the winner, against which nothing was proven.
        let duels = self.efficient.as_ref();
        let duels = duels.filter(|duels| duels.winner() == latency.arm);
        let taken = duels.and_then(|duels| duels.taken);
        taken
            .and_then(|(racer, loss)| {
                let loss = self.loss_over_visits(racer.arm, loss)?;
                Some(FewestThreads {
                    arm: racer.arm,
                    seconds_per_call: Timing::of(&self.logs(racer.arm).0)?.seconds_per_call,
                    loss: loss.exp_m1().max(0.0),
                })
            })
            .unwrap_or(FewestThreads {
                arm: latency.arm,
                seconds_per_call: latency.time.seconds_per_call,
                loss: 0.0,
            })
    }

    /// What an arm that lost so little in one duel loses over all visits, in log time; nothing if that is not proven to be
    /// little.
    fn loss_over_visits(&self, arm: Arm, once: f64) -> Option<f64> {
        let Finished { race, outcome } = self.latency_race()?;
        if !race.was_visited() {
            return Some(once);
        }
        let place = race.racers().iter().position(|racer| racer.arm == arm)?;
        let loss = race.compare(place, outcome.winner);
        let is_little = loss.upper(self.options.delta / 2.0) <= EFFICIENT_LOSS.ln_1p();
        is_little.then_some(loss.mean)
    }

    /// So many threads against the winner, in the blocks that both were in; if there are too few, as screened.
    fn baseline(&self, latency: &Choice, threads: ThreadCount) -> Option<Baseline> {
        let finished = self.latency_race()?;
        let winner = finished.outcome.winner;
        let place = finished.place_of(threads);
        let paired = place.map(|all| finished.race.compare(all, winner));
        let speedup = match paired.filter(Comparison::is_known) {
            _ if place == Some(winner) => 1.0,
            Some(paired) => paired.mean.exp(),
            None => {
                let screens = self.screens().take(self.telling(latency.arm));
                let arms = screens.flat_map(|screen| screen.known.arms());
                let screened = arms.filter(|samples| samples.arm.threads == threads);
                let seconds = screened
                    .filter_map(|samples| {
                        Some(Timing::of(std::slice::from_ref(&samples.clean))?.seconds_per_call)
                    })
                    .reduce(f64::min)?;
                seconds / latency.time.seconds_per_call
            }
        };
        Some(Baseline {
            threads,
            seconds_per_call: latency.time.seconds_per_call * speedup,
            speedup,
        })
    }

    fn ties(&self) -> Vec<ThreadCount> {
        let counts: BTreeSet<ThreadCount> = match self.latency_race() {
            Some(Finished { race, outcome }) => outcome
                .ties
                .iter()
                .filter_map(|i| Some(race.racers().get(*i)?.arm.threads))
                .collect(),
            // Without a race nothing near the best can be told from it.
            None => self.front.iter().map(|racer| racer.arm.threads).collect(),
        };
        counts.into_iter().collect()
    }

    fn curve(&self) -> Vec<Timed> {
        let screened = self
            .screens()
            .flat_map(|screen| screen.known.arms())
            .map(|samples| samples.arm);
        let raced = self
            .races()
            .flat_map(|finished| finished.race.racers())
            .map(|racer| racer.arm);
        let duels = self.efficient.iter().flat_map(|efficient| &efficient.past);
        let arms: BTreeSet<Arm> = screened
            .chain(raced)
            .chain(duels.map(|(racer, _)| racer.arm))
            .collect();
        arms.into_iter()
            .filter_map(|arm| {
                let (logs, raced) = self.logs(arm);
                Some(Timed {
                    arm,
                    time: Timing::of(&logs)?,
                    raced,
                })
            })
            .collect()
    }
}
