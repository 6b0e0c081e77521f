//! Samples from the repetitions of a recording, on a virtual clock.

use super::recording::Repetition;
use super::simulated::{LONG_CALL, SWITCH, WAKE, WARM_UP};
use crate::stats::median;
use crate::tune::{Arm, Bench, BenchError, Interference, Sample};
use crate::units::{Calls, Nanos};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, BTreeSet};

/// Fewest draws of which a median is taken, else the mean.
const MEDIAN_FROM: usize = 5;
/// A median hides flagged timings below this share of all.
const HIDDEN: f64 = 0.3;
/// From fewer blocks than this none is drawn whole: a few blocks again and again would look like certainty.
pub const LEAST_BLOCKS: usize = 5;

/// Samples drawn from repetitions of one visit with replacement: single ones, or those of one block where blocks were
/// recorded.
pub(super) struct RecordedBench<'a> {
    arms: BTreeMap<Arm, Vec<&'a Repetition>>,
    blocks: Vec<BTreeMap<Arm, Vec<&'a Repetition>>>,
    rng: Pcg64,
    /// Virtual seconds.
    clock: f64,
    /// The arm that ran last.
    awake: Option<Arm>,
}

impl<'a> RecordedBench<'a> {
    /// For what was recorded of one workload in this visit.
    pub fn new(recorded: &'a BTreeMap<Arm, Vec<Repetition>>, visit: u32, seed: u64) -> Self {
        let mut arms: BTreeMap<Arm, Vec<&Repetition>> = BTreeMap::new();
        let mut blocks: BTreeMap<&str, BTreeMap<Arm, Vec<&Repetition>>> = BTreeMap::new();
        for (arm, repetitions) in recorded {
            for repetition in repetitions.iter().filter(|r| r.visit == visit) {
                arms.entry(*arm).or_default().push(repetition);
                if let Some(block) = &repetition.block {
                    let arms = blocks.entry(block).or_default();
                    arms.entry(*arm).or_default().push(repetition);
                }
            }
        }
        Self {
            arms,
            blocks: blocks.into_values().collect(),
            // Each visit draws for itself.
            rng: Pcg64::seed_from_u64(seed ^ u64::from(visit - 1)),
            clock: 0.0,
            awake: None,
        }
    }

    /// The arms of this visit.
    pub fn arms(&self) -> BTreeSet<Arm> {
        self.arms.keys().copied().collect()
    }

    /// The repetitions from which each arm of a request is drawn.
    fn pools(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Vec<&'a Repetition>>, BenchError> {
        let mut holding = |arms: &[(Arm, Calls)], least: usize| {
            let all = |block: &&BTreeMap<Arm, Vec<&'a Repetition>>| {
                arms.iter().all(|(arm, _)| block.contains_key(arm))
            };
            let holding: Vec<_> = self.blocks.iter().filter(all).collect();
            (holding.len() >= least).then(|| holding[self.rng.random_range(0..holding.len())])
        };
        if let Some(block) = holding(plan, LEAST_BLOCKS) {
            return Ok(plan.iter().map(|(arm, _)| block[arm].clone()).collect());
        }
        plan.iter()
            .map(|request| {
                let (arm, _) = request;
                if let Some(block) = holding(std::slice::from_ref(request), 1) {
                    return Ok(block[arm].clone());
                }
                let recorded = self.arms.get(arm).cloned();
                recorded.ok_or_else(|| BenchError::Failed(format!("{arm} was not recorded")))
            })
            .collect()
    }

    fn sample(&mut self, arm: Arm, calls: Calls, pool: &[&Repetition]) -> Sample {
        if self.awake != Some(arm) {
            self.awake = Some(arm);
            let call = pool[self.rng.random_range(0..pool.len())].seconds;
            self.clock += SWITCH
                + if call < LONG_CALL {
                    call * (1.0 + WARM_UP)
                } else {
                    WAKE
                };
        }
        let mut values = Vec::new();
        let mut left = calls.get();
        let mut flagged = 0;
        while left > 0 {
            let drawn = pool[self.rng.random_range(0..pool.len())];
            let taken = left.min(drawn.calls);
            left -= taken;
            self.clock += drawn.seconds * f64::from(taken);
            flagged += usize::from(drawn.flagged);
            values.push(drawn.seconds);
        }
        let (seconds_per_call, is_flagged) = if values.len() < MEDIAN_FROM {
            let sum: f64 = values.iter().sum();
            (sum / values.len() as f64, flagged > 0)
        } else {
            let share = flagged as f64 / values.len() as f64;
            (median(&values).unwrap_or(0.0), share >= HIDDEN)
        };
        Sample {
            seconds_per_call,
            calls,
            first_call: None,
            interference: if is_flagged {
                Interference::RunDelay
            } else {
                Interference::None
            },
        }
    }
}

