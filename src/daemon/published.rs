//! What the daemon says of itself, where it says it, and when: a status file, metrics, a line for the service manager.

use super::complaint::Complaint;
use super::metrics;
use super::schedule::{Now, Phase, Reason, Schedule, Task};
use super::state::Memory;
use super::status::{
    self, Purpose, SCHEMA, Spent, State, Status, StatusError, WallTime, Workloads,
};
use crate::tune::Progress;
use crate::units::Nanos;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Metrics lie on a disk, and collectors look a few times a minute.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// No remaining time is told before so much is done: it would be a guess.
const LEAST_FRACTION: f64 = 0.05;

/// A machine and its profile.
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Where the profile lies.
    pub profile: PathBuf,
}

/// What there is to say.
pub struct View<'a> {
    /// What is done, and what is left.
    pub schedule: &'a Schedule,
    /// How far the task at hand has come.
    pub progress: Option<&'a Progress>,
    /// About the most time for a workload.
    pub budget: Nanos,
    /// Verdicts.
    pub workloads: Workloads,
    /// What was spent.
    pub memory: &'a Memory,
    /// The profile that is kept, and whose it is.
    pub machine: Option<&'a Machine>,
    /// The time.
    pub now: Now,
}

/// Where the status goes, and what was said last.
pub struct Published {
    file: PathBuf,
    textfile: Option<PathBuf>,
    started: WallTime,
    last: Option<Status>,
    /// The state and the reason that the log told last.
    logged: Option<(State, &'static str)>,
    metrics_at: Option<Instant>,
    /// Do the metrics lag behind the status?
    owes_metrics: bool,
    /// Of the status that it cannot be written, and of the metrics.
    complaint: Complaint,
    complaint_of_metrics: Complaint,
}

impl Published {
    /// Nothing was said yet.
    pub fn new(runtime: &Path, textfile: Option<PathBuf>) -> Self {
        Self {
            file: runtime.join("status.json"),
            textfile,
            started: SystemTime::now().into(),
            last: None,
            logged: None,
            metrics_at: None,
            owes_metrics: false,
            complaint: Complaint::default(),
            complaint_of_metrics: Complaint::default(),
        }
    }

    /// From now on the metrics go there.
    pub fn textfile_at(&mut self, textfile: Option<PathBuf>) {
        self.owes_metrics = true;
        self.textfile = textfile;
        self.metrics_at = None;
    }

    /// The state in one line.
    pub fn summary(&self) -> String {
        self.last.as_ref().map_or_else(String::new, Status::summary)
    }

    /// All that matters of the status in one line.
    pub fn line(&self) -> String {
        self.last.as_ref().map_or_else(String::new, |status| {
            let count = &status.workloads;
            format!(
                "{}; {} conclusive, {} inconclusive, {} failed, {} left; {:.1} s of CPU time today, {:.1} s in all",
                status.summary(),
                count.conclusive,
                count.inconclusive,
                count.failed,
                count.left,
                status.spent.today_cpu_s,
                status.spent.total_cpu_s
            )
        })
    }

    /// Writes the status if it is another one than before, or could not be written then. The line for the service manager
    /// if that is another one.
    pub fn publish(&mut self, view: &View<'_>) -> (Option<String>, Result<(), StatusError>) {
        let status = self.status(view);
        let is_same = self.last.as_ref() == Some(&status);
        if is_same && !self.owes_metrics && !self.complaint.is_open() {
            return (None, Ok(()));
        }
        let summary = status.summary();
        let last = self.last.as_ref();
        let is_news = last.is_none_or(|last| last.summary() != summary);
        // What changes every few seconds, and surely again after what was passed over.
        let may_wait = last.is_some_and(|last| kind(last) == kind(&status))
            && matches!(status.state, State::Measuring | State::Waiting);
        if let Some(line) = self.journal_line(&status) {
            log::info!("{line}");
        }
        let written = status::write(&self.file, &status);
        self.owes_metrics |= !is_same;
        self.write_metrics(&status, may_wait);
        self.last = Some(status);
        (is_news.then_some(summary), written)
    }

    /// A line for the journal where it stands back or waits for another kind of reason than before.
    fn journal_line(&mut self, status: &Status) -> Option<String> {
        let Some(reason) = &status.reason else {
            self.logged = None;
            return None;
        };
        // The first three are told by their causes, or by what follows.
        let kind = match reason {
            status::Reason::Changed | status::Reason::Stuck { .. } | status::Reason::Quiet => {
                return None;
            }
            // They take turns on a busy machine.
            status::Reason::Pressure { .. } => "busy",
            other => other.name(),
        };
        let told = Some((status.state, kind));
        let is_news = std::mem::replace(&mut self.logged, told) != told;
        is_news.then(|| format!("{}: {reason}", status.state.name().replace('_', " ")))
    }

