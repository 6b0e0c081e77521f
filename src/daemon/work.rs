//! What the schedule's actions come to: surveys, looks, and tasks for the measuring thread.

mod outcome;

use super::complaint::Complaint;
use super::events::Waker;
use super::kept::{GivenUp, Kept, Request, Surveyed};
use super::measuring::{Assignment, Kind, Measuring, Report};
use super::published::Machine;
use super::schedule::{Event, Load, Task};
use super::settings::Scope;
use super::state::{Memory, StateDirectory, UnfinishedTunings};
use super::status::Workloads;
use super::watch::Watch;
use crate::configuration::Configuration;
use crate::machine::{BootAnchor, BootTime};
use crate::report::{counted, rough};
use crate::tune::Options;
use crate::units::Nanos;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A daemon that is killed while it measures forgets no more than what it spent in this time.
const REMEMBER_EVERY: Duration = Duration::from_secs(15);

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
    /// The directory of the turn to measure.
    turns: PathBuf,
    unfinished: UnfinishedTunings,
    /// While there is something to do.
    kept: Option<Kept>,
    /// Workloads that failed, and are not tried again before somebody asks or the next check.
    given_up: GivenUp,
    /// While the load is watched.
    watch: Option<Watch>,
    at_work: Option<AtWork>,
    /// What was told last that must be mended before machine and profile can be compared, until it is …
    told_of_survey: Option<String>,
    /// … and before anything can be measured, or kept.
    told_of_task: Option<String>,
    /// Of what was spent, and of what was put aside: that it cannot be kept.
    complaints: [Complaint; 2],
}

/// What is being measured.
struct AtWork {
    task: Task,
    began: Instant,
    /// CPU time up to the last look.
    cpu: Nanos,
    /// When what was spent was kept on the disk.
    remembered: Instant,
    thread: Measuring,
}

impl Work {
    /// Nothing is done yet. `deadline`: how long a worker may take for an answer; `turns`: the directory of the turn to
    /// measure; `waker` ends the loop's wait.
    pub fn new(
        state: StateDirectory,
        configuration: Configuration,
        deadline: Duration,
        turns: PathBuf,
        waker: Waker,
    ) -> Self {
        let (scope, now) = (Scope::from(&configuration.daemon), boot_anchor());
        let mut unfinished = UnfinishedTunings::read(&state, &now);
        unfinished.plan(scope.visit_plan(), scope.workload_budget);
        Self {
            scope,
            memory: Memory::read(&state, &now),
            unfinished,
            state,
            configuration,
            machine: None,
            workloads: Workloads::default(),
            waker,
            deadline,
            turns,
            kept: None,
            given_up: GivenUp::default(),
            watch: None,
            at_work: None,
            told_of_survey: None,
            told_of_task: None,
            complaints: Default::default(),
        }
    }

    /// From now on this is configured.
    pub fn configure(&mut self, configuration: Configuration) {
        self.scope = Scope::from(&configuration.daemon);
        self.unfinished
            .plan(self.scope.visit_plan(), self.scope.workload_budget);
        self.configuration = configuration;
        self.try_all();
    }

    /// What failed is tried again, and what must be mended is told again.
    pub fn try_all(&mut self) {
        self.given_up.clear();
        self.told_of_survey = None;
        self.told_of_task = None;
    }

