//! Our kernels beside the libraries that programs really use, in turn, at the same numbers of threads, on the same
//! work, weights rotating through memory where the catalogue's do.
//!
//! `cargo bench --bench peers -- [blas:LIBRARY[,LIBRARY…]]… [torch:PYTHON]… [--isa LEVEL]… [--threads N,N] [SHAPE…]`
//!
//! A BLAS is the last library named, the others are loaded before it (a threading runtime, say). Each peer at each count
//! is a process of its own, which is idle while the others are timed; between two turns is a pause, in which threads
//! that wait for work fall asleep. A figure is the median over rounds of the median call; a ratio is that of ours to
//! the fastest peer's. `--isa` adds our kernels at a lower level.

mod blas;
mod ours;
mod turns;

use std::process::ExitCode;
use std::time::Duration;
use threadtune::workload::{Catalog, Level, Residency, Shape};
use turns::{Peer, Spec};

const ROUNDS: usize = 7;
/// Longer than any runtime's threads spin for work (200 ms, LLVM's).
const PAUSE: Duration = Duration::from_millis(250);
/// Data in memory rotates over this much.
pub const POOL_BYTES: u64 = 256 << 20;
const SHAPES: [&str; 16] = [
    "gemm:64x64x64:f32",
    "gemm:128x128x128:f32",
    "gemm:256x256x256:f32",
    "gemm:512x512x512:f32",
    "gemm:1024x1024x1024:f32",
    "gemm:2048x2048x2048:f32",
    "gemm:4x2048x2048:f32",
    "gemm:8x2048x8192:f32",
    "gemm:16x2048x2048:f32",
    "gemm:128x2048x2048:f32",
    "gemm:128x8192x2048:f32",
    "gemv:576x576:f32",
    "gemv:2048x2048:f32",
    "gemv:2048x8192:f32",
    "softmax:512x512:f32",
    "rmsnorm:128x2048:f32",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    // As a peer this program times one thing when it is told to.
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve-blas", libraries] => return turns::serve(&mut blas::Blas::load(libraries)),
        ["--serve-ours", level, threads] => {
            return turns::serve(&mut ours::Ours::new(level, threads));
        }
        _ => {}
    }
    let mut specs = vec![Spec::Ours(None)];
    let mut counts = vec![1, 2];
    let mut shapes = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if let Some(libraries) = word.strip_prefix("blas:") {
            specs.push(Spec::Blas(libraries.to_owned()));
        } else if let Some(python) = word.strip_prefix("torch:") {
            specs.push(Spec::Torch(python.to_owned()));
        } else if word == "--isa" {
            let level: Result<Level, String> = words.next().map_or("", |w| w).parse();
            match level {
                Ok(level) => specs.push(Spec::Ours(Some(level))),
                Err(why) => return usage(&why),
            }
        } else if word == "--threads" {
            let list = words.next().map_or("", |w| w);
            match list.split(',').map(str::parse).collect() {
                Ok(list) => counts = list,
                Err(_) => return usage(&format!("`{list}` is not a list of counts such as 1,2")),
            }
        } else {
            match word.parse::<Shape>() {
                Ok(shape) => shapes.push(shape),
                Err(why) => return usage(&why.to_string()),
            }
        }
    }
    if shapes.is_empty() {
        shapes = SHAPES.iter().filter_map(|text| text.parse().ok()).collect();
    }
    compare(&specs, &counts, &shapes);
    ExitCode::SUCCESS
}

fn usage(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// As in the catalogue; square products lie in cache.
fn residency(shape: &Shape) -> Residency {
    let catalog = Catalog::embedded();
    let known = catalog
        .names()
        .into_iter()
        .filter_map(|name| catalog.get(name).ok());
    let of_catalogue = known
        .filter(|w| w.shape == *shape)
        .map(|w| w.residency)
        .next();
    of_catalogue.unwrap_or(match shape {
        Shape::Gemm { m, n, k, .. } if m == n && n == k => Residency::Cache,
        _ => Residency::Memory,
    })
}

fn compare(specs: &[Spec], counts: &[u32], shapes: &[Shape]) {
    let names: Vec<String> = specs
        .iter()
        .map(|spec| format!("{:>22}", spec.name()))
        .collect();
    println!(
        "{:<26}{:>8}{}{:>10}",
        "",
        "threads",
        names.concat(),
        "ratio"
    );
    for shape in shapes {
        for &threads in counts {
            let mut peers: Vec<Peer> = specs
                .iter()
                .map(|spec| Peer::start(spec, threads))
                .collect();
            let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
            for peer in &mut peers {
                peer.prepare(shape, residency(shape));
            }
            for _ in 0..ROUNDS {
                for (peer, us) in peers.iter_mut().zip(&mut rounds) {
                    us.extend(peer.time());
                    std::thread::sleep(PAUSE);
                }
            }
            let medians: Vec<Option<f64>> = rounds.into_iter().map(turns::median).collect();
            let cells: Vec<String> = medians.iter().map(|us| cell(shape, *us)).collect();
            let rivals = specs
                .iter()
                .zip(&medians)
                .filter(|(spec, _)| !spec.is_ours());
            let fastest = rivals.filter_map(|(_, us)| *us).reduce(f64::min);
            // Of speeds, so that more is better.
            let ratio = medians[0]
                .zip(fastest)
                .map(|(ours, fastest)| fastest / ours);
            let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            println!(
                "{:<26}{threads:>8}{}{ratio:>10}",
                shape.to_string(),
                cells.concat()
            );
        }
    }
}

/// Microseconds a call, and GFLOP/s or, where memory is what counts, GB/s.
fn cell(shape: &Shape, us: Option<f64>) -> String {
    let Some(us) = us else {
        return format!("{:>22}", "–");
    };
    let rate = match shape {
        Shape::Gemm { .. } => format!("{:.0} GF/s", shape.flops() as f64 / us / 1e3),
        _ => format!("{:.1} GB/s", shape.bytes() as f64 / us / 1e3),
    };
    format!("{:>22}", format!("{us:.1} µs {rate:>9}"))
}
