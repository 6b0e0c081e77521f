//! The measuring thread: does one task on a worker of its own and reports to the loop, which never waits for it.
//!
//! It is the other way round: after each report that may change the loop's mind, and while nothing is being timed, the
//! thread waits until the loop has taken it in. So neither the loop's work nor a status file being written falls into a
//! sample.

use super::events::Waker;
use super::kept::BACKEND;
use super::schedule::Load;
use super::watch::Watch;
use crate::bench::{
    Checked, MayGoOn, Measurer, REGIONS_LIMIT, Stopped, Surroundings, Tuned, Unfinished,
    WorkerError, WorkerSettings,
};
use crate::profile::{Entry, FreshRegions, RegionConditions, StopReason};
use crate::tune::{Options, Progress};
use crate::units::Nanos;
use crate::worker::protocol::Greeting;
use crate::worker::team::TeamChoice;
use crate::workload::Workload;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the thread looks whether somebody else needs the CPU. A shorter time would take a process that ran for
/// a few clock ticks for a busy one.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// So many times as long as a look takes is the least time to the next: on a machine with very many processes, looking
/// at them would be a load itself.
const LOOK_SHARE: u32 = 50;

/// How often it tells how far it has come.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What is to be measured.
pub struct Assignment {
    /// The machine.
    pub around: Surroundings,
    /// The workload.
    pub workload: Workload,
    /// How, and for how long at most.
    pub options: Options,
    /// An answer of the worker that takes longer never comes.
    pub deadline: Duration,
    /// The directory of the turn to measure: whoever has it goes first.
    pub turns: PathBuf,
    /// To which end.
    pub kind: Kind,
    /// Under what the profile's regions were measured, if it holds any. They are measured after the task where that is
    /// not as it is now.
    pub known_regions: Option<RegionConditions>,
}

/// What a measurement is for.
pub enum Kind {
    /// To choose the count, going on from here.
    Tune(Option<Box<Unfinished>>),
    /// To see whether the count of this entry is still good.
    Check(Box<Entry>),
}

/// What the thread says.
pub enum Report {
    /// How far it has come; it waits until it may go on.
    Progress(Progress),
    /// What others do; it waits until it may go on.
    Looked(Load),
    /// The end: the thread is gone, or about to go.
    Ended {
        /// What came of the task.
        outcome: Outcome,
        /// What empty parallel regions cost, where that was measured, too.
        regions: Option<Box<FreshRegions>>,
        /// CPU time that it took since the last look.
        cpu: Nanos,
    },
}

/// What came of a task.
pub enum Outcome {
    /// The workload is tuned, by a worker that greeted so.
    Tuned(Box<Tuned>, Box<Greeting>),
    /// Its count was checked.
    Checked(Checked),
    /// It was told to stop; what is known so far.
    PutAside(Option<Box<Unfinished>>),
    /// Nothing can be measured, for this reason.
    Impossible(String),
    /// The thread panicked.
    Panicked,
}

impl Outcome {
    /// Did the worker do what was asked?
    fn is_measured(&self) -> bool {
        match self {
            Self::Tuned(tuned, _) => !matches!(tuned.entry.stop, StopReason::Failed(_)),
            Self::Checked(checked) => !matches!(checked, Checked::Failed(_)),
            Self::PutAside(_) | Self::Impossible(_) | Self::Panicked => false,
        }
    }
}

/// A measuring thread at work.
pub struct Measuring {
    stop: Arc<AtomicBool>,
    reports: Receiver<Report>,
    go_on: Sender<()>,
    thread: JoinHandle<()>,
}

impl Measuring {
    /// Starts it; `waker` ends the loop's wait for every report.
    pub fn start(assignment: Assignment, waker: Waker) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (reports, inbox) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let line = Line {
            reports,
            may_go_on,
            waker,
            stop: Arc::clone(&stop),
        };
        let thread = thread::Builder::new()
            .name("measuring".to_owned())
            .spawn(move || measure(assignment, line))?;
        Ok(Self {
            stop,
            reports: inbox,
            go_on,
            thread,
        })
    }

    /// Has the running sample be the last.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The next report, if there is one.
    pub fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Lets the thread go on, which waits after a report.
    pub fn go_on(&self) {
        // It may have ended meanwhile.
        let _ = self.go_on.send(());
    }

    /// Waits for the end of a thread that has reported it.
    pub fn join(self) {
        // A panic was reported already.
        let _ = self.thread.join();
    }
}

