//! The worker process: how it is started, asked, and given up.

use super::interference::Watch;
use super::line_reader::{LineReader, ReadError};
use crate::machine::affinity;
use crate::tune::BenchError;
use crate::worker::protocol::{
    Greeting, Open, Opened, Order, Outcome, RegionOrder, RegionTimes, Reply, Request, SampleOrder,
    Sampled, VERSION,
};
use crate::worker::team::TeamChoice;
use crate::workload::Level;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often is asked whether measuring may go on while a worker prepares something.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Variables that change what a runtime does; a worker starts without those that this process inherited.
/// (An inherited `OMP_THREAD_LIMIT=1` silently made teams of one.)
const SCRUBBED: [&str; 6] = ["OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "LD_"];

/// Where a worker, and whatever a library of its starts, looks for programs: it may be root's.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The threadtune binary.
    pub program: PathBuf,
    /// The runtime asked for.
    pub team: TeamChoice,
    /// Kernels of no higher level than this.
    pub isa_cap: Option<Level>,
    /// Load only libraries that root alone can change.
    pub trusted_libraries: bool,
    /// The most memory that it may use for data, bytes; a library that leaks ends it there.
    pub memory_limit: Option<u64>,
    /// Variables that it gets in place of those that are scrubbed: those of a launched program.
    pub environment: Vec<(OsString, OsString)>,
    /// An answer that takes longer (and longer than is to be expected) never comes.
    pub deadline: Duration,
    /// Asked after every sample, and now and then during a pause.
    pub may_go_on: MayGoOn,
}

/// Whether measuring may go on: asked between samples, so that whoever measures can be stopped soon and can look around
/// while nothing is being timed.
#[derive(Clone)]
pub struct MayGoOn(Arc<dyn Fn() -> bool + Send + Sync>);

impl MayGoOn {
    /// As this function says.
    pub fn when(says: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(says))
    }

    /// Until this flag is set.
    pub fn until(stop: Arc<AtomicBool>) -> Self {
        Self::when(move || !stop.load(Ordering::Relaxed))
    }

    pub(super) fn ask(&self) -> Result<(), BenchError> {
        if (self.0)() {
            Ok(())
        } else {
            Err(BenchError::Interrupted)
        }
    }
}

impl std::fmt::Debug for MayGoOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MayGoOn")
    }
}

/// Why a worker did not answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("the worker {program} could not be started: {error}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It ended.
    #[error("the worker {0}")]
    Ended(String),
    /// A signal ended it: somebody's, or that of its own fault.
    #[error("the worker {0}")]
    Signalled(String),
    /// It hung.
    #[error("the worker did not answer within {0:?} and was ended")]
    Hung(Duration),
    /// It said something else than the protocol provides.
    #[error("the worker answered nonsense: {0}")]
    Nonsense(String),
    /// It speaks another version.
    #[error(
        "the worker speaks version {0} of the protocol instead of {VERSION}; reinstall threadtune"
    )]
    Version(u32),
    /// It could not do what was asked, and goes on.
    #[error("{0}")]
    Refused(String),
    /// Measuring is to stop, and did not wait for it.
    #[error("measuring was stopped")]
    Stopped,
}

/// A running worker; ended when dropped.
pub struct WorkerProcess {
    child: Child,
    input: ChildStdin,
    output: LineReader<ChildStdout>,
    greeting: Greeting,
    next_id: u64,
    pub(super) settings: WorkerSettings,
    /// What happens around it.
    pub(super) watch: Watch,
    usable: bool,
}

impl WorkerProcess {
    /// Starts a worker and waits for its greeting. One that a signal ends before is replaced once: the kernel that was
    /// short of memory, say, need not end the next.
    pub fn start(settings: &WorkerSettings) -> Result<Self, WorkerError> {
        match Self::start_once(settings) {
            Err(WorkerError::Signalled(how)) => {
                log::warn!("the worker {how} before it said a word; another is started");
                Self::start_once(settings)
            }
            other => other,
        }
    }

