//! Tuning on simulated machines with hidden regimes of 1 to 60 s, over seeds that development never saw.
//!
//! What is measured in one breath holds in one regime; the truth is the mean over all of them.
//! `cargo test --test decide_regimes -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{Machine, RegimeKind, SimulatedBench};
use threadtune::profile::StopReason;
use threadtune::tune::{Bench as _, Options, Step, Tuning, Verdict, VisitPlan};
use threadtune::units::Nanos;

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 160_000..164_800;

struct Case {
    kind: Option<RegimeKind>,
    /// Of the count that is stated, if one is.
    loss: Option<f64>,
    stop: StopReason,
    /// Spent on measuring.
    seconds: f64,
    /// From begin to end.
    lasted: f64,
}

/// Tunes to the end; between visits the machine does other things for as long as the tuning wants to wait, and `more`.
fn tune(tuning: &mut Tuning, bench: &mut SimulatedBench<'_>, more: Nanos) -> Verdict {
    let mut begin = bench.now();
    loop {
        match tuning.step(bench).expect("a simulated bench does not fail") {
            Step::Progress(_) => {}
            Step::Rest(_, wait) => {
                let left = (begin + wait).saturating_sub(bench.now());
                bench.idle(left + more).expect("it may wait");
                bench.renew();
                begin = bench.now();
                tuning.revisit(begin);
            }
            Step::Done(verdict) => return verdict,
        }
    }
}

fn decide(machine: &Machine, seed: u64, plan: Option<VisitPlan>, more: Nanos) -> Case {
    let options = Options {
        seed,
        visit_plan: plan,
        ..Options::counts_only()
    };
    let mut bench = SimulatedBench::new(machine, seed);
    let verdict = tune(
        &mut Tuning::new(machine.layout(), options),
        &mut bench,
        more,
    );
    Case {
        kind: machine.disturbance.regimes(),
        loss: verdict
            .latency
            .map(|l| machine.long_run_loss(l.arm.threads)),
        stop: verdict.stop,
        seconds: verdict.spent.as_secs_f64(),
        lasted: bench.now().as_secs_f64(),
    }
}

fn decide_all(of: impl Fn(u64) -> Case + Sync + Send) -> Vec<Case> {
    GATE.into_par_iter().map(of).collect()
}

fn report(what: &str, cases: &[&Case]) -> f64 {
    let share = |is: &dyn Fn(&Case) -> bool| {
        100.0 * cases.iter().filter(|case| is(case)).count() as f64 / cases.len() as f64
    };
    let wrong = |case: &Case| case.loss.is_some_and(|loss| loss > 0.02);
    let mean = |of: &dyn Fn(&Case) -> f64| {
        (cases.iter().map(|case| of(case).ln()).sum::<f64>() / cases.len() as f64).exp()
    };
    let mistaken = share(&|case| case.stop.is_conclusive() && wrong(case));
    println!(
        "{what}: {} cases, within 2 % {:.2} %, conclusive {:.2} %, conclusive and wrong {mistaken:.2} %, unsteady {:.2} %, {:.2} s, \
         over {:.1} s",
        cases.len(),
        share(&|case| case.loss.is_some_and(|loss| loss <= 0.02)),
        share(&|case| case.stop.is_conclusive()),
        share(&|case| case.stop == StopReason::Unsteady),
        mean(&|case| case.seconds),
        mean(&|case| case.lasted),
    );
    mistaken
}

fn seconds(s: u64) -> Nanos {
    Nanos(s * 1_000_000_000)
}

/// What regimes make of tunings with such visits, with so much done between their visits beside the waiting; how many per
/// cent are conclusive and wrong.
fn on_machines_with_regimes(what: &str, plan: Option<VisitPlan>, more: Nanos) -> f64 {
    let cases = decide_all(|seed| {
        let machine = Machine::generate(seed).with_regimes(seed);
        decide(&machine, seed, plan, more)
    });
    for kind in RegimeKind::ALL {
        let of_kind: Vec<&Case> = cases
            .iter()
            .filter(|case| case.kind == Some(kind))
            .collect();
        report(&format!("    {kind:?}"), &of_kind);
    }
    report(what, &cases.iter().collect::<Vec<_>>())
}

#[test]
fn what_holds_at_three_times_holds_for_longer_than_what_holds_at_one() {
    let plan = Some(VisitPlan::default());
    let once = on_machines_with_regimes("in one go", None, Nanos::ZERO);
    let waiting = on_machines_with_regimes("visits to one workload alone", plan, Nanos::ZERO);
    let in_a_run = on_machines_with_regimes("visits of a longer run", plan, seconds(20));
    // The machines are such that the matter shows.
    assert!(once > 3.5, "{once}");
    assert!(waiting <= 1.0, "{waiting}");
    assert!(in_a_run <= 1.0, "{in_a_run}");
}

#[test]
fn steady_machines_pay_half_as_much_again_at_most() {
    let of = |plan| decide_all(|seed| decide(&Machine::generate(seed), seed, plan, Nanos::ZERO));
    let (once, visited) = (of(None), of(Some(VisitPlan::default())));
    report("steady, in one go", &once.iter().collect::<Vec<_>>());
    let mistaken = report("steady, visits", &visited.iter().collect::<Vec<_>>());
    assert!(mistaken <= 0.5, "{mistaken}");
    let total = |cases: &[Case]| cases.iter().map(|case| case.seconds.ln()).sum::<f64>();
    let ratio = ((total(&visited) - total(&once)) / once.len() as f64).exp();
    println!("cost {ratio:.3} times that of one go");
    assert!(ratio <= 1.5, "{ratio}");
}
