//! What the schedule's actions come to: surveys, looks, and tasks for the measuring thread.

use super::events::Waker;
use super::kept::{Kept, Request};
use super::measuring::{Assignment, Kind, Measuring, Outcome, Report, watch_others};
use super::published::Machine;
use super::schedule::{Event, Load, Task};
use super::settings::Scope;
use super::state::{Memory, StateDirectory, UnfinishedTunings};
use super::status::Workloads;
use crate::bench::{Checked, Tuned};
use crate::configuration::Configuration;
use crate::machine::OthersWatch;
use crate::profile::{Entry, StopReason};
use crate::report::time;
use crate::tune::Options;
use crate::units::Nanos;
use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

/// What the daemon works on.
pub struct Work {
    state: StateDirectory,
    configuration: Configuration,
    /// What is measured.
    pub scope: Scope,
    /// What outlives the process.
    pub memory: Memory,
    /// The profile and its machine, as last seen.
    pub machine: Option<Machine>,
    /// The verdicts of that profile.
    pub workloads: Workloads,
    waker: Waker,
    deadline: Duration,
    unfinished: UnfinishedTunings,
    /// While there is something to do.
    kept: Option<Kept>,
    /// Workloads that failed, and are not tried again before somebody asks or the next check.
    given_up: BTreeSet<String>,
    /// While the load is watched.
    watch: Option<OthersWatch>,
    at_work: Option<AtWork>,
}

/// What is being measured.
struct AtWork {
    task: Task,
    began: Instant,
    /// CPU time up to the last look.
    cpu: Nanos,
    thread: Measuring,
}

impl Work {
    /// Nothing is done yet. `deadline`: how long a worker may take for an answer; `waker` ends the loop's wait.
    pub fn new(
        state: StateDirectory,
        configuration: Configuration,
        deadline: Duration,
        waker: Waker,
    ) -> Self {
        Self {
            scope: Scope::from(&configuration.daemon),
            memory: Memory::read(&state),
            unfinished: UnfinishedTunings::read(&state),
            state,
            configuration,
            machine: None,
            workloads: Workloads::default(),
            waker,
            deadline,
            kept: None,
            given_up: BTreeSet::new(),
            watch: None,
            at_work: None,
        }
    }

    /// From now on this is configured.
    pub fn configure(&mut self, configuration: Configuration) {
        self.scope = Scope::from(&configuration.daemon);
        self.configuration = configuration;
        self.try_all();
    }

    /// What failed is tried again.
    pub fn try_all(&mut self) {
        self.given_up.clear();
    }

    /// Nothing is to be done: nothing needs to be known.
    pub fn rest(&mut self) {
        if self.kept.is_some() && self.memory.last_check().is_none() {
            // What was just measured holds. The next check is due after an interval from now, however often the machine
            // is switched off meanwhile.
            self.memory.checked(SystemTime::now());
            self.remember();
        }
        self.kept = None;
        self.watch = None;
    }

    /// The process is about to end: a last try to write what could not be written.
    pub fn end(&mut self) {
        if let Some(Err(error)) = self.kept.as_mut().map(|kept| kept.save(&self.state)) {
            log::error!("{error:#}; a verdict is lost");
        }
    }

    /// So much CPU time was spent, and so much on this day.
    pub fn note_spent(&mut self, more: Nanos, day: i64, today: Nanos) {
        self.memory.spent(day, today, more);
        if let Some(at_work) = &mut self.at_work {
            at_work.cpu += more;
        }
    }

    /// Has the running sample be the last.
    pub fn stand_back(&self) {
        if let Some(at_work) = &self.at_work {
            at_work.thread.stop();
        }
    }

    /// The next report of the measuring thread, if there is one.
    pub fn report(&self) -> Option<Report> {
        self.at_work
            .as_ref()
            .and_then(|at_work| at_work.thread.report())
    }

    /// Lets the measuring thread go on, which waits after a report.
    pub fn go_on(&self) {
        if let Some(at_work) = &self.at_work {
            at_work.thread.go_on();
        }
    }

