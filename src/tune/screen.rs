//! Screening: cheap samples of many counts, in stages, each of which fills a queue of arms.

use super::blocks::Racer;
use super::calibration::Calibration;
use super::candidates::{grid, physical};
use super::constants::{
    EVERY_COUNT, FIRST_AGAIN, LONG_CALLS, NARROW, RACE_SAMPLES, RETRIES, SCREEN_SHARE,
    SMALL_SECONDS,
};
use super::ladder::{Ladder, Pace, thinned_above};
use super::request::{Answer, Request};
use super::screened::Screened;
use super::spacing::most_promising;
use super::{Arm, Options, Sample};
use crate::machine::Layout;
use crate::units::{Calls, Nanos, ThreadCount};
use rand::seq::SliceRandom;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Step of the pauses between tries of a flagged sample.
const PAUSE: Nanos = Nanos(50_000_000);
/// Counts that a later launch with a smaller CPU budget will ask for.
const SMALL_COUNTS: [usize; 4] = [8, 4, 2, 1];

/// What screening is told at each answer.
pub(super) struct Context<'a> {
    pub layout: &'a Layout,
    pub options: &'a Options,
    pub spent: Nanos,
    pub rng: &'a mut Pcg32,
}

/// Which counts are being sampled, and what the stage must remember.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ScreenStage {
    /// The grid from all physical cores downwards.
    Down(Ladder),
    /// The grid upwards to all logical CPUs.
    Up,
    /// 8, 4, 2, 1, for smaller CPU budgets: the place in that list.
    Small(usize),
    /// Every count in the promising range, the most promising first.
    Search,
    /// What was sampled first, once more: the machine may have become faster since; and what was disturbed.
    Again,
    /// Repeating what is near the best: the pass.
    Narrow(usize),
    /// Nothing more to sample.
    Finished,
}

/// What is being done with the arm at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// One call, to see how long it is.
    Calibrate,
    /// So many calls, because one was too short to tell.
    Recalibrate(Calls),
    /// A sample; how many tries went before.
    Sample(u32),
    /// A pause before the next try.
    Pause(u32),
}

/// The state of screening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Screen {
    pub known: Screened,
    pub stage: ScreenStage,
    /// Are there plausible counts that were not looked at, for lack of time?
    pub incomplete: bool,
    /// Samples thrown away.
    pub rejected: u64,
    /// The moment until which it may last in any case …
    end: Nanos,
    /// … and the one by which the race must have ended: while that leaves time for the race, screening may go on.
    race_end: Nanos,
    grid: Vec<ThreadCount>,
    /// The arms sampled first, in their order.
    first: Vec<Arm>,
    queue: VecDeque<Arm>,
    current: Option<(Arm, Phase)>,
}

impl Screen {
    /// The first arm is at hand.
    pub fn new(context: &mut Context) -> Self {
        // Where a recording lacks counts of the grid, their neighbours stand in for them.
        let all = context.layout.logical;
        let stand_in = |count| context.options.nearest(count).filter(|n| *n <= all);
        let grid: BTreeSet<ThreadCount> = grid(context.layout)
            .into_iter()
            .filter_map(stand_in)
            .collect();
        let grid: Vec<ThreadCount> = grid.into_iter().collect();
        let top = physical(context.layout);
        let mut screen = Self {
            known: Screened::default(),
            stage: ScreenStage::Down(Ladder::new(&grid, top)),
            incomplete: false,
            rejected: 0,
            end: context.options.share(SCREEN_SHARE),
            // What a race under sustained load takes is known only then.
            race_end: match context.options.sustained {
                None => context.options.first_race_end(),
                Some(_) => Nanos::ZERO,
            },
            grid,
            first: Vec::new(),
            queue: VecDeque::new(),
            current: None,
        };
        screen.proceed(context);
        screen
    }

    /// Screening of these arms alone: a sample of each, then the narrowing passes, until `end`.
    pub fn of_arms(racers: &[Racer], end: Nanos, context: &mut Context) -> Self {
        let mut screen = Self {
            known: Screened::default(),
            stage: ScreenStage::Narrow(0),
            incomplete: false,
            rejected: 0,
            end,
            race_end: end,
            grid: Vec::new(),
            first: Vec::new(),
            queue: racers.iter().map(|racer| racer.arm).collect(),
            current: None,
        };
        for racer in racers {
            screen.known.insert(racer.arm, racer.calls);
        }
        screen.queue.make_contiguous().shuffle(context.rng);
        screen.proceed(context);
        screen
    }

