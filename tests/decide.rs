//! The decision procedure against simulated machines whose truth is known: rates over seeds that development never saw.
//!
//! What decides gets samples and a clock only. Warm-up, calibration, switches and waiting count as cost; inconclusive
//! cases are scored too. `cargo test --test decide -- --nocapture` prints the figures.

use rayon::prelude::*;
use std::collections::BTreeMap;
use threadtune::bench::simulated::{Disturbance, Machine, NoiseKind, SimulatedBench, TOPOLOGIES};
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::stats::{geometric_mean, quantile};
use threadtune::tune::{Arm, Bench, Options, Tuning, Verdict, Warmed};
use threadtune::units::{Calls, Nanos, ThreadCount};

/// Seeds of the gates; those below 50 000 are for development.
const GATE: std::ops::Range<u64> = 50_000..51_200;

/// How one simulated workload was decided.
#[derive(Debug, Clone)]
struct Case {
    kind: NoiseKind,
    logical: u32,
    /// True seconds of a call at the best count.
    call: f64,
    loss: f64,
    /// Virtual seconds spent.
    cost: f64,
    stop: StopReason,
    samples: u64,
    /// Did the best count race, and was it then among the ties?
    best_raced: bool,
    best_tied: bool,
}

impl Case {
    fn decide(machine: &Machine, bench: SimulatedBench, seed: u64) -> Self {
        let options = Options {
            seed,
            ..Options::counts_only()
        };
        let widest = Arm {
            threads: machine.layout().logical,
            placement: Placement::Close,
        };
        let mut bench = Warmed::new(bench, widest, Nanos::ZERO, &options);
        let verdict = Tuning::new(machine.layout(), options)
            .run(&mut bench)
            .expect("a simulated bench does not fail");
        // Where nothing is stated, a program falls back on the physical cores.
        let fallback = machine.layout().physical;
        let chosen = verdict.latency.map_or(fallback, |l| l.arm.threads);
        let best = machine.best();
        let raced = |timed: &&threadtune::tune::Timed| timed.raced && timed.arm.threads == best;
        Self {
            kind: machine.disturbance.kind,
            logical: machine.topology.logical(),
            call: machine.true_seconds(best),
            loss: machine.loss(chosen),
            cost: bench.now().as_secs_f64(),
            best_raced: verdict.curve.iter().any(|timed| raced(&timed)),
            best_tied: verdict.ties.contains(&best),
            stop: verdict.stop,
            samples: verdict.samples,
        }
    }
}

/// One result for each seed, in their order.
fn for_seeds<T: Send>(seeds: std::ops::Range<u64>, job: impl Fn(u64) -> T + Sync + Send) -> Vec<T> {
    seeds.into_par_iter().map(job).collect()
}

fn decide_all(seeds: std::ops::Range<u64>, sensitivity: f64) -> Vec<Case> {
    for_seeds(seeds, |seed| {
        let machine = Machine::generate(seed);
        let bench = SimulatedBench::new(&machine, seed).with_flags(sensitivity, 0.01);
        Case::decide(&machine, bench, seed)
    })
}

/// What careful measuring by hand costs: every count in turn, samples of 2 ms, at least ten and at least `least`
/// seconds of them, until the 95 % interval is ±1 %, 3000 samples or 15 s. Virtual seconds, and the loss of the choice.
fn exhaustive(machine: &Machine, seed: u64, least: f64) -> (f64, f64) {
    let mut bench = SimulatedBench::new(machine, seed);
    let clock = |bench: &SimulatedBench| bench.now().as_secs_f64();
    let mut best = (f64::INFINITY, ThreadCount::ONE);
    for n in 1..=machine.topology.logical() {
        let count = ThreadCount::clamped(n as usize);
        let arm = Arm {
            threads: count,
            placement: Placement::Close,
        };
        let begin = clock(&bench);
        let one = bench.sample(arm, Calls::ONE, false).seconds_per_call;
        let calls = Calls::new((0.002 / one + 0.5) as u32);
        let (mut sum, mut squares, mut n) = (0.0, 0.0, 0.0);
        let mean = loop {
            let seconds = bench.sample(arm, calls, false).seconds_per_call;
            n += 1.0;
            sum += seconds;
            squares += seconds * seconds;
            let (mean, elapsed) = (sum / n, clock(&bench) - begin);
            let variance = ((squares - n * mean * mean) / (n - 1.0_f64).max(1.0)).max(0.0);
            let half = 1.96 * (variance / n).sqrt() * (1.0 + 1.2 / n);
            let settled = n >= 10.0 && elapsed >= least && half <= 0.01 * mean;
            if settled || n >= 3000.0 || elapsed > 15.0 && n >= 3.0 {
                break mean;
            }
        };
        if mean < best.0 {
            best = (mean, count);
        }
    }
    (clock(&bench), machine.loss(best.1))
}

