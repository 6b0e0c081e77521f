//! What the counters of a sample mean. Pure.

use super::{tick_ms, window_of};
use crate::machine::Placement;
use crate::tune::Interference;
use crate::worker::protocol::Counters;
use std::time::Duration;

/// A thread kept from its CPU for more than this share of a sample's wall time was disturbed.
const RUN_DELAY_SHARE: f64 = 0.05;
/// A thread that had its CPU for less than this share of its own work was disturbed.
const CPU_SHARE: f64 = 0.95;
/// CPU time stolen beyond one tick, as a share of what the CPUs of an arm had during a sample, that disturbs it. Some
/// hypervisors steal a few thousandths all the time, which every count bears alike.
const STEAL_SHARE: f64 = 0.02;
/// Other processes may use this much of one CPU.
const OTHERS_CPUS: f64 = 0.15;

/// What disturbed a sample of this length on so many CPUs.
pub(super) fn judge(
    counters: &Counters,
    placement: Placement,
    cpus: usize,
    sample: Duration,
) -> Interference {
    // Idle time is counted in steps of 10 ms, a spread of about 4 ms for each CPU; three times that is no evidence.
    let grain = 3.0 * 4.0 * (cpus as f64).sqrt() / (window_of(cpus).as_secs_f64() * 1e3);
    let bound = placement != Placement::Unbound;
    // Stolen time is counted in whole ticks, one of which may have been stolen before.
    let stolen_ms = counters.steal_ms.saturating_sub(tick_ms()) as f64;
    let had_ms = sample.as_secs_f64() * 1e3 * cpus as f64;
    if counters.throttled_by_others_us > 0 {
        Interference::Throttled
    } else if stolen_ms > STEAL_SHARE * had_ms {
        Interference::Steal
    } else if bound
        && (counters.run_delay_share > RUN_DELAY_SHARE || counters.cpu_share < CPU_SHARE)
    {
        Interference::RunDelay
    } else if !bound
        && counters
            .others_cpus
            .is_some_and(|o| o > OTHERS_CPUS + grain)
    {
        Interference::OtherProcesses
    } else {
        Interference::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_arm_is_judged_by_its_threads_and_an_unbound_one_by_the_others() {
        let clean = Counters {
            cpu_share: 1.0,
            ..Counters::default()
        };
        let late = Counters {
            run_delay_share: 0.06,
            ..clean
        };
        let robbed = Counters {
            cpu_share: 0.94,
            ..clean
        };
        let busy = Counters {
            others_cpus: Some(0.9),
            ..clean
        };
        for (counters, bound, unbound) in [
            (clean, Interference::None, Interference::None),
            (late, Interference::RunDelay, Interference::None),
            (robbed, Interference::RunDelay, Interference::None),
            (busy, Interference::None, Interference::OtherProcesses),
            (
                Counters {
                    steal_ms: 1 + tick_ms(),
                    ..clean
                },
                Interference::Steal,
                Interference::Steal,
            ),
            (
                Counters {
                    throttled_us: 1,
                    throttled_by_others_us: 1,
                    ..clean
                },
                Interference::Throttled,
                Interference::Throttled,
            ),
            (
                Counters {
                    throttled_us: 1,
                    ..clean
                },
                Interference::None,
                Interference::None,
            ),
        ] {
            let of = |placement| judge(&counters, placement, 2, Duration::from_millis(1));
            assert_eq!(of(Placement::Close), bound, "{counters:?}");
            assert_eq!(of(Placement::Unbound), unbound, "{counters:?}");
        }
    }

    #[test]
    fn a_busy_cpu_among_very_many_is_seen() {
        for cpus in [2, 64, 384, 4096] {
            let flagged = |others_cpus| {
                let counters = Counters {
                    cpu_share: 1.0,
                    others_cpus: Some(others_cpus),
                    ..Counters::default()
                };
                let sample = Duration::from_millis(1);
                judge(&counters, Placement::Unbound, cpus, sample).is_flagged()
            };
            assert!(!flagged(0.15) && flagged(0.5), "{cpus}");
        }
    }

    #[test]
    fn a_little_stolen_time_is_what_every_count_bears() {
        let flagged = |ticks: u64, sample_ms: u64| {
            let counters = Counters {
                steal_ms: ticks * tick_ms(),
                cpu_share: 1.0,
                ..Counters::default()
            };
            judge(
                &counters,
                Placement::Close,
                8,
                Duration::from_millis(sample_ms),
            )
            .is_flagged()
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