    fn start_once(settings: &WorkerSettings) -> Result<Self, WorkerError> {
        let start_error = |error| WorkerError::Start {
            program: settings.program.clone(),
            error,
        };
        let mut command = Command::new(&settings.program);
        command
            .arg0("threadtune")
            .arg("worker")
            .arg("--team")
            .arg(settings.team.to_string());
        if let Some(level) = settings.isa_cap {
            command.args(["--isa", level.name()]);
        }
        if settings.trusted_libraries {
            command.arg("--trusted-libraries");
        }
        if let Some(bytes) = settings.memory_limit {
            command.args(["--memory-limit", &bytes.to_string()]);
        }
        for (name, _) in std::env::vars_os() {
            if SCRUBBED
                .iter()
                .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
            {
                command.env_remove(name);
            }
        }
        command.env("PATH", SYSTEM_PATH);
        command.envs(settings.environment.iter().cloned());
        // Its own process group: Ctrl-C at the terminal reaches the supervisor alone.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().map_err(start_error)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(start_error(io::Error::other(
                "its standard streams are missing",
            )));
        };
        // It inherits this process's mask; where that cannot be read, the worker cannot do so either and says so.
        let cpus = affinity::current().unwrap_or_default();
        let mut worker = Self {
            watch: Watch::new(child.id(), cpus),
            child,
            input,
            output: LineReader::new(output),
            greeting: Greeting::default(),
            next_id: 0,
            settings: settings.clone(),
            usable: true,
        };
        let line = worker.read(settings.deadline)?;
        worker.greeting = serde_json::from_slice(&line)
            .map_err(|e| worker.broken(WorkerError::Nonsense(e.to_string())))?;
        match worker.greeting.threadtune_worker {
            VERSION => Ok(worker),
            other => Err(WorkerError::Version(other)),
        }
    }

    /// How it introduced itself.
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// May it be asked again? Not after it died, hung or talked nonsense.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Has it prepare a workload. Where measuring is to stop meanwhile the worker is ended: filling memory takes long, and
    /// there is nothing yet to be lost.
    pub fn open(&mut self, open: &Open) -> Result<Opened, WorkerError> {
        // Filling memory takes at least a quarter of a gigabyte a second, page faults included.
        let filling = Duration::from_secs(
            open.memory_limit_bytes
                .min(open.pool_bytes + open.shape.bytes())
                >> 28,
        );
        self.tell(Order::Open(open.clone()))?;
        let line = self.read_unless_stopped(self.settings.deadline + filling)?;
        match self.outcome(&line)? {
            Outcome::Opened(opened) => Ok(opened),
            other => Err(self.broken(WorkerError::Nonsense(format!(
                "{other:?} to a request to open"
            )))),
        }
    }

    /// Has it take a sample of the workload that was opened last.
    pub(super) fn sample(
        &mut self,
        order: SampleOrder,
        patience: Duration,
    ) -> Result<Sampled, WorkerError> {
        self.tell(Order::Sample(order))?;
        let line = self.read(patience)?;
        match self.outcome(&line)? {
            Outcome::Sampled(sampled) => Ok(sampled),
            other => Err(self.broken(WorkerError::Nonsense(format!(
                "{other:?} to a request for a sample"
            )))),
        }
    }

    /// Has it time empty regions.
    pub(super) fn regions(
        &mut self,
        order: RegionOrder,
        patience: Duration,
    ) -> Result<RegionTimes, WorkerError> {
        self.tell(Order::Regions(order))?;
        let line = self.read(patience)?;
        match self.outcome(&line)? {
            Outcome::Regions(times) => Ok(times),
            other => Err(self.broken(WorkerError::Nonsense(format!(
                "{other:?} to a request for regions"
            )))),
        }
    }

    fn tell(&mut self, order: Order) -> Result<(), WorkerError> {
        self.next_id += 1;
        let id = self.next_id - 1;
        let mut line = serde_json::to_string(&Request { id, order })
            .map_err(|e| WorkerError::Nonsense(e.to_string()))?;
        line.push('\n');
        if self.input.write_all(line.as_bytes()).is_err() {
            return Err(self.ended());
        }
        Ok(())
    }

    /// What is said in answer to the last request.
    fn outcome(&mut self, answer: &[u8]) -> Result<Outcome, WorkerError> {
        let id = self.next_id - 1;
        match serde_json::from_slice::<Reply>(answer) {
            Ok(reply) if reply.id == id => match reply.outcome {
                Outcome::Refused { reason } => Err(WorkerError::Refused(reason)),
                outcome => Ok(outcome),
            },
            Ok(reply) => Err(self.broken(WorkerError::Nonsense(format!(
                "answer {} to request {id}",
                reply.id
            )))),
            Err(e) => Err(self.broken(WorkerError::Nonsense(e.to_string()))),
        }
    }

    /// The next line, as long as measuring may go on.
    fn read_unless_stopped(&mut self, patience: Duration) -> Result<Vec<u8>, WorkerError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.line(left.min(ASK_EVERY)) {
                Err(ReadError::Deadline(_)) if left.is_zero() => {
                    return Err(self.broken(WorkerError::Hung(patience)));
                }
                Err(ReadError::Deadline(_)) if self.settings.may_go_on.ask().is_err() => {
                    return Err(self.broken(WorkerError::Stopped));
                }
                Err(ReadError::Deadline(_)) => {}
                line => return self.line(line),
            }
        }
    }

    fn read(&mut self, patience: Duration) -> Result<Vec<u8>, WorkerError> {
        let line = self.output.line(patience);
        self.line(line)
    }

    fn line(&mut self, line: Result<Vec<u8>, ReadError>) -> Result<Vec<u8>, WorkerError> {
        match line {
            Ok(line) => Ok(line),
            Err(ReadError::Deadline(after)) => Err(self.broken(WorkerError::Hung(after))),
            Err(ReadError::Closed | ReadError::Io(_)) => Err(self.ended()),
            Err(e @ ReadError::TooLong) => Err(self.broken(WorkerError::Nonsense(e.to_string()))),
        }
    }

    /// The pipe is closed: says how the process ended, giving it a moment to do so.
    fn ended(&mut self) -> WorkerError {
        self.usable = false;
        for _ in 0..50 {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let how = how_it_ended(status) + &limit_text(self.settings.memory_limit);
                    return match status.signal() {
                        Some(_) => WorkerError::Signalled(how),
                        None => WorkerError::Ended(how),
                    };
                }
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Err(_) => break,
            }
        }
        self.broken(WorkerError::Ended(
            "closed its output without ending".to_owned(),
        ))
    }

    fn broken(&mut self, error: WorkerError) -> WorkerError {
        self.usable = false;
        let _ = self.child.kill();
        error
    }
}

impl Drop for WorkerProcess {
    /// Nothing that a worker holds is worth keeping.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What may be the reason of it.
fn limit_text(memory_limit: Option<u64>) -> String {
    memory_limit.map_or_else(String::new, |bytes| {
        let mebibytes = bytes.div_ceil(1 << 20);
        format!("; its memory was limited to {mebibytes} MiB")
    })
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("an unknown signal");
            let hint = if signal == libc::SIGKILL {
                ", as the kernel ends what uses too much memory"
            } else {
                ""
            };
            format!("was ended by signal {signal} ({name}){hint}")
        }
        (None, None) => "ended".to_owned(),
    }
}