fn share<T>(cases: &[T], is: impl Fn(&T) -> bool) -> f64 {
    cases.iter().filter(|case| is(case)).count() as f64 / cases.len().max(1) as f64
}

fn geometric_mean_of(values: impl Iterator<Item = f64>) -> f64 {
    geometric_mean(&values.collect::<Vec<_>>()).expect("there are cases")
}

/// The figures of the gates.
struct Rates {
    within_2: f64,
    within_2_conclusive: f64,
    within_5: f64,
    p99_loss: f64,
    inconclusive: f64,
    best_raced: f64,
    best_tied: f64,
    cost: f64,
}

impl Rates {
    fn of(cases: &[Case]) -> Self {
        let conclusive: Vec<&Case> = cases.iter().filter(|c| c.stop.is_conclusive()).collect();
        let raced: Vec<&Case> = cases.iter().filter(|c| c.best_raced).collect();
        let losses: Vec<f64> = cases.iter().map(|c| c.loss).collect();
        Self {
            within_2: share(cases, |c| c.loss <= 0.02),
            within_2_conclusive: share(&conclusive, |c| c.loss <= 0.02),
            within_5: share(cases, |c| c.loss <= 0.05),
            p99_loss: quantile(&losses, 0.99).unwrap_or(0.0),
            inconclusive: share(cases, |c| !c.stop.is_conclusive()),
            best_raced: share(cases, |c| c.best_raced),
            best_tied: share(&raced, |c| c.best_tied),
            cost: geometric_mean_of(cases.iter().map(|c| c.cost)),
        }
    }

    fn print(&self, name: &str, cases: usize) {
        println!(
            "{name:14} {cases:5} cases  within 2 %: {:6.2} (conclusive {:6.2})  5 %: {:6.2}  p99 {:5.2} %  inconclusive \
             {:5.2}  best raced {:5.1}, then tied {:5.1}  cost {:6.3} s",
            100.0 * self.within_2,
            100.0 * self.within_2_conclusive,
            100.0 * self.within_5,
            100.0 * self.p99_loss,
            100.0 * self.inconclusive,
            100.0 * self.best_raced,
            100.0 * self.best_tied,
            self.cost
        );
    }
}

fn print_by(cases: &[Case], group: impl Fn(&Case) -> String) {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases {
        groups.entry(group(case)).or_default().push(case.clone());
    }
    for (name, cases) in groups {
        Rates::of(&cases).print(&name, cases.len());
    }
}

fn print_all(cases: &[Case]) {
    Rates::of(cases).print("all", cases.len());
    print_by(cases, |case| format!("{:?}", case.kind));
    print_by(cases, |case| match case.logical {
        0..=8 => "CPUs    2–8".into(),
        9..=32 => "CPUs   9–32".into(),
        33..=96 => "CPUs  33–96".into(),
        _ => "CPUs 97–192".into(),
    });
    print_by(cases, |case| match case.call {
        t if t < 1e-4 => "call   < 100 µs".into(),
        t if t < 1e-3 => "call   < 1 ms".into(),
        t if t < 1e-2 => "call  < 10 ms".into(),
        _ => "call ≥ 10 ms".into(),
    });
    let samples: Vec<f64> = cases.iter().map(|case| case.samples as f64).collect();
    println!("samples: median {:?}", quantile(&samples, 0.5));
}

fn print_costs(cases: &[Case], seeds: std::ops::Range<u64>, least: f64) -> f64 {
    let by_hand = for_seeds(seeds, |seed| {
        exhaustive(&Machine::generate(seed), seed, least)
    });
    let ratio = geometric_mean_of(
        by_hand
            .iter()
            .zip(cases)
            .map(|((cost, _), c)| cost / c.cost),
    );
    let sums = by_hand.iter().map(|(cost, _)| cost).sum::<f64>()
        / cases.iter().map(|case| case.cost).sum::<f64>();
    println!(
        "exhaustive, at least {least} s a count: within 2 % {:.1}, {ratio:.1} times our cost in geometric mean, {sums:.1} in sum",
        100.0 * share(&by_hand, |(_, loss)| *loss <= 0.02),
    );
    ratio
}

