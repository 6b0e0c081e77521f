//! A verdict as the profile's table.

use super::{Arm, Choice, Timing, Verdict};
use crate::machine::Placement;
use crate::profile::{
    CurvePoint, DefaultChoice, Efficient, Entry, Latency, Pinned, Residency, StopReason,
};
use crate::units::{CpuSet, Nanos};

/// What a profile says about a workload besides its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its shape, as text.
    pub shape: String,
    /// Floating-point operations of one call.
    pub flops: u64,
    /// Bytes that one call reads and writes at least once.
    pub bytes: u64,
    /// Where the data lay.
    pub residency: Residency,
    /// The very first call, in seconds.
    pub first_call: Option<f64>,
}

impl Verdict {
    /// The table of this verdict; `cpus` tells on which CPUs an arm ran (those of the budget where it is unbound).
    pub fn into_entry(self, subject: Subject, cpus: impl Fn(Arm) -> CpuSet) -> Entry {
        let pinned = self
            .pinned
            .filter(|choice| choice.arm.placement != Placement::Unbound);
        Entry {
            latency: self.latency.map(|choice| Latency {
                threads: choice.arm.threads,
                median_us: micros(choice.time.seconds_per_call),
                ci95_us: choice.ci95.map(micros),
            }),
            pinned: pinned.map(|choice: Choice| Pinned {
                threads: choice.arm.threads,
                placement: choice.arm.placement,
                cpus: cpus(choice.arm),
                median_us: micros(choice.time.seconds_per_call),
                ci95_us: choice.ci95.map(micros),
            }),
            efficient: self.efficient.map(|fewest| Efficient {
                threads: fewest.arm.threads,
                median_us: micros(fewest.seconds_per_call),
                loss_percent: decimals(100.0 * fewest.loss, 3),
            }),
            default: self.default.map(|baseline| DefaultChoice {
                threads: baseline.threads,
                median_us: micros(baseline.seconds_per_call),
                speedup: decimals(baseline.speedup, 4),
            }),
            ties: self.ties,
            // A lower bound is never rounded up.
            p_within: (self.p_within * 1e6).floor() / 1e6,
            samples: self.samples,
            rejected: self.rejected,
            curve: self
                .curve
                .iter()
                .map(|timed| point(timed.arm, &timed.time, timed.raced, cpus(timed.arm)))
                .collect(),
            ..empty(subject, self.stop, self.spent)
        }
    }
}

/// The table of a workload of which nothing could be measured, for this reason.
pub fn failed_entry(subject: Subject, reason: &str, spent: Nanos) -> Entry {
    empty(subject, StopReason::Failed(reason.to_owned()), spent)
}

fn empty(subject: Subject, stop: StopReason, spent: Nanos) -> Entry {
    Entry {
        name: subject.name,
        shape: subject.shape,
        flops: subject.flops,
        bytes: subject.bytes,
        residency: subject.residency,
        latency: None,
        pinned: None,
        first_call_us: subject.first_call.map(micros),
        efficient: None,
        throughput: None,
        default: None,
        ties: Vec::new(),
        p_within: 0.0,
        stop,
        samples: 0,
        rejected: 0,
        seconds: decimals(spent.as_secs_f64(), 3),
        curve: Vec::new(),
    }
}

fn point(arm: Arm, time: &Timing, raced: bool, cpus: CpuSet) -> CurvePoint {
    CurvePoint {
        threads: arm.threads,
        placement: arm.placement,
        cpus,
        median_us: micros(time.seconds_per_call),
        ci95_us: time.ci95.map(|ci| ci.map(micros)),
        samples: time.samples,
        raced,
    }
}

/// Rounded to so many decimals.
fn decimals(value: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (value * scale).round() / scale
}

/// Microseconds to six significant digits: more than any interval supports, and readable.
fn micros(seconds: f64) -> f64 {
    let us = seconds * 1e6;
    if !us.is_normal() {
        return us;
    }
    let scale = 10f64.powi(5 - us.abs().log10().floor() as i32);
    (us * scale).round() / scale
}
