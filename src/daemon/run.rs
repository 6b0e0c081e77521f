//! The loop: waits for what happens, tells the schedule, and does what it says.

use super::calendar;
use super::events::{Events, Occurrence};
use super::measuring::Report;
use super::notify::ServiceManager;
use super::published::{Published, View};
use super::schedule::{Action, Event, Now, Phase, Schedule, Task};
use super::settings::Settings;
use super::state::{StateDirectory, StateError};
use super::status::StatusError;
use super::work::Work;
use crate::configuration::read_file;
use crate::machine::{on_mains, release_file_pages};
use crate::tune::Progress;
use crate::units::Nanos;
use anyhow::anyhow;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where a daemon finds and leaves things.
#[derive(Debug, Clone)]
pub struct Places {
    /// The configuration file; it need not exist.
    pub configuration: PathBuf,
    /// What is kept: profiles, and what was spent.
    pub state: PathBuf,
    /// What is gone with the daemon: its status.
    pub runtime: PathBuf,
    /// The directory of the turn to measure.
    pub turns: PathBuf,
}

/// Runs the daemon until it is told to stop. `deadline`: how long a worker may take for an answer.
pub fn run(places: &Places, deadline: Duration) -> anyhow::Result<()> {
    let configuration = read_file(&places.configuration)?;
    let state = StateDirectory::take(&places.state).map_err(|error| match error {
        StateError::Refused(fault) => needs_directory(&fault, "--state"),
        error => error.into(),
    })?;
    let mut events = Events::open(Path::new("/"))?;
    let now = calendar::now();
    let textfile = configuration.textfile.clone();
    let settings = Settings::from(&configuration.daemon);
    let turns = places.turns.clone();
    let work = Work::new(state, configuration, deadline, turns, events.waker());
    let mut daemon = Daemon {
        configuration: places.configuration.clone(),
        schedule: Schedule::new(settings, work.memory.before(SystemTime::now()), now),
        work,
        progress: None,
        published: Published::new(&places.runtime, textfile),
        manager: ServiceManager::from_environment(),
        has_ended: false,
    };
    // A daemon that nobody can see is of no use; later on it goes on without.
    daemon
        .try_to_publish(now)
        .map_err(|error| needs_directory(&error, "--runtime"))?;
    let summary = daemon.published.summary();
    daemon.manager.ready(&summary);
    daemon.work.remember();
    daemon.wait_and_act(&mut events)?;
    Ok(())
}

fn needs_directory(error: &dyn Display, option: &str) -> anyhow::Error {
    anyhow!(
        "{error}; a daemon needs a directory that it may write: run it as a service, or use {option}"
    )
}

struct Daemon {
    configuration: PathBuf,
    schedule: Schedule,
    work: Work,
    /// How far the task at hand has come.
    progress: Option<Progress>,
    published: Published,
    manager: ServiceManager,
    has_ended: bool,
}

impl Daemon {
    fn wait_and_act(&mut self, events: &mut Events) -> anyhow::Result<()> {
        let interval = self.manager.watchdog_interval();
        let mut is_idle = false;
        let mut alive_at = interval.map(|interval| calendar::now().at + interval);
        loop {
            let has_acted = self.act();
            self.publish(calendar::now());
            let was_idle = std::mem::replace(&mut is_idle, self.schedule.phase() == Phase::Idle);
            if is_idle && (has_acted || !was_idle) {
                // It may sleep for days now.
                release_file_pages();
            }
            if self.has_ended {
                return Ok(());
            }
            let wake_at = self.schedule.wake_at();
            for occurrence in events.wait(wake_at.into_iter().chain(alive_at).min())? {
                self.take(occurrence);
            }
            let now = calendar::now();
            self.schedule.wake(now);
            if alive_at.is_some_and(|at| now.at >= at) {
                self.manager.alive();
                alive_at = interval.map(|interval| now.at + interval);
            }
        }
    }

    /// Something happened.
    fn take(&mut self, occurrence: Occurrence) {
        let now = calendar::now();
        match occurrence {
            Occurrence::Stop => {
                self.manager.stopping("ends the running sample");
                self.schedule.handle(Event::Stop, now);
            }
            // Nobody is told that it is ready who was told that it stops.
            Occurrence::Reload if self.schedule.is_stopping() => {}
            Occurrence::Reload => self.reload(now),
            Occurrence::TuneNow => {
                log::info!("told to tune now");
                self.work.try_all();
                self.schedule.handle(Event::TuneNow, now);
            }
            Occurrence::TellStatus => log::info!("{}", self.published.line()),
            Occurrence::CpusChanged => {
                self.changed("the CPUs that are online may have changed", now);
            }
            Occurrence::LimitsChanged => self.changed("a CPU quota or cpuset was written", now),
            Occurrence::ClockSet => {
                log::info!(
                    "the clock was set, or the machine slept: the machine is looked at again"
                );
                self.work.clock_was_set();
                self.schedule.handle(Event::ClockSet, now);
            }
            // Batteries announce every percent.
            Occurrence::PowerChanged if on_mains(Path::new("/")) => {
                self.schedule.handle(Event::PowerChanged, now);
            }
            Occurrence::Woken => self.hear(),
            // The schedule is woken after every wait.
            Occurrence::PowerChanged | Occurrence::Due => {}
        }
    }

