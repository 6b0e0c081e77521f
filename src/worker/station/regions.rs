//! Times empty parallel regions: back to back, and after the team's first thread has slept.
//!
//! The other threads do meanwhile what their runtime does: spin for a while, then sleep, and must be woken.

use super::Station;
use crate::machine::Placement;
use crate::units::Calls;
use crate::worker::protocol::{RegionOrder, RegionTimes, SampleOrder};
use crate::worker::team::Fork;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Regions of a timing where one follows the other: reading the clock costs as much as a fast one.
const BATCH: u32 = 100;

impl Station {
    /// Times empty regions; the reason if that cannot be done.
    pub fn regions(&mut self, order: &RegionOrder) -> Result<RegionTimes, String> {
        let arm = SampleOrder {
            threads: order.threads,
            placement: Placement::Close,
            cpus: order.cpus.clone(),
            calls: Calls::ONE,
        };
        let (times, _) = self.with_team(&arm, |fork| Ok(timed(fork, order)))?;
        Ok(times)
    }
}

fn timed(fork: &dyn Fork, order: &RegionOrder) -> RegionTimes {
    let ran = AtomicU32::new(0);
    fork.region(&|_, _| {
        ran.fetch_add(1, Relaxed);
    });
    let pause = Duration::from_micros(order.pause_us.into());
    let limit = Duration::from_micros(order.limit_us);
    let regions_each = if pause.is_zero() { BATCH } else { 1 };
    let mut durations_ns = Vec::new();
    let begin = Instant::now();
    for repetition in 0..order.repetitions {
        if repetition > 0 && begin.elapsed() >= limit {
            break;
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let from = Instant::now();
        for _ in 0..regions_each {
            fork.region(&|_, _| {});
        }
        durations_ns.push(from.elapsed().as_nanos() as u64);
    }
    RegionTimes {
        durations_ns,
        regions_each,
        threads_ran: ran.into_inner(),
    }
}
