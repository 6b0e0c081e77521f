//! What each thread of a team saw of its CPU during a sample.

use super::nanos;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Below this much bracketed work of a thread, its CPU share says nothing (clock readings weigh too much).
const LEAST_WORK_NS: u64 = 20_000;

/// What one thread of the team saw; a cache line of its own, so that counting does not disturb the others.
#[repr(align(128))]
#[derive(Default)]
struct Slot {
    run_delay_before_ns: AtomicU64,
    run_delay_ns: AtomicU64,
    wall_ns: AtomicU64,
    cpu_ns: AtomicU64,
}

/// What the threads of a team saw during one sample.
pub struct TeamCounters {
    slots: Box<[Slot]>,
}

/// CPU time of the calling thread.
fn thread_cpu_ns() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// How long the calling thread has waited for a CPU; the second field of its schedstat. (The first, time on a CPU,
/// moves only at scheduler ticks.) Zero where the kernel does not count it.
fn run_delay_ns() -> u64 {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

impl TeamCounters {
    /// For a team of so many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            slots: (0..threads).map(|_| Slot::default()).collect(),
        }
    }

    /// Called by each thread before the timed calls.
    pub fn begin(&self, thread: usize) {
        if let Some(slot) = self.slots.get(thread) {
            slot.run_delay_before_ns.store(run_delay_ns(), Relaxed);
        }
    }

    /// Called by each thread after the timed calls.
    pub fn end(&self, thread: usize) {
        if let Some(slot) = self.slots.get(thread) {
            let waited = run_delay_ns().saturating_sub(slot.run_delay_before_ns.load(Relaxed));
            slot.run_delay_ns.store(waited, Relaxed);
        }
    }

    /// Runs a thread's own share of the work (not the wait at the barrier) between two readings of both clocks.
    pub fn bracket(&self, thread: usize, work: impl FnOnce()) {
        // The wall clock is read inside: what the readings themselves cost may only make the CPU share look better.
        let cpu = thread_cpu_ns();
        let wall = Instant::now();
        work();
        let wall = wall.elapsed().as_nanos() as u64;
        let cpu = thread_cpu_ns().saturating_sub(cpu);
        if let Some(slot) = self.slots.get(thread) {
            slot.wall_ns.fetch_add(wall, Relaxed);
            slot.cpu_ns.fetch_add(cpu, Relaxed);
        }
    }

    /// Longest run delay over the sample's wall time, and least CPU share, over the threads that worked.
    pub(super) fn shares(&self, sample_ns: u64) -> (f64, f64) {
        let longest = self
            .slots
            .iter()
            .map(|s| s.wall_ns.load(Relaxed))
            .max()
            .unwrap_or(0);
        let worked = |s: &&Slot| s.wall_ns.load(Relaxed) * 20 >= longest;
        let delay = self
            .slots
            .iter()
            .filter(worked)
            .map(|s| s.run_delay_ns.load(Relaxed))
            .max()
            .unwrap_or(0);
        let cpu = self
            .slots
            .iter()
            .filter(worked)
            .map(|s| (s.wall_ns.load(Relaxed), s.cpu_ns.load(Relaxed)))
            .filter(|(wall, _)| *wall >= LEAST_WORK_NS)
            .map(|(wall, cpu)| cpu as f64 / wall as f64)
            .fold(1.0, f64::min);
        (delay as f64 / sample_ns.max(1) as f64, cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_without_work_do_not_count() {
        let team = TeamCounters::new(2);
        team.slots[0].wall_ns.store(1_000_000, Relaxed);
        team.slots[0].cpu_ns.store(990_000, Relaxed);
        team.slots[1].wall_ns.store(30_000, Relaxed);
        team.slots[1].run_delay_ns.store(900_000, Relaxed);
        assert_eq!(team.shares(1_000_000), (0.0, 0.99));
    }
}