    /// What to ask the bench for; `None` when screening has ended.
    pub fn request(&self) -> Option<Request> {
        let (arm, phase) = self.current.as_ref()?;
        Some(match phase {
            Phase::Calibrate => Request::Block(vec![(*arm, Calls::ONE)]),
            Phase::Recalibrate(calls) => Request::Block(vec![(*arm, *calls)]),
            Phase::Sample(_) => {
                let calls = self.known.get(*arm).map_or(Calls::ONE, |s| s.calls);
                Request::Block(vec![(*arm, calls)])
            }
            Phase::Pause(tries) => Request::Idle(Nanos(PAUSE.0.saturating_mul(u64::from(*tries)))),
        })
    }

    /// Takes the answer to [`Self::request`].
    pub fn absorb(&mut self, answer: &Answer, context: &mut Context) {
        let Some((arm, phase)) = self.current.take() else {
            return;
        };
        let next = match (phase, answer) {
            (Phase::Pause(tries), _) => Some(Phase::Sample(tries.saturating_add(1))),
            (phase, Answer::Samples(samples, _)) => samples
                .first()
                .and_then(|sample| self.sampled(arm, &phase, sample, context)),
            (phase, Answer::Waited | Answer::Judged(_)) => Some(phase),
        };
        match next {
            Some(phase) => self.current = Some((arm, phase)),
            None => self.proceed(context),
        }
    }

    /// What to do with this arm next; `None`: it is done.
    fn sampled(
        &mut self,
        arm: Arm,
        phase: &Phase,
        sample: &Sample,
        context: &Context,
    ) -> Option<Phase> {
        let aim = context.options.sample.as_secs_f64();
        let per_call = sample.seconds_per_call;
        let tries = match phase {
            Phase::Calibrate | Phase::Recalibrate(_) => {
                let is_first = *phase == Phase::Calibrate;
                let calls = match Calibration::of(per_call, is_first, aim) {
                    Calibration::Again(calls) => return Some(Phase::Recalibrate(calls)),
                    Calibration::Sample(calls) => calls,
                };
                self.known.insert(arm, calls);
                if calls != Calls::ONE {
                    return Some(Phase::Sample(0));
                }
                // One call is a whole sample: this was it.
                0
            }
            Phase::Sample(tries) | Phase::Pause(tries) => *tries,
        };
        if !sample.interference.is_flagged() {
            // Of what is sampled once more the newer sample counts: the better one of two would favour these arms.
            if self.stage == ScreenStage::Narrow(0) {
                self.known.forget(arm);
            }
            self.known.add_clean(arm, sample);
            return None;
        }
        self.rejected += 1;
        self.known.add_flagged(arm, sample);
        if tries >= RETRIES || context.spent >= self.ends_at(context.options) {
            return None;
        }
        Some(if tries == 0 {
            Phase::Sample(1)
        } else {
            Phase::Pause(tries)
        })
    }

    /// Brings the next arm to hand, through as many stages as needed.
    fn proceed(&mut self, context: &mut Context) {
        if context.spent >= self.ends_at(context.options) {
            self.incomplete |= self.is_searching(context.options);
            self.stage = ScreenStage::Finished;
            self.queue.clear();
        }
        while self.queue.is_empty() && self.stage != ScreenStage::Finished {
            let arms = self.next_stage(context);
            self.queue = arms.into();
            self.queue.make_contiguous().shuffle(context.rng);
        }
        self.current = self.queue.pop_front().map(|arm| {
            let known = self.known.get(arm).is_some();
            if !known && self.first.len() < FIRST_AGAIN {
                self.first.push(arm);
            }
            (
                arm,
                if known {
                    Phase::Sample(0)
                } else {
                    Phase::Calibrate
                },
            )
        });
    }

    /// Are there plausible counts yet to be looked at? The stage is the one after that of the queue.
    fn is_searching(&self, options: &Options) -> bool {
        match self.stage {
            ScreenStage::Down(_) | ScreenStage::Up | ScreenStage::Small(_) => true,
            ScreenStage::Search => most_promising(&self.known, options).is_some(),
            ScreenStage::Again | ScreenStage::Narrow(_) | ScreenStage::Finished => false,
        }
    }

    /// The moment at which it must end, as far as is known how long the samples of a race are.
    fn ends_at(&self, options: &Options) -> Nanos {
        let Some(best) = self.known.best() else {
            return self.end;
        };
        let sample = best.exp().max(options.sample.as_secs_f64());
        let reserve = Nanos::from_secs_f64(RACE_SAMPLES * sample);
        self.end.max(self.race_end - reserve)
    }

