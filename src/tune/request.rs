//! What a bench is asked for, and what it answers.

use super::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use std::ops::Range;

/// What a bench is asked for next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    /// Samples of these arms, in this order.
    Block(Vec<(Arm, Calls)>),
    /// A pause.
    Idle(Nanos),
    /// What is known only late: when was the machine disturbed?
    Judge,
}

impl Request {
    /// Asks the bench, adds to `spent` what that took, and rejects an answer that is no measurement. After an error
    /// nothing was spent.
    pub fn ask(&self, bench: &mut dyn Bench, spent: &mut Nanos) -> Result<Answer, BenchError> {
        let begin = bench.now();
        let answer = self.answer(bench, begin)?;
        *spent += bench.now() - begin;
        Ok(answer)
    }

    fn answer(&self, bench: &mut dyn Bench, begin: Nanos) -> Result<Answer, BenchError> {
        let plan = match self {
            Self::Idle(time) => return bench.idle(*time).map(|()| Answer::Waited),
            Self::Judge => {
                bench.settle()?;
                return Ok(Answer::Judged(bench.disturbed()));
            }
            Self::Block(plan) => plan,
        };
        let samples = bench.block(plan)?;
        if samples.len() != plan.len() {
            let text = format!("{} samples for {} arms", samples.len(), plan.len());
            return Err(BenchError::Nonsense(text));
        }
        match samples
            .iter()
            .map(|sample| sample.seconds_per_call)
            .find(|seconds| !(seconds.is_finite() && *seconds > 0.0))
        {
            Some(seconds) => Err(BenchError::Nonsense(format!("{seconds} s"))),
            None => Ok(Answer::Samples(samples, begin..bench.now())),
        }
    }
}

/// What a bench answered; times are on its clock.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// One sample an entry of the block, in its order, and when they were taken.
    Samples(Vec<Sample>, Range<Nanos>),
    /// The pause is over.
    Waited,
    /// The machine was disturbed then.
    Judged(Vec<Range<Nanos>>),
}
