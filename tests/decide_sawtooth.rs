//! Tuning on large simulated machines where a count differs from its neighbours by 5 to 25 %, so that a count that was
//! not sampled may be the best, whatever its neighbours give; over seeds that development never saw.
//!
//! `cargo test --test decide_sawtooth -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Machine, SimulatedBench};
use threadtune::profile::StopReason;
use threadtune::stats::quantile;
use threadtune::tune::{Options, Tuning};
use threadtune::units::Nanos;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 130_000..130_800;

struct Case {
    /// Of the count that is stated, or of the physical cores.
    loss: f64,
    stop: StopReason,
    /// Share of the time that was left.
    left: f64,
    best_raced: bool,
}

fn decide(seed: u64, budget_s: u64) -> Case {
    let machine = Machine::generate_sawtooth(seed);
    let options = Options {
        seed,
        time_budget: Nanos(budget_s * 1_000_000_000),
        ..Options::counts_only()
    };
    let verdict = Tuning::new(machine.layout(), options)
        .run(&mut SimulatedBench::new(&machine, seed))
        .expect("a simulated bench does not fail");
    let best = machine.best();
    let chosen = verdict
        .latency
        .map_or(machine.layout().physical, |l| l.arm.threads);
    Case {
        loss: machine.loss(chosen),
        left: 1.0 - verdict.spent.as_secs_f64() / budget_s as f64,
        best_raced: verdict
            .curve
            .iter()
            .any(|timed| timed.raced && timed.arm.threads == best),
        stop: verdict.stop,
    }
}

/// Shares of all cases.
struct Rates {
    within_2: f64,
    conclusive_and_wrong: f64,
    inconclusive: f64,
    /// Inconclusive with over a quarter of the time left.
    gave_up_early: f64,
}

fn rates(seeds: std::ops::Range<u64>, budget_s: u64) -> Rates {
    let seeds = seeds.into_par_iter();
    let cases: Vec<Case> = seeds.map(|seed| decide(seed, budget_s)).collect();
    let share = |is: &dyn Fn(&Case) -> bool| {
        cases.iter().filter(|case| is(case)).count() as f64 / cases.len() as f64
    };
    let losses: Vec<f64> = cases.iter().map(|case| case.loss).collect();
    let rates = Rates {
        within_2: share(&|c| c.loss <= 0.02),
        conclusive_and_wrong: share(&|c| c.stop.is_conclusive() && c.loss > 0.02),
        inconclusive: share(&|c| !c.stop.is_conclusive()),
        gave_up_early: share(&|c| !c.stop.is_conclusive() && c.left > 0.25),
    };
    println!(
        "{budget_s} s, {} cases: within 2 % {:.2}, conclusive and wrong {:.2}, inconclusive {:.2} (with over a quarter of \
         the time left {:.2}), p99 loss {:.2} %, mean loss {:.3} %, best not raced {:.2}, mean time left {:.2}",
        cases.len(),
        100.0 * rates.within_2,
        100.0 * rates.conclusive_and_wrong,
        100.0 * rates.inconclusive,
        100.0 * rates.gave_up_early,
        100.0 * quantile(&losses, 0.99).unwrap_or(f64::NAN),
        100.0 * losses.iter().sum::<f64>() / losses.len() as f64,
        100.0 * share(&|c| !c.best_raced),
        100.0 * cases.iter().map(|c| c.left).sum::<f64>() / cases.len() as f64,
    );
    rates
}

#[test]
fn a_minute_decides_nearly_all_and_a_few_seconds_most() {
    // What screening took before it could use the time that the race does not need: 4.9, 24.9 and 44.2 % inconclusive,
    // nearly all of them with over a quarter of the time left.
    for (budget_s, within_2, inconclusive, gave_up_early) in [
        (60, 0.99, 0.02, 0.005),
        (20, 0.985, 0.16, 0.01),
        (10, 0.97, 0.32, 0.03),
    ] {
        let rates = rates(GATE, budget_s);
        assert!(rates.within_2 >= within_2, "{budget_s} s");
        assert!(rates.conclusive_and_wrong <= 0.005, "{budget_s} s");
        assert!(rates.inconclusive <= inconclusive, "{budget_s} s");
        assert!(rates.gave_up_early <= gave_up_early, "{budget_s} s");
    }
}

#[test]
#[ignore = "for development: the same figures over other seeds, without gates"]
fn development() {
    for budget_s in [10, 20, 60] {
        rates(0..3000, budget_s);
    }
}
