//! The error of the stopping rule alone: six arms, five of them 2.1 % slower than the best, noise of 3 % with and
//! without autocorrelation. What is wrong among conclusive races, beside a plain t test at every look.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::thread;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::stats::upper_quantile;
use threadtune::tune::{Arm, Bench, BenchError, Interference, Options, Race, Racer, Sample};
use threadtune::units::{Calls, Nanos, ThreadCount};

const RUNS: u64 = 1000;
/// Seeds that development did not use.
const SEEDS: u64 = 700_000;
const LOOKS: [usize; 15] = [
    5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640,
];
const ARMS: usize = 6;

/// Each arm's noise is a first-order autoregressive series of its own.
struct Slip {
    rng: Pcg64,
    phi: f64,
    noise: [f64; ARMS],
    /// How much more than the others the best arm scatters.
    erratic: f64,
    clock: Nanos,
}

impl Slip {
    fn new(seed: u64, phi: f64, erratic: f64) -> Self {
        Self {
            rng: Pcg64::seed_from_u64(seed),
            phi,
            noise: [0.0; ARMS],
            erratic,
            clock: Nanos::ZERO,
        }
    }

    /// Seconds of the arm with this many threads.
    fn sample(&mut self, threads: usize) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.rng.random::<f64>()).cos();
        let noise = &mut self.noise[threads - 1];
        *noise = self.phi * *noise + (1.0 - self.phi * self.phi).sqrt() * normal;
        self.clock += Nanos(1_000_000);
        let (seconds, spread) = match threads {
            1 => (1.0, 0.03 * self.erratic),
            _ => (1.021, 0.03),
        };
        seconds * (spread * *noise).exp()
    }

    /// The arms in random order, as screening might leave them.
    fn arms(&mut self) -> Vec<usize> {
        let mut arms: Vec<usize> = (1..=ARMS).collect();
        arms.shuffle(&mut self.rng);
        arms
    }
}

impl Bench for Slip {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        Ok(plan
            .iter()
            .map(|(arm, calls)| Sample {
                seconds_per_call: self.sample(arm.threads.as_usize()),
                calls: *calls,
                interference: Interference::None,
            })
            .collect())
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.clock += time;
        Ok(())
    }

    fn now(&self) -> Nanos {
        self.clock
    }
}

/// The count chosen, if the race was conclusive, and its blocks.
fn race(seed: u64, phi: f64) -> (Option<usize>, usize) {
    race_on(Slip::new(seed, phi, 1.0), seed)
}

/// The same where the best arm scatters three times as widely as the others.
fn race_of_an_erratic_best(seed: u64, phi: f64) -> (Option<usize>, usize) {
    race_on(Slip::new(seed, phi, 3.0), seed)
}

fn race_on(mut bench: Slip, seed: u64) -> (Option<usize>, usize) {
    let racers: Vec<Racer> = bench
        .arms()
        .into_iter()
        .map(|n| Racer {
            arm: Arm {
                threads: ThreadCount::clamped(n),
                placement: Placement::Close,
            },
            calls: Calls::ONE,
        })
        .collect();
    let options = Options {
        seed,
        ..Options::counts_only()
    };
    let outcome = Race::run(racers.clone(), &options, &mut bench)
        .expect("the bench does not fail")
        .expect("there are racers");
    let conclusive = outcome.stop.is_conclusive() && outcome.stop != StopReason::Single;
    let threads = racers[outcome.winner].arm.threads.as_usize();
    (conclusive.then_some(threads), outcome.blocks)
}

/// The negative control: the mean is best and t intervals say so, at any look.
fn plain_t(seed: u64, phi: f64) -> (Option<usize>, usize) {
    let mut bench = Slip::new(seed, phi, 1.0);
    let arms = bench.arms();
    let mut logs: Vec<Vec<f64>> = vec![Vec::new(); ARMS];
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    for blocks in 1..=LOOKS[LOOKS.len() - 1] {
        for (log, threads) in logs.iter_mut().zip(&arms) {
            log.push(bench.sample(*threads).ln());
        }
        if !LOOKS.contains(&blocks) {
            continue;
        }
        let n = blocks as f64;
        let means: Vec<f64> = logs.iter().map(|log| mean(log)).collect();
        let best = (0..ARMS).fold(0, |b, i| if means[i] < means[b] { i } else { b });
        let proven = (0..ARMS).filter(|i| *i != best).all(|i| {
            let d: Vec<f64> = logs[i]
                .iter()
                .zip(&logs[best])
                .map(|(a, b)| a - b)
                .collect();
            let m = mean(&d);
            let variance = d.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (n - 1.0);
            upper_quantile(0.05, n - 1.0) * (variance / n).sqrt() - m <= 0.02
        });
        if proven {
            return (Some(arms[best]), blocks);
        }
    }
    (None, LOOKS[LOOKS.len() - 1])
}

/// Share of wrong choices among conclusive races.
fn error(name: &str, phi: f64, begin: u64, rule: fn(u64, f64) -> (Option<usize>, usize)) -> f64 {
    let half = |seeds: std::ops::Range<u64>| seeds.map(|seed| rule(seed, phi)).collect::<Vec<_>>();
    let (middle, end) = (begin + RUNS / 2, begin + RUNS);
    let outcomes = thread::scope(|scope| {
        let second = scope.spawn(|| half(middle..end));
        let mut all = half(begin..middle);
        all.extend(second.join().expect("no race panics"));
        all
    });
    let conclusive: Vec<usize> = outcomes.iter().filter_map(|(choice, _)| *choice).collect();
    let wrong = conclusive.iter().filter(|choice| **choice != 1).count() as f64;
    let mut blocks: Vec<usize> = outcomes.iter().map(|(_, blocks)| *blocks).collect();
    blocks.sort_unstable();
    let rate = wrong / conclusive.len().max(1) as f64;
    println!(
        "autocorrelation {phi}: {name:8} wrong {:5.2} % of {} conclusive, median blocks {}",
        100.0 * rate,
        conclusive.len(),
        blocks[blocks.len() / 2]
    );
    rate
}

#[test]
fn the_stopping_rule_errs_rarely_and_a_plain_t_test_often() {
    for (phi, limit) in [(0.0, 0.03), (0.3, 0.05), (0.6, 0.06)] {
        assert!(error("race", phi, SEEDS, race) <= limit);
        assert!(error("plain t", phi, SEEDS, plain_t) > 0.10);
    }
}

#[test]
#[ignore = "for development: the race's figures over other seeds"]
fn development() {
    for phi in [0.0, 0.3, 0.6, 0.8] {
        for begin in [0, RUNS, 2 * RUNS] {
            error("race", phi, begin, race);
            error("erratic", phi, begin, race_of_an_erratic_best);
        }
    }
}
