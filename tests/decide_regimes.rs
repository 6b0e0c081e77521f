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
    kind: Option<RegimeKind>,
    /// Of the count that is stated, if one is.
    loss: Option<f64>,
    is_conclusive: bool,
    seconds: f64,
}

fn decide(machine: &Machine, seed: u64) -> Case {
    let options = Options {
        seed,
        ..Options::counts_only()
    };
    let mut bench = SimulatedBench::new(machine, seed);
    let verdict = Tuning::new(machine.layout(), options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    Case {
        kind: machine.disturbance.regimes(),
        loss: verdict
            .latency
            .map(|l| machine.long_run_loss(l.arm.threads)),
        is_conclusive: verdict.stop.is_conclusive(),
        seconds: verdict.spent.as_secs_f64(),
    }
}

fn decide_all(of: impl Fn(u64) -> Case + Sync) -> Vec<Case> {
    let middle = u64::midpoint(GATE.start, GATE.end);
    thread::scope(|scope| {
        let high = scope.spawn(|| (middle..GATE.end).map(&of).collect::<Vec<Case>>());
        let mut cases: Vec<Case> = (GATE.start..middle).map(&of).collect();
        cases.extend(high.join().expect("no case panics"));
        cases
    })
}

/// Prints what was found; how many per cent are conclusive and wrong.
fn report(what: &str, cases: &[&Case]) -> f64 {
    let share = |is: &dyn Fn(&Case) -> bool| {
        100.0 * cases.iter().filter(|case| is(case)).count() as f64 / cases.len() as f64
    };
    let is_wrong = |case: &Case| case.loss.is_some_and(|loss| loss > 0.02);
    let mistaken = share(&|case| case.is_conclusive && is_wrong(case));
    let log: f64 = cases.iter().map(|case| case.seconds.ln()).sum::<f64>() / cases.len() as f64;
    println!(
        "{what}: {} cases, within 2 % {:.2} %, conclusive {:.2} %, conclusive and wrong {mistaken:.2} %, {:.2} s",
        cases.len(),
        share(&|case| case.loss.is_some_and(|loss| loss <= 0.02)),
        share(&|case| case.is_conclusive),
        log.exp(),
    );
    mistaken
}

/// What the README says of them; and that it is the regimes that make the difference.
#[test]
fn one_go_is_wrong_more_often_where_regimes_change() {
    let changing = decide_all(|seed| decide(&Machine::generate(seed).with_regimes(seed), seed));
    for kind in RegimeKind::ALL {
        let of_kind = changing.iter().filter(|case| case.kind == Some(kind));
        report(&format!("{kind:?}"), &of_kind.collect::<Vec<_>>());
    }
    let changing = report("regimes", &changing.iter().collect::<Vec<_>>());
    let steady = decide_all(|seed| decide(&Machine::generate(seed), seed));
    let steady = report("steady", &steady.iter().collect::<Vec<_>>());
    assert!((4.0..4.7).contains(&changing), "{changing}");
    assert!(steady <= 0.5, "{steady}");
}
