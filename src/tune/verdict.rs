//! What a tuning found out about one workload.

use super::Arm;
use super::comparison::{Comparison, Visits};
use super::constants::TRIM;
use super::screened::UNKNOWN_SPREAD;
use crate::profile::StopReason;
use crate::stats::{trimmed_mean, upper_quantile};
use crate::units::{Nanos, ThreadCount};
use serde::{Deserialize, Serialize};

/// What a tuning found out about one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Why it ended: the first inconclusive reason of the races that `latency` rests on, else that of the last one; a
    /// search for candidates that the time cut short, or a race under load that it left no place for, makes it
    /// inconclusive.
    pub stop: StopReason,
    /// The fastest count as `launch` uses it; absent when no clean sample was seen. Where the time ended before the
    /// unbound race had three blocks, the bound arm that was first, and `stop` is inconclusive.
    pub latency: Option<Choice>,
    /// The fastest bound arm; absent where no bound arms were timed.
    pub pinned: Option<Choice>,
    /// The fewest threads proven to be within 5 % of `latency`; `latency` itself where no smaller count was.
    pub efficient: Option<FewestThreads>,
    /// All logical CPUs against `latency`; absent where neither a race nor screening timed them.
    pub default: Option<Baseline>,
    /// The same of all physical cores; absent where they are as many.
    pub default_cores: Option<Baseline>,
    /// The count just above the CPU quota, where it raced against `latency`.
    pub one_above: Option<OneAbove>,
    /// Counts that could not be told from `latency`, itself included, ascending.
    pub ties: Vec<ThreadCount>,
    /// Lower bound of the probability that `latency` is within eps of the best racer.
    pub p_within: f64,
    /// Samples taken, clean and flagged, calibration included.
    pub samples: u64,
    /// Samples thrown away because of interference.
    pub rejected: u64,
    /// Time spent, sustained load apart.
    pub spent: Nanos,
    /// The very first call of the workload, in seconds, if its bench told.
    pub first_call: Option<f64>,
    /// After how long of full load the race was that `latency`, `efficient` and all arms bound or unbound as it is rest
    /// on; absent where bursts decided.
    pub sustained: Option<Nanos>,
    /// At how many times it was looked at.
    pub visits: u32,
    /// From the begin of the first of these visits to that of the last one.
    pub span: Nanos,
    /// What they say of another count, where they disagree beyond noise.
    pub regimes: Option<Regimes>,
    /// Every arm with a clean sample, in the arms' order.
    pub curve: Vec<Timed>,
}

/// An arm that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Which one.
    pub arm: Arm,
    /// How fast it is.
    pub time: Timing,
    /// 95 % interval, seconds a call; below three samples from an assumed spread, so that it is wide.
    pub ci95: [f64; 2],
}

/// What several visits say that disagree beyond noise: the machine was not the same at all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regimes {
    /// The count that is better at times, or by more at some than at others.
    pub against: ThreadCount,
    /// Its time over that of `latency` in each visit that timed both.
    pub speedups: Vec<f64>,
}

/// The fewest threads that lose little.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FewestThreads {
    /// Which arm.
    pub arm: Arm,
    /// Seconds a call.
    pub seconds_per_call: f64,
    /// Time lost against `latency`, as a ratio; its upper bound is at most 0.05.
    pub loss: f64,
}

/// What a program takes that is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// All logical CPUs, or all physical cores.
    pub threads: ThreadCount,
    /// Seconds a call: that of `latency` times `speedup`.
    pub seconds_per_call: f64,
    /// Its time over that of `latency`: from paired blocks, or from screening where the time left no place for it in
    /// the race.
    pub speedup: f64,
}

/// A count above a CPU quota.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OneAbove {
    /// The count, timed while the quota stopped it.
    pub choice: Choice,
    /// The quota in CPUs, at which alone it holds.
    pub quota: f64,
    /// The time of `latency` over its time, from paired blocks.
    pub speedup: f64,
    /// Was it proven to be the better of the two?
    pub won: bool,
}

/// One arm that was timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// Which one.
    pub arm: Arm,
    /// How fast it is.
    pub time: Timing,
    /// Did it race, or was it only screened?
    pub raced: bool,
}

/// How long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Exponential of the trimmed mean of log times, over several visits of the mean of theirs, seconds a call.
    pub seconds_per_call: f64,
    /// 95 % interval of that; absent below three samples.
    pub ci95: Option<[f64; 2]>,
    /// Samples behind it.
    pub samples: u64,
}

impl Timing {
    /// From log times by visit; `None` of none.
    pub(super) fn of(visits: &[Vec<f64>]) -> Option<Self> {
        let samples = visits.iter().map(Vec::len).sum::<usize>() as u64;
        if Visits::of(visits.to_vec()).is_ok() {
            let together = Comparison::of_visits(visits.to_vec());
            return Some(Self {
                seconds_per_call: together.mean.exp(),
                ci95: Some(around(together.mean, together.half_width(0.025))),
                samples,
            });
        }
        let logs = visits.concat();
        let trimmed = trimmed_mean(&logs, TRIM)?;
        let half = upper_quantile(0.025, trimmed.freedom) * trimmed.standard_error;
        Some(Self {
            seconds_per_call: trimmed.mean.exp(),
            ci95: (logs.len() > 2).then(|| around(trimmed.mean, half)),
            samples,
        })
    }

    /// The interval, or one from the spread that is assumed where nothing is known, with a single degree of freedom.
    pub(super) fn interval(&self) -> [f64; 2] {
        self.ci95.unwrap_or_else(|| {
            let half = upper_quantile(0.025, 1.0) * UNKNOWN_SPREAD;
            around(self.seconds_per_call.ln(), half)
        })
    }
}

impl Choice {
    /// An arm with its log times by visit; `None` of none.
    pub(super) fn of(arm: Arm, visits: &[Vec<f64>]) -> Option<Self> {
        let time = Timing::of(visits)?;
        Some(Self {
            arm,
            time,
            ci95: time.interval(),
        })
    }
}

fn around(log: f64, half: f64) -> [f64; 2] {
    [(log - half).exp(), (log + half).exp()]
}

/// Why something of this time budget ended: that the time was up is told only where none is left.
pub(super) fn told(stop: StopReason, spent: Nanos, time_budget: Nanos) -> StopReason {
    match stop {
        StopReason::Budget if spent < time_budget => StopReason::Short,
        stop => stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_was_up_only_where_none_is_left() {
        let of = |stop, spent| told(stop, Nanos(spent), Nanos(60));
        assert_eq!(of(StopReason::Budget, 59), StopReason::Short);
        assert_eq!(of(StopReason::Budget, 60), StopReason::Budget);
        assert_eq!(of(StopReason::Undecided, 59), StopReason::Undecided);
    }

    #[test]
    fn a_timing_states_an_interval_from_three_samples_on() {
        let logs: Vec<f64> = [1.0_f64, 1.1, 0.9].iter().map(|s| s.ln()).collect();
        let t = Timing::of(std::slice::from_ref(&logs)).unwrap();
        let [low, high] = t.ci95.unwrap();
        assert!(low < t.seconds_per_call && t.seconds_per_call < high);
        assert_eq!(t.samples, 3);
        assert_eq!(Timing::of(&[logs[..2].to_vec()]).unwrap().ci95, None);
        assert_eq!(Timing::of(&[]), None);
    }

    #[test]
    fn one_sample_gets_a_wide_interval_where_one_must_be_stated() {
        let [low, high] = Timing::of(&[vec![0.0]]).unwrap().interval();
        assert!(low < 0.6 && high > 1.8);
    }
}