#[test]
fn gates() {
    let cases = decide_all(GATE, 0.95);
    print_all(&cases);
    let rates = Rates::of(&cases);
    assert!(rates.within_2 >= 0.99);
    assert!(rates.within_2_conclusive >= 0.994);
    assert!(rates.within_5 >= 0.998);
    assert!(rates.p99_loss <= 0.02);
    assert!(rates.inconclusive <= 0.08);
    assert!(rates.best_tied >= 0.95);
    assert!(print_costs(&cases, GATE, 0.5) >= 36.0);
    assert!(print_costs(&cases, GATE, 0.0) >= 9.0);
}

#[test]
fn in_no_kind_of_noise_is_more_than_one_count_in_250_wrong_and_called_conclusive() {
    // Rates so small need many cases of each kind. Without a reserve of racers two kinds are above that.
    let cases = decide_all(GATE.start..GATE.start + 24_000, 0.95);
    for kind in NoiseKind::ALL {
        let of_kind: Vec<&Case> = cases.iter().filter(|c| c.kind == kind).collect();
        let wrong = share(&of_kind, |c| c.stop.is_conclusive() && c.loss > 0.02);
        println!(
            "{kind:?}: {} cases, conclusive and wrong {:.2} %",
            of_kind.len(),
            100.0 * wrong
        );
        assert!(of_kind.len() > 3000 && wrong <= 0.004, "{kind:?}");
    }
}

/// Choice, stop, and the true loss of the efficient count, of the whole procedure: bound race, unbound race, duels.
fn whole(seed: u64) -> (f64, StopReason, Option<f64>, f64) {
    let machine = Machine::generate(seed);
    let mut bench = SimulatedBench::new(&machine, seed);
    let options = Options {
        seed,
        ..Options::default()
    };
    let verdict = Tuning::new(machine.layout(), options)
        .run(&mut bench)
        .expect("a simulated bench does not fail");
    let of = |count: ThreadCount| machine.true_seconds(count);
    let fallback = machine.layout().physical;
    let chosen = verdict.latency.map_or(fallback, |l| l.arm.threads);
    let efficient = verdict
        .efficient
        .map(|e| of(e.arm.threads) / of(chosen) - 1.0);
    (
        machine.loss(chosen),
        verdict.stop,
        efficient,
        bench.now().as_secs_f64(),
    )
}

#[test]
fn two_races_and_the_efficient_count_keep_their_promises() {
    let cases = for_seeds(GATE.start..GATE.start + 2400, whole);
    let conclusive: Vec<_> = cases.iter().filter(|c| c.1.is_conclusive()).collect();
    let efficient: Vec<f64> = conclusive.iter().filter_map(|c| c.2).collect();
    let rates = [
        share(&cases, |c| c.0 <= 0.02),
        share(&conclusive, |c| c.0 <= 0.02),
        share(&efficient, |loss| *loss <= 0.05),
        share(&cases, |c| !c.1.is_conclusive()),
    ];
    println!(
        "whole procedure: within 2 %, conclusive, efficient within 5 %, inconclusive {rates:.4?}, cost {:.3} s",
        geometric_mean_of(cases.iter().map(|c| c.3))
    );
    assert!(rates[0] >= 0.99 && rates[1] >= 0.994);
    assert!(rates[2] >= 0.975, "delta / 2 is what the duels may err");
    assert!(cases.iter().all(|c| c.3 <= 90.0), "time budget");
}

#[test]
fn both_counts_that_programs_take_by_themselves_are_compared_where_they_differ() {
    let mut kinds = [0, 0];
    for seed in GATE.start..GATE.start + 60 {
        let machine = Machine::generate(seed);
        let layout = machine.layout();
        let options = Options {
            seed,
            ..Options::default()
        };
        let verdict = Tuning::new(layout.clone(), options)
            .run(&mut SimulatedBench::new(&machine, seed))
            .expect("a simulated bench does not fail");
        if !verdict.stop.is_conclusive() {
            continue;
        }
        let differ = layout.physical != layout.logical;
        kinds[usize::from(differ)] += 1;
        let threads = [verdict.default, verdict.default_cores].map(|d| d.map(|d| d.threads));
        let cores = differ.then_some(layout.physical);
        assert_eq!(threads, [Some(layout.logical), cores], "{seed}");
    }
    assert!(kinds.iter().all(|kind| *kind > 5), "{kinds:?}");
}

#[test]
#[ignore = "for development: the same figures over other seeds, without gates"]
fn development() {
    let cases = decide_all(0..1500, 0.95);
    print_all(&cases);
    print_costs(&cases, 0..1500, 0.5);
    print_costs(&cases, 0..1500, 0.0);
}

