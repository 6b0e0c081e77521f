//! What the counters of a sample mean. Pure.

use super::reading::tick_ms;
use super::threads::Shares;
use crate::tune::Interference;
use std::time::Duration;

/// A thread kept from its CPU for more than this share of a sample's wall time was disturbed.
const RUN_DELAY_SHARE: f64 = 0.05;
/// A thread that had its CPU for less than this share of its own work was disturbed.
const CPU_SHARE: f64 = 0.95;
/// CPU time stolen beyond one tick, as a share of what the CPUs of an arm had during a sample, that disturbs it. Some
/// hypervisors steal a few thousandths all the time, which every count bears alike.
const STEAL_SHARE: f64 = 0.02;
/// Other processes may use this much of one CPU. It does not grow with the machine, as what the service takes for idle does: a
/// single neighbour slows a team that spans all CPUs, and the sum does not tell it from as much that is spread over them.
const OTHERS_CPUS: f64 = 0.15;
/// The spread of a time that is counted in steps of 10 ms, milliseconds. Three times that is no evidence.
const STEP_SPREAD_MS: f64 = 4.0;

/// What was seen during a sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Counters {
    /// What its threads saw; absent for an arm that is not judged by it.
    pub threads: Option<Shares>,
    /// Did two of its threads begin on one CPU?
    pub shares_cpu: bool,
    /// CPU time stolen by the hypervisor, milliseconds over all CPUs of the arm.
    pub steal_ms: u64,
    /// Time that the control group was throttled, microseconds.
    pub throttled_us: u64,
    /// Of that, what others in the group had a part in.
    pub throttled_by_others_us: u64,
    /// CPUs that other processes used lately, and whether that is a disturbance; absent for an arm that is judged by its
    /// threads, and where it cannot be told.
    pub others: Option<(f64, bool)>,
}

/// What disturbed a sample that took so long on so many CPUs.
pub(super) fn judge(counters: &Counters, cpus: usize, sample: Duration) -> Interference {
    // Stolen time is counted in whole ticks, one of which may have been stolen before.
    let stolen_ms = counters.steal_ms.saturating_sub(tick_ms()) as f64;
    let had_ms = sample.as_secs_f64() * 1e3 * cpus as f64;
    let was_kept_from_its_cpu =
        |shares: Shares| shares.run_delay > RUN_DELAY_SHARE || shares.cpu < CPU_SHARE;
    if counters.throttled_by_others_us > 0 {
        Interference::Throttled
    } else if stolen_ms > STEAL_SHARE * had_ms {
        Interference::Steal
    } else if counters.threads.is_some_and(was_kept_from_its_cpu) {
        Interference::RunDelay
    } else if counters
        .others
        .is_some_and(|(_, is_disturbance)| is_disturbance)
    {
        Interference::OtherProcesses
    } else if counters.shares_cpu {
        Interference::SharedCpu
    } else {
        Interference::None
    }
}

/// Do other processes that used so many CPUs, as far as could be told in this time on so many CPUs, disturb an arm whose
/// threads may move?
pub(super) fn others_disturb(others_cpus: f64, window: Duration, cpus: usize) -> bool {
    // Idle time of each CPU, and the time of the worker.
    let counted = (cpus + 1) as f64;
    let grain = 3.0 * STEP_SPREAD_MS * counted.sqrt() / (window.as_secs_f64() * 1e3);
    others_cpus > OTHERS_CPUS + grain
}

#[cfg(test)]
mod tests {
    use super::super::{LEAST_WINDOW, WINDOW, on_cpus};
    use super::*;

    #[test]
    fn every_kind_of_disturbance_is_named() {
        let clean = Counters {
            threads: Some(Shares {
                run_delay: 0.0,
                cpu: 1.0,
            }),
            ..Counters::default()
        };
        let shares = |run_delay, cpu| Counters {
            threads: Some(Shares { run_delay, cpu }),
            ..clean
        };
        for (counters, interference) in [
            (clean, Interference::None),
            (shares(0.05, 0.95), Interference::None),
            (shares(0.06, 1.0), Interference::RunDelay),
            (shares(0.0, 0.94), Interference::RunDelay),
            (
                Counters {
                    others: Some((0.9, true)),
                    ..clean
                },
                Interference::OtherProcesses,
            ),
            (
                Counters {
                    others: Some((0.1, false)),
                    ..clean
                },
                Interference::None,
            ),
            (
                Counters {
                    shares_cpu: true,
                    ..clean
                },
                Interference::SharedCpu,
            ),
            (
                Counters {
                    steal_ms: 1 + tick_ms(),
                    ..clean
                },
                Interference::Steal,
            ),
            (
                Counters {
                    throttled_us: 1,
                    throttled_by_others_us: 1,
                    ..clean
                },
                Interference::Throttled,
            ),
            (
                Counters {
                    throttled_us: 1,
                    ..clean
                },
                Interference::None,
            ),
        ] {
            let of = judge(&counters, 2, Duration::from_millis(1));
            assert_eq!(of, interference, "{counters:?}");
        }
    }

    #[test]
    fn a_busy_cpu_among_very_many_is_seen() {
        for cpus in [2, 64, 384, 4096] {
            let disturb = |window, others| others_disturb(others, on_cpus(window, cpus), cpus);
            assert!(!disturb(WINDOW, 0.15) && disturb(WINDOW, 0.5), "{cpus}");
            assert!(
                !disturb(LEAST_WINDOW, 0.3) && disturb(LEAST_WINDOW, 0.7),
                "{cpus}"
            );
        }
    }

    #[test]
    fn a_little_stolen_time_is_what_every_count_bears() {
        let flagged = |ticks: u64, sample_ms: u64| {
            let counters = Counters {
                steal_ms: ticks * tick_ms(),
                ..Counters::default()
            };
            judge(&counters, 8, Duration::from_millis(sample_ms)).is_flagged()
        };
        // One tick may have been stolen before the sample, however short it is.
        assert!(!flagged(1, 1));
        assert!(flagged(2, 1));
        // Of 0.12 s on eight CPUs 19.2 ms are two hundredths.
        let tolerated = 19 / tick_ms() + 1;
        assert!(!flagged(tolerated, 120));
        assert!(flagged(20 / tick_ms() + 1, 120));
    }
}
