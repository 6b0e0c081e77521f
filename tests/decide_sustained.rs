//! Tuning on simulated machines whose processor sustains less power than it may draw for a few seconds, over seeds that
//! development never saw: what is best in bursts is too wide then.
//!
//! `cargo test --test decide_sustained -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Disturbance, Machine, SimulatedBench, Topology};
use threadtune::machine::Placement;
use threadtune::tune::{Arm, Options, Tuning, Warmed};
use threadtune::units::Nanos;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 130_000..130_500;
const AN_HOUR: Nanos = Nanos(3_600_000_000_000);
const LOAD: Nanos = Nanos(10_000_000_000);

/// Which machines are simulated; all sustain a third to a half of the power of all CPUs, averaged over 3 to 8 s.
#[derive(Clone, Copy, Debug)]
enum Family {
    /// 64 cores whose best count in bursts is far from the best under load.
    Wide,
    /// As for the gates of `tests/decide.rs`, with all their noise.
    All,
}

impl Family {
    fn machine(self, seed: u64) -> Machine {
        let machine = match self {
            Self::Wide => wide(seed),
            Self::All => Machine::generate(seed),
        };
        machine.with_power_limit(0.34 + 0.16 * part(seed, 9), 3.0 + 5.0 * part(seed, 5))
    }
}

/// A part from 0 to 1, in so many steps.
fn part(seed: u64, steps: u64) -> f64 {
    (seed % steps) as f64 / (steps - 1) as f64
}

/// A machine of 64 cores, with calls of about 30 or 300 µs whose best count in bursts is from 44 to 64.
fn wide(seed: u64) -> Machine {
    let topology = Topology {
        packages: 1,
        cores_per_package: 64,
        threads_per_core: 1,
        efficiency_cores: 0,
        cores_per_llc: 8,
    };
    let best = 44.0 + 20.0 * part(seed, 11);
    let one = 1e-3 * 10_f64.powf(part(seed, 2));
    let times = (1..=64_u32)
        .map(|n| one * (1.0 / f64::from(n) + f64::from(n) / (best * best)))
        .collect();
    Machine::with_times(topology, times, Disturbance::of_recording(&topology, 0.02))
}

/// What a choice loses in bursts, and for ever.
#[derive(Clone, Copy)]
struct Case {
    burst: f64,
    sustained: f64,
    is_conclusive: bool,
}

fn decide(family: Family, seed: u64, sustained: Option<Nanos>) -> Case {
    let machine = family.machine(seed);
    let options = Options {
        seed,
        sustained,
        ..Options::counts_only()
    };
    let layout = machine.layout();
    let physical = layout.physical;
    let widest = Arm {
        threads: layout.logical,
        placement: Placement::Close,
    };
    let bench = SimulatedBench::new(&machine, seed);
    let mut bench = Warmed::new(bench, widest, AN_HOUR, &options);
    let verdict = Tuning::new(layout, options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    let chosen = verdict.latency.map_or(physical, |l| l.arm.threads);
    Case {
        burst: machine.loss(chosen),
        sustained: machine.sustained_loss(chosen),
        is_conclusive: verdict.stop.is_conclusive(),
    }
}

/// Shares of all cases within 2 % of the best in bursts, and of the best under load; and of the conclusive ones that are
/// further from the latter.
fn rates(family: Family, sustained: Option<Nanos>) -> [f64; 3] {
    let seeds = GATE.into_par_iter();
    let cases: Vec<Case> = seeds.map(|seed| decide(family, seed, sustained)).collect();
    let share = |of: &[Case], is: fn(&Case) -> bool| {
        of.iter().filter(|case| is(case)).count() as f64 / of.len().max(1) as f64
    };
    let conclusive: Vec<Case> = cases.iter().copied().filter(|c| c.is_conclusive).collect();
    let rates = [
        share(&cases, |case| case.burst <= 0.02),
        share(&cases, |case| case.sustained <= 0.02),
        share(&conclusive, |case| case.sustained > 0.02),
    ];
    println!(
        "{family:?}, {}: within 2 % of the best in bursts {:5.1}, of the best under load {:5.1}; conclusive {:5.1}, and \
         wrong under load {:5.2}",
        sustained.map_or("bursts", |_| "10 s of full load"),
        100.0 * rates[0],
        100.0 * rates[1],
        100.0 * conclusive.len() as f64 / cases.len() as f64,
        100.0 * rates[2],
    );
    rates
}

#[test]
fn after_full_load_what_is_sustained_is_chosen() {
    // Where calls take so long that the time does not hold both races, bursts are what is known, and inconclusive.
    for (family, least) in [(Family::Wide, 0.99), (Family::All, 0.97)] {
        let [_, within, wrong] = rates(family, Some(LOAD));
        assert!(within >= least, "{family:?}: {within}");
        assert!(wrong <= 0.005, "{family:?}: {wrong}");
    }
}

#[test]
fn bursts_choose_what_is_best_in_bursts() {
    // The negative control: the two optima are far apart, and bursts do not see it.
    let [burst, within, wrong] = rates(Family::Wide, None);
    assert!(burst >= 0.99 && within <= 0.1, "{burst}, {within}");
    assert!(wrong > 0.9, "and they call it conclusive: {wrong}");
    let [_, within, _] = rates(Family::All, None);
    assert!(within < 0.9, "{within}");
}
