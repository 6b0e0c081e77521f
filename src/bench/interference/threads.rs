//! What the threads of a team saw, as shares.

use crate::worker::protocol::ThreadCounters;

/// Below this much work of a thread that was looked at, its CPU share says nothing: clock readings weigh too much.
const LEAST_WORK_NS: u64 = 20_000;
/// A thread with less than this part of the work of the busiest one had nothing to do.
const LEAST_PART: u64 = 20;

/// The threads of a team that worked, the one that fared worst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shares {
    /// The longest any of them was kept from its CPU, as a share of the sample's wall time.
    pub run_delay: f64,
    /// The least CPU time of one of them over the wall time of its own share of the work.
    pub cpu: f64,
}

/// Of a sample of this length.
pub(super) fn shares(threads: &[ThreadCounters], elapsed_ns: u64) -> Shares {
    let busiest_ns = threads.iter().map(|thread| thread.wall_ns).max();
    let least_ns = busiest_ns.unwrap_or(0) / LEAST_PART;
    let worked = || threads.iter().filter(|thread| thread.wall_ns >= least_ns);
    let delay_ns = worked().map(|thread| thread.run_delay_ns).max();
    Shares {
        run_delay: delay_ns.unwrap_or(0) as f64 / elapsed_ns.max(1) as f64,
        cpu: worked()
            .filter(|thread| thread.wall_ns >= LEAST_WORK_NS)
            .map(|thread| thread.cpu_ns as f64 / thread.wall_ns as f64)
            .fold(1.0, f64::min),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(threads: &[(u64, u64, u64)]) -> (f64, f64) {
        let counted = |(wall_ns, cpu_ns, run_delay_ns): &(u64, u64, u64)| ThreadCounters {
            wall_ns: *wall_ns,
            cpu_ns: *cpu_ns,
            run_delay_ns: *run_delay_ns,
        };
        let threads: Vec<ThreadCounters> = threads.iter().map(counted).collect();
        let Shares { run_delay, cpu } = shares(&threads, 1_000_000);
        (run_delay, cpu)
    }

    #[test]
    fn the_thread_that_fared_worst_counts() {
        let even = (1_000_000, 990_000, 0);
        assert_eq!(of(&[even, (900_000, 450_000, 0)]), (0.0, 0.5));
        assert_eq!(of(&[even, (900_000, 900_000, 60_000)]), (0.06, 0.99));
        assert_eq!(of(&[]), (0.0, 1.0));
    }

    #[test]
    fn threads_without_work_do_not_count() {
        let idle = (30_000, 0, 900_000);
        assert_eq!(of(&[(1_000_000, 990_000, 0), idle]), (0.0, 0.99));
        // So little work tells of the clocks.
        assert_eq!(of(&[(19_999, 0, 0)]), (0.0, 1.0));
    }
}
