//! From one state to the next: who waits, for how long, and what is done.

use super::{Action, LEAST_WATCH, Load, Now, RETRY, Reason, Schedule, State, Task};
use crate::units::Nanos;

const DAY_SECONDS: u32 = 24 * 3600;

/// Others are not looked at more often than this, however short the quiet time is.
const LEAST_PAUSE: Nanos = Nanos(1_000_000_000);

impl Schedule {
    pub(super) fn is_measuring(&self) -> bool {
        matches!(self.state, State::Measuring | State::StandingBack(_))
    }

    pub(super) fn waits_for(&self, is: impl Fn(&Reason) -> bool) -> bool {
        matches!(&self.state, State::Waiting { reason, .. } if is(reason))
    }

    /// Whoever waits is to find out by the next survey why.
    pub(super) fn wait_anew(&mut self) {
        if let State::Waiting { reason, .. } = &mut self.state {
            *reason = Reason::Changed;
        }
    }

    pub(super) fn stop(&mut self) {
        self.state = State::Stopped;
        self.actions.clear();
        self.actions.push_back(Action::Exit);
    }

    pub(super) fn stand_back(&mut self, reason: Reason) {
        self.state = State::StandingBack(reason);
        self.actions.push_back(Action::StandBack);
    }

    /// What is known may be wrong. What is being measured is put aside first: it may rest on what is wrong.
    pub(super) fn survey(&mut self, check: bool, now: Now) {
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

    pub(super) fn surveyed(&mut self, tasks: Vec<Task>, now: Now) {
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
                Reason::Quiet | Reason::Busy { .. } | Reason::Measured(_) | Reason::Pressure(_)
            )
        });
        if !waits || self.urgent || self.tasks.is_empty() {
            self.wait(now);
        }
    }

    /// What follows from the task that was done goes before the others: one task a workload, and what is to be tuned need
    /// not be checked.
    pub(super) fn put_first(&mut self, then: Vec<Task>) {
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
    pub(super) fn stuck(&mut self, why: String, now: Now) {
        if self.is_stopping() {
            return self.stop();
        }
        self.survey_due = false;
        // Whoever asked for it now asked for now.
        self.urgent = false;
        self.actions.clear();
        self.wait_for(Reason::Stuck(why), now);
    }

    pub(super) fn after_measuring(&mut self, now: Now) {
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
    pub(super) fn go_on(&mut self, now: Now) {
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
    pub(super) fn wait(&mut self, now: Now) {
        if self.tasks.is_empty() || self.urgent {
            return self.go_on(now);
        }
        match self.forbidden(now) {
            Some(reason) => self.wait_for(reason, now),
            None => self.watch(Reason::Quiet, now),
        }
    }

    /// Looks at the load now, so that the next look can tell what happened since.
    pub(super) fn watch(&mut self, reason: Reason, now: Now) {
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
    pub(super) fn look(&mut self) {
        self.actions.retain(|action| *action != Action::Look);
        self.actions.push_back(Action::Look);
    }

    pub(super) fn wait_for(&mut self, reason: Reason, now: Now) {
        let seconds = |seconds: u32| Nanos(u64::from(seconds) * 1_000_000_000);
        let patience = match reason {
            Reason::Hours => seconds(self.settings.hours.begin_in(now.second)),
            Reason::DailyLimit => seconds(DAY_SECONDS.saturating_sub(now.second)),
            Reason::Battery | Reason::Stuck(_) => RETRY,
            Reason::Busy { .. } | Reason::Measured(_) | Reason::Pressure(_) => {
                self.settings.quiet.max(LEAST_PAUSE)
            }
            _ => self.settings.quiet.max(LEAST_WATCH),
        };
        self.state = State::Waiting {
            until: now.at + patience,
            reason,
            watched: true,
        };
    }

    pub(super) fn looked(&mut self, load: &Load, now: Now) {
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
    pub(super) fn objection(&self, load: &Load) -> Option<Reason> {
        if !load.on_mains && self.settings.mains_only {
            return Some(Reason::Battery);
        }
        if let Some(command) = &load.measured_by {
            return Some(Reason::Measured(command.clone()));
        }
        let busiest_cpus = load.busiest.as_ref().map_or(0.0, |(_, cpus)| *cpus);
        if self
            .settings
            .is_busy(load.cpus, load.others_cpus, busiest_cpus)
        {
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
    pub(super) fn forbidden(&self, now: Now) -> Option<Reason> {
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
