//! The CPU time that measuring took on this day.

use crate::units::Nanos;

/// A day, and the CPU time spent on it. A day that has yet to come was one of a clock that has been set right since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spending {
    day: i64,
    cpu: Nanos,
}

impl Spending {
    /// What is known from `before`, on this day.
    pub(super) fn since(before: Option<(i64, Nanos)>, day: i64) -> Self {
        let (begun, cpu) = before.unwrap_or((day, Nanos::ZERO));
        Self {
            day: begun.min(day),
            cpu,
        }
    }

    /// A new day has its own CPU time. A clock that is set back does not give that of a day a second time.
    pub(super) fn begin_day(&mut self, day: i64) {
        *self = Self {
            day,
            cpu: if day > self.day {
                Nanos::ZERO
            } else {
                self.cpu
            },
        };
    }

    pub(super) fn add(&mut self, cpu: Nanos) {
        self.cpu += cpu;
    }

    pub(super) fn cpu(&self) -> Nanos {
        self.cpu
    }
}
