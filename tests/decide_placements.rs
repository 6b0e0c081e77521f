//! The decision procedure where placement matters: simulated machines of several packages or cache groups.
//!
//! `close` and `spread` race at every count at which they are different CPUs, then the best counts race unbound; both
//! answers are scored. `cargo test --test decide_placements -- --nocapture` prints the figures.

use rayon::prelude::*;
use threadtune::bench::simulated::{self, Machine, SimulatedBench};
use threadtune::machine::{CacheGroup, CoreKind, CpuOrder, Placement, Topology};
use threadtune::stats::{geometric_mean, quantile};
use threadtune::tune::{Arm, Bench, Choice, Options, Placements, Tuning, Verdict};
use threadtune::units::{CpuSet, ThreadCount};

/// Seeds of the gate, of which half have placements to choose from; those below are for development.
const GATE: std::ops::Range<u64> = 50_000..52_400;

/// The simulated machine as the kernel would show it: cores first, then their second threads.
fn topology(simulated: &simulated::Topology) -> Topology {
    let cores = simulated.physical();
    let performance = simulated.performance_cores();
    let threads = |core: u32| -> CpuSet {
        let siblings = if core < performance {
            simulated.threads_per_core
        } else {
            1
        };
        (0..siblings).map(|i| core + i * cores).collect()
    };
    let groups = |each: u32| -> Vec<CpuSet> {
        (0..performance.div_ceil(each))
            .map(|group| {
                let last = (group + 1) * each;
                // Efficiency cores are with the last group.
                let last = if last >= performance { cores } else { last };
                (group * each..last)
                    .flat_map(|core| threads(core).iter().collect::<Vec<u32>>())
                    .collect()
            })
            .collect()
    };
    let all: Vec<CpuSet> = (0..cores).map(threads).collect();
    let union =
        |from: u32, to: u32| (from..to).fold(CpuSet::new(), |set, core| set.union(&threads(core)));
    let mut kinds = vec![("performance", 0, performance)];
    if cores > performance {
        kinds.push(("efficiency", performance, cores));
    }
    Topology {
        online: union(0, cores),
        cores: all,
        packages: groups(simulated.cores_per_package),
        dies: Vec::new(),
        nodes: Vec::new(),
        llc: groups(simulated.cores_per_llc)
            .into_iter()
            .map(|cpus| CacheGroup {
                level: 3,
                cpus,
                bytes: None,
            })
            .collect(),
        l3: Vec::new(),
        kinds: kinds
            .into_iter()
            .map(|(name, from, to)| CoreKind {
                name: name.to_owned(),
                cpus: union(from, to),
                cores: (to - from) as usize,
            })
            .collect(),
        notes: Vec::new(),
    }
}

/// How one simulated workload was decided.
#[derive(Debug, Clone)]
struct Case {
    logical: u32,
    call: f64,
    /// Of the bound choice against the best bound arm.
    pinned_loss: f64,
    /// Of the unbound choice against the best unbound count.
    latency_loss: f64,
    /// Is a count stated at all? Where everything was disturbed none is, and the losses are those of the fallback.
    is_stated: bool,
    conclusive: bool,
    cost: f64,
    /// The same with `close` alone.
    close_cost: f64,
    close_pinned_loss: f64,
    close_latency_loss: f64,
}

fn decide(machine: &Machine, placements: Placements, seed: u64) -> (Verdict, f64) {
    let mut bench = SimulatedBench::new(machine, seed);
    let options = Options {
        seed,
        placements,
        ..Options::default()
    };
    let verdict = Tuning::new(machine.layout(), options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    (verdict, bench.now().as_secs_f64())
}

fn case(seed: u64) -> Option<Case> {
    let machine = Machine::generate_placed(seed);
    let topology = topology(&machine.topology);
    let order = CpuOrder::of(&topology, &topology.online);
    let placements = Placements::of_order(&order);
    if placements.at.is_empty() {
        return None;
    }
    let seconds = |threads, placement| machine.true_seconds_of(Arm { threads, placement });
    let counts = || (1..=machine.topology.logical()).map(|n| ThreadCount::clamped(n as usize));
    let least = |times: &mut dyn Iterator<Item = f64>| times.fold(f64::INFINITY, f64::min);
    let close = least(&mut counts().map(|n| seconds(n, Placement::Close)));
    let spread = least(&mut placements.at.keys().map(|n| seconds(*n, Placement::Spread)));
    let bound = close.min(spread);
    let unbound = least(&mut counts().map(|n| seconds(n, Placement::Unbound)));
    let fallback = Arm {
        threads: machine.layout().physical,
        placement: Placement::Close,
    };
    let arm = |choice: Option<Choice>| choice.map_or(fallback, |c| c.arm);
    let pinned_loss =
        |verdict: &Verdict| machine.true_seconds_of(arm(verdict.pinned)) / bound - 1.0;
    // A program runs unbound, whatever the count was decided on.
    let latency_loss = |verdict: &Verdict| {
        seconds(arm(verdict.latency).threads, Placement::Unbound) / unbound - 1.0
    };
    let (verdict, cost) = decide(&machine, placements, seed);
    let (alone, close_cost) = decide(&machine, Placements::default(), seed);
    Some(Case {
        logical: machine.topology.logical(),
        call: bound,
        pinned_loss: pinned_loss(&verdict),
        latency_loss: latency_loss(&verdict),
        is_stated: verdict.latency.is_some(),
        conclusive: verdict.stop.is_conclusive(),
        cost,
        close_cost,
        close_pinned_loss: pinned_loss(&alone),
        close_latency_loss: latency_loss(&alone),
    })
}

/// Machines with placements to choose from, in the order of their seeds.
fn cases(seeds: std::ops::Range<u64>) -> Vec<Case> {
    seeds.into_par_iter().filter_map(case).collect()
}

/// Percent.
fn share<'a>(cases: impl IntoIterator<Item = &'a Case>, is: impl Fn(&Case) -> bool) -> f64 {
    let (mut hits, mut all) = (0, 0);
    for case in cases {
        all += 1;
        hits += u32::from(is(case));
    }
    100.0 * f64::from(hits) / f64::from(all)
}