    /// Compares machine, profile and catalogue.
    pub fn survey(&mut self, check: bool) -> Event {
        // What could not be saved comes first: the survey looks at what the disk holds.
        let saved = self
            .kept
            .as_mut()
            .map_or(Ok(()), |kept| kept.save(&self.state));
        let found = saved.and_then(|()| {
            // The profile before is the one before the first of all changes.
            let has_previous = self.kept.as_ref().is_some_and(Kept::has_previous);
            let request = Request {
                configuration: &self.configuration,
                scope: &self.scope,
                check,
                given_up: &self.given_up,
                has_previous,
            };
            Kept::survey(&self.state, &request)
        });
        match found {
            Ok((kept, tasks)) => {
                self.machine = Some(Machine {
                    id: kept.around.fingerprint.id.clone(),
                    profile: kept.path().to_owned(),
                });
                self.workloads = kept.workloads();
                let is_tuned = |name: &str| tasks.contains(&Task::Tune(name.to_owned()));
                if self.unfinished.retain(&kept.begun(), is_tuned) {
                    // What failed on a machine of one CPU less, say, need not fail on this one.
                    self.given_up.clear();
                }
                if tasks.is_empty() {
                    log::info!("{}: nothing is to be measured", kept.path().display());
                } else {
                    log::info!(
                        "{}: to be measured: {}",
                        kept.path().display(),
                        names(&tasks)
                    );
                }
                if check && !tasks.iter().any(Task::is_check) {
                    self.memory.checked(SystemTime::now());
                    self.memory.keep(&self.state);
                }
                self.kept = Some(kept);
                Event::Surveyed(tasks)
            }
            Err(error) => stuck(&error, Nanos::ZERO),
        }
    }

    /// The load since the look before.
    pub fn look(&mut self) -> Load {
        if let Some(watch) = &mut self.watch {
            return watch.look().into();
        }
        self.watch = watch_others();
        // The first look, or the kernel shows nothing: nobody is in the way.
        Load {
            others_cpus: 0.0,
            pressure_percent: None,
            on_mains: true,
            busiest: None,
            spent: Nanos::ZERO,
        }
    }

    /// Begins a task, or says why it cannot.
    pub fn begin(&mut self, task: Task) -> Option<Event> {
        // From now on the measuring thread looks.
        self.watch = None;
        let dropped = Event::Finished {
            cpu: Nanos::ZERO,
            then: Vec::new(),
        };
        let Some(kept) = &self.kept else {
            return Some(dropped);
        };
        let Some(workload) = kept.workload(task.workload()).cloned() else {
            return Some(dropped);
        };
        let mut how = "";
        let (kind, options) = match &task {
            Task::Tune(_) => {
                let options = Options {
                    time_budget: self.scope.workload_budget,
                    ..Options::default()
                };
                let unfinished = self.unfinished.of(&workload).cloned();
                if unfinished.is_some() {
                    how = ", from where it was put aside";
                }
                (Kind::Tune(unfinished.map(Box::new)), options)
            }
            Task::Check(name) => match kept.entry(name) {
                Some(entry) => (Kind::Check(Box::new(entry.clone())), Options::drift_check()),
                None => return Some(dropped),
            },
        };
        log::info!("{task}{how}");
        let assignment = Assignment {
            around: kept.around.clone(),
            workload,
            options,
            deadline: self.deadline,
            kind,
        };
        match Measuring::start(assignment, self.waker.clone()) {
            Ok(thread) => {
                self.at_work = Some(AtWork {
                    task,
                    began: Instant::now(),
                    cpu: Nanos::ZERO,
                    thread,
                });
                None
            }
            Err(error) => {
                let error = anyhow::Error::new(error).context("no thread could be started");
                Some(stuck(&error, Nanos::ZERO))
            }
        }
    }

