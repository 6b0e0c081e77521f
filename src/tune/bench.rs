//! The one trait between deciding and measuring.

use crate::machine::Placement;
use crate::units::{Calls, Nanos, ThreadCount};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// What competes in a race: a count with a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Arm {
    /// Threads of the team.
    pub threads: ThreadCount,
    /// Which CPUs they get.
    pub placement: Placement,
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.threads, self.placement)
    }
}

/// Why a sample cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interference {
    /// Nothing was seen.
    None,
    /// A thread of the team waited for its CPU, or lost it, while it had work.
    RunDelay,
    /// The hypervisor gave the CPU to another guest.
    Steal,
    /// The control group's CPU quota stopped the team.
    Throttled,
    /// Other processes used the CPUs of an arm that is not bound.
    OtherProcesses,
    /// Two threads of an arm that is not bound began on one CPU, however often they were started.
    SharedCpu,
}

impl Interference {
    /// Was anything seen?
    pub fn is_flagged(self) -> bool {
        self != Self::None
    }
}

/// One timing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds per call: the median over the calls of the sample if there are five or more, else their mean.
    /// Whoever implements [`Bench`] promises a finite and positive value, or returns [`BenchError::Nonsense`].
    pub seconds_per_call: f64,
    /// Calls timed.
    pub calls: Calls,
    /// What disturbed it.
    pub interference: Interference,
    /// Seconds of the very first call of the workload, where it came right before these.
    pub first_call: Option<f64>,
}

/// Why a bench gave no samples.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The caller asked to stop; nothing of the block counts, and it may be asked for again.
    #[error("stopped on request")]
    Interrupted,
    /// The measuring process ended, hung or could not do what was asked.
    #[error("{0}")]
    Failed(String),
    /// A value came back that cannot be a time.
    #[error("the measurement gave {0}, which is not a time")]
    Nonsense(String),
}

/// Where the samples of one workload come from; opened per workload.
pub trait Bench {
    /// Samples each arm in the order given: warm-up where the arm changed, then so many back-to-back calls.
    /// One sample an entry comes back, in the same order.
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError>;
    /// Waits, to let a disturbance pass.
    fn idle(&mut self, time: Nanos) -> Result<(), BenchError>;
    /// Waits until it can be told what disturbed everything up to now: of arms that are not bound some of it is known late.
    /// A bench that knows all of it at once need not wait.
    fn settle(&mut self) -> Result<(), BenchError> {
        Ok(())
    }
    /// The stretches of time, on its clock, of which became known since this was asked last that they were disturbed.
    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        Vec::new()
    }
    /// Time since this bench was opened, as far as it counts as spent on the workload.
    fn now(&self) -> Nanos;
}
