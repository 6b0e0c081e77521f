//! How many calls make a sample, from one look at how long a call takes.

use super::constants::MOST_CALLS;
use crate::units::Calls;

/// What timing a few calls of an arm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calibration {
    /// So many calls make a sample.
    Sample(Calls),
    /// One call is too short to tell: time so many together.
    Again(Calls),
}

impl Calibration {
    /// From the seconds per call, of the first call alone or of several, for samples of `aim` seconds.
    pub fn of(per_call: f64, is_first: bool, aim: f64) -> Self {
        if is_first && per_call < aim / 20.0 {
            Self::Again(calls_for(aim / 10.0, per_call))
        } else {
            Self::Sample(calls_for(aim, per_call))
        }
    }
}

/// How many calls of this length fill so many seconds, 1 to 100 000.
pub(super) fn calls_for(seconds: f64, per_call: f64) -> Calls {
    Calls::new((seconds / per_call).round().clamp(1.0, MOST_CALLS) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_shorter_than_a_twentieth_of_a_sample_is_timed_again_with_more() {
        let of = |per_call| Calibration::of(per_call, true, 1e-3);
        assert_eq!(of(4e-6), Calibration::Again(Calls::new(25)));
        assert_eq!(of(5e-5), Calibration::Sample(Calls::new(20)));
        assert_eq!(of(2.0), Calibration::Sample(Calls::ONE));
        assert_eq!(of(1e-30), Calibration::Again(Calls::new(100_000)));
        let several = Calibration::of(4e-6, false, 1e-3);
        assert_eq!(several, Calibration::Sample(Calls::new(250)));
    }
}
