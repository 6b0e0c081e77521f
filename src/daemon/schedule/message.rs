//! What a schedule is told, and what it asks for.

use crate::daemon::settings::Settings;
use crate::machine::OthersLoad;
use crate::units::Nanos;
use std::fmt;

/// A moment, on both clocks that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since boot, suspended time included: never set back.
    pub at: Nanos,
    /// Days since 1970 by the local calendar; may be set back.
    pub day: i64,
    /// Seconds since local midnight.
    pub second: u32,
}

/// Something to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// A workload that the profile lacks, or that is to be tuned again.
    Tune(String),
    /// A workload whose verdict may have become wrong.
    Check(String),
}

impl Task {
    /// Is it a drift check?
    pub fn is_check(&self) -> bool {
        matches!(self, Self::Check(_))
    }

    /// The workload.
    pub fn workload(&self) -> &str {
        match self {
            Self::Tune(name) | Self::Check(name) => name,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tune(name) => write!(f, "measures {name}"),
            Self::Check(name) => write!(f, "checks {name}"),
        }
    }
}

/// How the machine is used by others since the look before.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// CPUs of the machine that are online.
    pub cpus: usize,
    /// CPUs that other processes used.
    pub others_cpus: f64,
    /// Share of the last ten seconds in which a runnable thread waited for a CPU, percent; absent where unknown.
    pub pressure_percent: Option<f64>,
    /// Is it fed from the mains? So is what has no battery.
    pub on_mains: bool,
    /// The process that used most, by name, with the CPUs it used.
    pub busiest: Option<(String, f64)>,
    /// Another threadtune whose turn it is to measure, by its command.
    pub measured_by: Option<String>,
    /// CPU time that measuring took.
    pub spent: Nanos,
}

impl Load {
    /// Nobody is in the way, as far as is known.
    pub fn nobody() -> Self {
        Self {
            cpus: 1,
            others_cpus: 0.0,
            pressure_percent: None,
            on_mains: true,
            busiest: None,
            measured_by: None,
            spent: Nanos::ZERO,
        }
    }
}

impl From<OthersLoad> for Load {
    fn from(others: OthersLoad) -> Self {
        Self {
            cpus: others.online,
            others_cpus: others.cpus,
            pressure_percent: others.pressure_percent,
            on_mains: others.on_mains,
            busiest: others.busiest.map(|process| (process.name, process.cores)),
            measured_by: None,
            spent: others.own,
        }
    }
}

/// What a schedule knows of the time before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// A day, and the CPU time spent on it.
    pub spent: Option<(i64, Nanos)>,
    /// How long ago checks were made.
    pub since_check: Option<Nanos>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The profile was compared with the catalogue: these tasks are left. They replace those known.
    Surveyed(Vec<Task>),
    /// The load was looked at, as [`Action::Look`] asked, or by whoever measures.
    Looked(Load),
    /// The task being done is done, for so much CPU time; what follows from it is to be done next.
    Finished {
        /// CPU time it took since the last look.
        cpu: Nanos,
        /// Tasks that follow: a proven drift asks for a new tuning.
        then: Vec<Task>,
    },
    /// The task being done was put aside, as [`Action::StandBack`] asked.
    PutAside {
        /// CPU time it took since the last look.
        cpu: Nanos,
    },
    /// The survey, or the task being done, came to nothing, and so would the next: the profile cannot be written, say.
    Stuck {
        /// CPU time it took since the last look.
        cpu: Nanos,
        /// What is wrong.
        why: String,
    },
    /// The machine was plugged in, or unplugged.
    PowerChanged,
    /// The user wants the tasks to be done now, whatever else goes on.
    TuneNow,
    /// CPUs or limits changed: what is known of the machine may be wrong.
    Changed,
    /// The clock was set, or the machine was asleep: what is known of the time may be wrong, too.
    ClockSet,
    /// The settings were read again.
    Reloaded(Settings),
    /// The daemon is to end.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Compare the profile with machine and catalogue; answered by [`Event::Surveyed`]. With `check`, sentinels are due.
    Survey {
        /// Is it time for drift checks?
        check: bool,
    },
    /// Look at the load; answered by [`Event::Looked`], about the time since the look before.
    Look,
    /// Do this task, from where it was put aside; answered by [`Event::Finished`] or [`Event::PutAside`].
    Measure(Task),
    /// Put the task aside at the end of the running sample.
    StandBack,
    /// End the process; nothing is being measured.
    Exit,
}
