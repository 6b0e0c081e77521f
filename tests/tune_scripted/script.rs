//! A bench that follows a script, and what the tests on it share.

use std::collections::BTreeMap;
use std::ops::Range;
use threadtune::machine::Layout;
use threadtune::tune::{Arm, Bench, BenchError, Interference, Options, Sample, Tuning, Verdict};
use threadtune::units::{Calls, Nanos, ThreadCount};

/// What the bench was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Block(Vec<(Arm, u32)>),
    Idle(u64),
}

/// Where in the script a sample is: the arm, how many blocks of several arms were begun, samples taken so far.
pub struct Place {
    pub arm: Arm,
    pub block: usize,
    pub sample: usize,
}

/// A bench whose times and flags are functions of the place in the script.
pub struct Script<'a> {
    seconds: Box<dyn Fn(&Place) -> f64 + 'a>,
    flagged: Box<dyn Fn(&Place) -> bool + 'a>,
    /// Requests (by number) that end in an error.
    pub errors: BTreeMap<usize, BenchError>,
    /// What it tells late of the stretches of time that were disturbed.
    pub disturbed: Vec<Range<Nanos>>,
    pub asked: Vec<Asked>,
    requests: usize,
    blocks: usize,
    samples: usize,
    clock: Nanos,
}

impl<'a> Script<'a> {
    pub fn new(seconds: impl Fn(&Place) -> f64 + 'a) -> Self {
        Self {
            seconds: Box::new(seconds),
            flagged: Box::new(|_| false),
            errors: BTreeMap::new(),
            disturbed: Vec::new(),
            asked: Vec::new(),
            requests: 0,
            blocks: 0,
            samples: 0,
            clock: Nanos::ZERO,
        }
    }

    pub fn flagging(mut self, flagged: impl Fn(&Place) -> bool + 'a) -> Self {
        self.flagged = Box::new(flagged);
        self
    }

    fn refused(&mut self) -> Result<(), BenchError> {
        self.requests += 1;
        match self.errors.remove(&self.requests) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The counts of blocks of one arm, without repetitions: the order of screening.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = self
            .asked
            .iter()
            .filter_map(|asked| match asked {
                Asked::Block(plan) if plan.len() == 1 => Some(plan[0].0.threads.get()),
                _ => None,
            })
            .collect();
        order.dedup();
        order
    }

    /// The sizes of the blocks of several arms.
    pub fn sizes(&self) -> Vec<usize> {
        let sizes = self.asked.iter().map(|asked| match asked {
            Asked::Block(plan) => plan.len(),
            Asked::Idle(_) => 0,
        });
        sizes.filter(|size| *size > 1).collect()
    }

    pub fn pauses_ms(&self) -> Vec<u64> {
        let pauses = self.asked.iter().filter_map(|asked| match asked {
            Asked::Idle(nanos) => Some(nanos / 1_000_000),
            Asked::Block(_) => None,
        });
        pauses.collect()
    }
}

impl Bench for Script<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        self.refused()?;
        self.asked.push(Asked::Block(
            plan.iter()
                .map(|(arm, calls)| (*arm, calls.get()))
                .collect(),
        ));
        self.blocks += usize::from(plan.len() > 1);
        let mut samples = Vec::new();
        for (arm, calls) in plan {
            self.samples += 1;
            let place = Place {
                arm: *arm,
                block: self.blocks,
                sample: self.samples,
            };
            let seconds = (self.seconds)(&place);
            self.clock += Nanos::from_secs_f64(seconds * f64::from(calls.get()));
            samples.push(Sample {
                seconds_per_call: seconds,
                calls: *calls,
                first_call: None,
                interference: if (self.flagged)(&place) {
                    Interference::RunDelay
                } else {
                    Interference::None
                },
            });
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.refused()?;
        self.asked.push(Asked::Idle(time.0));
        self.clock += time;
        Ok(())
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        std::mem::take(&mut self.disturbed)
    }

    fn now(&self) -> Nanos {
        self.clock
    }
}

/// A noise of ±`width` that depends on the number of the sample only.
pub fn jitter(sample: usize, width: f64) -> f64 {
    let mixed = (sample as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    1.0 + width * (2.0 * (mixed as f64 / f64::from(1_u32 << 31)) - 1.0)
}

pub fn count(n: u32) -> ThreadCount {
    ThreadCount::clamped(n as usize)
}

/// One package of cores with two threads each, or of single ones.
pub fn layout(logical: u32, physical: u32) -> Layout {
    Layout {
        logical: count(logical),
        physical: count(physical),
        cores_of_kinds: vec![physical],
        cores_per_package: physical,
        threads_per_core: logical / physical,
        cores_per_llc: physical,
    }
}

/// Times by count, the first for one thread.
pub fn table(times: &[f64]) -> impl Fn(&Place) -> f64 + '_ {
    |place| times[place.arm.threads.as_usize() - 1] * jitter(place.sample, 0.002)
}

pub fn decide(script: &mut Script, layout: Layout, options: Options) -> Verdict {
    Tuning::new(layout, options).run(script).unwrap()
}

pub fn chosen(verdict: &Verdict) -> u32 {
    verdict.latency.unwrap().arm.threads.get()
}