    fn changed(&mut self, what: &str, now: Now) {
        log::info!("{what}: the machine is looked at again");
        self.schedule.handle(Event::Changed, now);
    }

    fn reload(&mut self, now: Now) {
        self.manager.reloading();
        match read_file(&self.configuration) {
            Ok(configuration) => {
                self.published.textfile_at(configuration.textfile.clone());
                let settings = Settings::from(&configuration.daemon);
                self.work.configure(configuration);
                log::info!("{} was read again", self.configuration.display());
                self.schedule.handle(Event::Reloaded(settings), now);
            }
            Err(error) => log::error!("{error}; the configuration stays what it was"),
        }
        let summary = self.published.summary();
        self.manager.ready(&summary);
    }

    /// Does what the schedule asks for, until it asks for nothing more; was there anything?
    fn act(&mut self) -> bool {
        let mut has_acted = false;
        while let Some(action) = self.schedule.next_action() {
            has_acted = true;
            let event = match action {
                Action::Survey { check } => {
                    let event = self.work.survey(check);
                    self.schedule
                        .visit_in(self.work.next_visit(), calendar::now());
                    Some(event)
                }
                Action::Look => {
                    let load = self.work.look();
                    let (now, more) = (calendar::now(), load.spent);
                    self.schedule.handle(Event::Looked(load), now);
                    self.note_spent(more, now);
                    None
                }
                Action::Measure(task) => {
                    self.progress = None;
                    // Whoever reads in the log that it begins finds it in the status.
                    self.publish(calendar::now());
                    self.work.begin(task)
                }
                Action::StandBack => {
                    self.work.stand_back();
                    None
                }
                Action::Exit => {
                    self.work.end();
                    self.has_ended = true;
                    None
                }
            };
            if let Some(event) = event {
                self.schedule.handle(event, calendar::now());
            }
        }
        if matches!(self.schedule.phase(), Phase::Idle | Phase::Stopped) {
            self.work.rest();
        }
        has_acted
    }

    /// Takes in what the measuring thread says.
    fn hear(&mut self) {
        while let Some(report) = self.work.report() {
            let now = calendar::now();
            match report {
                Report::Looked(load) => {
                    let more = load.spent;
                    self.schedule.handle(Event::Looked(load), now);
                    self.note_spent(more, now);
                }
                Report::Progress(progress) => self.progress = Some(progress),
                Report::Ended {
                    outcome,
                    regions,
                    cpu,
                } => {
                    let is_last_check = !self.schedule.tasks().skip(1).any(Task::is_check);
                    let is_stale = self.schedule.is_survey_due();
                    let event = self.work.ended(outcome, cpu, is_last_check, is_stale);
                    if let Some(regions) = regions {
                        self.work.put_regions(*regions);
                    }
                    self.schedule.visit_in(self.work.next_visit(), now);
                    if let Some(event) = event {
                        self.schedule.handle(event, now);
                    }
                    self.note_spent(cpu, now);
                    self.work.remember();
                    self.progress = None;
                    continue;
                }
            }
            // It may have to stop.
            self.act();
            self.publish(now);
            self.work.go_on();
        }
    }

    fn note_spent(&mut self, more: Nanos, now: Now) {
        let today = self.schedule.spent_today();
        self.work.note_spent(more, now.day, today);
    }

    /// Says how things are, where that changed; what cannot be written is a line in the log.
    fn publish(&mut self, now: Now) {
        let written = self.try_to_publish(now);
        self.published.complain(written);
    }

    fn try_to_publish(&mut self, now: Now) -> Result<(), StatusError> {
        let view = View {
            schedule: &self.schedule,
            progress: self.progress.as_ref(),
            budget: self.work.scope.workload_budget,
            workloads: self.work.workloads,
            memory: &self.work.memory,
            machine: self.work.machine.as_ref(),
            now,
        };
        let (news, written) = self.published.publish(&view);
        if let Some(summary) = news {
            self.manager.status(&summary);
        }
        written
    }
}
