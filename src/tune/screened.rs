//! What screening knows: a few samples of many arms, and the estimates that follow from them.

use super::blocks::Racer;
use super::constants::{DIRTY_SHARE, DISTURBED_SAMPLES, OPTIMISM, RACERS_LEAST, RESERVE_ERRORS};
use super::{Arm, Sample};
use crate::stats::median;
use crate::units::{Calls, ThreadCount};
use serde::{Deserialize, Serialize};

/// Spread of log times where too few repetitions tell it.
pub(super) const UNKNOWN_SPREAD: f64 = 0.05;
/// Smallest spread believed.
const LEAST_SPREAD: f64 = 0.003;

/// Standard error of a median, in those of a mean: √(π/2) where samples are normal.
const MEDIAN_ERROR: f64 = 1.25;

/// The samples of one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ArmSamples {
    pub arm: Arm,
    /// Calls of one sample.
    pub calls: Calls,
    /// Log times of samples without interference, in order.
    pub clean: Vec<f64>,
    /// The least log time that a flagged sample leaves possible.
    pub optimistic: Option<f64>,
}

/// How often an arm was timed and disturbed in a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Tries {
    /// Samples, kept or not, and how many of them were flagged.
    pub samples: u32,
    pub flagged: u32,
    /// Blocks that were kept, and before how many of them it was flagged since the one before.
    pub blocks: u32,
    pub struck: u32,
}

impl Tries {
    pub fn and(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_add(other.samples),
            flagged: self.flagged.saturating_add(other.flagged),
            blocks: self.blocks.saturating_add(other.blocks),
            struck: self.struck.saturating_add(other.struck),
        }
    }

    /// Was it disturbed so often, and not in one burst, that what came back without a flag is likelier a disturbance
    /// that was missed?
    pub fn is_hopeless(self) -> bool {
        f64::from(self.flagged) > DISTURBED_SAMPLES * f64::from(self.samples)
            && f64::from(self.struck) > DIRTY_SHARE * f64::from(self.blocks)
    }
}

/// The samples of all arms that were screened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Screened {
    /// In the arms' order.
    arms: Vec<ArmSamples>,
}

impl Screened {
    pub fn arms(&self) -> &[ArmSamples] {
        &self.arms
    }

    pub fn get(&self, arm: Arm) -> Option<&ArmSamples> {
        self.place(arm).ok().map(|i| &self.arms[i])
    }

    fn place(&self, arm: Arm) -> Result<usize, usize> {
        self.arms.binary_search_by(|known| known.arm.cmp(&arm))
    }

    /// Has every arm a sample, if only a flagged one?
    pub fn is_sampled(&self) -> bool {
        let sampled = |s: &ArmSamples| !s.clean.is_empty() || s.optimistic.is_some();
        self.arms.iter().all(sampled)
    }

    /// This arm was calibrated.
    pub fn insert(&mut self, arm: Arm, calls: Calls) {
        if let Err(i) = self.place(arm) {
            self.arms.insert(
                i,
                ArmSamples {
                    arm,
                    calls,
                    clean: Vec::new(),
                    optimistic: None,
                },
            );
        }
    }

    pub fn add_clean(&mut self, arm: Arm, sample: &Sample) {
        if let Ok(i) = self.place(arm) {
            self.arms[i].clean.push(sample.seconds_per_call.ln());
        }
    }

    /// The clean samples of this arm are no longer true.
    pub fn forget(&mut self, arm: Arm) {
        if let Ok(i) = self.place(arm) {
            self.arms[i].clean.clear();
        }
    }

    /// The sample was flagged.
    pub fn add_flagged(&mut self, arm: Arm, sample: &Sample) {
        if let Ok(i) = self.place(arm) {
            let log = (sample.seconds_per_call / OPTIMISM).ln();
            let known = &mut self.arms[i].optimistic;
            *known = Some(known.map_or(log, |old| old.min(log)));
        }
    }

    /// The least clean log time of all.
    pub fn best(&self) -> Option<f64> {
        self.arms
            .iter()
            .filter_map(|samples| least(&samples.clean))
            .reduce(f64::min)
    }

    /// Estimated log time of an arm; one without clean samples is never taken for better than the best.
    pub fn estimate(&self, arm: Arm) -> Option<f64> {
        estimate_of(self.get(arm)?, self.best())
    }

    /// Estimated log time of a count: that of its best placement.
    pub fn estimate_count(&self, count: ThreadCount) -> Option<f64> {
        let best = self.best();
        self.of_count(count)
            .iter()
            .filter_map(|samples| estimate_of(samples, best))
            .reduce(f64::min)
    }

    fn of_count(&self, count: ThreadCount) -> &[ArmSamples] {
        let from = self.arms.partition_point(|known| known.arm.threads < count);
        let to = self
            .arms
            .partition_point(|known| known.arm.threads <= count);
        &self.arms[from..to]
    }

    /// Has this count been sampled?
    pub fn has(&self, count: ThreadCount) -> bool {
        !self.of_count(count).is_empty()
    }

    /// The counts that have an estimate, ascending, each with it.
    pub fn curve(&self) -> Vec<(ThreadCount, f64)> {
        let best = self.best();
        self.arms
            .chunk_by(|a, b| a.arm.threads == b.arm.threads)
            .filter_map(|arms| {
                let estimates = arms.iter().filter_map(|arm| estimate_of(arm, best));
                Some((arms.first()?.arm.threads, estimates.reduce(f64::min)?))
            })
            .collect()
    }

