//! The error of the stopping rule alone: six arms, five of them 2.1 % slower than the best, noise of 3 % with and
//! without autocorrelation. What is wrong among conclusive races, beside a plain t test at every look.

mod autocorrelated;

use autocorrelated::{ARMS, Autocorrelated};
use rand::seq::SliceRandom;
use std::thread;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::stats::upper_quantile;
use threadtune::tune::{Arm, Options, Race, Racer};
use threadtune::units::{Calls, ThreadCount};

const RUNS: u64 = 1000;
/// Seeds that development did not use.
const SEEDS: u64 = 700_000;
const LOOKS: [usize; 15] = [
    5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640,
];

/// The best arm, which scatters so many times as widely as the others, and those.
fn bench(seed: u64, phi: f64, erratic: f64) -> Autocorrelated {
    let mut arms = [(1.021e-3, 0.03); ARMS];
    arms[0] = (1e-3, 0.03 * erratic);
    Autocorrelated::new(seed, phi, arms)
}

/// The arms in random order, as screening might leave them.
fn shuffled(bench: &mut Autocorrelated) -> Vec<usize> {
    let mut arms: Vec<usize> = (1..=ARMS).collect();
    arms.shuffle(&mut bench.rng);
    arms
}

/// The count chosen, if the race was conclusive, and its blocks.
fn race(seed: u64, phi: f64) -> (Option<usize>, usize) {
    race_on(bench(seed, phi, 1.0), seed)
}

/// The same where the best arm scatters three times as widely as the others.
fn race_of_an_erratic_best(seed: u64, phi: f64) -> (Option<usize>, usize) {
    race_on(bench(seed, phi, 3.0), seed)
}

fn race_on(mut bench: Autocorrelated, seed: u64) -> (Option<usize>, usize) {
    let racers: Vec<Racer> = shuffled(&mut bench)
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
    let mut bench = bench(seed, phi, 1.0);
    let arms = shuffled(&mut bench);
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
