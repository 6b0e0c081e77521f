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

pub use message::{Action, Before, Event, Load, Now, Task};
pub use phase::{Phase, Reason};

use super::settings::Settings;
use crate::units::Nanos;
use spending::Spending;
use std::collections::VecDeque;

const DAY_SECONDS: u32 = 24 * 3600;

/// Others are not looked at more often than this, however short the quiet time is.
const LEAST_PAUSE: Nanos = Nanos(1_000_000_000);

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
}

impl Schedule {
    /// Nothing is known yet: the first action is a survey.
    pub fn new(settings: Settings, before: Before, now: Now) -> Self {
        let since_check = before.since_check.unwrap_or(Nanos::ZERO);
        Self {
            check_at: settings
                .drift_interval
                .map(|interval| now.at + interval.saturating_sub(since_check)),
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
            _ => {}
        }
    }

    /// What to do next, if anything.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::wake`]; `None`: nothing happens by itself.
    pub fn wake_at(&self) -> Option<Nanos> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Idle => self.check_at,
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

    fn is_measuring(&self) -> bool {
        matches!(self.state, State::Measuring | State::StandingBack(_))
    }

    fn waits_for(&self, is: impl Fn(&Reason) -> bool) -> bool {
        matches!(&self.state, State::Waiting { reason, .. } if is(reason))
    }

    /// Whoever waits is to find out by the next survey why.
    fn wait_anew(&mut self) {
        if let State::Waiting { reason, .. } = &mut self.state {
            *reason = Reason::Changed;
        }
    }

    fn stop(&mut self) {
        self.state = State::Stopped;
        self.actions.clear();
        self.actions.push_back(Action::Exit);
    }

    fn stand_back(&mut self, reason: Reason) {
        self.state = State::StandingBack(reason);
        self.actions.push_back(Action::StandBack);
    }

    /// What is known may be wrong. What is being measured is put aside first: it may rest on what is wrong.
    fn survey(&mut self, check: bool, now: Now) {
        if check {
            self.check_due = true;
            let interval = self.settings.drift_interval;
            self.check_at = interval.map(|interval| now.at + interval);
        }
        match self.state {
            State::Measuring => {
                self.survey_due = true;
                self.stand_back(Reason::Changed);
            }
            State::StandingBack(_) => self.survey_due = true,
            State::Idle | State::Waiting { .. } => {
                let check = self.check_due;
                self.actions.push_back(Action::Survey { check });
            }
            State::Stopped => {}
        }
    }

    fn surveyed(&mut self, tasks: Vec<Task>, now: Now) {
        if self.is_measuring() {
            let at_hand = self.tasks.pop_front();
            let others = tasks
                .into_iter()
                .filter(|task| Some(task) != at_hand.as_ref());
            self.tasks = at_hand.iter().cloned().chain(others).collect();
            return;
        }
        self.tasks = tasks.into();
        self.check_due &= self.tasks.iter().any(Task::is_check);
        // Whoever waits for quiet already goes on waiting: a machine that changes often would never be found idle.
        let waits = self.waits_for(|reason| {
            matches!(
                reason,
                Reason::Quiet | Reason::Busy { .. } | Reason::Pressure(_)
            )
        });
        if !waits || self.urgent || self.tasks.is_empty() {
            self.wait(now);
        }
    }

    /// What follows from the task that was done goes before the others: one task a workload, and what is to be tuned need
    /// not be checked.
    fn put_first(&mut self, then: Vec<Task>) {
        for task in then.into_iter().rev() {
            let is_same = |pending: &Task| pending.workload() == task.workload();
            match self.tasks.iter().position(is_same) {
                Some(place) if task.is_check() || !self.tasks[place].is_check() => continue,
                Some(place) => drop(self.tasks.remove(place)),
                None => {}
            }
            self.tasks.push_front(task);
        }
    }

    /// Everything waits for somebody to mend what is wrong.
    fn stuck(&mut self, why: String, now: Now) {
        if self.is_stopping() {
            return self.stop();
        }
        self.survey_due = false;
        // Whoever asked for it now asked for now.
        self.urgent = false;
        self.actions.clear();
        self.wait_for(Reason::Stuck(why), now);
    }

