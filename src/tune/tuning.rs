//! The whole procedure as a value: screening, the races, the efficient count, one request to the bench at a time.

use super::blocks::Racer;
use super::candidates::physical;
use super::constants::{RACERS_MOST, REPORTED_BLOCKS, SECOND_RACERS};
use super::efficient::Efficient;
use super::full_load::FullLoad;
use super::quota_race::QuotaRace;
use super::race::{Race, RaceOutcome};
use super::request::{Answer, Request};
use super::screen::{Context, Screen};
use super::verdict::Verdict;
use super::visiting::Visited;
use super::{After, Arm, Bench, BenchError, Options, Progress};
use crate::machine::Layout;
use crate::profile::StopReason;
use crate::units::Nanos;
use rand::SeedableRng;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The tuning of one workload, advanced by [`Self::step`] until it gives a verdict.
///
/// It serialises at every point between steps, and goes on from there as if nothing had happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    pub(super) layout: Layout,
    pub(super) options: Options,
    pub(super) rng: Pcg32,
    pub(super) spent: Nanos,
    pub(super) samples: u64,
    pub(super) first_call: Option<f64>,
    pub(super) screen: Screen,
    /// The arms that screening found best, best first.
    pub(super) front: Vec<Racer>,
    /// The race of the screened arms.
    pub(super) first: Option<Finished>,
    /// Screening of the counts near the best, unbound; absent where those are few enough to race at once.
    pub(super) unbound: Option<Screen>,
    /// The race of the best counts, unbound.
    pub(super) second: Option<Finished>,
    /// From the end of those races on, where the options ask for a race under sustained load.
    pub(super) load: Option<FullLoad>,
    /// Screening under that load.
    pub(super) loaded: Option<Screen>,
    /// The race under that load.
    pub(super) sustained: Option<Finished>,
    pub(super) efficient: Option<Efficient>,
    /// The race of the winner with the count just above a CPU quota.
    pub(super) above: Option<Finished>,
    /// When further visits began, since the first one did.
    #[serde(default)]
    pub(super) visits: Vec<Nanos>,
    /// The only arms that the bench of this visit has, if it lacks any.
    #[serde(default)]
    pub(super) present: Option<BTreeSet<Arm>>,
    /// What was spent before them.
    #[serde(default)]
    pub(super) spent_on_opening: Nanos,
    pub(super) phase: Phase,
    verdict: Option<Verdict>,
}

/// A race that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Finished {
    pub race: Race,
    pub outcome: RaceOutcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Phase {
    Screening,
    FirstRace(Race),
    UnboundScreening(Screen),
    SecondRace(Race),
    LoadedScreening(Screen),
    SustainedRace(Race),
    Efficient(Efficient),
    QuotaRace(QuotaRace),
    /// There is an answer, which is to be seen again at another time.
    Resting,
    /// It is looked at again.
    Visiting(Visited),
    Done,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The tuning goes on.
    Progress(Progress),
    /// It goes on with [`Tuning::revisit`], so long after this visit began, on a bench of another process. This is what is
    /// known so far.
    Rest(Verdict, Nanos),
    /// It is over; every further step says the same.
    Done(Verdict),
}

impl Tuning {
    /// A tuning that has not begun, for a CPU budget of this layout.
    pub fn new(layout: Layout, options: Options) -> Self {
        let mut rng = Pcg32::seed_from_u64(options.seed);
        let screen = Screen::new(&mut Context {
            layout: &layout,
            options: &options,
            spent: Nanos::ZERO,
            rng: &mut rng,
        });
        let mut tuning = Self {
            layout,
            options,
            rng,
            spent: Nanos::ZERO,
            samples: 0,
            first_call: None,
            screen,
            front: Vec::new(),
            first: None,
            unbound: None,
            second: None,
            load: None,
            loaded: None,
            sustained: None,
            efficient: None,
            above: None,
            visits: Vec::new(),
            present: None,
            spent_on_opening: Nanos::ZERO,
            phase: Phase::Screening,
            verdict: None,
        };
        if tuning.screen.request().is_none() {
            tuning.finish();
        }
        tuning
    }

