//! A verdict as the profile's table.

use super::verdict::Baseline;
use super::{Arm, Choice, Timing, Verdict};
use crate::machine::Placement;
use crate::profile::{
    AboveQuotaChoice, CurvePoint, DefaultChoice, Efficient, Entry, Latency, Pinned, Rate, Regimes,
    Residency, StopReason,
};
use crate::units::{CpuSet, Nanos, ThreadCount};
use crate::workload::{Bound, Roofline};

/// What a profile says about a workload besides its verdict.
#[derive(Debug, Clone, PartialEq, Default)]
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
    /// The memory node of the CPU that first touched it.
    pub node: Option<u32>,
    /// The revision of our kernels, if they ran.
    pub kernels: Option<u32>,
    /// Their level, where a cap kept it below the processor's highest.
    pub isa_cap: Option<String>,
    /// What one core could do with a call.
    pub roofline: Option<Roofline>,
}

impl Subject {
    /// The rate of calls that take so long at one thread, and its share of what is attainable.
    fn rate(&self, seconds: f64) -> (Option<Rate>, Option<f64>) {
        let Some(roofline) = self.roofline else {
            return (None, None);
        };
        let giga = |amount: u64| Some(significant(amount as f64 / seconds / 1e9, 4));
        let rate = match roofline.bound {
            Bound::Arithmetic => Rate {
                gflops: giga(self.flops),
                gb_per_s: None,
            },
            Bound::Traffic => Rate {
                gflops: None,
                gb_per_s: giga(self.bytes),
            },
        };
        let share = roofline.seconds.map(|least| decimals(least / seconds, 3));
        (Some(rate), share)
    }
}

impl Verdict {
    /// The table of this verdict; `cpus` tells on which CPUs an arm ran (those of the budget where it is unbound).
    pub fn into_entry(self, subject: Subject, cpus: impl Fn(Arm) -> CpuSet) -> Entry {
        let one_thread = self
            .curve
            .iter()
            .filter(|timed| timed.arm.threads == ThreadCount::ONE)
            .map(|timed| timed.time.seconds_per_call)
            .reduce(f64::min);
        let (rate, share) = one_thread.map_or((None, None), |seconds| subject.rate(seconds));
        let pinned = self
            .pinned
            .filter(|choice| choice.arm.placement != Placement::Unbound);
        Entry {
            elsewhere: None,
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
            default: self.default.map(default_choice),
            default_cores: self.default_cores.map(default_choice),
            first_call_us: self.first_call.map(micros),
            rate,
            share,
            above_quota: self.one_above.map(|one| AboveQuotaChoice {
                quota: one.quota,
                threads: one.choice.arm.threads,
                median_us: micros(one.choice.time.seconds_per_call),
                ci95_us: one.choice.ci95.map(micros),
                speedup: decimals(one.speedup, 4),
                won: one.won,
            }),
            ties: self.ties,
            // A lower bound is never rounded up.
            p_within: (self.p_within * 1e6).floor() / 1e6,
            sustained_s: self.sustained.map(|time| decimals(time.as_secs_f64(), 3)),
            visits: Some(self.visits),
            span_s: (self.visits > 1).then(|| decimals(self.span.as_secs_f64(), 3)),
            regimes: self.regimes.map(|regimes| Regimes {
                against: regimes.against,
                speedups: regimes.speedups.iter().map(|s| decimals(*s, 4)).collect(),
            }),
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

fn default_choice(baseline: Baseline) -> DefaultChoice {
    DefaultChoice {
        threads: baseline.threads,
        median_us: micros(baseline.seconds_per_call),
        speedup: decimals(baseline.speedup, 4),
    }
}

/// The table of a workload of which nothing could be measured, for this reason.
pub fn failed_entry(subject: Subject, reason: &str, spent: Nanos) -> Entry {
    empty(subject, StopReason::Failed(reason.to_owned()), spent)
}

fn empty(subject: Subject, stop: StopReason, spent: Nanos) -> Entry {
    Entry {
        elsewhere: None,
        name: subject.name,
        backend: String::new(),
        kernels: subject.kernels,
        measured: None,
        conditions: 0,
        isa_cap: subject.isa_cap,
        shape: subject.shape,
        flops: subject.flops,
        bytes: subject.bytes,
        residency: subject.residency,
        node: subject.node,
        latency: None,
        pinned: None,
        first_call_us: None,
        efficient: None,
        throughput: None,
        default: None,
        default_cores: None,
        above_quota: None,
        rate: None,
        share: None,
        ties: Vec::new(),
        p_within: 0.0,
        sustained_s: None,
        visits: None,
        span_s: None,
        regimes: None,
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
    significant(seconds * 1e6, 6)
}

/// Rounded to so many significant digits.
fn significant(value: f64, digits: i32) -> f64 {
    if !value.is_normal() {
        return value;
    }
    let scale = 10f64.powi(digits - 1 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(bound: Bound, least: Option<f64>) -> Subject {
        Subject {
            flops: 33_554_432,
            bytes: 786_432,
            roofline: Some(Roofline {
                bound,
                seconds: least,
            }),
            ..Subject::default()
        }
    }

    #[test]
    fn a_rate_has_the_unit_of_what_bounds_the_kernel() {
        let (rate, share) = subject(Bound::Arithmetic, Some(200e-6)).rate(270e-6);
        let gflops = Rate {
            gflops: Some(124.3),
            gb_per_s: None,
        };
        assert_eq!((rate, share), (Some(gflops), Some(0.741)));
        let (rate, share) = subject(Bound::Traffic, None).rate(100e-6);
        let gb_per_s = Rate {
            gflops: None,
            gb_per_s: Some(7.864),
        };
        assert_eq!((rate, share), (Some(gb_per_s), None));
        assert_eq!(Subject::default().rate(1.0), (None, None));
    }
}
