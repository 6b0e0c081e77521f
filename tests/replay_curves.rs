//! Published thread sweeps of real machines, replayed: those with repetitions are chosen on the odd and scored on the
//! even ones; a table of 1788 matrix products holds one value a count, which is spread.
//!
//! The data is read in place from `../shared/curves`; where it is absent the test says so and counts as skipped.
//! `cargo test --test replay_curves -- --nocapture` prints the figures.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use threadtune::bench::{
    RecordedMachine, RecordedWorkload, Recording, ReplayOptions, Replayed, replay,
};
use threadtune::report::ReplaySummary;
use threadtune::stats::{geometric_mean, median};
use threadtune::units::Nanos;

#[derive(Deserialize)]
struct Curves {
    curve: Vec<Curve>,
}

/// What `curves.toml` says about a curve.
#[derive(Deserialize)]
struct Curve {
    id: String,
    machine: String,
    workload: String,
    unit: String,
    better: String,
    aggregate: String,
}

#[derive(Deserialize)]
struct Machines {
    machine: Vec<Machine>,
}

#[derive(Deserialize)]
struct Machine {
    id: String,
    sockets: u32,
    physical_cores: u32,
    logical_cpus: u32,
}

/// One row of `samples.csv`.
#[derive(Deserialize)]
struct Sample {
    curve_id: String,
    threads: u32,
    rep: u32,
    value: f64,
}

/// Seconds of a curve's repetitions, by count: those to choose from, and those to score with.
#[derive(Default)]
struct Halves {
    odd: BTreeMap<u32, Vec<f64>>,
    even: BTreeMap<u32, Vec<f64>>,
}

impl Curve {
    /// A published value in seconds of one call.
    fn seconds(&self, value: f64) -> f64 {
        match (self.unit.as_str(), self.better.as_str()) {
            ("us", "lower") => value * 1e-6,
            ("ms", "lower") => value * 1e-3,
            ("s", "lower") => value,
            // Square matrix products: 2 n³ operations.
            ("GFLOPS", "higher") => {
                let size = self.workload.split("n=").nth(1).unwrap();
                let digits = size.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                2.0 * digits.parse::<f64>().unwrap().powi(3) / (value * 1e9)
            }
            other => panic!("{}: unknown unit {other:?}", self.id),
        }
    }

    /// Is the first repetition a cold call, which no summary of this curve counts?
    fn is_cold(&self, rep: u32) -> bool {
        rep == 1 && self.aggregate.contains("cold")
    }
}

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/curves");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {} is absent", folder.display());
    None
}

/// The long format, of the odd repetitions.
fn long(id: &str, halves: &Halves) -> String {
    let mut text = "workload,threads,seconds\n".to_owned();
    for (threads, times) in &halves.odd {
        for seconds in times {
            let _ = writeln!(text, "{id},{threads},{seconds}");
        }
    }
    text
}

struct Scored {
    id: String,
    threads: u32,
    best: u32,
    ratio: f64,
    /// Of the count whose odd repetitions have the least median, for comparison.
    least_median: f64,
    conclusive: bool,
    seconds: f64,
}

fn score(id: &str, halves: &Halves, replayed: &Replayed) -> Scored {
    let even: BTreeMap<u32, f64> = halves
        .even
        .iter()
        .map(|(n, v)| (*n, median(v).unwrap()))
        .collect();
    let least = |medians: &BTreeMap<u32, f64>| {
        let least = medians.iter().min_by(|a, b| a.1.total_cmp(b.1));
        least.map(|(n, seconds)| (*n, *seconds)).unwrap()
    };
    let (best, best_seconds) = least(&even);
    let odd = halves
        .odd
        .iter()
        .map(|(n, v)| (*n, median(v).unwrap()))
        .collect();
    let threads = replayed
        .verdict
        .latency
        .expect("nothing is flagged")
        .arm
        .threads
        .get();
    Scored {
        id: id.to_owned(),
        threads,
        best,
        ratio: even[&threads] / best_seconds,
        least_median: even[&least(&odd).0] / best_seconds,
        conclusive: replayed.verdict.stop.is_conclusive(),
        seconds: replayed.verdict.spent.as_secs_f64(),
    }
}

/// All curves with repetitions at every count, chosen with this budget.
fn replay_all(folder: &Path, budget_s: u64) -> Vec<Scored> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let curves: Curves = toml::from_str(&read("curves.toml")).unwrap();
    let machines: Machines = toml::from_str(&read("machines.toml")).unwrap();
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for sample in csv::Reader::from_path(folder.join("samples.csv"))
        .unwrap()
        .deserialize()
    {
        let sample: Sample = sample.unwrap();
        samples
            .entry(sample.curve_id.clone())
            .or_default()
            .push(sample);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut scored = Vec::new();
    for curve in &curves.curve {
        let Some(samples) = samples.get(&curve.id) else {
            continue;
        };
        let mut halves = Halves::default();
        for sample in samples.iter().filter(|s| !curve.is_cold(s.rep)) {
            let half = if sample.rep % 2 == 1 {
                &mut halves.odd
            } else {
                &mut halves.even
            };
            half.entry(sample.threads)
                .or_default()
                .push(curve.seconds(sample.value));
        }
        if halves.odd.len() != halves.even.len() {
            println!(
                "SKIPPED: {}: some counts have one repetition only",
                curve.id
            );
            continue;
        }
        let machine = machines
            .machine
            .iter()
            .find(|m| m.id == curve.machine)
            .unwrap();
        let paths = [
            directory.path().join("r.csv"),
            directory.path().join("m.toml"),
        ];
        fs::write(&paths[0], long(&curve.id, &halves)).unwrap();
        fs::write(&paths[1], machine.to_toml()).unwrap();
        let recording = Recording::read(&paths[..1]).unwrap();
        let machine = RecordedMachine::read(&paths[1]).unwrap();
        recording.check_against(&machine).unwrap();
        let options = ReplayOptions {
            seed: 0,
            time_budget: Nanos(budget_s * 1_000_000_000),
            noise: 0.0,
        };
        let replayed = replay(&recording.workloads[0], &machine, &options).unwrap();
        scored.push(score(&curve.id, &halves, &replayed));
    }
    scored
}

