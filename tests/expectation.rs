//! The expected time of a tuning against the virtual time that simulated machines take, on seeds the fit did not see.
//!
//! `cargo test --test expectation -- --nocapture` prints the figures.

use threadtune::bench::simulated::{Machine, SimulatedBench};
use threadtune::profile::StopReason;
use threadtune::stats::quantile;
use threadtune::tune::{Bench, Options, Tuning, expected_seconds};
use threadtune::units::Nanos;

/// The constants come from the development seeds below these.
const FRESH: std::ops::Range<u64> = 2_700..3_000;

/// Seconds that the whole procedure took over the seconds expected, the limit of a workload applied to both.
fn ratio(seed: u64) -> f64 {
    let machine = Machine::generate(seed);
    let mut bench = SimulatedBench::new(&machine, seed);
    let options = Options {
        seed,
        ..Options::default()
    };
    let limit = options.time_budget.as_secs_f64();
    Tuning::new(machine.layout(), options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    let call = machine.true_seconds(machine.best());
    bench.now().as_secs_f64() / expected_seconds(machine.layout().logical, call).min(limit)
}

#[test]
fn most_tunings_take_as_long_as_expected_within_a_factor_of_three() {
    let ratios: Vec<f64> = FRESH.map(ratio).collect();
    let within = |factor: f64| {
        let near = ratios.iter().filter(|r| r.max(r.recip()) <= factor);
        near.count() as f64 / ratios.len() as f64
    };
    let median = quantile(&ratios, 0.5).expect("there are seeds");
    println!(
        "taken / expected: median {median:.2}, within a factor of 2 {:.2}, 3 {:.2}, 4 {:.2}",
        within(2.0),
        within(3.0),
        within(4.0)
    );
    assert!(within(3.0) >= 0.8);
    assert!((0.8..1.25).contains(&median));
}

/// Why tunings end that have next to no time, where this share of clean samples is flagged and no other.
fn stops_with_next_to_no_time(false_alarm: f64) -> Vec<StopReason> {
    let mut stops = Vec::new();
    for seed in 0..40 {
        let machine = Machine::generate(seed);
        for budget in [0, 1, 1_000_000] {
            let mut bench = SimulatedBench::new(&machine, seed).with_flags(0.0, false_alarm);
            let options = Options {
                time_budget: Nanos(budget),
                ..Options::default()
            };
            let verdict = Tuning::new(machine.layout(), options)
                .run(&mut bench)
                .expect("a simulated bench does not fail");
            stops.push(verdict.stop);
        }
    }
    stops
}

#[test]
fn a_tuning_with_next_to_no_time_ends_undecided() {
    let is_of_time = |stop: &StopReason| matches!(stop, StopReason::Budget | StopReason::Short);
    let quiet = stops_with_next_to_no_time(0.0);
    assert!(quiet.iter().all(is_of_time), "{quiet:?}");
    // Without a sample there is none that was disturbed.
    let disturbed = stops_with_next_to_no_time(1.0);
    let known = |stop: &StopReason| is_of_time(stop) || *stop == StopReason::Contaminated;
    assert!(disturbed.iter().all(known), "{disturbed:?}");
    assert!(disturbed.contains(&StopReason::Contaminated));
}
