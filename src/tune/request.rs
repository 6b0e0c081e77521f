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
        let answer = self.answer(bench)?;
        let end = bench.now();
        let before = *spent;
        *spent += end - begin;
        Ok(match answer {
            Given::Samples(samples) => Answer::Samples(samples, before..*spent),
            Given::Waited => Answer::Waited,
            Given::Disturbed(stretches) => {
                let on_our_clock = |at: Nanos| *spent - (end - at);
                let ours = |at: Range<Nanos>| on_our_clock(at.start)..on_our_clock(at.end);
                Answer::Judged(stretches.into_iter().map(ours).collect())
            }
        })
    }

    fn answer(&self, bench: &mut dyn Bench) -> Result<Given, BenchError> {
        let plan = match self {
            Self::Idle(time) => return bench.idle(*time).map(|()| Given::Waited),
            Self::Judge => return bench.disturbed().map(Given::Disturbed),
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
            None => Ok(Given::Samples(samples)),
        }
    }
}

/// What a bench gave, on its own clock.
enum Given {
    Samples(Vec<Sample>),
    Waited,
    Disturbed(Vec<Range<Nanos>>),
}

/// What a bench answered. Times are of what is spent on the workload: a bench that takes another's place begins anew.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// One sample an entry of the block, in its order, and when they were taken.
    Samples(Vec<Sample>, Range<Nanos>),
    /// The pause is over.
    Waited,
    /// The machine was disturbed then.
    Judged(Vec<Range<Nanos>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn times_are_told_on_the_clock_of_what_is_spent() {
        /// A bench whose clock stands at a second, which was disturbed a moment ago.
        struct Disturbed;
        impl Bench for Disturbed {
            fn block(&mut self, _: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
                Ok(Vec::new())
            }
            fn idle(&mut self, _: Nanos) -> Result<(), BenchError> {
                Ok(())
            }
            fn disturbed(&mut self) -> Result<Vec<Range<Nanos>>, BenchError> {
                Ok(vec![Nanos(990 * MS)..Nanos(998 * MS), Nanos(0)..Nanos(MS)])
            }
            fn now(&self) -> Nanos {
                Nanos(1000 * MS)
            }
        }
        let mut spent = Nanos(300 * MS);
        let answer = Request::Judge.ask(&mut Disturbed, &mut spent).unwrap();
        // What was before the workload began counts for nothing.
        let expected = vec![Nanos(290 * MS)..Nanos(298 * MS), Nanos::ZERO..Nanos::ZERO];
        assert_eq!((answer, spent), (Answer::Judged(expected), Nanos(300 * MS)));
    }
}
