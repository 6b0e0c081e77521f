//! Full load before and between samples, for what bursts cannot know.
//!
//! A processor may draw more power for some seconds than it can sustain, so whatever is timed in bursts of milliseconds
//! runs at clocks that many busy CPUs do not keep. Once the limit holds, the clock follows the number of busy CPUs: wide
//! teams lose by it, narrow ones hardly. So all CPUs are kept busy for seconds first, and again before every sample; nor
//! do they rest while a disturbance passes, as clocks recover within seconds.
//!
//! What it still cannot know: how fast an arm would be that ran alone for minutes in a case that warms up slowly. Heat
//! that full load left counts against narrow teams, too.

use super::calibration::calls_for;
use super::constants::LOADS;
use super::request::{Answer, Request};
use super::{Arm, Sample};
use crate::units::{Calls, Nanos};
use serde::{Deserialize, Serialize};
use std::iter;

/// Aimed duration of one block of load, seconds: who asks to stop waits for one at most.
const BLOCK_SECONDS: f64 = 0.1;

/// All CPUs are kept busy, whatever else is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FullLoad {
    /// What keeps them busy.
    pub arm: Arm,
    /// Calls of one of its blocks.
    calls: Calls,
    /// For how long that is to last before anything is measured.
    left: Nanos,
}

impl FullLoad {
    /// Load by this arm, for so long to begin with.
    pub fn new(arm: Arm, time: Nanos) -> Self {
        Self {
            arm,
            calls: Calls::ONE,
            left: time,
        }
    }

    /// The machine has rested: it begins anew.
    pub fn begin_anew(&mut self, time: Nanos) {
        self.left = time;
    }

    /// Is nothing to be measured yet?
    pub fn is_due(&self) -> bool {
        self.left > Nanos::ZERO
    }

    /// What to ask a bench for where this is wanted: load before every sample, or in the place of a pause.
    pub fn around(&self, wanted: &Request) -> Request {
        let blocks = |n: usize| Request::Block(vec![(self.arm, self.calls); n]);
        match wanted {
            _ if self.is_due() => blocks(1),
            Request::Judge => Request::Judge,
            Request::Idle(time) => {
                blocks((time.as_secs_f64() / BLOCK_SECONDS).ceil().max(1.0) as usize)
            }
            Request::Block(plan) => Request::Block(
                plan.iter()
                    .flat_map(|(arm, calls)| {
                        iter::repeat_n((self.arm, *calls), LOADS).chain([(*arm, *calls)])
                    })
                    .collect(),
            ),
        }
    }

    /// The answer to what was wanted, from that to [`Self::around`], which took so long; `None`: it was load alone.
    pub fn answer(&mut self, wanted: &Request, answer: Answer, took: Nanos) -> Option<Answer> {
        let Answer::Samples(samples, taken) = answer else {
            return Some(answer);
        };
        if self.is_due() {
            self.left = self.left.saturating_sub(took);
            if let Some(Sample {
                seconds_per_call, ..
            }) = samples.last()
            {
                self.calls = calls_for(BLOCK_SECONDS, *seconds_per_call);
            }
            return None;
        }
        Some(match wanted {
            Request::Idle(_) | Request::Judge => Answer::Waited,
            Request::Block(_) => {
                let of_arms = samples.into_iter().skip(LOADS).step_by(LOADS + 1);
                Answer::Samples(of_arms.collect(), taken)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::Interference;
    use crate::units::ThreadCount;

    fn arm(threads: usize) -> Arm {
        Arm {
            threads: ThreadCount::clamped(threads),
            placement: Placement::Close,
        }
    }

    fn samples(seconds: &[f64]) -> Answer {
        let sample = |seconds_per_call: &f64| Sample {
            seconds_per_call: *seconds_per_call,
            calls: Calls::ONE,
            interference: Interference::None,
            first_call: None,
        };
        Answer::Samples(seconds.iter().map(sample).collect(), Nanos::ZERO..Nanos(1))
    }

    #[test]
    fn nothing_is_measured_before_the_load_has_lasted_and_again_after_a_rest() {
        let mut load = FullLoad::new(arm(8), Nanos(250_000_000));
        let wanted = Request::Block(vec![(arm(2), Calls::new(7))]);
        assert_eq!(
            load.around(&wanted),
            Request::Block(vec![(arm(8), Calls::ONE)])
        );
        // Its blocks come to a tenth of a second.
        assert_eq!(load.answer(&wanted, samples(&[1e-3]), Nanos(1)), None);
        let block = Request::Block(vec![(arm(8), Calls::new(100))]);
        assert_eq!(load.around(&wanted), block);
        assert_eq!(
            load.answer(&wanted, samples(&[1e-3]), Nanos(200_000_000)),
            None
        );
        assert!(load.is_due());
        assert_eq!(
            load.answer(&wanted, samples(&[1e-3]), Nanos(100_000_000)),
            None
        );
        assert!(!load.is_due());
        load.begin_anew(Nanos(1));
        assert!(load.is_due());
        assert_eq!(load.around(&wanted), block);
    }

    #[test]
    fn load_goes_before_every_sample_and_only_samples_come_back() {
        let mut load = FullLoad::new(arm(8), Nanos::ZERO);
        let (two, three) = ((arm(2), Calls::new(7)), (arm(3), Calls::new(5)));
        let wanted = Request::Block(vec![two, three]);
        let (before_two, before_three) = ((arm(8), Calls::new(7)), (arm(8), Calls::new(5)));
        let mut plan = vec![before_two; LOADS];
        plan.push(two);
        plan.extend([before_three; LOADS]);
        plan.push(three);
        assert_eq!(load.around(&wanted), Request::Block(plan));
        let mut seconds = vec![1.0; LOADS];
        seconds.push(0.2);
        seconds.extend([1.0; LOADS]);
        seconds.push(0.3);
        let answer = load.answer(&wanted, samples(&seconds), Nanos(1));
        assert_eq!(answer, Some(samples(&[0.2, 0.3])));
    }

    #[test]
    fn a_pause_is_a_pause_for_others_only() {
        let mut load = FullLoad::new(arm(8), Nanos::ZERO);
        let wanted = Request::Idle(Nanos(320_000_000));
        let block = (arm(8), Calls::ONE);
        assert_eq!(load.around(&wanted), Request::Block(vec![block; 4]));
        let answer = load.answer(&wanted, samples(&[1.0; 4]), Nanos(1));
        assert_eq!(answer, Some(Answer::Waited));
    }
}
