//! Golden candidates: the counts tried first on each recorded machine, and where both placements compete.
//!
//! `candidates.txt` holds them for review. After a change that is meant, write them anew with
//! `UPDATE_GOLDEN=1 cargo test --test machines candidates` and read the difference.

use crate::recorded::{tables, text, truth, unpack};
use std::fmt::Write as _;
use std::fs;
use threadtune::machine::{Budget, CpuOrder, Layout, Placement, Topology};
use threadtune::tune::grid;
use threadtune::units::ThreadCount;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/machines/candidates.txt");

fn numbers<T: std::fmt::Display>(counts: impl IntoIterator<Item = T>) -> String {
    let numbers: Vec<String> = counts.into_iter().map(|n| n.to_string()).collect();
    numbers.join(" ")
}

/// The CPUs that a growing team takes, as far as a reader follows.
fn first(order: &CpuOrder, placement: Placement) -> String {
    const SHOWN: usize = 24;
    let all = order.cpus_for(placement, ThreadCount::clamped(usize::MAX));
    let rest = if all.len() > SHOWN { " …" } else { "" };
    numbers(all.into_iter().take(SHOWN)) + rest
}

/// Counts in the kernel's list format: `2-6,10`.
fn ranges(counts: &[ThreadCount]) -> String {
    let set: threadtune::units::CpuSet = counts.iter().map(|n| n.get()).collect();
    match set.to_string() {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    }
}

/// Six lines about one machine.
fn describe(name: &str, topology: &Topology, budget: &Budget) -> String {
    let layout = Layout::of(topology, &budget.cpus, budget.limit);
    let order = CpuOrder::of(topology, &budget.cpus);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{name}\n  {} logical CPUs, {} cores (by kind: {}), of the first kind {} a package with {} threads each, {} cores a cache group\n  \
         counts: {}\n  both placements at: {}\n  close: {}\n  spread: {}",
        layout.logical,
        layout.physical,
        numbers(&layout.cores_of_kinds),
        layout.cores_per_package,
        layout.threads_per_core,
        layout.cores_per_llc,
        numbers(grid(&layout)),
        ranges(&order.differing()),
        first(&order, Placement::Close),
        first(&order, Placement::Spread),
    );
    text
}

#[test]
fn candidates_of_recorded_machines_are_as_reviewed() {
    let Some(truth) = truth("candidates_of_recorded_machines_are_as_reviewed") else {
        return;
    };
    let mut found = String::new();
    for machine in tables(&truth, "machine") {
        let tree = unpack(text(machine, "file").unwrap());
        let topology = Topology::read(tree.path(), None).unwrap();
        let budget = Budget::read(tree.path(), &topology, None, None, |_| None);
        found += &describe(text(machine, "name").unwrap(), &topology, &budget);
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(GOLDEN, &found).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden);
    }
    assert_eq!(found.lines().count(), golden.lines().count());
}
