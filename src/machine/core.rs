//! Cores, packages and dies from `cpuN/topology`.
//!
//! Lists of siblings tell cores; ids only where there are no lists, since `core_id` repeats in clusters and dies.
//! For packages it is the other way round: some kernels write a NUMA node or a single CPU into the package's list.

use super::partition::partition;
use super::topology::CPU;
use super::tree::Tree;
use crate::units::CpuSet;
use std::collections::BTreeMap;

fn topology(cpu: u32) -> String {
    format!("{CPU}/cpu{cpu}/topology")
}

/// A set of siblings by the newer or the older name of its file, cut to online CPUs, with `cpu` in it.
fn siblings(
    tree: &mut Tree,
    cpu: u32,
    online: &CpuSet,
    newer: &str,
    older: &str,
) -> Option<CpuSet> {
    let directory = topology(cpu);
    for name in [newer, older] {
        let list = format!("{directory}/{name}_list");
        let Some(set) = tree.list_or_mask(&list, &format!("{directory}/{name}")) else {
            continue;
        };
        let set = set.intersection(online);
        if set.contains(cpu) {
            return Some(set);
        }
        tree.note(format!("{list}: CPU {cpu} itself is not in it; left out"));
    }
    None
}

/// The physical cores, by lowest CPU.
pub(super) fn cores(tree: &mut Tree, online: &CpuSet) -> Vec<CpuSet> {
    let mut claims = Vec::with_capacity(online.len());
    let mut without_lists = Vec::new();
    for cpu in online.iter() {
        match siblings(tree, cpu, online, "core_cpus", "thread_siblings") {
            Some(set) => claims.push((cpu, set)),
            None => without_lists.push(cpu),
        }
    }
    // A CPU whose own list is lost is where its siblings say.
    let named = claims
        .iter()
        .fold(CpuSet::new(), |all, (_, set)| all.union(set));
    without_lists.retain(|cpu| !named.contains(*cpu));
    if !without_lists.is_empty() {
        claims.extend(cores_by_id(tree, &without_lists));
    }
    let partition = partition(claims);
    if partition.contradictory {
        tree.note("the CPUs' lists of core siblings contradict each other: most votes decided");
    }
    let mut cores = Vec::with_capacity(partition.groups.len());
    for core in partition.groups {
        let first = core.first().unwrap_or(0);
        // Kernels that know no topology give every CPU the id -1 and all CPUs as siblings.
        if core.len() > 1 && tree.number(&format!("{}/core_id", topology(first))) == Some(-1) {
            tree.note(format!(
                "CPUs {core} are listed as one core but have core_id -1 (unknown): each counts as a core"
            ));
            cores.extend(core.iter().map(|cpu| CpuSet::from_iter([cpu])));
        } else {
            cores.push(core);
        }
    }
    // Named only in a list that was outvoted.
    let covered = cores
        .iter()
        .fold(CpuSet::new(), |all, core| all.union(core));
    cores.extend(
        online
            .difference(&covered)
            .iter()
            .map(|cpu| CpuSet::from_iter([cpu])),
    );
    cores.sort_by_key(CpuSet::first);
    cores
}

/// Groups CPUs that have equal ids on every level; a CPU without `core_id` is its own core.
fn cores_by_id(tree: &mut Tree, cpus: &[u32]) -> Vec<(u32, CpuSet)> {
    let mut by_id: BTreeMap<[Option<i64>; 4], CpuSet> = BTreeMap::new();
    let mut claims = Vec::new();
    for &cpu in cpus {
        let directory = topology(cpu);
        let id = |name: &str| tree.number(&format!("{directory}/{name}"));
        match id("core_id") {
            Some(core) if core >= 0 => {
                let ids = [
                    id("physical_package_id"),
                    id("die_id"),
                    id("cluster_id"),
                    Some(core),
                ];
                by_id.entry(ids).or_default().insert(cpu);
            }
            _ => claims.push((cpu, CpuSet::from_iter([cpu]))),
        }
    }
    if !claims.is_empty() {
        let alone: CpuSet = claims.iter().map(|(cpu, _)| *cpu).collect();
        tree.note(format!(
            "CPUs {alone} have neither sibling lists nor a core_id: each counts as a core"
        ));
    }
    for set in by_id.into_values() {
        claims.extend(set.iter().map(|cpu| (cpu, set.clone())));
    }
    claims
}

