//! Bringing a machine that has idled up to its speed, before anything is measured.
//!
//! Processors lower their clocks when idle and take from milliseconds to a third of a second to raise them again.
//! Whatever is timed meanwhile looks slow, and screening begins at the counts that are likeliest to be the best. On
//! simulated machines whose clock rises from 40 % with time constants of 10 to 300 ms, screening at once chose a count
//! 10 to 16 % slower than the best (`tests/decide_cold.rs`).

use super::calibration::calls_for;
use super::request::{Answer, Request};
use super::{Arm, Bench, BenchError, Options, Sample};
use crate::stats::median;
use crate::units::{Calls, Nanos};
use std::ops::Range;

/// After a longer rest than this the machine is kept busy for so long at least.
const LEAST: Nanos = Nanos(200_000_000);
/// After a shorter rest than this clocks are taken to be as they were.
const SHORT_REST: Nanos = Nanos(5_000_000);
/// The most time that it may take …
const MOST: Nanos = Nanos(2_000_000_000);
/// … and the most of a workload's time budget.
const MOST_SHARE: f64 = 0.05;
/// Aimed duration of its samples: not one of them counts, so few are enough.
const SAMPLE_SECONDS: f64 = 0.005;
/// Samples whose median is compared: one alone may be slow for its own reasons.
const COMPARED: usize = 3;

/// A bench whose machine is at its speed whenever a block begins: after a rest of more than 5 ms the CPUs of the widest
/// arm are kept busy for as long as they rested, 200 ms at most, and until samples as far apart no longer differ by more
/// than eps. It gives up after 2 s or 5 % of the time budget: what is still rising by then rises slowly, and blocks of a
/// race bear that.
///
/// What a burst cannot tell is what a processor sustains: one that heat or a power limit slows after seconds of full load
/// was not yet slowed when it was measured. [`Options::sustained`] asks for a race that knows.
pub struct Warmed<B> {
    bench: B,
    widest: Arm,
    rested: Nanos,
    eps: f64,
    most: Nanos,
    /// That of the workload, if it was one of those that warmed the machine.
    first_call: Option<f64>,
}

impl<B: Bench> Warmed<B> {
    /// This bench on a machine that has `rested` for so long; `widest` is the arm of the most threads that may run.
    pub fn new(bench: B, widest: Arm, rested: Nanos, options: &Options) -> Self {
        Self {
            bench,
            widest,
            rested,
            eps: options.eps,
            most: options.share(MOST_SHARE).min(MOST),
            first_call: None,
        }
    }

    /// The bench itself.
    pub fn inner(&self) -> &B {
        &self.bench
    }

    fn warm_up(&mut self) -> Result<(), BenchError> {
        let least = self.rested.min(LEAST);
        if least < SHORT_REST {
            return Ok(());
        }
        let mut busy = Nanos::ZERO;
        let mut calls = Calls::ONE;
        let mut seen: Vec<(Nanos, f64)> = Vec::new();
        loop {
            let answer =
                Request::Block(vec![(self.widest, calls)]).ask(&mut self.bench, &mut busy)?;
            if let Answer::Samples(samples, _) = answer {
                for sample in samples {
                    self.first_call = self.first_call.or(sample.first_call);
                    calls = calls_for(SAMPLE_SECONDS, sample.seconds_per_call);
                    seen.push((busy, sample.seconds_per_call.ln()));
                }
            }
            if busy >= self.most || busy >= least && is_settled(&seen, least, self.eps) {
                self.rested = Nanos::ZERO;
                return Ok(());
            }
        }
    }
}

impl<B: Bench> Bench for Warmed<B> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        self.warm_up()?;
        let mut samples = self.bench.block(plan)?;
        if let Some(first) = samples.first_mut() {
            first.first_call = first.first_call.or(self.first_call.take());
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.bench.idle(time)?;
        self.rested += time;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), BenchError> {
        let begin = self.bench.now();
        self.bench.settle()?;
        self.rested += self.bench.now() - begin;
        Ok(())
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        self.bench.disturbed()
    }

    fn now(&self) -> Nanos {
        self.bench.now()
    }
}