    /// The smallest count sampled.
    pub fn smallest(&self) -> Option<ThreadCount> {
        self.arms.first().map(|samples| samples.arm.threads)
    }

    /// Arms within this distance (log) of the best.
    pub fn within(&self, distance: f64) -> Vec<Arm> {
        let Some(best) = self.best() else {
            return Vec::new();
        };
        self.arms
            .iter()
            .filter(|s| {
                estimate_of(s, Some(best)).is_some_and(|estimate| estimate <= best + distance)
            })
            .map(|s| s.arm)
            .collect()
    }

    /// Arms without a clean sample that may be within this distance (log) of the best.
    pub fn disturbed(&self, distance: f64) -> Vec<Arm> {
        let best = self.best().unwrap_or(f64::INFINITY);
        self.arms
            .iter()
            .filter(|s| s.clean.is_empty())
            .filter(|s| s.optimistic.is_some_and(|log| log <= best + distance))
            .map(|s| s.arm)
            .collect()
    }

    /// Spread of the log times of one arm, from the differences of successive samples of the good ones.
    pub fn spread(&self) -> f64 {
        self.known_spread().unwrap_or(UNKNOWN_SPREAD)
    }

    /// The same; `None` where too few were sampled twice.
    fn known_spread(&self) -> Option<f64> {
        let best = self.best()?;
        let differences: Vec<f64> = self
            .arms
            .iter()
            .filter(|s| least(&s.clean).is_some_and(|estimate| estimate < best + 0.35))
            .flat_map(|s| s.clean.windows(2).take(3))
            .map(|pair| (pair[0] - pair[1]).abs())
            .collect();
        let middle = median(&differences).filter(|_| differences.len() > 2)?;
        Some((1.48 * middle / std::f64::consts::SQRT_2).max(LEAST_SPREAD))
    }

    /// The arms that race, best first: those near the best, at least three and at most so many, then the best placement
    /// of each of the counts in `always`.
    pub fn racers(&self, most: usize, always: &[ThreadCount]) -> Vec<Racer> {
        let best = self.best();
        let mut order: Vec<(f64, &ArmSamples)> = self
            .arms
            .iter()
            .filter_map(|s| {
                let middle = median(&s.clean).filter(|_| s.clean.len() > 2);
                Some((middle.or_else(|| estimate_of(s, best))?, s))
            })
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let limit = best.map(|best| best + (3.0 * self.spread()).max(0.05));
        let near = |s: &ArmSamples| {
            let estimate = estimate_of(s, best);
            estimate.zip(limit).is_some_and(|(e, limit)| e <= limit)
        };
        let mut chosen: Vec<&ArmSamples> = order
            .iter()
            .map(|(_, s)| *s)
            .filter(|s| near(s))
            .take(most)
            .collect();
        if chosen.len() < RACERS_LEAST {
            chosen = order.iter().map(|(_, s)| *s).take(RACERS_LEAST).collect();
        }
        for count in always {
            if chosen.iter().all(|s| s.arm.threads != *count) {
                chosen.extend(
                    order
                        .iter()
                        .map(|(_, s)| *s)
                        .find(|s| s.arm.threads == *count),
                );
            }
        }
        chosen
            .into_iter()
            .map(|s| Racer {
                arm: s.arm,
                calls: s.calls,
            })
            .collect()
    }

    /// The arms beside these racers that may be better than the best of them by more than `eps`, the likeliest first: where
    /// samples scatter more than arms differ, a few of each do not tell which are best. None where too few samples tell how
    /// much they scatter.
    pub fn reserve(&self, racers: &[Racer], eps: f64) -> Vec<Racer> {
        let middle = |s: &ArmSamples| median(&s.clean);
        let is_racer = |s: &&ArmSamples| racers.iter().any(|racer| racer.arm == s.arm);
        let (raced, others): (Vec<&ArmSamples>, _) = self.arms.iter().partition(is_racer);
        let best = raced.into_iter().filter_map(middle).reduce(f64::min);
        let (Some(best), Some(spread)) = (best, self.known_spread()) else {
            return Vec::new();
        };
        let mut reserve: Vec<(f64, &ArmSamples)> = others
            .into_iter()
            .filter_map(|s| {
                let error = MEDIAN_ERROR * spread / (s.clean.len() as f64).sqrt();
                Some((middle(s)? - RESERVE_ERRORS * error, s))
            })
            .filter(|(least, _)| *least <= best - eps)
            .collect();
        reserve.sort_by(|a, b| a.0.total_cmp(&b.0));
        let racer = |(_, s): (f64, &ArmSamples)| Racer {
            arm: s.arm,
            calls: s.calls,
        };
        reserve.into_iter().map(racer).collect()
    }

    /// Seconds that one sample of this arm should take.
    pub fn cost(&self, racer: &Racer) -> f64 {
        self.estimate(racer.arm)
            .or_else(|| self.estimate_count(racer.arm.threads))
            .map_or(0.0, |log| log.exp() * f64::from(racer.calls.get()))
    }

    /// Calls of one sample at this count, whatever the placement.
    pub fn calls(&self, count: ThreadCount) -> Option<Calls> {
        self.of_count(count).first().map(|samples| samples.calls)
    }
}

fn least(logs: &[f64]) -> Option<f64> {
    logs.iter().copied().reduce(f64::min)
}

fn estimate_of(samples: &ArmSamples, best: Option<f64>) -> Option<f64> {
    least(&samples.clean).or_else(|| {
        samples
            .optimistic
            .map(|bound| best.map_or(bound, |best| bound.max(best)))
    })
}