/// The thread's end of the line to the loop.
struct Line {
    reports: Sender<Report>,
    may_go_on: Receiver<()>,
    waker: Waker,
    stop: Arc<AtomicBool>,
}

impl Line {
    /// Reports, and waits until the loop has taken it in.
    fn report(&self, report: Report) {
        self.say(report);
        // Without a loop there is nothing left to measure for.
        if self.may_go_on.recv().is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn say(&self, report: Report) {
        let _ = self.reports.send(report);
        self.waker.wake();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Looks around between samples.
struct Lookout {
    line: Line,
    watch: Watch,
    next: Instant,
}

impl Lookout {
    fn may_go_on(&mut self) -> bool {
        if !self.line.is_stopped() && Instant::now() >= self.next {
            let begin = Instant::now();
            let load = self.watch.look();
            let pause = LOOK_EVERY.max(begin.elapsed() * LOOK_SHARE);
            self.line.report(Report::Looked(load));
            self.next = Instant::now() + pause;
        }
        !self.line.is_stopped()
    }
}

fn measure(assignment: Assignment, line: Line) {
    let lookout = Arc::new(Mutex::new(Lookout {
        line,
        watch: Watch::start(&assignment.turns),
        next: Instant::now() + LOOK_EVERY,
    }));
    let measured = catch_unwind(AssertUnwindSafe(|| measured(assignment, &lookout)));
    let (outcome, regions) = measured.unwrap_or((Outcome::Panicked, None));
    let mut lookout = lock(&lookout);
    // The worker has ended, and what it used is known.
    let cpu = lookout.watch.look().spent;
    lookout.line.say(Report::Ended {
        outcome,
        regions: regions.map(Box::new),
        cpu,
    });
}

fn lock(lookout: &Mutex<Lookout>) -> std::sync::MutexGuard<'_, Lookout> {
    lookout.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of the task, and then what empty regions cost.
fn measured(
    assignment: Assignment,
    lookout: &Arc<Mutex<Lookout>>,
) -> (Outcome, Option<FreshRegions>) {
    let Assignment {
        around,
        workload,
        options,
        deadline,
        turns: _,
        kind,
        known_regions,
    } = assignment;
    let site = around.site();
    let settings = WorkerSettings {
        // Still there when an upgrade has replaced the file.
        program: PathBuf::from("/proc/self/exe"),
        team: TeamChoice::Auto,
        isa_cap: None,
        environment: around.worker_environment(),
        deadline,
        trusted_libraries: true,
        memory_limit: Some(around.worker_memory_bytes()),
        may_go_on: MayGoOn::when({
            let lookout = Arc::clone(lookout);
            move || lock(&lookout).may_go_on()
        }),
    };
    let mut measurer = match Measurer::start(settings, site) {
        Ok(measurer) => measurer,
        Err(error) => return (Outcome::Impossible(reason(&error)), None),
    };
    if let Some(note) = &measurer.greeting().note {
        log::warn!("measuring with rayon's threads: {note}");
    }
    let mut told: Option<Instant> = None;
    let mut tell = |progress: &Progress| {
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            lock(lookout)
                .line
                .report(Report::Progress(progress.clone()));
        }
    };
    let outcome = match kind {
        Kind::Tune(unfinished) => {
            match measurer.tune(
                &workload,
                options,
                None,
                unfinished.map(|begun| *begun),
                &mut tell,
            ) {
                Ok(tuned) => {
                    let greeting = Box::new(measurer.greeting().clone());
                    Outcome::Tuned(Box::new(tuned), greeting)
                }
                Err(Stopped(unfinished)) => Outcome::PutAside(unfinished),
            }
        }
        Kind::Check(entry) => match measurer.check(&workload, &entry, &options, &mut tell) {
            Ok(checked) => Outcome::Checked(checked),
            Err(Stopped(_)) => Outcome::PutAside(None),
        },
    };
    let regions = outcome
        .is_measured()
        .then(|| missing_regions(&mut measurer, &around, known_regions.as_ref()));
    (outcome, regions.flatten())
}

/// What empty regions cost now, unless that is known already or measuring is to stop.
fn missing_regions(
    measurer: &mut Measurer,
    around: &Surroundings,
    known: Option<&RegionConditions>,
) -> Option<FreshRegions> {
    let conditions = around.conditions(BACKEND, measurer.greeting());
    let conditions = RegionConditions::from(&conditions);
    if known == Some(&conditions) {
        return None;
    }
    measurer.regions(conditions, REGIONS_LIMIT).ok().flatten()
}

fn reason(error: &WorkerError) -> String {
    format!("nothing can be measured: {error}")
}
