//! How long it takes to read a machine, as every launch does: topology, CPU budget, fingerprint.
//!
//! `cargo bench --bench machine [-- NAME…]`: this machine, and the recorded trees of these names (the largest where none
//! is named), unpacked into memory. Milliseconds, medians over rounds in which they take turns.

use flate2::read::GzDecoder;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;
use threadtune::machine::{CpuInfo, CpuOrder, Fingerprint, Host, Topology};

const ROUNDS: usize = 101;
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/topologies");
const LARGEST: [&str; 2] = ["rendered-epyc-9654-2s", "power7-256cpu"];

struct Tree {
    name: String,
    root: PathBuf,
    /// Reads of the topology, and of all that a launch reads; milliseconds.
    topology_ms: Vec<f64>,
    all_ms: Vec<f64>,
}

fn main() {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let names = if named.is_empty() {
        LARGEST.map(str::to_owned).to_vec()
    } else {
        named
    };
    let directory = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory can be made");
    let mut trees = vec![tree("this machine", Path::new("/").to_owned())];
    for name in names {
        let root = directory.path().join(&name);
        match unpack(&name, &root) {
            Ok(()) => trees.push(tree(&name, root)),
            Err(error) => eprintln!("skipped {name}: {error}"),
        }
    }
    for _ in 0..ROUNDS {
        for tree in &mut trees {
            read(tree);
        }
    }
    println!(
        "{:<28}{:>8}{:>14}{:>14}",
        "", "CPUs", "topology, ms", "all, ms"
    );
    for tree in trees {
        let cpus = Topology::read(&tree.root, None).map_or(0, |t| t.online.len());
        let [topology, all] = [tree.topology_ms, tree.all_ms].map(median);
        println!("{:<28}{cpus:>8}{topology:>14.3}{all:>14.3}", tree.name);
    }
}

fn tree(name: &str, root: PathBuf) -> Tree {
    Tree {
        name: name.to_owned(),
        root,
        topology_ms: Vec::new(),
        all_ms: Vec::new(),
    }
}

fn unpack(name: &str, root: &Path) -> std::io::Result<()> {
    let file = File::open(Path::new(RECORDED).join(format!("{name}.tar.gz")))?;
    tar::Archive::new(GzDecoder::new(file)).unpack(root)
}

fn read(tree: &mut Tree) {
    let begin = Instant::now();
    if Topology::read(&tree.root, None).is_err() {
        return;
    }
    tree.topology_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    let Ok(Host {
        topology: Ok(topology),
        budget,
    }) = Host::read(&tree.root, None, |_| None)
    else {
        return;
    };
    let id = Fingerprint::of(&topology, &CpuInfo::read(&tree.root)).id;
    let order = CpuOrder::of(&topology, &budget.cpus);
    std::hint::black_box((id, order.differing()));
    tree.all_ms.push(begin.elapsed().as_secs_f64() * 1e3);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
