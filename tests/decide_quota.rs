//! Tuning on simulated machines under a CPU quota between two whole numbers: the count below leaves part of a CPU unused,
//! the one above is stopped for part of every period, and which is better depends on how the work scales.
//!
//! `cargo test --test decide_quota -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Disturbance, Machine, SimulatedBench, Topology};
use threadtune::machine::{AboveQuota, Layout};
use threadtune::profile::StopReason;
use threadtune::tune::{Options, Tuning, Verdict};
use threadtune::units::ThreadCount;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 140_000..140_300;
const PERIOD_US: u64 = 100_000;

/// A machine of eight cores under the quota of this seed, with calls from 0.1 to 30 ms of which a serial part cannot be
/// shared; and how many threads the quota pays in full.
fn machine(seed: u64) -> (Machine, f64) {
    let topology = Topology {
        packages: 1,
        cores_per_package: 8,
        threads_per_core: 1,
        efficiency_cores: 0,
        cores_per_llc: 8,
    };
    let pick = |of: &[f64], stride: u64| of[(seed / stride) as usize % of.len()];
    let quota = pick(&[1.5, 1.1, 1.9, 2.5, 3.25, 3.99, 5.5], 1);
    let serial = pick(&[0.0, 0.1, 0.3, 0.6, 0.9], 7);
    let one = pick(&[1e-4, 1e-3, 3e-2], 35);
    let times = (1..=8)
        .map(|n| one * (serial + (1.0 - serial) / f64::from(n)))
        .collect();
    let noise = Disturbance::of_recording(&topology, 0.02);
    let machine = Machine::with_times(topology, times, noise);
    (machine.with_quota(quota, PERIOD_US as f64 / 1e6), quota)
}

fn tuned(seed: u64, period_us: u64) -> Verdict {
    let (machine, quota) = machine(seed);
    let paid = ThreadCount::clamped(quota as usize);
    let layout = Layout {
        logical: paid,
        physical: paid,
        cores_of_kinds: vec![paid.get()],
        cores_per_package: paid.get(),
        threads_per_core: 1,
        cores_per_llc: paid.get(),
    };
    let options = Options {
        seed,
        above_quota: Some(AboveQuota {
            threads: ThreadCount::clamped(quota as usize + 1),
            cpus: quota,
            period_us,
        }),
        ..Options::default()
    };
    Tuning::new(layout, options)
        .run(&mut SimulatedBench::new(&machine, seed))
        .expect("a simulated bench does not fail")
}

struct Case {
    /// Was the count above the quota chosen, and is it the better one by more than 2 %, or the worse one?
    above: bool,
    gain: f64,
    loss: f64,
    stop: StopReason,
}

fn cases(period_us: u64) -> Vec<Case> {
    let seeds = GATE.into_par_iter();
    seeds
        .map(|seed| {
            let (machine, quota) = machine(seed);
            let verdict = tuned(seed, period_us);
            let within = verdict.latency.expect("a count").arm.threads;
            let above = verdict
                .one_above
                .filter(|one| one.won)
                .map(|one| one.choice.arm.threads);
            let seconds = |count: ThreadCount| machine.seconds_under_quota(count);
            let all = (1..=quota as usize + 1).map(ThreadCount::clamped);
            let best = all.map(seconds).fold(f64::INFINITY, f64::min);
            Case {
                above: above.is_some(),
                gain: seconds(within) / seconds(ThreadCount::clamped(quota as usize + 1)) - 1.0,
                loss: seconds(above.unwrap_or(within)) / best - 1.0,
                stop: verdict.stop,
            }
        })
        .collect()
}

fn share(of: &[Case], is: impl Fn(&Case) -> bool) -> f64 {
    of.iter().filter(|case| is(case)).count() as f64 / of.len() as f64
}

#[test]
fn the_better_of_the_two_neighbours_of_a_quota_is_found() {
    let cases = cases(PERIOD_US);
    let within = share(&cases, |case| case.loss <= 0.02);
    println!(
        "within 2 % {:5.1}; the count above: better by over 2 % in {:5.1}, chosen in {:5.1}; conclusive {:5.1}",
        100.0 * within,
        100.0 * share(&cases, |case| case.gain > 0.02),
        100.0 * share(&cases, |case| case.above),
        100.0 * share(&cases, |case| case.stop.is_conclusive()),
    );
    assert!(within >= 0.99, "{within}");
    // Neither of the two is always right.
    assert!(share(&cases, |case| case.above && case.gain > 0.02) > 0.2);
    assert!(share(&cases, |case| !case.above && case.gain < -0.02) > 0.2);
}

#[test]
fn samples_shorter_than_a_period_do_not_see_what_a_quota_costs() {
    // The negative control: five periods of a millisecond are over before the quota is used up.
    let cases = cases(PERIOD_US / 100);
    let wrong = share(&cases, |case| case.loss > 0.02);
    println!("samples of 5 ms: wrong in {:5.1}", 100.0 * wrong);
    assert!(wrong > 0.1, "{wrong}");
}