    /// Asks the bench once, for a block or a pause, and takes in what it answers.
    ///
    /// After an error the tuning is as it was before, so that the same may be asked for again: a block that was
    /// interrupted, or came back with a value that is no time ([`BenchError::Nonsense`]), is thrown away whole.
    pub fn step(&mut self, bench: &mut dyn Bench) -> Result<Step, BenchError> {
        if let Some(wanted) = self.wanted() {
            let counts = self.next_counts();
            let mut spent = self.spent;
            let answer = match &mut self.load {
                None => Some(wanted.ask(bench, &mut spent)?),
                Some(load) => {
                    let is_load_alone = load.is_due();
                    let answer = load.around(&wanted).ask(bench, &mut spent)?;
                    let answer = load.answer(&wanted, answer, spent - self.spent);
                    if is_load_alone {
                        spent = self.spent;
                    }
                    answer
                }
            };
            self.spent = spent;
            if let Some(Answer::Samples(samples, _)) = &answer {
                if counts {
                    self.samples += samples.len() as u64;
                }
                let told = samples.iter().find_map(|sample| sample.first_call);
                self.first_call = self.first_call.or(told);
            }
            if let Some(answer) = answer {
                self.absorb(answer);
            }
        }
        Ok(match &self.verdict {
            Some(verdict) if self.phase == Phase::Resting => {
                Step::Rest(verdict.clone(), self.wait())
            }
            Some(verdict) if self.phase == Phase::Done => Step::Done(verdict.clone()),
            _ => Step::Progress(self.progress()),
        })
    }

    /// Steps until there is a verdict, or the tuning is to rest; the first error ends it.
    pub fn run(&mut self, bench: &mut dyn Bench) -> Result<Verdict, BenchError> {
        loop {
            if let Step::Done(verdict) | Step::Rest(verdict, _) = self.step(bench)? {
                return Ok(verdict);
            }
        }
    }

    /// Was it begun for this CPU budget, with these options?
    pub fn is_of(&self, layout: &Layout, options: &Options) -> bool {
        self.layout == *layout && self.options == *options
    }

    /// The options that it was begun with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The bench of this tuning goes away: what it tells at last is taken in, so that the tuning can go on with another.
    pub fn put_aside(&mut self, bench: &mut dyn Bench) {
        let disturbed = bench.disturbed();
        match &mut self.phase {
            Phase::FirstRace(race) | Phase::SecondRace(race) | Phase::SustainedRace(race) => {
                race.change_bench(&disturbed, &mut self.rng);
            }
            Phase::QuotaRace(race) => race.0.change_bench(&disturbed, &mut self.rng),
            Phase::Efficient(efficient) => efficient.change_bench(&disturbed),
            Phase::Visiting(visited) => {
                let finished = match visited {
                    Visited::First => &mut self.first,
                    Visited::Second => &mut self.second,
                };
                if let Some(Finished { race, .. }) = finished {
                    race.change_bench_in_visit(&disturbed, &mut self.rng);
                }
            }
            Phase::Screening
            | Phase::UnboundScreening(_)
            | Phase::LoadedScreening(_)
            | Phase::Resting
            | Phase::Done => {}
        }
    }

    /// The machine has not worked since the last step, as when a tuning goes on that was put aside: sustained load is
    /// sustained no longer.
    pub fn has_rested(&mut self) {
        if let (Some(load), Some(time)) = (&mut self.load, self.options.sustained) {
            load.begin_anew(time);
        }
    }

    /// Ends what cannot go on; the verdict without it, and what it was, if there is a verdict without it.
    pub fn give_up(&mut self) -> Option<(Verdict, &'static str)> {
        let what = match self.phase {
            Phase::QuotaRace(_) => {
                self.finish();
                "raced above the CPU quota"
            }
            Phase::Resting | Phase::Visiting(_) => "looked at again",
            _ => return None,
        };
        self.phase = Phase::Done;
        Some((self.verdict.clone()?, what))
    }

