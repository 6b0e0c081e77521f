//! What each thread of a team saw of its CPU during a sample.

use super::protocol::ThreadCounters;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

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
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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

    /// What each thread saw, in order.
    pub fn seen(&self) -> Vec<ThreadCounters> {
        let of_slot = |slot: &Slot| ThreadCounters {
            wall_ns: slot.wall_ns.load(Relaxed),
            cpu_ns: slot.cpu_ns.load(Relaxed),
            run_delay_ns: slot.run_delay_ns.load(Relaxed),
        };
        self.slots.iter().map(of_slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_counts_for_itself() {
        let team = TeamCounters::new(2);
        team.begin(1);
        team.bracket(1, || {
            let begin = Instant::now();
            while begin.elapsed().as_micros() < 100 {}
        });
        team.end(1);
        // Numbers that no team of two has are nobody's.
        team.begin(2);
        team.bracket(2, || {});
        team.end(2);
        let [first, second] = team.seen()[..] else {
            panic!("two threads");
        };
        assert_eq!(first, ThreadCounters::default());
        assert!(second.wall_ns >= 100_000, "{second:?}");
        assert!(second.cpu_ns > 0, "{second:?}");
    }
}
