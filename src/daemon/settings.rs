//! What an administrator decides about the daemon, with what holds where nothing is configured. Pure.

use crate::configuration::{DaemonTable, Hours, Interval};
use crate::tune::VisitPlan;
use crate::units::Nanos;
use std::path::PathBuf;

/// A machine counts as idle while others use so many CPUs at most, where nothing is configured …
const IDLE_CPUS: f64 = 0.2;

/// … or so much of its CPUs, where that is more: kernel threads, timers, and whatever collects figures of each CPU grow with
/// their number, so that a server with hundreds of them never uses as little as a small one. Spread over all CPUs this is a
/// tenth of the time that a sample may lose before it counts as disturbed …
const IDLE_SHARE: f64 = 0.005;

/// … but on one it is not, and a process that uses so much by itself is somebody's work, however large the machine is.
const IDLE_PROCESS_CPUS: f64 = 0.5;

/// What an administrator decides about when the daemon measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The machine must have been idle for so long before anything is measured.
    pub quiet: Nanos,
    /// It counts as idle when other processes use at most so many CPUs; as many as [`Self::is_busy`] allows where nothing is
    /// configured …
    pub idle_cpus: Option<f64>,
    /// … and threads wait for a CPU at most so much of the time, percent: the kernel's average over the CPUs that work, which
    /// means the same on a machine of any size.
    pub idle_pressure_percent: f64,
    /// Only when fed from the mains.
    pub mains_only: bool,
    /// The hours at which measuring is allowed.
    pub hours: Hours,
    /// The most CPU time to spend on a day.
    pub daily_cpu: Option<Nanos>,
    /// Time between drift checks.
    pub drift_interval: Option<Nanos>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quiet: Nanos(60_000_000_000),
            idle_cpus: None,
            idle_pressure_percent: 5.0,
            mains_only: true,
            hours: Hours::default(),
            daily_cpu: None,
            drift_interval: Some(Nanos(7 * 86_400_000_000_000)),
        }
    }
}

impl From<&DaemonTable> for Settings {
    fn from(table: &DaemonTable) -> Self {
        let usual = Self::default();
        Self {
            quiet: table.quiet.unwrap_or(usual.quiet),
            idle_cpus: table.idle_cpus,
            idle_pressure_percent: table
                .idle_pressure_percent
                .unwrap_or(usual.idle_pressure_percent),
            mains_only: table.mains_only.unwrap_or(usual.mains_only),
            hours: table.hours.unwrap_or(usual.hours),
            daily_cpu: table.daily_cpu.or(usual.daily_cpu),
            drift_interval: match table.drift_interval {
                None => usual.drift_interval,
                Some(Interval::Never) => None,
                Some(Interval::Every(time)) => Some(time),
            },
        }
    }
}

impl Settings {
    /// Do others use more than they do on an idle machine of so many CPUs: so many of these together, and the busiest of them
    /// so many? Few large machines are without any background, which does not disturb as long as it is spread.
    pub fn is_busy(&self, machine_cpus: usize, others_cpus: f64, busiest_cpus: f64) -> bool {
        if let Some(most) = self.idle_cpus {
            return others_cpus > most;
        }
        let most = IDLE_CPUS.max(IDLE_SHARE * machine_cpus as f64);
        others_cpus > most || busiest_cpus > IDLE_PROCESS_CPUS
    }
}

/// What an administrator decides about what the daemon measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The catalogue's file; the built-in one where absent.
    pub catalogue: Option<PathBuf>,
    /// About the most time for a workload.
    pub workload_budget: Nanos,
    /// About the time between two visits to one.
    pub visit_interval: Nanos,
}

impl Scope {
    /// When each is visited again: so far apart, three times at least.
    pub fn visit_plan(&self) -> VisitPlan {
        let usual = VisitPlan::default();
        let gaps = u64::from(usual.min_visits) - 1;
        let span = Nanos(self.visit_interval.0.saturating_mul(gaps));
        VisitPlan {
            min_span: usual.min_span.max(span),
            // Where counts are close it is another visit.
            close_span: usual.close_span.max(span + self.visit_interval),
            ..usual
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            catalogue: None,
            workload_budget: Nanos(60_000_000_000),
            visit_interval: Nanos(3_600_000_000_000),
        }
    }
}

impl From<&DaemonTable> for Scope {
    fn from(table: &DaemonTable) -> Self {
        let usual = Self::default();
        Self {
            catalogue: table.catalogue.clone(),
            workload_budget: table.workload_budget.unwrap_or(usual.workload_budget),
            visit_interval: table.visit_interval.unwrap_or(usual.visit_interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_configured_is_as_usual() {
        let empty = DaemonTable::default();
        assert_eq!(Settings::from(&empty), Settings::default());
        assert_eq!(Scope::from(&empty), Scope::default());
    }

    #[test]
    fn background_grows_with_the_machine_and_work_does_not() {
        let usual = Settings::default();
        for (cpus, most) in [(1, 0.2), (2, 0.2), (16, 0.2), (96, 0.48), (384, 1.92)] {
            assert!(!usual.is_busy(cpus, most - 0.01, 0.1), "{cpus}");
            assert!(usual.is_busy(cpus, most + 0.01, 0.1), "{cpus}");
        }
        assert!(!usual.is_busy(384, 0.5, 0.5));
        assert!(usual.is_busy(384, 0.6, 0.6));
        // What is configured holds for machines of any size, and whoever uses it.
        let configured = Settings {
            idle_cpus: Some(0.7),
            ..usual
        };
        for cpus in [1, 384] {
            assert!(!configured.is_busy(cpus, 0.7, 0.7));
            assert!(configured.is_busy(cpus, 0.71, 0.1));
        }
    }

    #[test]
    fn what_is_configured_holds() {
        let hours: Hours = "22-6".parse().unwrap();
        let table = DaemonTable {
            quiet: Some(Nanos(1)),
            idle_cpus: Some(2.0),
            idle_pressure_percent: Some(3.0),
            mains_only: Some(false),
            hours: Some(hours),
            daily_cpu: Some(Nanos(4)),
            catalogue: Some("/c".into()),
            backends: None,
            drift_interval: Some(Interval::Every(Nanos(5))),
            visit_interval: Some(Nanos(20_000_000_000)),
            workload_budget: Some(Nanos(6)),
        };
        let settings = Settings {
            quiet: Nanos(1),
            idle_cpus: Some(2.0),
            idle_pressure_percent: 3.0,
            mains_only: false,
            hours,
            daily_cpu: Some(Nanos(4)),
            drift_interval: Some(Nanos(5)),
        };
        assert_eq!(Settings::from(&table), settings);
        let scope = Scope {
            catalogue: Some("/c".into()),
            workload_budget: Nanos(6),
            visit_interval: Nanos(20_000_000_000),
        };
        assert_eq!(Scope::from(&table), scope);
        let visits = VisitPlan {
            min_span: Nanos(40_000_000_000),
            close_span: Nanos(60_000_000_000),
            ..VisitPlan::default()
        };
        assert_eq!(scope.visit_plan(), visits);
        // Closer than `tune` makes them they tell too little.
        let often = Scope {
            visit_interval: Nanos(1_000_000_000),
            ..scope
        };
        assert_eq!(often.visit_plan(), VisitPlan::default());
        let never = DaemonTable {
            drift_interval: Some(Interval::Never),
            ..table
        };
        assert_eq!(Settings::from(&never).drift_interval, None);
    }
}
