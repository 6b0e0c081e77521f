//! Tuning on simulated machines with hidden regimes of 1 to 60 s, over seeds that development never saw.
//!
//! What is measured in one breath holds in one regime; the truth is the mean over all of them.
//! `cargo test --test decide_regimes -- --nocapture` prints the figures.

use std::thread;
use threadtune::bench::simulated::{Machine, RegimeKind, SimulatedBench};
use threadtune::tune::{Options, Tuning};

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 160_000..162_400;

struct Case {
    kind: RegimeKind,
    /// Of the count that is stated, if one is.
    loss: Option<f64>,
    is_conclusive: bool,
    seconds: f64,
}

fn decide(seed: u64) -> Case {
    let machine = Machine::generate(seed).with_regimes(seed);
    let options = Options {
        seed,
        ..Options::counts_only()
    };
    let mut bench = SimulatedBench::new(&machine, seed);
    let verdict = Tuning::new(machine.layout(), options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    let kind = machine.disturbance.regimes();
    Case {
        kind: kind.expect("the machine has regimes"),
        loss: verdict
            .latency
            .map(|l| machine.long_run_loss(l.arm.threads)),
        is_conclusive: verdict.stop.is_conclusive(),
        seconds: verdict.spent.as_secs_f64(),
    }
}

#[test]
#[ignore = "diagnostic"]
fn figures() {
    let of = |seeds: std::ops::Range<u64>| -> Vec<Case> { seeds.map(decide).collect() };
    let middle = u64::midpoint(GATE.start, GATE.end);
    let cases = thread::scope(|scope| {
        let high = scope.spawn(|| of(middle..GATE.end));
        let mut cases = of(GATE.start..middle);
        cases.extend(high.join().expect("no case panics"));
        cases
    });
    let line = |what: &str, cases: &[&Case]| {
        let share = |n: usize, of: usize| 100.0 * n as f64 / of.max(1) as f64;
        let conclusive = cases.iter().filter(|case| case.is_conclusive).count();
        let wrong = |case: &&&Case| case.loss.is_some_and(|loss| loss > 0.02);
        let mistaken = cases
            .iter()
            .filter(|case| case.is_conclusive)
            .filter(wrong)
            .count();
        let within = cases
            .iter()
            .filter(|case| case.loss.is_some_and(|loss| loss <= 0.02))
            .count();
        let log: f64 = cases.iter().map(|case| case.seconds.ln()).sum::<f64>() / cases.len() as f64;
        println!(
            "{what}: {} cases, within 2 % {:.2} %, conclusive {:.2} %, conclusive and wrong {:.2} %, {:.2} s",
            cases.len(),
            share(within, cases.len()),
            share(conclusive, cases.len()),
            share(mistaken, cases.len()),
            log.exp(),
        );
    };
    for kind in RegimeKind::ALL {
        let of_kind: Vec<&Case> = cases.iter().filter(|case| case.kind == kind).collect();
        line(&format!("{kind:?}"), &of_kind);
    }
    line("all", &cases.iter().collect::<Vec<_>>());
}
