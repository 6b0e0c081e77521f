//! A visit: a few blocks of two arms, for the difference between them at one time in one process.

use super::calibration::Calibration;
use super::request::{Answer, Request};
use super::{Arm, Bench, BenchError};
use crate::units::{Calls, Nanos};
use rand::seq::SliceRandom;
use rand_pcg::Pcg32;
use std::ops::Range;

/// Times both arms in so many blocks, in an order drawn for each, by samples of this length; log time of the first less
/// that of the second for each block that nothing disturbed, as far as is known when all are taken. Another block comes before them and does not
/// count: it finds the caches as others left them.
pub fn visit(
    bench: &mut dyn Bench,
    arms: [Arm; 2],
    blocks: usize,
    sample: Nanos,
    rng: &mut Pcg32,
) -> Result<Vec<f64>, BenchError> {
    let calls = [
        calibrate(bench, arms[0], sample)?,
        calibrate(bench, arms[1], sample)?,
    ];
    let mut taken: Vec<(Range<Nanos>, f64)> = Vec::with_capacity(blocks);
    for number in 0..=blocks {
        let mut order = [0, 1];
        order.shuffle(rng);
        let plan = order.map(|i| (arms[i], calls[i]));
        let begin = bench.now();
        let samples = samples(bench, plan.to_vec())?;
        if number == 0 || samples.iter().any(|(_, is_flagged)| *is_flagged) {
            continue;
        }
        let log = |arm: usize| {
            let at = order.iter().position(|i| *i == arm);
            at.and_then(|at| samples.get(at))
                .map(|(seconds, _)| seconds.ln())
        };
        if let (Some(first), Some(second)) = (log(0), log(1)) {
            taken.push((begin..bench.now(), first - second));
        }
    }
    // What others did is known late.
    bench.settle()?;
    let disturbed = bench.disturbed();
    let is_clean = |at: &Range<Nanos>| {
        let overlaps = |other: &Range<Nanos>| at.start < other.end && other.start < at.end;
        !disturbed.iter().any(overlaps)
    };
    taken.retain(|(at, _)| is_clean(at));
    Ok(taken
        .into_iter()
        .map(|(_, difference)| difference)
        .collect())
}

/// How many calls of this arm make a sample.
fn calibrate(bench: &mut dyn Bench, arm: Arm, sample: Nanos) -> Result<Calls, BenchError> {
    let mut calls = None;
    loop {
        let plan = vec![(arm, calls.unwrap_or(Calls::ONE))];
        let first = samples(bench, plan)?.first().copied();
        let Some((seconds, _)) = first else {
            return Ok(Calls::ONE);
        };
        match Calibration::of(seconds, calls.is_none(), sample.as_secs_f64()) {
            Calibration::Again(more) => calls = Some(more),
            Calibration::Sample(calls) => return Ok(calls),
        }
    }
}

/// Seconds a call, and whether that was disturbed.
fn samples(bench: &mut dyn Bench, plan: Vec<(Arm, Calls)>) -> Result<Vec<(f64, bool)>, BenchError> {
    let mut spent = Nanos::ZERO;
    Ok(match Request::Block(plan).ask(bench, &mut spent)? {
        Answer::Samples(samples, _) => samples
            .iter()
            .map(|sample| (sample.seconds_per_call, sample.interference.is_flagged()))
            .collect(),
        Answer::Waited | Answer::Judged(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::{Interference, Sample};
    use crate::units::ThreadCount;
    use rand::SeedableRng as _;

    /// Calls of two threads take 4 µs, of one 8 µs; every third block is disturbed and four times as slow. Each block takes
    /// a second, and of the last two it tells late that they were disturbed.
    #[derive(Default)]
    struct Halving {
        plans: Vec<Vec<(u32, u32)>>,
    }

    const SECOND: u64 = 1_000_000_000;

    impl Bench for Halving {
        fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
            let blocks = self.plans.iter().filter(|plan| plan.len() == 2).count();
            let is_disturbed = plan.len() == 2 && blocks % 3 == 2;
            self.plans.push(
                plan.iter()
                    .map(|(arm, calls)| (arm.threads.get(), calls.get()))
                    .collect(),
            );
            let sample = |(arm, calls): &(Arm, Calls)| Sample {
                seconds_per_call: 8e-6 / f64::from(arm.threads.get())
                    * if is_disturbed { 4.0 } else { 1.0 },
                calls: *calls,
                interference: if is_disturbed {
                    Interference::Steal
                } else {
                    Interference::None
                },
                first_call: None,
            };
            Ok(plan.iter().map(sample).collect())
        }

        fn idle(&mut self, _time: Nanos) -> Result<(), BenchError> {
            Ok(())
        }

        fn disturbed(&mut self) -> Vec<Range<Nanos>> {
            let end = self.now();
            vec![Nanos(end.0 - 2 * SECOND)..end]
        }

        fn now(&self) -> Nanos {
            Nanos(self.plans.len() as u64 * SECOND)
        }
    }

    #[test]
    fn undisturbed_blocks_of_samples_of_equal_length_give_the_difference() {
        let arm = |threads| Arm {
            threads: ThreadCount::clamped(threads),
            placement: Placement::Unbound,
        };
        let mut bench = Halving::default();
        let rng = &mut Pcg32::seed_from_u64(3);
        let found = visit(&mut bench, [arm(2), arm(1)], 9, Nanos(1_000_000), rng).unwrap();
        // Of ten blocks the first does not count, nor the three that were disturbed, nor the last of all.
        assert_eq!(found.len(), 5);
        assert!(found.iter().all(|d| (d + 2.0_f64.ln()).abs() < 1e-12));
        // One call, a tenth of a sample, and then whole ones in either order.
        assert_eq!(bench.plans[..2], [vec![(2, 1)], vec![(2, 25)]]);
        assert_eq!(bench.plans[2..4], [vec![(1, 1)], vec![(1, 13)]]);
        let orders: Vec<_> = bench.plans[4..].iter().map(|plan| plan[0]).collect();
        assert_eq!(orders.len(), 10);
        assert!(orders.contains(&(2, 250)) && orders.contains(&(1, 125)));
    }
}
