//! What the daemon says of itself, where it says it, and when: a status file, metrics, a line for the service manager.

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
    /// Was it complained that something cannot be written?
    complained: bool,
    /// And of the metrics?
    complained_of_metrics: bool,
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
            complained: false,
            complained_of_metrics: false,
        }
    }

    /// From now on the metrics go there.
    pub fn textfile_at(&mut self, textfile: Option<PathBuf>) {
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
        let last = self.last.as_ref();
        if last == Some(&status) && !self.complained {
            return (None, Ok(()));
        }
        let summary = status.summary();
        let is_news = last.is_none_or(|last| last.summary() != summary);
        let same_state = last.is_some_and(|last| last.state == status.state);
        self.log(&status);
        let written = status::write(&self.file, &status);
        if written.is_ok() {
            self.complained = false;
        }
        // While it measures, the status changes every few seconds, and again after whatever was passed over.
        self.write_metrics(&status, same_state && status.state == State::Measuring);
        self.last = Some(status);
        (is_news.then_some(summary), written)
    }

    /// A line in the log where it stands back or waits for another kind of reason than before; how much others use changes
    /// all the time.
    fn log(&mut self, status: &Status) {
        let Some(reason) = &status.reason else {
            self.logged = None;
            return;
        };
        let kind = match reason {
            // It passes at once, or whoever is stuck has told it.
            status::Reason::Changed | status::Reason::Stuck { .. } => return,
            // They take turns on a busy machine.
            status::Reason::Pressure { .. } => "busy",
            other => other.name(),
        };
        if self.logged.replace((status.state, kind)) != Some((status.state, kind)) {
            log::info!("{}: {reason}", status.state.name().replace('_', " "));
        }
    }

    /// Metrics are for others: that they cannot be written is a line in the log, once until they can be. Those that
    /// `may_wait` are passed over if others were written a moment ago.
    fn write_metrics(&mut self, status: &Status, may_wait: bool) {
        let was_just_now = |at: Instant| at.elapsed() < METRICS_EVERY;
        if may_wait && self.metrics_at.is_some_and(was_just_now) {
            return;
        }
        let Some(path) = &self.textfile else { return };
        self.metrics_at = Some(Instant::now());
        match metrics::write(path, status) {
            Ok(()) => self.complained_of_metrics = false,
            Err(error) if !std::mem::replace(&mut self.complained_of_metrics, true) => {
                log::warn!(
                    "{error}; is its directory among ReadWritePaths= of the unit? The daemon goes on without metrics"
                );
            }
            Err(_) => {}
        }
    }

    /// Logs that something could not be written, once until all could be.
    pub fn complain(&mut self, error: &StatusError) {
        if !std::mem::replace(&mut self.complained, true) {
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

fn told(reason: &Reason) -> status::Reason {
    match reason {
        Reason::Quiet => status::Reason::Quiet,
        Reason::Busy { cpus, busiest } => status::Reason::Busy {
            cpus: *cpus,
            busiest: busiest
                .clone()
                .map(|(name, cpus)| status::BusyProcess { name, cpus }),
        },
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