/// Percent of the conclusive ones.
fn sure(cases: &[Case], is: impl Fn(&Case) -> bool) -> f64 {
    share(cases.iter().filter(|case| case.conclusive), is)
}

/// Of the bound choices.
fn losses(cases: &[Case]) -> Vec<f64> {
    cases.iter().map(|c| c.pinned_loss).collect()
}

/// How much more it costs that `spread` takes part, as a factor (geometric mean).
fn extra_cost(cases: &[Case]) -> f64 {
    let ratios: Vec<f64> = cases.iter().map(|c| c.cost / c.close_cost).collect();
    geometric_mean(&ratios).unwrap_or(f64::NAN)
}

fn report(title: &str, cases: &[Case]) {
    let seconds = |of: fn(&Case) -> f64| cases.iter().map(of).sum::<f64>() / cases.len() as f64;

    println!(
        "{title}: {} cases\n  \
         bound: within 2 % {:.2}, conclusive {:.2}, within 5 % {:.2}, p99 {:.2} %; close alone within 2 % {:.2}\n  \
         unbound: within 2 % {:.2}, conclusive {:.2}, within 5 % {:.2}; close alone within 2 % {:.2}\n  \
         inconclusive {:.1} %; {:.2} s, {:.2} with close alone, geometric mean of the ratio {:.3}",
        cases.len(),
        share(cases, |c| c.pinned_loss <= 0.02),
        sure(cases, |c| c.pinned_loss <= 0.02),
        share(cases, |c| c.pinned_loss <= 0.05),
        100.0 * quantile(&losses(cases), 0.99).unwrap_or(f64::NAN),
        share(cases, |c| c.close_pinned_loss <= 0.02),
        share(cases, |c| c.latency_loss <= 0.02),
        sure(cases, |c| c.latency_loss <= 0.02),
        share(cases, |c| c.latency_loss <= 0.05),
        share(cases, |c| c.close_latency_loss <= 0.02),
        share(cases, |c| !c.conclusive),
        seconds(|c| c.cost),
        seconds(|c| c.close_cost),
        extra_cost(cases),
    );
}

#[test]
fn both_placements_race_and_both_answers_hold() {
    let cases = cases(GATE);
    report("gate", &cases);
    assert!(cases.len() >= 1000, "{}", cases.len());
    let good = |loss: f64| loss <= 0.02;
    assert!(share(&cases, |c| good(c.pinned_loss)) >= 98.0);
    assert!(sure(&cases, |c| good(c.pinned_loss)) >= 99.4);
    let stated = cases.iter().filter(|c| c.is_stated);
    assert!(share(stated, |c| c.pinned_loss <= 0.05) >= 99.8);
    assert!(share(&cases, |c| !c.is_stated) <= 1.0);
    assert!(share(&cases, |c| good(c.latency_loss)) >= 98.0);
    assert!(sure(&cases, |c| good(c.latency_loss)) >= 99.4);
    assert!(extra_cost(&cases) <= 1.3);
    assert!(share(&cases, |c| !c.conclusive) <= 16.0);
    assert!(quantile(&losses(&cases), 0.99).is_some_and(|p99| p99 <= 0.025));
    // The negative control: whoever leaves `spread` out misses the best bound arm that often.
    assert!(share(&cases, |c| !good(c.close_pinned_loss)) >= 10.0);
}

#[test]
#[ignore = "for development seeds; takes a minute"]
fn development() {
    let all = cases(0..6000);
    report("all", &all);
    for logical in [24..64, 64..200] {
        let some: Vec<Case> = all
            .iter()
            .filter(|c| logical.contains(&c.logical))
            .cloned()
            .collect();
        report(&format!("{logical:?} logical CPUs"), &some);
    }
    for seconds in [0.0..1e-4, 1e-4..1e-2, 1e-2..1.0] {
        let some: Vec<Case> = all
            .iter()
            .filter(|c| seconds.contains(&c.call))
            .cloned()
            .collect();
        report(&format!("calls of {seconds:?} s"), &some);
    }
}