/// Is the latest sample no faster than the one that was taken so much earlier? Each is the median of its neighbours.
fn is_settled(seen: &[(Nanos, f64)], apart: Nanos, eps: f64) -> bool {
    let Some((now, _)) = seen.last() else {
        return false;
    };
    let Some(before) = seen.iter().rposition(|(at, _)| *at + apart <= *now) else {
        // A call that takes longer than that has warmed the machine by itself.
        return seen.len() == 1;
    };
    let middle = |from: usize| {
        let to = (from + COMPARED).min(seen.len());
        let logs: Vec<f64> = seen[from..to].iter().map(|(_, log)| *log).collect();
        median(&logs)
    };
    let early = middle((before + 1).saturating_sub(COMPARED));
    let late = middle(seen.len().saturating_sub(COMPARED));
    early
        .zip(late)
        .is_some_and(|(early, late)| early - late <= eps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::Interference;
    use crate::units::ThreadCount;

    /// A machine whose calls take `seconds(busy)` once it was busy for so long.
    struct Rising<F> {
        now: f64,
        seconds: F,
        arms: Vec<Arm>,
    }

    impl<F: Fn(f64) -> f64> Bench for Rising<F> {
        fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
            Ok(plan
                .iter()
                .map(|(arm, calls)| {
                    let seconds_per_call = (self.seconds)(self.now);
                    self.now += seconds_per_call * f64::from(calls.get());
                    self.arms.push(*arm);
                    Sample {
                        seconds_per_call,
                        calls: *calls,
                        interference: Interference::None,
                        first_call: None,
                    }
                })
                .collect())
        }

        fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
            self.now += time.as_secs_f64();
            Ok(())
        }

        fn now(&self) -> Nanos {
            Nanos::from_secs_f64(self.now)
        }
    }

    fn widest() -> Arm {
        Arm {
            threads: ThreadCount::clamped(64),
            placement: Placement::Close,
        }
    }

    /// A machine of such calls that has rested for so many seconds, under this time budget.
    fn machine<F: Fn(f64) -> f64>(seconds: F, rested: f64, budget: f64) -> Warmed<Rising<F>> {
        let bench = Rising {
            now: 0.0,
            seconds,
            arms: Vec::new(),
        };
        let options = Options {
            time_budget: Nanos::from_secs_f64(budget),
            ..Options::counts_only()
        };
        Warmed::new(bench, widest(), Nanos::from_secs_f64(rested), &options)
    }

    /// How long it took, in seconds, and how many samples.
    fn took(seconds: impl Fn(f64) -> f64, rested: f64, budget: f64) -> (f64, usize) {
        let mut bench = machine(seconds, rested, budget);
        bench.warm_up().unwrap();
        let inner = &bench.bench;
        assert!(inner.arms.iter().all(|arm| *arm == widest()));
        (inner.now, inner.arms.len())
    }

    #[test]
    fn what_has_not_rested_is_not_warmed() {
        assert_eq!(took(|_| 1e-5, 0.0, 60.0), (0.0, 0));
        assert_eq!(took(|_| 1e-5, 0.004, 60.0), (0.0, 0));
    }

    #[test]
    fn a_steady_machine_takes_as_long_as_it_rested_and_200_ms_at_most() {
        let (short, _) = took(|_| 1e-5, 0.05, 60.0);
        assert!((0.05..0.06).contains(&short), "{short}");
        let (long, samples) = took(|_| 1e-5, 3600.0, 60.0);
        assert!((0.2..0.21).contains(&long), "{long}");
        assert!((40..=42).contains(&samples), "{samples}");
    }

    #[test]
    fn a_rising_clock_is_waited_for() {
        for constant in [0.01, 0.03, 0.1, 0.3] {
            let slowness = |busy: f64| 1.0 / (1.0 - 0.6 * (-busy / constant).exp());
            let (took, _) = took(|busy| 1e-5 * slowness(busy), 3600.0, 60.0);
            assert!(slowness(took) < 1.025, "{constant}: {took} s");
            assert!(took < 1.3, "{constant}: {took} s");
        }
    }

    #[test]
    fn it_gives_up_at_its_share_of_the_budget() {
        // Ever faster.
        let (took_s, _) = took(|busy| 1e-5 * (-busy).exp(), 3600.0, 60.0);
        assert!((2.0..2.02).contains(&took_s), "{took_s}");
        let (took_s, _) = took(|busy| 1e-5 * (-busy).exp(), 3600.0, 1.0);
        assert!((0.05..0.06).contains(&took_s), "{took_s}");
        // One call is all that a short budget bears, and a long call has warmed the machine by itself.
        assert_eq!(took(|_| 0.5, 3600.0, 1.0), (0.5, 1));
        assert_eq!(took(|_| 0.5, 3600.0, 60.0), (0.5, 1));
    }

    #[test]
    fn one_slow_sample_is_no_rising_clock() {
        // The very first call takes ten times as long.
        let first = |busy: f64| if busy == 0.0 { 1e-4 } else { 1e-5 };
        let (took, _) = took(first, 3600.0, 60.0);
        assert!(took < 0.21, "{took}");
    }

    #[test]
    fn every_rest_is_made_up_for_before_the_next_block_and_only_once() {
        let mut bench = machine(|_| 1e-3, 0.0, 60.0);
        let one = Arm {
            threads: ThreadCount::ONE,
            ..widest()
        };
        let plan = [(one, Calls::ONE)];
        bench.block(&plan).unwrap();
        assert_eq!(bench.bench.arms, [one]);
        bench.idle(Nanos(20_000_000)).unwrap();
        bench.idle(Nanos(40_000_000)).unwrap();
        let begin = bench.now();
        bench.block(&plan).unwrap();
        let took = (bench.now() - begin).as_secs_f64();
        assert!((0.061..0.068).contains(&took), "{took}");
        let arms = &bench.bench.arms;
        assert!(arms[1..arms.len() - 1].iter().all(|arm| *arm == widest()));
        assert_eq!(arms.last(), Some(&one));
        let before = arms.len();
        bench.block(&plan).unwrap();
        assert_eq!(bench.bench.arms.len(), before + 1);
    }
}