    fn after_measuring(&mut self, now: Now) {
        if self.is_stopping() {
            return self.stop();
        }
        let stood_back = match std::mem::replace(&mut self.state, State::Idle) {
            State::StandingBack(reason) => Some(reason),
            _ => None,
        };
        if std::mem::take(&mut self.survey_due) {
            self.survey(false, now);
        } else if let (Some(reason), false) = (stood_back, self.urgent) {
            self.watch(reason, now);
        } else {
            self.go_on(now);
        }
    }

    /// The next task, if nothing speaks against it: the machine was idle a moment ago.
    fn go_on(&mut self, now: Now) {
        match (self.tasks.front().cloned(), self.forbidden(now)) {
            (None, _) => {
                self.urgent = false;
                self.state = State::Idle;
            }
            (Some(_), Some(reason)) => self.wait_for(reason, now),
            (Some(task), None) => {
                self.state = State::Measuring;
                self.actions.push_back(Action::Measure(task));
            }
        }
    }

    /// Tasks wait until the machine was found idle, unless the user asked for them at once.
    fn wait(&mut self, now: Now) {
        if self.tasks.is_empty() || self.urgent {
            return self.go_on(now);
        }
        match self.forbidden(now) {
            Some(reason) => self.wait_for(reason, now),
            None => self.watch(Reason::Quiet, now),
        }
    }

    /// Looks at the load now, so that the next look can tell what happened since.
    fn watch(&mut self, reason: Reason, now: Now) {
        if self.tasks.is_empty() {
            return self.go_on(now);
        }
        self.wait_for(reason, now);
        if let State::Waiting { watched, .. } = &mut self.state {
            *watched = false;
        }
        self.look();
    }

    /// Asks for one look: of two in a row the second would find an idle machine.
    fn look(&mut self) {
        self.actions.retain(|action| *action != Action::Look);
        self.actions.push_back(Action::Look);
    }

    fn wait_for(&mut self, reason: Reason, now: Now) {
        let seconds = |seconds: u32| Nanos(u64::from(seconds) * 1_000_000_000);
        let patience = match reason {
            Reason::Hours => seconds(self.settings.hours.begin_in(now.second)),
            Reason::DailyLimit => seconds(DAY_SECONDS.saturating_sub(now.second)),
            Reason::Battery | Reason::Stuck(_) => RETRY,
            Reason::Busy { .. } | Reason::Pressure(_) => self.settings.quiet.max(LEAST_PAUSE),
            _ => self.settings.quiet.max(LEAST_WATCH),
        };
        self.state = State::Waiting {
            until: now.at + patience,
            reason,
            watched: true,
        };
    }

    fn looked(&mut self, load: &Load, now: Now) {
        self.spending.add(load.spent);
        match &mut self.state {
            State::Waiting {
                reason: Reason::Stuck(_),
                ..
            } => {}
            State::Measuring if !self.urgent => {
                if let Some(reason) = self.forbidden(now).or_else(|| self.objection(load)) {
                    self.stand_back(reason);
                }
            }
            State::Waiting { watched, .. } if !*watched => *watched = true,
            State::Waiting { .. } => match self.forbidden(now).or_else(|| self.objection(load)) {
                Some(reason) => self.wait_for(reason, now),
                None => self.go_on(now),
            },
            _ => {}
        }
    }

    /// What in the load speaks against measuring.
    fn objection(&self, load: &Load) -> Option<Reason> {
        if !load.on_mains && self.settings.mains_only {
            return Some(Reason::Battery);
        }
        if load.others_cpus > self.settings.idle_cpus {
            return Some(Reason::Busy {
                cpus: load.others_cpus,
                busiest: load.busiest.clone(),
            });
        }
        // What is measured makes threads wait itself.
        let pressure = load.pressure_percent.filter(|_| !self.is_measuring())?;
        (pressure > self.settings.idle_pressure_percent).then_some(Reason::Pressure(pressure))
    }

    /// What in the settings speaks against measuring at this time.
    fn forbidden(&self, now: Now) -> Option<Reason> {
        if self.urgent {
            return None;
        }
        if !self.settings.hours.contains(now.second) {
            return Some(Reason::Hours);
        }
        let limit = self.settings.daily_cpu?;
        (self.spending.cpu() >= limit).then_some(Reason::DailyLimit)
    }
}