    /// Metrics are for others: that they cannot be written is a line in the log, once until they can be. Those that
    /// `may_wait` are owed if others were written a moment ago.
    fn write_metrics(&mut self, status: &Status, may_wait: bool) {
        let was_just_now = |at: Instant| at.elapsed() < METRICS_EVERY;
        if may_wait && self.metrics_at.is_some_and(was_just_now) {
            return;
        }
        let Some(path) = &self.textfile else {
            self.owes_metrics = false;
            return;
        };
        self.metrics_at = Some(Instant::now());
        let written = metrics::write(path, status);
        self.owes_metrics = written.is_err();
        if let Some(error) = self.complaint_of_metrics.news(written) {
            log::warn!(
                "{error}; is its directory among ReadWritePaths= of the unit? The daemon goes on without metrics"
            );
        }
    }

    /// Logs that the status could not be written, once until it could be.
    pub fn complain(&mut self, written: Result<(), StatusError>) {
        if let Some(error) = self.complaint.news(written) {
            log::warn!("{error}; the daemon goes on without");
        }
    }

    fn status(&self, view: &View<'_>) -> Status {
        let (state, reason, task) = match view.schedule.phase() {
            Phase::Idle => (State::Idle, None, None),
            Phase::Waiting(reason) => (State::Waiting, Some(told(reason)), None),
            Phase::Measuring(task) => (State::Measuring, None, Some(at_hand(task, view))),
            Phase::StandingBack(task, reason) => (
                State::StandingBack,
                Some(told(reason)),
                Some(at_hand(task, view)),
            ),
            Phase::Stopped => (State::Stopped, None, None),
        };
        let now = WallTime::from(SystemTime::now());
        let since = self
            .last
            .as_ref()
            .filter(|last| last.state == state)
            .map_or(now, |last| last.since);
        let next_wakeup = view.schedule.wake_at().map(|at| {
            let seconds = at.saturating_sub(view.now.at).as_secs_f64().round();
            WallTime::from_unix_s(now.unix_s().saturating_add(seconds as u64))
        });
        Status {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            state,
            since,
            reason,
            task,
            workloads: Workloads {
                left: view.schedule.tasks().count() as u32,
                ..view.workloads
            },
            spent: Spent {
                today_cpu_s: view.schedule.spent_today().as_secs_f64(),
                total_cpu_s: view.memory.total_cpu_s(),
            },
            last_check: view.memory.last_check(),
            next_wakeup,
            machine: view.machine.map(|machine| machine.id.clone()),
            profile: view
                .machine
                .map(|machine| machine.profile.display().to_string()),
        }
    }
}

/// State and kind of reason, of which a status of the same is a mere update.
fn kind(status: &Status) -> (State, Option<&'static str>) {
    (
        status.state,
        status.reason.as_ref().map(status::Reason::name),
    )
}

fn told(reason: &Reason) -> status::Reason {
    match reason {
        Reason::Quiet => status::Reason::Quiet,
        Reason::Busy { cpus, busiest } => status::Reason::Busy {
            cpus: *cpus,
            busiest: busiest
                .clone()
                .map(|(name, cpus)| status::BusyProcess { name, cpus }),
        },
        Reason::Measured(by) => status::Reason::Measured { by: by.clone() },
        Reason::Pressure(percent) => status::Reason::Pressure { percent: *percent },
        Reason::Battery => status::Reason::Battery,
        Reason::Hours => status::Reason::Hours,
        Reason::DailyLimit => status::Reason::DailyLimit,
        Reason::Changed => status::Reason::Changed,
        Reason::Stopping => status::Reason::Stopping,
        Reason::Stuck(why) => status::Reason::Stuck { why: why.clone() },
    }
}

fn at_hand(task: &Task, view: &View<'_>) -> status::Task {
    let done = view.progress.map_or(0.0, |p| p.fraction.clamp(0.0, 1.0));
    let remaining_s = view.progress.filter(|_| done >= LEAST_FRACTION).map(|p| {
        let spent = p.spent.as_secs_f64();
        let most = (view.budget.as_secs_f64() - spent).max(0.0);
        (spent * (1.0 - done) / done).min(most).round()
    });
    status::Task {
        purpose: match task {
            Task::Tune(_) => Purpose::Tune,
            Task::Check(_) => Purpose::Check,
        },
        workload: task.workload().to_owned(),
        progress: (done * 100.0).round() / 100.0,
        remaining_s,
    }
}

#[cfg(test)]
#[path = "published_tests.rs"]
mod tests;
