//! When the daemon measures, and when it stands back: events and time in, actions out. Pure.
//!
//! There are tasks, or there are none. Tasks wait until the machine has been idle for a while, and for everything else
//! that the settings ask for; then they are done one by one. Whoever needs the CPU meanwhile gets it: the task is put
//! aside, and waits again. Nothing here measures, sleeps or reads: the caller does what [`Schedule::next_action`] says,
//! reports what came of it, and wakes up at [`Schedule::wake_at`].

mod message;
mod phase;
mod spending;
#[cfg(test)]
mod tests;
mod transitions;

pub use message::{Action, Before, Event, Load, Now, Task};
pub use phase::{Phase, Reason};

use super::settings::Settings;
use crate::units::Nanos;
use spending::Spending;
use std::collections::VecDeque;

/// What others do is watched for so long at least, however short the quiet time is: less shows no more than a few ticks
/// of the kernel's clock.
const LEAST_WATCH: Nanos = Nanos(200_000_000);

/// How long until something is tried again that does not announce its change, or whose announcement may get lost.
const RETRY: Nanos = Nanos(600_000_000_000);

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// No tasks.
    Idle,
    /// Tasks wait, and something is looked at again at this moment. The first look at the load has nothing to compare
    /// with: only what was `watched` before tells anything.
    Waiting {
        until: Nanos,
        reason: Reason,
        watched: bool,
    },
    /// The first task is being done.
    Measuring,
    /// It will be put aside at the end of the running sample.
    StandingBack(Reason),
    /// Nothing is to be done any more.
    Stopped,
}

/// The state of the daemon between two events.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    settings: Settings,
    state: State,
    /// What is to be done, the task being done first.
    tasks: VecDeque<Task>,
    actions: VecDeque<Action>,
    /// The user asked for the tasks at once.
    urgent: bool,
    /// A survey is to be made as soon as nothing is measured.
    survey_due: bool,
    /// Checks are to be made, until they were.
    check_due: bool,
    spending: Spending,
    /// When checks are surveyed next.
    check_at: Option<Nanos>,
    /// When a workload is to be looked at again.
    visit_at: Option<Nanos>,
}

impl Schedule {
    /// Nothing is known yet: the first action is a survey.
    pub fn new(settings: Settings, before: Before, now: Now) -> Self {
        let since_check = before.since_check.unwrap_or(Nanos::ZERO);
        Self {
            check_at: settings
                .drift_interval
                .map(|interval| now.at + interval.saturating_sub(since_check)),
            visit_at: None,
            settings,
            // Nothing waits before the survey was made.
            state: State::Waiting {
                until: now.at + RETRY,
                reason: Reason::Changed,
                watched: false,
            },
            tasks: VecDeque::new(),
            actions: VecDeque::from([Action::Survey { check: false }]),
            urgent: false,
            survey_due: false,
            check_due: false,
            spending: Spending::since(before.spent, now.day),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, event: Event, now: Now) {
        self.spending.begin_day(now.day);
        match event {
            Event::Surveyed(tasks) => self.surveyed(tasks, now),
            Event::Looked(load) => self.looked(&load, now),
            Event::Finished { cpu, then } => {
                self.spending.add(cpu);
                self.tasks.pop_front();
                self.put_first(then);
                // A survey that was asked for meanwhile has yet to say what is to be checked.
                self.check_due &= self.survey_due || self.tasks.iter().any(Task::is_check);
                self.after_measuring(now);
            }
            Event::PutAside { cpu } => {
                self.spending.add(cpu);
                self.after_measuring(now);
            }
            Event::Stuck { cpu, why } => {
                self.spending.add(cpu);
                self.stuck(why, now);
            }
            Event::PowerChanged => {
                if self.waits_for(|reason| *reason == Reason::Battery) {
                    self.watch(Reason::Quiet, now);
                }
            }
            Event::TuneNow => {
                self.urgent = true;
                if self.is_measuring() {
                    // What is being done may go on.
                    self.check_due = true;
                    self.survey_due = true;
                } else {
                    self.survey(true, now);
                }
            }
            Event::Changed => self.survey(false, now),
            Event::ClockSet => {
                self.wait_anew();
                self.survey(false, now);
            }
            Event::Reloaded(settings) => {
                self.settings = settings;
                self.wait_anew();
                self.survey(true, now);
            }
            Event::Stop => match self.state {
                State::Measuring => self.stand_back(Reason::Stopping),
                State::StandingBack(_) => self.state = State::StandingBack(Reason::Stopping),
                _ => self.stop(),
            },
        }
    }

    /// Tells that the moment of [`Self::wake_at`] has come; too early, nothing happens.
    pub fn wake(&mut self, now: Now) {
        self.spending.begin_day(now.day);
        match &self.state {
            State::Waiting {
                until,
                reason,
                watched,
            } if now.at >= *until => match reason {
                // Nobody looked at the load meanwhile.
                Reason::Hours | Reason::DailyLimit | Reason::Battery => self.wait(now),
                Reason::Stuck(why) => {
                    self.wait_for(Reason::Stuck(why.clone()), now);
                    self.survey(false, now);
                }
                reason => {
                    self.state = State::Waiting {
                        until: now.at + self.settings.quiet.max(LEAST_WATCH),
                        reason: reason.clone(),
                        watched: *watched,
                    };
                    self.look();
                }
            },
            State::Idle if self.check_at.is_some_and(|at| now.at >= at) => {
                self.survey(true, now);
            }
            State::Idle if self.visit_at.is_some_and(|at| now.at >= at) => {
                self.visit_at = None;
                self.survey(false, now);
            }
            _ => {}
        }
    }

    /// Some workload is to be looked at again in so much time, or none is.
    pub fn visit_in(&mut self, time: Option<Nanos>, now: Now) {
        self.visit_at = time.map(|time| now.at + time);
    }

    /// What to do next, if anything.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::wake`]; `None`: nothing happens by itself.
    pub fn wake_at(&self) -> Option<Nanos> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Idle => self.check_at.into_iter().chain(self.visit_at).min(),
            State::Measuring | State::StandingBack(_) | State::Stopped => None,
        }
    }

    /// What is being done.
    pub fn phase(&self) -> Phase<'_> {
        match (&self.state, self.tasks.front()) {
            (State::Waiting { reason, .. }, _) => Phase::Waiting(reason),
            (State::Measuring, Some(task)) => Phase::Measuring(task),
            (State::StandingBack(reason), Some(task)) => Phase::StandingBack(task, reason),
            (State::Stopped, _) => Phase::Stopped,
            _ => Phase::Idle,
        }
    }

    /// Did something change since the task being done was begun?
    pub fn is_survey_due(&self) -> bool {
        self.survey_due
    }

    /// Is it to end, or has it?
    pub fn is_stopping(&self) -> bool {
        matches!(
            self.state,
            State::StandingBack(Reason::Stopping) | State::Stopped
        )
    }

    /// The tasks that are left, the one being done first.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter()
    }

    /// CPU time spent on this day.
    pub fn spent_today(&self) -> Nanos {
        self.spending.cpu()
    }
}
