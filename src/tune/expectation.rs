//! How long a tuning will probably take, before anything is measured. Pure.
//!
//! An order of magnitude for whoever waits: what a tuning really takes depends on the noise of the machine and on how
//! close the best counts are to each other, which nobody knows before.

use super::constants::{LOOKS, QUOTA_PERIODS};
use crate::machine::AboveQuota;
use crate::units::ThreadCount;

/// Seconds of the tuning of a call of `UNIT_MS` on one logical CPU.
///
/// This and the three constants below were fitted to the virtual time that the whole procedure (default options) took
/// on the simulated machines of seeds 0 to 2699, least absolute differences of logarithms: half of the tunings took
/// longer and half shorter, and five of six were within a factor of three. `tests/expectation.rs` holds the check.
const SCALE_SECONDS: f64 = 0.085;
/// Power of the number of logical CPUs: more of them are more counts to try.
const CPUS_POWER: f64 = 0.75;
/// Power of the length of a call.
const CALL_POWER: f64 = 0.875;
/// Milliseconds added to a call: samples of shorter ones are no shorter, they hold more calls.
const SAMPLE_MS: f64 = 0.2;

/// Floating-point operations a second of one core. Nominal: single precision, between old and new server cores.
const CORE_FLOPS: f64 = 100e9;
/// Bytes a second from memory to one core. Nominal, as above.
const CORE_BYTES: f64 = 15e9;
/// Power of the number of cores: what a good team of so many gains.
const SPEED_UP_POWER: f64 = 0.75;
/// Bytes a second that one thread fills for the first time. Nominal, page faults included.
const FILLED_BYTES: f64 = 1e9;
/// The shortest call worth assuming, seconds: entering and leaving a parallel region.
const LEAST_CALL: f64 = 2e-6;

/// The seconds that the tuning of a workload takes whose fastest call lasts `call_seconds`, without a limit.
///
/// The median of the simulator, `0.085 · N^0.75 · (call in ms + 0.2)^0.875`; zero for what is no length of time.
pub fn expected_seconds(logical: ThreadCount, call_seconds: f64) -> f64 {
    if !call_seconds.is_finite() || call_seconds < 0.0 {
        return 0.0;
    }
    let cpus = f64::from(logical.get());
    SCALE_SECONDS * cpus.powf(CPUS_POWER) * (call_seconds * 1e3 + SAMPLE_MS).powf(CALL_POWER)
}

/// The seconds that the race of the winner with the count above a quota takes where its first look decides: two arms,
/// samples of some periods with a lead of one before each.
pub fn expected_quota_race_seconds(above: &AboveQuota) -> f64 {
    let period = above.period_us as f64 / 1e6;
    2.0 * f64::from(QUOTA_PERIODS + 1) * period * LOOKS[0] as f64
}

/// About how long the fastest call takes, in seconds, on so many physical cores, from what it computes and moves.
pub fn nominal_call_seconds(cores: ThreadCount, flops: u64, bytes: u64) -> f64 {
    let alone = (flops as f64 / CORE_FLOPS).max(bytes as f64 / CORE_BYTES);
    (alone / f64::from(cores.get()).powf(SPEED_UP_POWER)).max(LEAST_CALL)
}

/// About how long it takes to fill a workload's data, in seconds.
pub fn nominal_opening_seconds(bytes: u64) -> f64 {
    bytes as f64 / FILLED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(n: usize) -> ThreadCount {
        ThreadCount::clamped(n)
    }

    #[test]
    fn more_cpus_and_longer_calls_are_expected_to_take_longer() {
        assert!(expected_seconds(count(2), 1e-3) < expected_seconds(count(4), 1e-3));
        assert!(expected_seconds(count(4), 1e-3) < expected_seconds(count(4), 1e-2));
        assert!(expected_seconds(ThreadCount::ONE, 0.0) > 0.0);
        // 0.085 · 16^0.75 · 1^0.875
        assert!((expected_seconds(count(16), 0.8e-3) - 0.68).abs() < 1e-9);
        for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(expected_seconds(count(4), nonsense), 0.0);
        }
    }

    #[test]
    fn a_call_is_bound_by_arithmetic_or_by_memory_and_is_never_nothing() {
        let one = ThreadCount::ONE;
        assert!((nominal_call_seconds(one, 200_000_000_000, 1) - 2.0).abs() < 1e-9);
        assert!((nominal_call_seconds(one, 1, 30_000_000_000) - 2.0).abs() < 1e-9);
        assert!((nominal_call_seconds(count(16), 1, 30_000_000_000) - 0.25).abs() < 1e-9);
        assert_eq!(nominal_call_seconds(count(16), 0, 0), LEAST_CALL);
        assert!(nominal_call_seconds(one, u64::MAX, u64::MAX).is_finite());
    }
}