    /// The verdict, once there is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// What is to be measured next; `None` when all is done.
    pub(super) fn wanted(&self) -> Option<Request> {
        match &self.phase {
            Phase::Screening => self.screen.request(),
            Phase::UnboundScreening(screen) | Phase::LoadedScreening(screen) => screen.request(),
            Phase::FirstRace(race) | Phase::SecondRace(race) | Phase::SustainedRace(race) => {
                Some(race.request())
            }
            Phase::Efficient(efficient) => Some(efficient.request()),
            Phase::QuotaRace(race) => Some(race.request()),
            Phase::Visiting(visited) => self.wanted_in_visit(*visited),
            Phase::Resting | Phase::Done => None,
        }
    }

    fn absorb(&mut self, answer: Answer) {
        let mut context = Context {
            layout: &self.layout,
            options: &self.options,
            spent: self.spent,
            rng: &mut self.rng,
        };
        match std::mem::replace(&mut self.phase, Phase::Screening) {
            Phase::Screening => {
                self.screen.absorb(&answer, &mut context);
                if self.screen.request().is_none() {
                    self.after_screening();
                }
            }
            Phase::UnboundScreening(mut screen) => {
                screen.absorb(&answer, &mut context);
                if screen.request().is_none() {
                    self.screen.incomplete |= !screen.known.is_sampled();
                    self.unbound = Some(screen);
                    self.after_unbound_screening();
                } else {
                    self.phase = Phase::UnboundScreening(screen);
                }
            }
            Phase::FirstRace(mut race) => match race.absorb(answer, self.spent, &mut self.rng) {
                None => self.phase = Phase::FirstRace(race),
                Some(outcome) => {
                    let is_contaminated = outcome.stop == StopReason::Contaminated;
                    self.first = Some(Finished { race, outcome });
                    if is_contaminated || self.has_disturbed_contender() {
                        // Whatever came now, no count would be stated.
                        self.finish();
                    } else {
                        self.after_first_race();
                    }
                }
            },
            Phase::SecondRace(mut race) => match race.absorb(answer, self.spent, &mut self.rng) {
                None => self.phase = Phase::SecondRace(race),
                Some(outcome) => {
                    self.second = Some(Finished { race, outcome });
                    self.after_races();
                }
            },
            Phase::LoadedScreening(mut screen) => {
                screen.absorb(&answer, &mut context);
                if screen.request().is_none() {
                    self.after_loaded_screening(screen);
                } else {
                    self.phase = Phase::LoadedScreening(screen);
                }
            }
            Phase::SustainedRace(mut race) => {
                match race.absorb(answer, self.spent, &mut self.rng) {
                    None => self.phase = Phase::SustainedRace(race),
                    Some(outcome) => {
                        self.sustained = Some(Finished { race, outcome });
                        self.look_for_fewer();
                    }
                }
            }
            Phase::Efficient(mut efficient) => {
                if efficient.absorb(answer, self.spent, &mut self.rng) {
                    self.efficient = Some(efficient);
                    self.look_above_quota();
                } else {
                    self.phase = Phase::Efficient(efficient);
                }
            }
            Phase::QuotaRace(mut race) => match race.absorb(answer, self.spent, &mut self.rng) {
                None => self.phase = Phase::QuotaRace(race),
                Some(outcome) => {
                    let race = race.0;
                    self.above = Some(Finished { race, outcome });
                    self.finish();
                }
            },
            Phase::Visiting(visited) => self.absorb_in_visit(visited, answer),
            done @ (Phase::Resting | Phase::Done) => self.phase = done,
        }
    }