impl Bench for RecordedBench<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let pools = self.pools(plan)?;
        Ok(plan
            .iter()
            .zip(pools)
            .map(|((arm, calls), pool)| self.sample(*arm, *calls, &pool))
            .collect())
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.clock += time.as_secs_f64();
        Ok(())
    }

    fn now(&self) -> Nanos {
        Nanos::from_secs_f64(self.clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::units::ThreadCount;

    fn arm(threads: usize) -> Arm {
        Arm {
            threads: ThreadCount::clamped(threads),
            placement: Placement::Close,
        }
    }

    /// Repetitions of so many seconds and calls.
    fn recorded(rows: &[(usize, f64, u32)]) -> BTreeMap<Arm, Vec<Repetition>> {
        let mut arms: BTreeMap<Arm, Vec<Repetition>> = BTreeMap::new();
        for (threads, seconds, calls) in rows {
            arms.entry(arm(*threads)).or_default().push(Repetition {
                seconds: *seconds,
                calls: *calls,
                flagged: false,
                block: None,
                visit: 1,
                time_s: None,
            });
        }
        arms
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-8
    }

    #[test]
    fn a_sample_takes_its_calls_and_changing_the_team_costs_a_call_or_a_region() {
        let arms = recorded(&[(1, 0.001, 1), (2, 0.02, 1)]);
        let mut bench = RecordedBench::new(&arms, 1, 1);
        let mut clock = 0.0;
        for (threads, calls, cost) in [
            (1, 7, SWITCH + 0.001 * (1.0 + WARM_UP) + 0.007),
            (1, 2, 0.002),
            (2, 3, SWITCH + WAKE + 0.06),
        ] {
            let samples = bench.block(&[(arm(threads), Calls::new(calls))]).unwrap();
            clock += cost;
            assert_eq!(samples[0].calls, Calls::new(calls));
            assert!(near(bench.now().as_secs_f64(), clock), "{threads} threads");
        }
        bench.idle(Nanos(5_000_000)).unwrap();
        assert!(near(bench.now().as_secs_f64(), clock + 0.005));
        assert!(bench.block(&[(arm(3), Calls::ONE)]).is_err());
    }

    #[test]
    fn from_five_timings_on_the_median_is_taken_and_a_timing_of_many_calls_is_one() {
        // One of three timings is far off: a mean of four shows it, a median of 101 does not.
        let arms = recorded(&[
            (1, 1.0, 1),
            (1, 1.0, 1),
            (1, 10.0, 1),
            (2, 1.0, 50),
            (2, 10.0, 50),
            (2, 100.0, 50),
        ]);
        let mut bench = RecordedBench::new(&arms, 1, 1);
        let mut sample = |threads, calls| {
            let plan = [(arm(threads), Calls::new(calls))];
            bench.block(&plan).unwrap()[0].seconds_per_call
        };
        let means: Vec<f64> = (0..20).map(|_| sample(1, 4)).collect();
        assert!(means.iter().any(|mean| *mean > 1.5), "{means:?}");
        assert!((0..20).all(|_| sample(1, 101) == 1.0));
        // Two of them make a hundred calls, so that all means of two come up; a median of a hundred would be 10.
        let of_two: Vec<f64> = (0..60).map(|_| sample(2, 100)).collect();
        for mean in [1.0, 5.5, 10.0, 50.5, 55.0, 100.0] {
            assert!(of_two.contains(&mean), "{mean}: {of_two:?}");
        }
    }

    #[test]
    fn a_median_hides_few_flagged_timings_and_a_mean_none() {
        let mut arms = recorded(&[(1, 1.0, 1); 10]);
        arms.get_mut(&arm(1)).unwrap()[0].flagged = true;
        let mut bench = RecordedBench::new(&arms, 1, 1);
        let mut flagged = |calls| -> usize {
            let mut one = || {
                bench.block(&[(arm(1), Calls::new(calls))]).unwrap()[0]
                    .interference
                    .is_flagged()
            };
            (0..200).filter(|_| one()).count()
        };
        assert_eq!(flagged(1000), 0);
        // A tenth of single timings, and 1 − 0.9⁴ of the means of four.
        assert!((10..32).contains(&flagged(1)));
        assert!((50..90).contains(&flagged(4)));
    }

    #[test]
    fn a_block_is_drawn_whole_unless_few_hold_all_arms() {
        let with_blocks = |blocks: usize| {
            let mut arms = recorded(&[]);
            for block in 0..blocks {
                for threads in 1..=3 {
                    arms.entry(arm(threads)).or_default().push(Repetition {
                        seconds: 1.0 + block as f64,
                        calls: 1,
                        flagged: false,
                        block: Some(block.to_string()),
                        visit: 1,
                        time_s: None,
                    });
                }
            }
            arms
        };
        let plan: Vec<_> = (1..=3).map(|n| (arm(n), Calls::ONE)).collect();
        let is_whole = |blocks: usize| {
            let arms = with_blocks(blocks);
            let mut bench = RecordedBench::new(&arms, 1, 1);
            (0..20).all(|_| {
                let samples = bench.block(&plan).unwrap();
                samples
                    .windows(2)
                    .all(|pair| pair[0].seconds_per_call == pair[1].seconds_per_call)
            })
        };
        assert!(is_whole(LEAST_BLOCKS));
        assert!(!is_whole(LEAST_BLOCKS - 1));
    }
}
