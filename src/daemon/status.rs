//! What the daemon says of itself: a value that is written to a file for people, scripts and monitoring.
//!
//! It names other processes by command name only, since arguments may hold secrets.

mod file;
mod time;

pub use file::{MAX_BYTES, StatusError, read, write};
pub use time::WallTime;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the service writes it.
pub const STATUS_FILE: &str = "/run/threadtune/status.json";

/// The version of the file's layout.
pub const SCHEMA: u32 = 1;

/// The state of a daemon at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of threadtune that runs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: WallTime,
    /// What it does now.
    pub state: State,
    /// Since when it has been doing that.
    pub since: WallTime,
    /// Why it does not measure; there while it waits or stands back.
    pub reason: Option<Reason>,
    /// What it measures, or will go on with after it has stood back; there at least while it measures.
    pub task: Option<Task>,
    /// What has become of the workloads to be measured.
    pub workloads: Workloads,
    /// CPU time of all its processes.
    pub spent: Spent,
    /// When it last looked whether the profile still holds.
    pub last_check: Option<WallTime>,
    /// When it will look again by itself, whatever happens.
    pub next_wakeup: Option<WallTime>,
    /// The id of this machine, as in its profile.
    pub machine: Option<String>,
    /// The profile that it keeps.
    pub profile: Option<String>,
}

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing, until an event or the time of another visit: all that is due is measured.
    Idle,
    /// It would measure, if it were not for a [`Reason`].
    Waiting,
    /// It measures.
    Measuring,
    /// It has interrupted a measurement for a [`Reason`].
    StandingBack,
    /// It has ended.
    Stopped,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Waiting,
        Self::Measuring,
        Self::StandingBack,
        Self::Stopped,
    ];

    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Measuring => "measuring",
            Self::StandingBack => "standing_back",
            Self::Stopped => "stopped",
        }
    }
}

/// A process that uses the CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BusyProcess {
    /// Its command name.
    pub name: String,
    /// How much it uses, in CPUs.
    pub cpus: f64,
}

/// Why a daemon does not measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The machine is quiet, but has not been for long enough.
    Quiet,
    /// Other processes use the CPU.
    Busy {
        /// How much, in CPUs.
        cpus: f64,
        /// The one that uses most, where it is known.
        busiest: Option<BusyProcess>,
    },
    /// Another threadtune measures.
    Measured {
        /// Its command.
        by: String,
    },
    /// Tasks wait for a CPU.
    Pressure {
        /// For this part of the time.
        percent: f64,
    },
    /// There is no mains power.
    Battery,
    /// It is not one of the hours that are allowed.
    Hours,
    /// The CPU time allowed for a day is spent.
    DailyLimit,
    /// It looks at the machine again first.
    Changed,
    /// It is about to end.
    Stopping,
    /// Something must be mended first.
    Stuck {
        /// What is wrong.
        why: String,
    },
}

impl Reason {
    /// As the file has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy { .. } => "busy",
            Self::Measured { .. } => "measured",
            Self::Pressure { .. } => "pressure",
            Self::Battery => "battery",
            Self::Hours => "hours",
            Self::DailyLimit => "daily_limit",
            Self::Changed => "changed",
            Self::Stopping => "stopping",
            Self::Stuck { .. } => "stuck",
        }
    }
}

/// One workload that is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What for.
    pub purpose: Purpose,
    /// The workload's name.
    pub workload: String,
    /// How much of it is done, 0 to 1.
    pub progress: f64,
    /// How long it is expected to take yet, where that can be told.
    pub remaining_s: Option<f64>,
}

/// What a workload is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To choose its count.
    Tune,
    /// To see whether its count is still a good one.
    Check,
}

/// How many workloads have which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Workloads {
    /// Decided.
    pub conclusive: u32,
    /// Measured, and not decided.
    pub inconclusive: u32,
    /// Impossible to measure.
    pub failed: u32,
    /// Still to be measured, the one at hand included.
    pub left: u32,
}