    /// The screened arms that are near the best race, if the time holds three blocks of them.
    fn after_screening(&mut self) {
        let known = &self.screen.known;
        if known.best().is_none() {
            return self.finish();
        }
        let always = [physical(&self.layout), self.layout.logical];
        self.front = known.racers(RACERS_MOST, &always);
        if self.front.len() == 1 && !self.is_single() {
            return self.finish();
        }
        match self.race(self.front.clone(), self.options.first_race_end()) {
            Some(race) => {
                // Where another race follows, what is left out of this one gets its chance there, if not to be `pinned`.
                let reserve = if self.options.is_one_race() {
                    self.screen.known.reserve(race.racers(), self.options.eps)
                } else {
                    Vec::new()
                };
                self.phase = Phase::FirstRace(self.opening(race.followed_by(reserve)));
            }
            None => self.after_first_race(),
        }
    }

    /// Counts that may be good unbound are screened so, if the options ask for it and they are more than can race.
    fn after_first_race(&mut self) {
        if self.options.then == After::Nothing {
            return self.after_races();
        }
        let candidates = self.unbound_candidates();
        self.screen.incomplete |= !candidates.is_whole;
        if candidates.racers.len() <= SECOND_RACERS {
            return self.after_unbound_screening();
        }
        // The candidates were chosen to fit; this is for the repeats of what is good or disturbed.
        let end = self.spent + Nanos((self.options.time_budget - self.spent).0 / 4);
        let screen = Screen::of_arms(
            &candidates.racers,
            end,
            &mut Context {
                layout: &self.layout,
                options: &self.options,
                spent: self.spent,
                rng: &mut self.rng,
            },
        );
        if screen.request().is_none() {
            return self.after_unbound_screening();
        }
        self.phase = Phase::UnboundScreening(screen);
    }

    /// The best counts race as unbound arms, if there are any and the time holds it.
    fn after_unbound_screening(&mut self) {
        let mut racers = self.unbound_racers();
        let best = racers.len();
        if best == 0 {
            return self.after_races();
        }
        let all = self.layout.logical;
        if racers.iter().all(|racer| racer.arm.threads != all) {
            racers.extend(self.unbound(vec![all]));
        }
        let end = self.options.share_of_bursts(1.0);
        let race = self.race(racers.clone(), end).or_else(|| {
            // All logical CPUs are there for comparison only.
            racers.truncate(best);
            self.race(racers, end)
        });
        match race {
            Some(race) => {
                let race = race.looking_from(REPORTED_BLOCKS);
                self.phase = Phase::SecondRace(self.opening(race));
            }
            None => self.after_races(),
        }
    }

    /// What bursts found best is screened and races again under full load, if the options ask for it.
    fn after_races(&mut self) {
        if self.options.sustained.is_none() {
            return self.look_for_fewer();
        }
        match self.loaded_screening() {
            Some((load, screen)) => {
                self.load = Some(load);
                self.phase = Phase::LoadedScreening(screen);
            }
            None => self.finish(),
        }
    }

    fn after_loaded_screening(&mut self, screen: Screen) {
        self.screen.incomplete |= !screen.known.is_sampled();
        let racers = self.sustained_racers(&screen);
        self.loaded = Some(screen);
        match self.race(racers, self.options.time_budget) {
            Some(race) => self.phase = Phase::SustainedRace(race.looking_from(REPORTED_BLOCKS)),
            None => self.finish(),
        }
    }

    /// Smaller counts that may lose little are tried against the winner, in half of the time that is left.
    fn look_for_fewer(&mut self) {
        match self.duels() {
            Some(duels) => self.phase = Phase::Efficient(duels),
            None => self.look_above_quota(),
        }
    }

    /// The winner races against one thread more than a CPU quota pays, if there is such a count.
    pub(super) fn look_above_quota(&mut self) {
        match self.quota_race() {
            Some(race) => {
                // Full load would use the quota up.
                self.load = None;
                self.phase = Phase::QuotaRace(race);
            }
            None => self.finish(),
        }
    }

    pub(super) fn finish(&mut self) {
        if self.visits.is_empty() {
            self.spent_on_opening = self.spent;
        }
        self.phase = Phase::Done;
        self.verdict = Some(self.conclude());
        if self.wants_another_visit() {
            self.phase = Phase::Resting;
        }
    }
}
