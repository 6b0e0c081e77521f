//! The keys of `[daemon]`: what each may hold. What holds where one is absent is the daemon's to know. Pure.

use super::Hours;
use super::value::{absolute_path, duration, duration_text, number, shown, text};
use crate::units::Nanos;
use crate::workload::closest;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::time::Duration;

/// Whose kernels there are to measure with.
pub const BACKENDS: [&str; 1] = ["native"];

const DAY: Duration = Duration::from_hours(24);
const MOST_IDLE_CPUS: f64 = crate::units::MAX_CPUS as f64;
const MOST_CPU_SECONDS: f64 = 1e9;

/// What the administrator asks of the daemon.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonTable {
    /// The machine must have been idle for so long.
    #[serde(deserialize_with = "quiet")]
    pub quiet: Option<Nanos>,
    /// Others may use so many CPUs.
    #[serde(deserialize_with = "idle_cpus")]
    pub idle_cpus: Option<f64>,
    /// Threads may wait for a CPU so much of the time, percent.
    #[serde(deserialize_with = "idle_pressure_percent")]
    pub idle_pressure_percent: Option<f64>,
    /// Only when fed from the mains.
    pub mains_only: Option<bool>,
    /// Only at these hours.
    #[serde(deserialize_with = "hours")]
    pub hours: Option<Hours>,
    /// The most CPU time to spend on a day.
    #[serde(rename = "daily_cpu_seconds", deserialize_with = "daily_cpu")]
    pub daily_cpu: Option<Nanos>,
    /// Another catalogue than the one built in.
    #[serde(deserialize_with = "catalogue")]
    pub catalogue: Option<PathBuf>,
    /// Whose kernels run; never empty, each of [`BACKENDS`] at most once.
    #[serde(deserialize_with = "backends")]
    pub backends: Option<Vec<String>>,
    /// Time between drift checks.
    #[serde(deserialize_with = "drift_interval")]
    pub drift_interval: Option<Interval>,
    /// Time between the visits to a workload.
    #[serde(deserialize_with = "visit_interval")]
    pub visit_interval: Option<Nanos>,
    /// About the most time for a workload.
    #[serde(deserialize_with = "workload_budget")]
    pub workload_budget: Option<Nanos>,
}

/// How often something happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Not at all.
    Never,
    /// After so much time each.
    Every(Nanos),
}

impl DaemonTable {
    /// This table where it says something, and the other one where it does not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            quiet: self.quiet.or(other.quiet),
            idle_cpus: self.idle_cpus.or(other.idle_cpus),
            idle_pressure_percent: self.idle_pressure_percent.or(other.idle_pressure_percent),
            mains_only: self.mains_only.or(other.mains_only),
            hours: self.hours.or(other.hours),
            daily_cpu: self.daily_cpu.or(other.daily_cpu),
            catalogue: self.catalogue.or(other.catalogue),
            backends: self.backends.or(other.backends),
            drift_interval: self.drift_interval.or(other.drift_interval),
            visit_interval: self.visit_interval.or(other.visit_interval),
            workload_budget: self.workload_budget.or(other.workload_budget),
        }
    }
}

fn quiet<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Nanos>, D::Error> {
    duration(value, Duration::ZERO..=DAY).map(Some)
}

fn visit_interval<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Nanos>, D::Error> {
    duration(value, Duration::from_secs(1)..=DAY).map(Some)
}

fn workload_budget<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Nanos>, D::Error> {
    duration(value, Duration::from_secs(1)..=DAY).map(Some)
}

fn idle_cpus<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    number(value, 0.0..=MOST_IDLE_CPUS, "number of CPUs").map(Some)
}

fn idle_pressure_percent<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    number(value, 0.0..=100.0, "percentage").map(Some)
}

fn daily_cpu<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Nanos>, D::Error> {
    let seconds = number(value, 0.0..=MOST_CPU_SECONDS, "CPU time in seconds")?;
    if seconds == 0.0 {
        return Err(D::Error::custom(
            "no time at all would never let anything be measured; expected more than 0",
        ));
    }
    Ok(Some(Nanos::from_secs_f64(seconds)))
}

fn hours<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Hours>, D::Error> {
    text(value, "hours such as \"22-6\"")?
        .parse()
        .map(Some)
        .map_err(D::Error::custom)
}

fn drift_interval<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Interval>, D::Error> {
    let text = text(value, "a duration such as \"7d\", or \"never\"")?;
    if text == "never" {
        return Ok(Some(Interval::Never));
    }
    // Ten years are as good as never; what is added to them must not overflow.
    let allowed = Duration::from_hours(1)..=10 * 365 * DAY;
    match duration_text(&text, allowed) {
        Ok(time) => Ok(Some(Interval::Every(time))),
        Err(why) => Err(D::Error::custom(format!("{why}, or \"never\""))),
    }
}

fn catalogue<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    absolute_path(value).map(Some)
}

fn backends<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    let backends = Vec::<String>::deserialize(value)?;
    let known = BACKENDS.join("`, `");
    if backends.is_empty() {
        return Err(D::Error::custom(format!(
            "the list is empty: there are `{known}`"
        )));
    }
    for (index, backend) in backends.iter().enumerate() {
        let shown = shown(backend);
        if !BACKENDS.contains(&backend.as_str()) {
            let meant = closest(backend, BACKENDS.into_iter())
                .first()
                .map(|best| format!(" (did you mean `{best}`?)"))
                .unwrap_or_default();
            return Err(D::Error::custom(format!(
                "`{shown}` is not a backend{meant}: there are `{known}`"
            )));
        }
        if backends[..index].contains(backend) {
            return Err(D::Error::custom(format!("`{shown}` stands there twice")));
        }
    }
    Ok(Some(backends))
}