/// CPU time spent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Since midnight.
    pub today_cpu_s: f64,
    /// Since this machine's first measurement.
    pub total_cpu_s: f64,
}

impl Status {
    /// What it does and why, in one line that is safe to print.
    pub fn summary(&self) -> String {
        let told = match (self.state, &self.reason, &self.task) {
            (State::Waiting, Some(reason), _) => format!("waiting: {reason}"),
            (State::StandingBack, Some(reason), _) => format!("standing back: {reason}"),
            (State::Measuring, _, Some(task)) => task.to_string(),
            (State::StandingBack, None, _) => "standing back".to_owned(),
            (state, _, _) => state.name().to_owned(),
        };
        printable(&told)
    }

    /// The first key whose value is impossible, and what is wrong with it.
    fn violation(&self) -> Option<(&'static str, &'static str)> {
        const AMOUNT: &str = "must be 0 or more";
        let amount = |number: f64| number.is_finite() && number >= 0.0;
        let stays_away = matches!(self.state, State::Waiting | State::StandingBack);
        // Either is named `cpus`.
        let cpus = match &self.reason {
            Some(Reason::Busy { cpus, busiest }) => {
                let most = busiest.as_ref().map_or(0.0, |process| process.cpus);
                if amount(*cpus) { most } else { *cpus }
            }
            _ => 0.0,
        };
        let percent = match self.reason {
            Some(Reason::Pressure { percent }) => percent,
            _ => 0.0,
        };
        let (progress, remaining_s) = self.task.as_ref().map_or((0.0, 0.0), |task| {
            (task.progress, task.remaining_s.unwrap_or(0.0))
        });
        let checks = [
            (
                !stays_away || self.reason.is_some(),
                (
                    "reason",
                    "must be there while the state is waiting or standing_back",
                ),
            ),
            (
                self.state != State::Measuring || self.task.is_some(),
                ("task", "must be there while the state is measuring"),
            ),
            (amount(cpus), ("cpus", AMOUNT)),
            (
                (0.0..=100.0).contains(&percent),
                ("percent", "must be from 0 to 100"),
            ),
            (
                (0.0..=1.0).contains(&progress),
                ("progress", "must be from 0 to 1"),
            ),
            (amount(remaining_s), ("remaining_s", AMOUNT)),
            (amount(self.spent.today_cpu_s), ("today_cpu_s", AMOUNT)),
            (amount(self.spent.total_cpu_s), ("total_cpu_s", AMOUNT)),
        ];
        checks
            .into_iter()
            .find_map(|(holds, violation)| (!holds).then_some(violation))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quiet => f.write_str("the machine has not been quiet for long enough"),
            Self::Busy { cpus, busiest } => {
                write!(f, "other processes use {cpus:.1} CPUs")?;
                match busiest {
                    Some(process) => {
                        write!(f, ", `{}` most of all ({:.1})", process.name, process.cpus)
                    }
                    None => Ok(()),
                }
            }
            Self::Measured { by } => write!(f, "`{by}` measures"),
            Self::Pressure { percent } => {
                write!(f, "tasks wait for a CPU {percent:.0} % of the time")
            }
            Self::Battery => f.write_str("there is no mains power"),
            Self::Hours => f.write_str("this hour is not one of those allowed"),
            Self::DailyLimit => f.write_str("the CPU time allowed for today is spent"),
            Self::Changed => f.write_str("it looks at the machine again"),
            Self::Stopping => f.write_str("it is about to end"),
            Self::Stuck { why } => f.write_str(why),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.purpose {
            Purpose::Tune => "measuring",
            Purpose::Check => "checking",
        };
        write!(
            f,
            "{verb} {}: {:.0} %",
            self.workload,
            self.progress * 100.0
        )?;
        match self.remaining_s {
            Some(seconds) => write!(f, ", about {seconds:.0} s left"),
            None => Ok(()),
        }
    }
}

/// Names may come from other processes and from files: they must not steer a terminal.
pub fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