    /// Nothing is to be done: nothing needs to be known.
    pub fn rest(&mut self) {
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
            if at_work.remembered.elapsed() >= REMEMBER_EVERY {
                at_work.remembered = Instant::now();
                self.remember();
            }
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
            let interval = self.scope.visit_interval;
            let suspects = self.memory.suspects(interval, BootTime::now());
            let suspects = suspects
                .filter(|(_, wait)| *wait == Nanos::ZERO)
                .map(|(workload, _)| workload.to_owned());
            let request = Request {
                suspects: suspects.collect(),
                configuration: &self.configuration,
                scope: &self.scope,
                check,
                given_up: &self.given_up,
                unfinished: &self.unfinished,
                has_previous,
            };
            Kept::survey(&self.state, &request)
        });
        match found {
            Ok(Surveyed { kept, tasks, go_on }) => {
                self.machine = Some(Machine {
                    id: kept.around.fingerprint.id.clone(),
                    profile: kept.path().to_owned(),
                });
                self.workloads = kept.workloads();
                let now = BootTime::now();
                self.unfinished.settle(&kept.begun(), &go_on, now);
                self.memory.retain_suspects(|name| kept.is_checkable(name));
                self.given_up.settle(kept.begun());
                log::info!("{}: {}", kept.path().display(), plan(&tasks));
                if let Some(wait) = self.unfinished.next_visit_in(now).filter(|wait| wait.0 > 0) {
                    log::info!(
                        "{} to be looked at again, the first in {}",
                        counted(self.unfinished.resting(), "workload"),
                        rough(wait.as_secs_f64())
                    );
                }
                self.told_of_survey = None;
                if check && !tasks.iter().any(Task::is_check) {
                    self.memory.checks_surveyed(SystemTime::now());
                    self.remember();
                }
                self.kept = Some(kept);
                Event::Surveyed(tasks)
            }
            Err(error) => stuck(&mut self.told_of_survey, &error, Nanos::ZERO),
        }
    }

    /// In how long workloads are to be looked at again, if any are: as soon as most of those are due that were looked at in
    /// one go.
    pub fn next_visit(&self) -> Option<Nanos> {
        let (now, interval) = (BootTime::now(), self.scope.visit_interval);
        let tuned = self.unfinished.next_visit_in(now);
        let checked = self.memory.suspects(interval, now).map(|(_, wait)| wait);
        let first = tuned.into_iter().chain(checked).min()?;
        Some(first + Nanos(interval.0 / 6))
    }

    /// The load since the look before.
    pub fn look(&mut self) -> Load {
        if let Some(watch) = &mut self.watch {
            return watch.look();
        }
        // The first look has nothing to compare with.
        self.watch = Some(Watch::start(&self.turns));
        Load::nobody()
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
                    visit_plan: Some(self.scope.visit_plan()),
                    ..Options::default()
                };
                let unfinished = self.unfinished.of(&workload).cloned();
                how = match &unfinished {
                    None => "",
                    Some(unfinished) if unfinished.rests() => ", once more",
                    Some(_) => ", from where it was put aside",
                };
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
            turns: self.turns.clone(),
            kind,
            known_regions: kept.region_conditions().cloned(),
        };
        match Measuring::start(assignment, self.waker.clone()) {
            Ok(thread) => {
                self.at_work = Some(AtWork {
                    task,
                    began: Instant::now(),
                    cpu: Nanos::ZERO,
                    remembered: Instant::now(),
                    thread,
                });
                None
            }
            Err(error) => {
                let error = anyhow::Error::new(error).context("no thread could be started");
                Some(stuck(&mut self.told_of_task, &error, Nanos::ZERO))
            }
        }
    }

    fn finished(&mut self, cpu: Nanos, then: Vec<Task>) -> Event {
        self.told_of_task = None;
        Event::Finished { cpu, then }
    }

    /// Keeps on the disk what was spent, and what was put aside. Failing is no reason to stop: the profile is what matters.
    pub fn remember(&mut self) {
        let [of_spending, of_unfinished] = &mut self.complaints;
        let now = boot_anchor();
        if let Some(error) = of_spending.news(self.memory.keep(&self.state, &now)) {
            log::warn!("{error}; what was spent is forgotten at the next start");
        }
        if let Some(error) = of_unfinished.news(self.unfinished.keep(&self.state, &now)) {
            log::warn!("{error}; what was put aside begins anew at the next start");
        }
    }

    /// The clock was set: it may have told days that have yet to come.
    pub fn clock_was_set(&mut self) {
        self.memory.forget_the_future(SystemTime::now());
        self.unfinished.clock_was_set();
        self.remember();
    }
}

fn boot_anchor() -> BootAnchor {
    BootAnchor::now(Path::new("/"))
}

/// Nothing goes on until this is mended. The log is told once.
fn stuck(told: &mut Option<String>, error: &anyhow::Error, cpu: Nanos) -> Event {
    let why = format!("{error:#}");
    if told.as_ref() != Some(&why) {
        log::error!("{why}; nothing is measured until that is mended");
        *told = Some(why.clone());
    }
    Event::Stuck { cpu, why }
}

/// `to be checked: matmul-64; to be measured: matmul-256, matmul-512, matmul-1024 and 7 more`.
fn plan(tasks: &[Task]) -> String {
    let (checks, tunes): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.is_check());
    let parts = [("checked", checks), ("measured", tunes)];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, tasks)| !tasks.is_empty())
        .map(|(done, tasks)| format!("to be {done}: {}", names(tasks)))
        .collect();
    if parts.is_empty() {
        "nothing is to be measured".to_owned()
    } else {
        parts.join("; ")
    }
}

/// `matmul-64, matmul-256, matmul-512 and 7 more`.
fn names(tasks: &[&Task]) -> String {
    let first: Vec<&str> = tasks.iter().take(3).map(|task| task.workload()).collect();
    match tasks.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
