//! What a parallel region costs on each team, and how fast the kernels are on it.
//!
//! `cargo bench --bench teams [-- SHAPE…]`; every figure is the median over rounds in which the teams take turns, so
//! that the ratios hold on a machine that is not quiet. Threads are bound as in a tuning.

use std::time::Instant;
use threadtune::machine::{Placement, affinity};
use threadtune::units::{Calls, ThreadCount};
use threadtune::worker::kernel::isa::Isa;
use threadtune::worker::kernel::prepare;
use threadtune::worker::protocol::{Open, SampleOrder};
use threadtune::worker::station::Station;
use threadtune::worker::team::{self, Fork, Team, TeamChoice};
use threadtune::worker::timing::Stopwatch;
use threadtune::workload::{Residency, Shape};

const ROUNDS: usize = 15;
const REGIONS: u32 = 2000;
const SHAPES: [&str; 6] = [
    "gemm:64x64x64:f32",
    "gemm:256x256x256:f32",
    "gemm:1024x1024x1024:f32",
    "gemm:16x2048x2048:f32",
    "gemv:2048x2048:f32",
    "softmax:512x512:f32",
];

fn main() {
    let cpus: Vec<u32> = affinity::current()
        .map(|set| set.iter().collect())
        .unwrap_or_default();
    let most = cpus.len().min(2);
    println!("{:<28}{:>10}{:>14}{:>14}", "", "threads", "openmp", "rayon");
    for threads in 1..=most {
        let mut medians = Vec::new();
        for choice in [TeamChoice::OpenMp, TeamChoice::Rayon] {
            let Ok((mut team, _)) = team::open(choice, false) else {
                continue;
            };
            medians.push(median(
                (0..ROUNDS)
                    .map(|_| empty_region_us(&mut *team, threads))
                    .collect(),
            ));
        }
        row("empty region", threads, &medians);
    }
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let shapes = if named.is_empty() {
        SHAPES.map(str::to_owned).to_vec()
    } else {
        named
    };
    for text in shapes {
        let shape: Shape = match text.parse() {
            Ok(shape) => shape,
            Err(e) => {
                eprintln!("{e}");
                continue;
            }
        };
        for threads in 1..=most {
            let mut times: Vec<Vec<f64>> = Vec::new();
            let mut stations = stations();
            let mut watches: Vec<Stopwatch> = stations.iter().map(|_| stopwatch(&shape)).collect();
            for _ in 0..ROUNDS {
                for (i, (station, watch)) in stations.iter_mut().zip(&mut watches).enumerate() {
                    let order = SampleOrder {
                        threads: ThreadCount::clamped(threads),
                        placement: Placement::Close,
                        cpus: cpus[..threads].to_vec(),
                        calls: Calls::new((2e8 / shape.flops() as f64).clamp(1.0, 200.0) as u32),
                    };
                    match watch.sample(station, &order) {
                        Ok(sample) => {
                            let us = sample
                                .durations_ns
                                .iter()
                                .map(|d| *d as f64 / 1e3 / f64::from(sample.calls_each.get()))
                                .collect();
                            times.resize_with(times.len().max(i + 1), Vec::new);
                            times[i].push(median(us));
                        }
                        Err(why) => eprintln!("{text}: {why}"),
                    }
                }
            }
            let medians: Vec<f64> = times.into_iter().map(median).collect();
            row(&text, threads, &medians);
            let rates: Vec<String> = medians
                .iter()
                .map(|us| format!("{:>10.1} GF/s", shape.flops() as f64 / us / 1e3))
                .collect();
            println!("{:<38}{}", "", rates.join(""));
        }
    }
}

fn stations() -> Vec<Station> {
    let all = affinity::current().unwrap_or_default();
    [TeamChoice::OpenMp, TeamChoice::Rayon]
        .into_iter()
        .filter_map(|choice| team::open(choice, false).ok())
        .map(|(team, _)| Station::new(team, all.clone()))
        .collect()
}

fn stopwatch(shape: &Shape) -> Stopwatch {
    let residency = if matches!(shape, Shape::Gemm { m, n, k, .. } if m == n && n == k) {
        Residency::Cache
    } else {
        Residency::Memory
    };
    let open = Open {
        shape: *shape,
        residency,
        pool_bytes: 256 << 20,
        memory_limit_bytes: 2 << 30,
        first_cpu: 0,
    };
    let ready = prepare(Isa::best(None), &[], &open).unwrap_or_else(|why| panic!("{shape}: {why}"));
    Stopwatch::new(ready)
}

fn empty_region_us(team: &mut dyn Team, threads: usize) -> f64 {
    let mut us = f64::NAN;
    let ran = team.with(ThreadCount::clamped(threads), &mut |fork: &dyn Fork| {
        for _ in 0..100 {
            fork.region(&|_, _| {});
        }
        let start = Instant::now();
        for _ in 0..REGIONS {
            fork.region(&|_, _| {});
        }
        us = start.elapsed().as_secs_f64() * 1e6 / f64::from(REGIONS);
    });
    ran.map_or(f64::NAN, |()| us)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(name: &str, threads: usize, medians: &[f64]) {
    let cells: Vec<String> = medians.iter().map(|us| format!("{us:>11.2} µs")).collect();
    println!("{name:<28}{threads:>10}{}", cells.join(""));
}
