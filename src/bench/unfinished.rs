//! A tuning between two steps: it rests until its workload is seen again, or was interrupted.

use crate::machine::{BootTime, Layout};
use crate::tune::{Options, Tuning};
use crate::units::Nanos;
use crate::workload::Residency;
use serde::{Deserialize, Serialize};

/// So many times in a row another visit may fail.
const MOST_FAILURES: u32 = 3;

/// A tuning that can go on as if nothing had happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unfinished {
    pub(super) tuning: Tuning,
    /// Where the data of its workload lay.
    residency: Residency,
    /// When its first visit began.
    begun: BootTime,
    /// When the last one ended, or was interrupted.
    ended: BootTime,
    /// How many times in a row the next visit failed.
    failures: u32,
}

/// A tuning that is to be seen again at another time.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    /// As far as it has come.
    pub unfinished: Unfinished,
    /// About how much later.
    pub wait: Nanos,
}

impl Unfinished {
    /// One that begins now.
    pub(super) fn begin(layout: Layout, options: Options, residency: Residency) -> Self {
        let now = BootTime::now();
        Self {
            tuning: Tuning::new(layout, options),
            residency,
            begun: now,
            ended: now,
            failures: 0,
        }
    }

    /// Was it begun for this CPU budget, with these options and data that lay there?
    pub(super) fn is_of(&self, layout: &Layout, options: &Options, residency: Residency) -> bool {
        self.residency == residency && self.tuning.is_of(layout, options)
    }

    /// It goes on; where it rests with another visit.
    pub(super) fn go_on(&mut self) {
        self.tuning.has_rested();
        self.tuning.revisit(BootTime::now().since(self.begun));
    }

    /// It had to stop.
    pub(super) fn interrupted(mut self) -> Self {
        self.end_visit();
        self
    }

    /// The next visit is to begin so long after this one began.
    pub(super) fn rest(mut self, apart: Nanos) -> Again {
        self.end_visit();
        let (_, last) = self.tuning.visit_at_hand();
        let elapsed = self.ended.since(self.begun);
        Again {
            wait: (last + apart).saturating_sub(elapsed),
            unfinished: self,
        }
    }

    fn end_visit(&mut self) {
        self.ended = BootTime::now();
        self.failures = 0;
    }

    /// Does it wait to be seen again?
    pub fn rests(&self) -> bool {
        self.tuning.rests()
    }

    /// In how long it is to be seen again; absent where it does not wait for that.
    pub fn next_visit_in(&self, now: BootTime) -> Option<Nanos> {
        let wait = self.tuning.next_visit()?;
        Some(wait.saturating_sub(now.since(self.ended)))
    }

    /// The next visit could not be made now: it is tried again as much later, unless it failed too often.
    pub fn postpone(&mut self, now: BootTime) -> bool {
        self.failures += 1;
        self.ended = now;
        self.failures < MOST_FAILURES
    }

    /// For how long nothing has been added to it.
    pub fn idle_for(&self, now: BootTime) -> Nanos {
        now.since(self.ended)
    }

    /// Its moments are those of another boot, which this carries over to the present one.
    pub fn carry(&mut self, carry: impl Fn(BootTime) -> BootTime) {
        self.begun = carry(self.begun);
        self.ended = carry(self.ended);
    }
}
