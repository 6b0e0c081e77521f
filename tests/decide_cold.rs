//! Tuning on simulated machines that have idled: their clock starts at 40 % and rises while they work, over seeds that
//! development never saw.
//!
//! `cargo test --test decide_cold -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Disturbance, Machine, SimulatedBench, Topology};
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Arm, Options, Tuning, Warmed};
use threadtune::units::Nanos;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 110_000..113_000;
/// Seconds after which a clock has risen by two thirds.
const CONSTANTS: [f64; 4] = [0.01, 0.03, 0.1, 0.3];
const AN_HOUR: Nanos = Nanos(3_600_000_000_000);

struct Case {
    loss: f64,
    stop: StopReason,
}

/// Which machines are simulated.
#[derive(Clone, Copy, Debug)]
enum Family {
    /// As for the gates of `tests/decide.rs`.
    All,
    /// 64 cores, with short calls that a library cuts well for multiples of 16 threads only; 48 are the best.
    Wide,
}

impl Family {
    /// Machines of the second family differ in their noise alone.
    fn seeds(self) -> std::ops::Range<u64> {
        match self {
            Self::All => GATE,
            Self::Wide => GATE.start..GATE.start + 100,
        }
    }

    fn machine(self, seed: u64) -> Machine {
        if matches!(self, Self::All) {
            return Machine::generate(seed);
        }
        let topology = Topology {
            packages: 1,
            cores_per_package: 64,
            threads_per_core: 1,
            efficiency_cores: 0,
            cores_per_llc: 8,
        };
        let times = (1..=64_u32)
            .map(|n| {
                let uneven = if n.is_multiple_of(16) { 1.0 } else { 1.13 };
                1e-3 * uneven * (1.0 / f64::from(n) + f64::from(n) / (44.0 * 44.0))
            })
            .collect();
        Machine::with_times(topology, times, Disturbance::of_recording(&topology, 0.02))
    }
}

/// What is chosen on the machine of this seed whose clock takes so long, warmed up or not.
fn decide(family: Family, seed: u64, constant: f64, warmed: bool) -> Case {
    let machine = family.machine(seed).with_cold_clock(0.4, constant);
    let options = Options {
        seed,
        ..Options::counts_only()
    };
    let layout = machine.layout();
    let physical = layout.physical;
    let widest = Arm {
        threads: layout.logical,
        placement: Placement::Close,
    };
    let mut bench = SimulatedBench::new(&machine, seed);
    let mut tuning = Tuning::new(layout, options.clone());
    let verdict = if warmed {
        tuning.run(&mut Warmed::new(bench, widest, AN_HOUR, &options))
    } else {
        tuning.run(&mut bench)
    }
    .expect("a simulated bench does not fail");
    Case {
        loss: machine.loss(verdict.latency.map_or(physical, |l| l.arm.threads)),
        stop: verdict.stop,
    }
}

/// Shares of all cases within 2 %, and of the conclusive ones that are wrong.
fn rates(family: Family, constant: f64, warmed: bool) -> (f64, f64) {
    let seeds = family.seeds().into_par_iter();
    let cases: Vec<Case> = seeds
        .map(|seed| decide(family, seed, constant, warmed))
        .collect();
    let conclusive: Vec<&Case> = cases.iter().filter(|c| c.stop.is_conclusive()).collect();
    let within = cases.iter().filter(|c| c.loss <= 0.02).count();
    let wrong = conclusive.iter().filter(|c| c.loss > 0.02).count();
    let rates = (
        within as f64 / cases.len() as f64,
        wrong as f64 / conclusive.len().max(1) as f64,
    );
    println!(
        "{family:?}, time constant {:3.0} ms, {}: within 2 % {:5.1}, conclusive and wrong {:5.2}",
        1e3 * constant,
        if warmed { "warmed up" } else { "cold     " },
        100.0 * rates.0,
        100.0 * rates.1
    );
    rates
}

#[test]
fn a_machine_that_has_idled_is_brought_up_to_speed_first() {
    for family in [Family::All, Family::Wide] {
        for constant in CONSTANTS {
            let (within, wrong) = rates(family, constant, true);
            assert!(within >= 0.99, "{family:?}, {constant} s: {within}");
            assert!(wrong <= 0.005, "{family:?}, {constant} s: {wrong}");
        }
    }
}

#[test]
fn without_that_counts_would_be_wrong_and_called_conclusive() {
    // The negative control: the disturbance that the gate is about is strong enough. What was sampled first is sampled
    // again in either case, which is all that the second family needs.
    for constant in [0.03, 0.1] {
        let (_, wrong) = rates(Family::All, constant, false);
        assert!(wrong > 0.01, "{constant} s: {wrong}");
    }
}