    /// The measuring thread has ended; `is_last_check`: no other check is left; `is_stale`: something changed meanwhile,
    /// which is yet to be looked at.
    pub fn ended(
        &mut self,
        outcome: Outcome,
        cpu: Nanos,
        is_last_check: bool,
        is_stale: bool,
    ) -> Option<Event> {
        let at_work = self.at_work.take()?;
        at_work.thread.join();
        let all_cpu = at_work.cpu + cpu;
        let event = match outcome {
            // A CPU that went away makes a workload fail, and says nothing about it.
            Outcome::Tuned(tuned, _)
                if is_stale && matches!(tuned.entry.stop, StopReason::Failed(_)) =>
            {
                log::info!("{}: {}; it begins anew", tuned.entry.name, tuned.entry.stop);
                self.unfinished.remove(&tuned.entry.name);
                Event::PutAside { cpu }
            }
            Outcome::Tuned(tuned, team) => {
                log_verdict(&tuned.entry, all_cpu);
                self.unfinished.remove(&tuned.entry.name);
                self.tuned(*tuned, &team, at_work.began.elapsed(), cpu)
            }
            Outcome::Checked(checked) => {
                self.checked(at_work.task.workload(), &checked, is_last_check, cpu)
            }
            Outcome::PutAside(unfinished) => {
                let workload = self
                    .kept
                    .as_ref()
                    .and_then(|kept| kept.workload(at_work.task.workload()));
                if let (Some(workload), Some(unfinished)) = (workload, unfinished) {
                    self.unfinished.put(workload, *unfinished);
                }
                Event::PutAside { cpu }
            }
            Outcome::Impossible(why) => stuck(&anyhow::Error::msg(why), cpu),
            Outcome::Panicked => {
                // It may have been what was put aside.
                self.unfinished.remove(at_work.task.workload());
                let why = "the measuring thread panicked, which is a fault of threadtune: please report it";
                stuck(&anyhow::Error::msg(why), cpu)
            }
        };
        self.unfinished.keep(&self.state);
        Some(event)
    }

    fn tuned(&mut self, tuned: Tuned, team: &str, spent: Duration, cpu: Nanos) -> Event {
        let entry = &tuned.entry;
        if entry.latency.is_none() {
            self.given_up.insert(entry.name.clone());
        }
        let Some(kept) = &mut self.kept else {
            return Event::PutAside { cpu };
        };
        let put = kept.put(&self.state, tuned, team, spent);
        self.workloads = kept.workloads();
        match put {
            Ok(()) => Event::Finished {
                cpu,
                then: Vec::new(),
            },
            Err(error) => stuck(&error, cpu),
        }
    }

    fn checked(&mut self, name: &str, checked: &Checked, is_last: bool, cpu: Nanos) -> Event {
        let Some(kept) = &mut self.kept else {
            return Event::PutAside { cpu };
        };
        let result = match checked {
            Checked::Found(finding) => kept.checked(&self.state, name, finding),
            Checked::Needless => Ok(Vec::new()),
            Checked::Failed(why) => {
                log::warn!("{name} could not be checked: {why}");
                kept.check_failed();
                Ok(Vec::new())
            }
        };
        let result = result.and_then(|then| {
            if is_last && !then.iter().any(Task::is_check) && kept.settle(&self.state)? {
                self.memory.checked(SystemTime::now());
            }
            Ok(then)
        });
        match result {
            Ok(then) => Event::Finished { cpu, then },
            Err(error) => stuck(&error, cpu),
        }
    }

    /// Keeps on the disk what was spent.
    pub fn remember(&self) {
        self.memory.keep(&self.state);
    }
}

fn stuck(error: &anyhow::Error, cpu: Nanos) -> Event {
    let why = format!("{error:#}");
    log::error!("{why}; nothing is measured until that is mended");
    Event::Stuck { cpu, why }
}

fn log_verdict(entry: &Entry, cpu: Nanos) {
    let verdict = entry.latency.as_ref().map_or_else(
        || "no count stated".to_owned(),
        |best| {
            let s = if best.threads.get() == 1 { "" } else { "s" };
            format!(
                "{} thread{s}, {} a call",
                best.threads,
                time(best.median_us)
            )
        },
    );
    log::info!(
        "{}: {verdict} ({}; {:.1} s of CPU time)",
        entry.name,
        entry.stop,
        cpu.as_secs_f64()
    );
}

/// `matmul-64, matmul-256 and 7 more`.
fn names(tasks: &[Task]) -> String {
    let first: Vec<&str> = tasks.iter().take(3).map(Task::workload).collect();
    match tasks.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
