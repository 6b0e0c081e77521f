//! Samples from a worker process: real kernels on the real machine.

use super::line_reader::{LineReader, ReadError};
use crate::tune::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use crate::worker::protocol::{
    Greeting, Open, Opened, Order, Outcome, Reply, Request, SampleOrder, Sampled, VERSION,
};
use crate::worker::team::TeamChoice;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Variables that change what a runtime does; a worker starts without those that this process inherited.
/// (An inherited `OMP_THREAD_LIMIT=1` silently made teams of one.)
const SCRUBBED: [&str; 6] = ["OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "LD_"];

/// A sample may take this many times what the last one of its arm lets expect.
const DEADLINE_FACTOR: u32 = 20;

/// How to start a worker.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The threadtune binary.
    pub program: PathBuf,
    /// The runtime asked for.
    pub team: TeamChoice,
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

    fn ask(&self) -> Result<(), BenchError> {
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
    /// Somebody ended it, or its own fault did.
    #[error("the worker {0}")]
    Killed(String),
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
}

/// A running worker; ended when dropped.
pub struct WorkerProcess {
    child: Child,
    input: ChildStdin,
    output: LineReader<ChildStdout>,
    greeting: Greeting,
    next_id: u64,
    settings: WorkerSettings,
    usable: bool,
}

impl WorkerProcess {
    /// Starts a worker and waits for its greeting. One that is killed before is replaced once: the kernel that was short
    /// of memory, say, need not end the next.
    pub fn start(settings: &WorkerSettings) -> Result<Self, WorkerError> {
        match Self::start_once(settings) {
            Err(WorkerError::Killed(_)) => Self::start_once(settings),
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
        let mut worker = Self {
            child,
            input,
            output: LineReader::new(output),
            greeting: Greeting {
                threadtune_worker: 0,
                team: String::new(),
                note: None,
            },
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

    /// Has it prepare a workload.
    pub fn open(&mut self, open: &Open) -> Result<Opened, WorkerError> {
        // Filling memory takes at least a quarter of a gigabyte a second, page faults included.
        let filling = Duration::from_secs(
            open.memory_limit_bytes
                .min(open.pool_bytes + open.shape.bytes())
                >> 28,
        );
        match self.ask(Order::Open(open.clone()), self.settings.deadline + filling)? {
            Outcome::Opened(opened) => Ok(opened),
            other => Err(self.broken(WorkerError::Nonsense(format!(
                "{other:?} to a request to open"
            )))),
        }
    }

    fn sample(&mut self, order: SampleOrder, patience: Duration) -> Result<Sampled, WorkerError> {
        match self.ask(Order::Sample(order), patience)? {
            Outcome::Sampled(sampled) => Ok(sampled),
            other => Err(self.broken(WorkerError::Nonsense(format!(
                "{other:?} to a request for a sample"
            )))),
        }
    }

    fn ask(&mut self, order: Order, patience: Duration) -> Result<Outcome, WorkerError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line = serde_json::to_string(&Request { id, order })
            .map_err(|e| WorkerError::Nonsense(e.to_string()))?;
        line.push('\n');
        if self.input.write_all(line.as_bytes()).is_err() {
            return Err(self.ended());
        }
        let answer = self.read(patience)?;
        match serde_json::from_slice::<Reply>(&answer) {
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

    fn read(&mut self, patience: Duration) -> Result<Vec<u8>, WorkerError> {
        match self.output.line(patience) {
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
                        Some(_) => WorkerError::Killed(how),
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
            format!("was ended by signal {signal} ({name})")
        }
        (None, None) => "ended".to_owned(),
    }
}

/// One workload on a worker.
pub struct WorkerBench<'a> {
    process: &'a mut WorkerProcess,
    /// The CPUs of an arm: one a thread in order where bound, all that may be used where not.
    cpus: &'a dyn Fn(Arm) -> Vec<u32>,
    opened: Instant,
    first_call: Option<Nanos>,
    /// What a call on an arm took last.
    per_call: HashMap<Arm, f64>,
}

impl<'a> WorkerBench<'a> {
    /// The workload that was opened last.
    pub fn new(process: &'a mut WorkerProcess, cpus: &'a dyn Fn(Arm) -> Vec<u32>) -> Self {
        Self {
            process,
            cpus,
            opened: Instant::now(),
            first_call: None,
            per_call: HashMap::new(),
        }
    }

    /// How long the very first call took, once it was made.
    pub fn first_call(&self) -> Option<Nanos> {
        self.first_call
    }

    fn sample(&mut self, arm: Arm, calls: Calls) -> Result<Sample, BenchError> {
        let known = self
            .per_call
            .get(&arm)
            .or_else(|| self.per_call.values().max_by(|a, b| a.total_cmp(b)));
        let expected = known.map_or(Duration::ZERO, |s| {
            Duration::from_secs_f64((s * f64::from(calls.get())).min(1e6))
        });
        let patience = self
            .process
            .settings
            .deadline
            .max(expected * DEADLINE_FACTOR);
        let order = SampleOrder {
            threads: arm.threads,
            placement: arm.placement,
            cpus: (self.cpus)(arm),
            calls,
        };
        let sampled = self
            .process
            .sample(order, patience)
            .map_err(|e| BenchError::Failed(format!("{arm} threads: {e}")))?;
        if sampled.threads_ran != arm.threads.get() {
            return Err(BenchError::Failed(format!(
                "{} threads were asked for and {} ran; is there a limit on threads?",
                arm.threads, sampled.threads_ran
            )));
        }
        if let Some(first) = sampled.first_call_ns.filter(|ns| *ns > 0) {
            self.first_call.get_or_insert(Nanos(first));
        }
        log::trace!("{arm} × {}: {:?}", calls.get(), sampled.counters);
        let seconds_per_call = per_call(&sampled.durations_ns, calls).ok_or_else(|| {
            BenchError::Nonsense(format!(
                "{} durations for {} calls",
                sampled.durations_ns.len(),
                calls.get()
            ))
        })?;
        self.per_call.insert(arm, seconds_per_call);
        Ok(Sample {
            seconds_per_call,
            calls,
            interference: sampled.interference,
        })
    }
}

/// Median of five calls or more, else their mean; nothing if there is not one positive duration a call.
fn per_call(durations_ns: &[u64], calls: Calls) -> Option<f64> {
    let k = calls.get() as usize;
    if durations_ns.len() != k || durations_ns.contains(&0) {
        return None;
    }
    let mut sorted: Vec<f64> = durations_ns.iter().map(|d| *d as f64 / 1e9).collect();
    sorted.sort_by(f64::total_cmp);
    Some(if k < 5 {
        sorted.iter().sum::<f64>() / k as f64
    } else {
        f64::midpoint(sorted[(k - 1) / 2], sorted[k / 2])
    })
}

impl Bench for WorkerBench<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let mut samples = Vec::with_capacity(plan.len());
        for &(arm, calls) in plan {
            samples.push(self.sample(arm, calls)?);
            self.process.settings.may_go_on.ask()?;
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        let end = Instant::now() + Duration::from_nanos(time.0);
        loop {
            self.process.settings.may_go_on.ask()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // `sleep` goes on after a signal, whose flag should be seen soon.
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    fn now(&self) -> Nanos {
        Nanos(self.opened.elapsed().as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_calls_give_their_median_and_fewer_their_mean() {
        assert_eq!(per_call(&[1, 2, 3, 4, 1000], Calls::new(5)), Some(3e-9));
        assert_eq!(
            per_call(&[4, 2, 3, 1, 1000, 5], Calls::new(6)),
            Some(3.5e-9)
        );
        assert_eq!(per_call(&[1, 2, 3, 1000], Calls::new(4)), Some(251.5e-9));
        assert_eq!(per_call(&[1, 2], Calls::new(3)), None);
        assert_eq!(per_call(&[0], Calls::ONE), None);
    }
}