#[test]
fn the_absence_of_flags_is_survived() {
    let seeds = GATE.start..GATE.start + 400;
    for sensitivity in [0.0, 0.5, 1.0] {
        let cases = decide_all(seeds.clone(), sensitivity);
        let rates = Rates::of(&cases);
        rates.print(&format!("flag {sensitivity}"), cases.len());
        // What cannot be seen must still be survived by most: interference is rarer than quiet.
        assert!(rates.within_5 >= 0.95);
    }
}

fn run(machine: &Machine, bench: &mut dyn Bench) -> Verdict {
    let mut tuning = Tuning::new(machine.layout(), Options::counts_only());
    tuning.run(bench).expect("a simulated bench does not fail")
}

#[test]
fn a_machine_that_is_never_quiet_states_no_count() {
    for seed in GATE.take(40) {
        let machine = Machine::generate(seed);
        let mut bench = SimulatedBench::new(&machine, seed).with_flags(1.0, 1.0);
        let verdict = run(&machine, &mut bench);
        assert_eq!(verdict.stop, StopReason::Contaminated);
        assert_eq!(verdict.latency, None);
        assert!(bench.now() <= Nanos::from_secs_f64(90.0));
    }
}

/// The machine of this seed with calls so long that the best count takes `call` seconds.
fn with_calls_of(call: f64, seed: u64) -> Machine {
    let shape = Machine::generate(seed);
    let scale = call / shape.true_seconds(shape.best());
    let times = (1..=shape.topology.logical())
        .map(|n| scale * shape.true_seconds(ThreadCount::clamped(n as usize)))
        .collect();
    Machine::with_times(shape.topology, times, shape.disturbance)
}

fn decide_long(seeds: std::ops::Range<u64>, call: f64) -> Vec<Case> {
    let cases = for_seeds(seeds, |seed| {
        let machine = with_calls_of(call, seed);
        let case = Case::decide(&machine, SimulatedBench::new(&machine, seed), seed);
        let slowest = (1..=machine.topology.logical())
            .map(|n| machine.true_seconds(ThreadCount::clamped(n as usize)))
            .fold(0.0, f64::max);
        // The slowest call may be one that noise or neighbours made longer still.
        assert!(
            case.cost <= 90.0 + 1.5 * slowest,
            "{seed}: {} s, calls of {slowest} s",
            case.cost
        );
        case
    });
    Rates::of(&cases).print(&format!("calls {call} s"), cases.len());
    cases
}

#[test]
#[ignore = "for development: calls of seconds over other seeds"]
fn development_long_calls() {
    for call in [0.2, 0.5, 1.0, 2.0, 5.0, 20.0] {
        let cases = decide_long(0..600, call);
        let mut stops: BTreeMap<String, usize> = BTreeMap::new();
        for case in &cases {
            *stops.entry(format!("{:?}", case.stop)).or_default() += 1;
        }
        let losses: Vec<f64> = cases.iter().map(|c| c.loss).collect();
        println!(
            "   {stops:?} mean loss {:.4} p90 {:.4}",
            losses.iter().sum::<f64>() / losses.len() as f64,
            quantile(&losses, 0.9).unwrap_or(0.0)
        );
    }
}

#[test]
fn long_calls_stay_within_the_budget_and_a_half_and_one_call() {
    for call in [2.0, 20.0] {
        let cases = decide_long(GATE.start..GATE.start + 60, call);
        assert!(cases.iter().all(|case| case.samples > 0));
    }
}

#[test]
fn what_is_claimed_of_long_calls_is_true() {
    // Few are conclusive, as time rarely holds every plausible count; those that are, are right.
    for (call, inconclusive) in [(0.5, 0.65), (1.0, 0.8), (2.0, 0.9)] {
        let rates = Rates::of(&decide_long(GATE.start..GATE.start + 300, call));
        assert!(rates.within_2_conclusive >= 0.99);
        assert!(rates.inconclusive <= inconclusive);
    }
}

#[test]
fn one_cpu_is_single() {
    let mut topology = TOPOLOGIES[0];
    topology.cores_per_package = 1;
    let noise = Disturbance::of_recording(&topology, 0.02);
    let machine = Machine::with_times(topology, vec![1e-4], noise);
    let verdict = run(&machine, &mut SimulatedBench::new(&machine, 1));
    assert_eq!(verdict.stop, StopReason::Single);
    let [low, high] = verdict.latency.expect("one count").ci95;
    assert!(low < high && high / low < 1.2);
}
