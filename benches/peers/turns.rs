//! Peers as processes: started, told what to prepare, and timed when it is their turn.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use threadtune::workload::{Level, Residency, Shape};

/// A turn lasts about this long, and so does the warm-up before it.
const TURN: Duration = Duration::from_millis(80);

/// Who is timed.
pub enum Spec {
    /// Our kernels, at the highest level or a lower one.
    Ours(Option<Level>),
    /// A BLAS: the last of these libraries.
    Blas(String),
    /// `PyTorch`, by its interpreter.
    Torch(String),
}

impl Spec {
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    pub fn name(&self) -> String {
        match self {
            Self::Ours(None) => "ours".to_owned(),
            Self::Ours(Some(level)) => format!("ours {level}"),
            Self::Blas(libraries) => {
                let file = libraries.rsplit(['/', ',']).next().unwrap_or_default();
                file.split('.').next().unwrap_or_default().to_owned()
            }
            Self::Torch(_) => "torch".to_owned(),
        }
    }

    fn command(&self, threads: u32) -> Command {
        let this = || Command::new("/proc/self/exe");
        let mut command = match self {
            Self::Ours(level) => {
                let mut command = this();
                let level = level.map_or("best", Level::name);
                command.args(["--serve-ours", level, &threads.to_string()]);
                command
            }
            Self::Blas(libraries) => {
                let mut command = this();
                command.args(["--serve-blas", libraries]);
                command
            }
            Self::Torch(python) => {
                let mut command = Command::new(python);
                command.args(["-c", include_str!("pytorch_peer.py")]);
                command
            }
        };
        for variable in ["OMP", "MKL", "OPENBLAS", "BLIS"] {
            command.env(format!("{variable}_NUM_THREADS"), threads.to_string());
        }
        command.env("MKL_THREADING_LAYER", "INTEL");
        // A core type that somebody set makes a current OpenBLAS slow.
        command.env_remove("OPENBLAS_CORETYPE");
        command.env_remove("OPENBLAS_L2_SIZE");
        command
    }
}

/// A running peer; ended when dropped. One that fails has no figures, and says why on standard error.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(spec: &Spec, threads: u32) -> Self {
        let mut child = spec
            .command(threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", spec.name()));
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            input: child.stdin.take(),
            child,
            output,
        }
    }

    pub fn prepare(&mut self, shape: &Shape, residency: Residency) {
        self.ask(&format!("{shape} {residency}"));
    }

    /// Microseconds of the median call.
    pub fn time(&mut self) -> Option<f64> {
        self.ask("time")
    }

    fn ask(&mut self, line: &str) -> Option<f64> {
        writeln!(self.input.as_mut()?, "{line}").ok()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).ok()?;
        answer.trim().parse().ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// The other side: something that can be called.
pub trait Callee {
    /// Lays out the data; false if it cannot do that.
    fn prepare(&mut self, shape: &Shape, residency: Residency) -> bool;
    /// Calls it for about so long, and returns the duration of each call in microseconds.
    fn calls(&mut self, time: Duration) -> Vec<f64>;
}

/// Answers until the input ends.
pub fn serve(callee: &mut dyn Callee) -> ExitCode {
    let mut is_ready = false;
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let answer = match line.split_once(' ') {
            Some((shape, residency)) => {
                let residency = if residency == "cache" {
                    Residency::Cache
                } else {
                    Residency::Memory
                };
                is_ready = shape
                    .parse()
                    .is_ok_and(|shape| callee.prepare(&shape, residency));
                None
            }
            None if is_ready => {
                callee.calls(TURN);
                median(callee.calls(TURN))
            }
            None => None,
        };
        println!(
            "{}",
            answer.map_or_else(|| "none".to_owned(), |us| us.to_string())
        );
    }
    ExitCode::SUCCESS
}

/// Calls `one` until the time is up, at least three times.
pub fn timed(time: Duration, mut one: impl FnMut()) -> Vec<f64> {
    let begin = Instant::now();
    let mut us = Vec::new();
    while us.len() < 3 || begin.elapsed() < time {
        let start = Instant::now();
        one();
        us.push(start.elapsed().as_secs_f64() * 1e6);
    }
    us
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