/// The packages, by lowest CPU; one CPU a core is asked.
pub(super) fn packages(tree: &mut Tree, cores: &[CpuSet], online: &CpuSet) -> Vec<CpuSet> {
    // On s390 a package id counts within its book, and that within its drawer.
    let with_books = cores
        .first()
        .and_then(CpuSet::first)
        .is_some_and(|cpu| tree.exists(&format!("{}/book_id", topology(cpu))));
    let mut by_id: BTreeMap<[Option<i64>; 3], CpuSet> = BTreeMap::new();
    let mut claims = Vec::new();
    let mut unknown = CpuSet::new();
    for core in cores {
        let Some(cpu) = core.first() else { continue };
        let directory = topology(cpu);
        let id = tree.number(&format!("{directory}/physical_package_id"));
        if id.is_some_and(|id| id >= 0) {
            let above = |name: &str| {
                with_books
                    .then(|| tree.number(&format!("{directory}/{name}")))
                    .flatten()
            };
            let ids = [above("drawer_id"), above("book_id"), id];
            let package = by_id.entry(ids).or_default();
            *package = package.union(core);
        } else if let Some(set) = siblings(tree, cpu, online, "package_cpus", "core_siblings") {
            claims.push((cpu, set.union(core)));
        } else {
            unknown = unknown.union(core);
        }
    }
    let identified = by_id
        .values()
        .fold(CpuSet::new(), |all, set| all.union(set));
    let partition = partition(
        claims
            .into_iter()
            .map(|(cpu, set)| (cpu, set.difference(&identified))),
    );
    if partition.contradictory {
        tree.note("the CPUs' lists of package siblings contradict each other: most votes decided");
    }
    let mut packages: Vec<CpuSet> = by_id.into_values().chain(partition.groups).collect();
    let covered = packages
        .iter()
        .fold(CpuSet::new(), |all, set| all.union(set));
    let unknown = unknown.difference(&covered);
    let unknown = adopt(tree, &mut packages, &unknown, online);
    if !unknown.is_empty() {
        tree.note(format!(
            "the package of CPUs {unknown} is unknown: they count as one"
        ));
        packages.push(unknown);
    }
    packages.sort_by_key(CpuSet::first);
    packages
}

/// Puts CPUs that tell nothing of themselves (they are just coming up, or the firmware describes none) where a package
/// lists them, or into the only package; gives those that are left.
fn adopt(tree: &mut Tree, packages: &mut [CpuSet], unknown: &CpuSet, online: &CpuSet) -> CpuSet {
    let mut left = unknown.clone();
    for package in &mut *packages {
        let listed = package
            .first()
            .and_then(|cpu| siblings(tree, cpu, online, "package_cpus", "core_siblings"));
        let adopted = listed.unwrap_or_default().intersection(&left);
        *package = package.union(&adopted);
        left = left.difference(&adopted);
    }
    if let ([only], false) = (packages, left.is_empty()) {
        tree.note(format!(
            "the package of CPUs {left} is unknown: they count to the only one"
        ));
        *only = only.union(&left);
        left = CpuSet::new();
    }
    left
}

/// The dies; empty unless a package has several.
pub(super) fn dies(tree: &Tree, cores: &[CpuSet], packages: &[CpuSet]) -> Vec<CpuSet> {
    let mut by_id: BTreeMap<(usize, i64), CpuSet> = BTreeMap::new();
    for core in cores {
        let Some(cpu) = core.first() else { continue };
        let Some(package) = packages.iter().position(|set| set.contains(cpu)) else {
            continue;
        };
        match tree.number(&format!("{}/die_id", topology(cpu))) {
            Some(id) if id >= 0 => {
                let die = by_id.entry((package, id)).or_default();
                *die = die.union(core);
            }
            // Kernels either know dies or do not.
            _ => return Vec::new(),
        }
    }
    if by_id.len() <= packages.len() {
        return Vec::new();
    }
    let mut dies: Vec<CpuSet> = by_id.into_values().collect();
    dies.sort_by_key(CpuSet::first);
    dies
}
