//! Tuning on simulated machines some of whose CPUs others use all the time, over seeds that development never saw.
//!
//! Large teams are disturbed most, so that few threads look best: what is stated must not follow from that.
//! `cargo test --test decide_busy -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Machine, SimulatedBench};
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Arm, Options, Patience, Tuning, Warmed};
use threadtune::units::Nanos;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 120_000..120_600;

struct Case {
    /// Has a core of the machine a second thread, on which a neighbour slows it unseen?
    has_smt: bool,
    /// Of the count that is stated, if one is.
    loss: Option<f64>,
    stop: StopReason,
}

/// What is stated on the machine of this seed while others use this share of its CPUs, one at least, so many of the samples
/// that they disturb are flagged, and there is so much patience.
fn decide(seed: u64, share: f64, sensitivity: f64, patience: Patience) -> Case {
    let machine = Machine::generate(seed);
    let cpus = (share * f64::from(machine.topology.logical())).max(1.0) as u32;
    let machine = machine.with_neighbours(cpus);
    let options = Options {
        seed,
        patience,
        ..Options::counts_only()
    };
    let layout = machine.layout();
    let has_smt = layout.threads_per_core > 1;
    let widest = Arm {
        threads: layout.logical,
        placement: Placement::Close,
    };
    let bench = SimulatedBench::new(&machine, seed).with_flags(sensitivity, 0.01);
    let verdict = Tuning::new(layout, options.clone())
        .run(&mut Warmed::new(bench, widest, Nanos::ZERO, &options))
        .expect("a simulated bench does not fail");
    Case {
        has_smt,
        loss: verdict.latency.map(|l| machine.loss(l.arm.threads)),
        stop: verdict.stop,
    }
}

fn decide_all(share: f64, sensitivity: f64, patience: Patience) -> Vec<Case> {
    let seeds = GATE.into_par_iter();
    seeds
        .map(|seed| decide(seed, share, sensitivity, patience))
        .collect()
}

/// Conclusive, and more than 2 % slower than the best.
fn is_wrong(case: &Case) -> bool {
    case.stop.is_conclusive() && case.loss.is_some_and(|loss| loss > 0.02)
}

#[test]
fn on_a_busy_machine_no_wrong_count_is_called_conclusive() {
    for (share, patience) in [
        (0.0, Patience::Long),
        (0.25, Patience::Long),
        (0.5, Patience::Long),
        (0.0, Patience::Short),
        (0.25, Patience::Short),
    ] {
        let cases = decide_all(share, 0.95, patience);
        let count = |is: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| is(case)).count();
        let conclusive = count(&|case| case.stop.is_conclusive());
        let wrong: Vec<&Case> = cases.iter().filter(|case| is_wrong(case)).collect();
        println!(
            "neighbours on {share} of the CPUs, one at least, {patience:?} patience: {} cases, stated {}, conclusive {conclusive}, of these wrong {}",
            cases.len(),
            count(&|case| case.loss.is_some()),
            wrong.len(),
        );
        assert!(wrong.iter().all(|case| case.has_smt));
        assert!(wrong.len() * 200 <= cases.len(), "{}", wrong.len());
        // Nearly all say why they state nothing.
        let contaminated = count(&|case| case.stop == StopReason::Contaminated);
        assert!(contaminated * 100 >= cases.len() * 97, "{contaminated}");
    }
}

/// Where nothing is flagged, or half of it, the same machines give wrong counts that are called conclusive.
#[test]
fn the_flag_matters() {
    let wrong = [0.0, 0.5, 0.95].map(|sensitivity| {
        let cases = decide_all(0.0, sensitivity, Patience::Long);
        let wrong = cases.iter().filter(|case| is_wrong(case)).count();
        println!(
            "{sensitivity} of disturbed samples flagged: {wrong} of {} wrong",
            cases.len()
        );
        wrong
    });
    assert!(wrong[0] > 10 * wrong[2] && wrong[0] > 100, "{wrong:?}");
}