impl Machine {
    fn to_toml(&self) -> String {
        format!(
            "packages = {}\ncores_per_package = {}\nthreads_per_core = {}\n",
            self.sockets,
            self.physical_cores / self.sockets,
            self.logical_cpus / self.physical_cores
        )
    }
}

fn share(scored: &[Scored], limit: f64, ratio: impl Fn(&Scored) -> f64) -> f64 {
    scored.iter().filter(|s| ratio(s) <= limit).count() as f64 / scored.len() as f64
}

fn print(title: &str, scored: &mut [Scored]) {
    let ratios: Vec<f64> = scored.iter().map(|s| s.ratio).collect();
    println!(
        "{title}: {} curves, {} conclusive; within 2 %: {:.1}, within 5 %: {:.1}, ratio {:.4}; \
         the least median of all odd repetitions: {:.1}, {:.1}",
        scored.len(),
        scored.iter().filter(|s| s.conclusive).count(),
        100.0 * share(scored, 1.02, |s| s.ratio),
        100.0 * share(scored, 1.05, |s| s.ratio),
        geometric_mean(&ratios).unwrap(),
        100.0 * share(scored, 1.02, |s| s.least_median),
        100.0 * share(scored, 1.05, |s| s.least_median),
    );
    scored.sort_by(|a, b| b.ratio.total_cmp(&a.ratio));
    for s in scored.iter().take(12) {
        println!(
            "  {:40} chose {:3}, best {:3}: {:.3} (least median {:.3}, conclusive {}, {:.1} s)",
            s.id, s.threads, s.best, s.ratio, s.least_median, s.conclusive, s.seconds
        );
    }
}

/// Recorded at 1 to 96 threads on two packages of 24 cores with two threads each.
#[test]
fn matrix_products_at_every_count_are_decided_within_the_gates() {
    let Some(folder) = folder() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("machine.toml");
    fs::write(
        &path,
        "packages = 2\ncores_per_package = 24\nthreads_per_core = 2\ncores_per_llc = 24\n",
    )
    .unwrap();
    let machine = RecordedMachine::read(&path).unwrap();
    let recording = Recording::read(&[folder.join("gadi_sgemm_all.csv")]).unwrap();
    recording.check_against(&machine).unwrap();
    let options = ReplayOptions {
        seed: 0,
        time_budget: Nanos(60_000_000_000),
        noise: 0.025,
    };
    let half = recording.workloads.len() / 2;
    let decide = |workloads: &[RecordedWorkload]| -> Vec<Replayed> {
        workloads
            .iter()
            .map(|workload| replay(workload, &machine, &options).unwrap())
            .collect()
    };
    let (low, high) = recording.workloads.split_at(half);
    let replayed = thread::scope(|scope| {
        let high = scope.spawn(|| decide(high));
        [decide(low), high.join().unwrap()].concat()
    });
    let summary = ReplaySummary::of(&replayed);
    println!("{summary}");
    assert_eq!((summary.workloads, summary.stated), (1788, 1788));
    assert!(summary.ratio_to_best.unwrap() <= 1.003);
    assert!(summary.within_2_percent.unwrap() >= 0.99);
    assert!(summary.virtual_seconds_each.unwrap() <= 15.0);
    assert!(summary.speedup_over_physical.unwrap() > 1.05);
}

#[test]
fn published_sweeps_are_decided_near_their_best() {
    let Some(folder) = folder() else { return };
    // Calls of many of these take seconds: a minute decides few of them, an hour nearly all.
    for (budget_s, within_2, within_5, conclusive) in [(60, 0.62, 0.73, 26), (3600, 0.8, 0.89, 60)]
    {
        let mut scored = replay_all(&folder, budget_s);
        print(&format!("{budget_s} s a curve"), &mut scored);
        assert_eq!(scored.len(), 64);
        assert!(share(&scored, 1.02, |s| s.ratio) >= within_2);
        assert!(share(&scored, 1.05, |s| s.ratio) >= within_5);
        let stated: Vec<Scored> = scored.into_iter().filter(|s| s.conclusive).collect();
        assert!(stated.len() >= conclusive);
        assert!(share(&stated, 1.05, |s| s.ratio) >= 0.85);
    }
}