    /// The arms that the stage at hand asks for, if any; advances the stage.
    fn next_stage(&mut self, context: &Context) -> Vec<Arm> {
        let options = context.options;
        match std::mem::replace(&mut self.stage, ScreenStage::Finished) {
            ScreenStage::Down(ladder) => arms_of(options, self.next_rung(ladder, context)),
            ScreenStage::Up => {
                self.stage = ScreenStage::Small(0);
                let top = physical(context.layout);
                if self.pace(context) == Pace::Thinned {
                    return arms_of(options, thinned_above(&self.grid, top));
                }
                arms_of(options, self.grid.iter().copied().filter(|n| *n > top))
            }
            // Nothing clean so far: nothing can be decided, and more would take the machine's time for nothing.
            _ if self.known.best().is_none() => Vec::new(),
            ScreenStage::Small(place) => {
                let count = SMALL_COUNTS.get(place).copied().map(ThreadCount::clamped);
                self.stage = match count {
                    Some(_) => ScreenStage::Small(place + 1),
                    None => ScreenStage::Search,
                };
                arms_of(options, count.filter(|n| self.worth_for_later(*n)))
            }
            ScreenStage::Search => {
                let next = most_promising(&self.known, options);
                self.stage = match next {
                    Some(_) => ScreenStage::Search,
                    None => ScreenStage::Again,
                };
                arms_of(options, next)
            }
            ScreenStage::Again => {
                self.stage = ScreenStage::Narrow(0);
                if self.pace(context) == Pace::Thinned {
                    return Vec::new();
                }
                let mut again = std::mem::take(&mut self.first);
                // What disturbed some of them may have gone.
                again.extend(self.known.disturbed(NARROW[0]));
                again.sort_unstable();
                again.dedup();
                again
            }
            ScreenStage::Narrow(pass) => {
                // Where calls are long the race narrows: its samples prove something, too.
                let passes = NARROW.get(pass);
                let Some(width) = passes.filter(|_| self.pace(context) != Pace::Thinned) else {
                    return Vec::new();
                };
                self.stage = ScreenStage::Narrow(pass + 1);
                // Only the first pass may be misled by a single sample.
                let noise = if pass == 0 {
                    4.0 * self.known.spread()
                } else {
                    0.0
                };
                self.known.within(width.max(noise))
            }
            ScreenStage::Finished => Vec::new(),
        }
    }

    /// The next smaller count of the grid, unless the last ones gave no hope.
    fn next_rung(&mut self, mut ladder: Ladder, context: &Context) -> Option<ThreadCount> {
        let next = ladder.descend(&self.known, self.pace(context));
        self.stage = match next {
            Some(_) => ScreenStage::Down(ladder),
            None => ScreenStage::Up,
        };
        next
    }

    /// How many counts of the grid can be afforded.
    fn pace(&self, context: &Context) -> Pace {
        let room = self.end.as_secs_f64();
        match self.known.best() {
            Some(best) if best.exp() * LONG_CALLS > room => Pace::Thinned,
            _ if every_count(context.layout) => Pace::EveryCount,
            _ => Pace::Grid,
        }
    }

    /// Is a small count worth a sample, because a later launch may have a smaller budget, at the expected length of a
    /// call? Expected from the smallest count known, as if time were inverse to threads.
    fn worth_for_later(&self, count: ThreadCount) -> bool {
        let expected = self.known.smallest().and_then(|small| {
            let log = self.known.estimate_count(small)?;
            Some(log.exp() * f64::from(small.get()) / f64::from(count.get()))
        });
        self.grid.contains(&count)
            && !self.known.has(count)
            && expected.is_some_and(|seconds| seconds <= SMALL_SECONDS)
    }

    /// Is there any count to try?
    pub fn has_candidates(&self) -> bool {
        !self.grid.is_empty()
    }

    /// How far screening has come, 0 to 1, by its stage.
    pub fn fraction(&self) -> f64 {
        match &self.stage {
            ScreenStage::Down(ladder) => {
                0.2 * (1.0 - ladder.left() as f64 / self.grid.len().max(1) as f64)
            }
            ScreenStage::Up => 0.2,
            ScreenStage::Small(_) => 0.25,
            ScreenStage::Search => 0.3,
            ScreenStage::Again => 0.6,
            ScreenStage::Narrow(pass) => 0.6 + 0.12 * *pass as f64,
            ScreenStage::Finished => 1.0,
        }
    }
}

/// The arms that compete at these counts.
fn arms_of(options: &Options, counts: impl IntoIterator<Item = ThreadCount>) -> Vec<Arm> {
    counts
        .into_iter()
        .flat_map(|n| options.arms_at(n))
        .collect()
}

/// Is every count of this machine in the grid?
fn every_count(layout: &Layout) -> bool {
    layout.logical.get() <= EVERY_COUNT
}
