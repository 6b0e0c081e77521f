//! The walk over a machine's counts that measures what an empty parallel region costs: hot, and after pauses.
//!
//! Samples of a workload are taken back to back and never pay for waking a team. A program that pauses for milliseconds
//! between its parallel regions does, for each of them.

use crate::machine::Layout;
use crate::profile::{Pause, Region, is_region_time};
use crate::stats::median;
use crate::tune::grid;
use crate::units::{Nanos, ThreadCount};
use std::collections::BTreeMap;

/// The most time for all regions of a machine …
pub const REGIONS_LIMIT: Nanos = Nanos(5_000_000_000);
/// … and where a quick answer is wanted.
pub const QUICK_REGIONS_LIMIT: Nanos = Nanos(1_000_000_000);

/// Before which pauses: libgomp's threads spin for some milliseconds before they sleep, others for more or not at all.
const PAUSES: [Pause; 3] = [Pause::NONE, Pause::from_ms(1), Pause::from_ms(10)];

/// Timings behind a median, if there is time …
const MOST_REPETITIONS: u32 = 31;
/// … and before counts are left out.
const LEAST_REPETITIONS: u32 = 5;

/// What a timing of hot regions is planned to take, seconds.
const HOT_S: f64 = 1e-3;
/// Sleeping and waking take so much longer than the pause: the plan's factor.
const SLACK: f64 = 1.25;
/// A request may take so many seconds: whoever wants to stop waits for it.
const REQUEST_S: f64 = 0.5;

/// Regions to time on one team after one pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionRequest {
    /// Threads of the team.
    pub threads: ThreadCount,
    /// The pause before each timing.
    pub pause: Pause,
    /// How many timings.
    pub repetitions: u32,
    /// No timing but the first begins after this time.
    pub limit: Nanos,
}

/// Why there are no regions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// The caller asked to stop.
    #[error("stopped on request")]
    Interrupted,
    /// Whoever measures does not do this.
    #[error("{0}")]
    Refused(String),
    /// It broke, or gave no times.
    #[error("{0}")]
    Failed(String),
}

/// Who times empty regions.
pub trait RegionTimer {
    /// The time of one region in each timing, microseconds; fewer than were asked for where the limit came first.
    fn time(&mut self, request: &RegionRequest) -> Result<Vec<f64>, Unmeasured>;
    /// A clock.
    fn now(&self) -> Nanos;
}

/// The cost of an empty region on each count of the grid, ascending, so that no larger team's threads are left over
/// when a smaller one is timed. Where there is too little time repetitions are left out first, then counts, but neither
/// all logical CPUs nor all physical cores; nothing where the time does not even hold these.
pub fn walk(
    timer: &mut dyn RegionTimer,
    layout: &Layout,
    limit: Nanos,
) -> Result<Vec<Region>, Unmeasured> {
    let kept = [layout.physical.min(layout.logical), layout.logical];
    let counts = affordable(grid(layout), kept, limit);
    let begin = timer.now();
    let mut regions = Vec::with_capacity(counts.len());
    for (place, &threads) in counts.iter().enumerate() {
        let left = limit.saturating_sub(timer.now() - begin).as_secs_f64();
        let share = left / (counts.len() - place) as f64;
        // Everything takes longer here than was planned.
        if share < least_s() && !kept.contains(&threads) {
            continue;
        }
        regions.push(region(timer, threads, share)?);
    }
    Ok(regions)
}

/// One count, in about so many seconds.
fn region(
    timer: &mut dyn RegionTimer,
    threads: ThreadCount,
    share: f64,
) -> Result<Region, Unmeasured> {
    let share = share.max(least_s());
    let repetitions = (share / once_s()) as u32;
    let repetitions = repetitions.clamp(LEAST_REPETITIONS, MOST_REPETITIONS);
    let mut after_us = BTreeMap::new();
    for pause in PAUSES {
        let limit = (share * planned_s(pause) / once_s()).min(REQUEST_S);
        let times = timer.time(&RegionRequest {
            threads,
            pause,
            repetitions,
            limit: Nanos::from_secs_f64(limit),
        })?;
        let us = typical_us(&times).ok_or_else(|| {
            Unmeasured::Failed(format!(
                "{threads} threads, {pause}: no times are {times:?}"
            ))
        })?;
        after_us.insert(pause, us);
    }
    Ok(Region { threads, after_us })
}

/// The median, in whole nanoseconds and at least one: a clock may be too coarse for less. Nothing where it is no time.
fn typical_us(times: &[f64]) -> Option<f64> {
    let us = (median(times)? * 1e3).round().max(1.0) / 1e3;
    let are_times = times.iter().all(|us| us.is_finite() && *us >= 0.0);
    (are_times && is_region_time(us)).then_some(us)
}

/// Those of the counts that the time holds with the fewest repetitions: `kept`, and others evenly spread.
fn affordable(counts: Vec<ThreadCount>, kept: [ThreadCount; 2], limit: Nanos) -> Vec<ThreadCount> {
    let (mut chosen, others): (Vec<ThreadCount>, Vec<ThreadCount>) =
        counts.into_iter().partition(|count| kept.contains(count));
    let room = (limit.as_secs_f64() / least_s()) as usize;
    let Some(room) = room.checked_sub(chosen.len()) else {
        return Vec::new();
    };
    let room = room.min(others.len());
    chosen.extend((0..room).map(|i| others[i * others.len() / room]));
    chosen.sort_unstable();
    chosen
}

/// What a count is planned to take with the fewest repetitions, seconds.
fn least_s() -> f64 {
    f64::from(LEAST_REPETITIONS) * once_s()
}

/// What one timing after each pause is planned to take, seconds.
fn once_s() -> f64 {
    PAUSES.into_iter().map(planned_s).sum()
}

/// What one timing after this pause is planned to take, seconds.
fn planned_s(pause: Pause) -> f64 {
    SLACK * (f64::from(pause.as_us()) * 1e-6).max(HOT_S)
}

#[cfg(test)]
#[path = "regions_tests.rs"]
mod tests;
