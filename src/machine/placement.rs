//! Which CPUs a team's threads get.

use super::topology::Topology;
use crate::units::{CpuSet, ThreadCount};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Which CPUs the threads of a team get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Threads run wherever the kernel puts them inside the CPU budget.
    Unbound,
    /// One CPU a thread: strongest cores first, one thread a core before siblings, neighbours together.
    Close,
    /// One CPU a thread, dealt round-robin over packages and NUMA nodes.
    Spread,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unbound => "unbound",
            Self::Close => "close",
            Self::Spread => "spread",
        })
    }
}

/// The CPUs of a budget in the order in which a growing team takes them.
///
/// In both orders each core gives one hardware thread before any gives its second, and stronger kinds come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuOrder {
    budget: CpuSet,
    close: Vec<u32>,
    spread: Vec<u32>,
}

/// Where one CPU stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// 0 for the first hardware thread that its core has in the budget.
    sibling: usize,
    kind: usize,
    /// The rank of its group on each level, the largest groups first.
    groups: [usize; LEVELS],
    core: usize,
    cpu: u32,
}

/// Packages, NUMA nodes and cache groups.
const LEVELS: usize = 3;

impl CpuOrder {
    /// Orders the CPUs of a budget.
    pub fn of(topology: &Topology, budget: &CpuSet) -> Self {
        let levels = levels(topology, budget);
        let mut places: Vec<Place> = topology
            .cores
            .iter()
            .enumerate()
            .flat_map(|(core, threads)| {
                let threads: Vec<u32> = threads.intersection(budget).iter().collect();
                threads.into_iter().enumerate().map(move |t| (core, t))
            })
            .map(|(core, (sibling, cpu))| Place {
                sibling,
                kind: topology
                    .kinds
                    .iter()
                    .position(|kind| kind.cpus.contains(cpu))
                    .unwrap_or(usize::MAX),
                groups: levels.each_ref().map(|level| level.rank(cpu)),
                core,
                cpu,
            })
            .collect();
        places.sort_unstable();
        let spread = places
            .chunk_by(|a, b| (a.sibling, a.kind) == (b.sibling, b.kind))
            .flat_map(|alike| deal(alike, 0))
            .map(|place| place.cpu)
            .collect();
        Self {
            budget: budget.clone(),
            close: places.into_iter().map(|place| place.cpu).collect(),
            spread,
        }
    }

    /// The CPUs for a team of `threads`, one each in the team's order; all of the budget where unbound. Fewer than
    /// `threads` where the budget has no more.
    pub fn cpus_for(&self, placement: Placement, threads: ThreadCount) -> Vec<u32> {
        let order = match placement {
            Placement::Unbound => return self.budget.iter().collect(),
            Placement::Close => &self.close,
            Placement::Spread => &self.spread,
        };
        order.iter().copied().take(threads.as_usize()).collect()
    }

    /// The counts for which `close` and `spread` choose different CPUs, ascending.
    pub fn differing(&self) -> Vec<ThreadCount> {
        // What only one of the two orders has taken so far.
        let mut unshared = BTreeSet::new();
        let pairs = self.close.iter().zip(&self.spread).enumerate();
        pairs
            .filter_map(|(before, (close, spread))| {
                for cpu in [close, spread] {
                    if !unshared.remove(cpu) {
                        unshared.insert(*cpu);
                    }
                }
                (!unshared.is_empty()).then(|| ThreadCount::clamped(before + 1))
            })
            .collect()
    }
}

/// The levels by the size of their groups, largest first: mostly package, node, cache group, but a node may hold several
/// packages, and a cache group several nodes. A team that fills the larger one first stays inside it.
fn levels<'t>(topology: &'t Topology, budget: &CpuSet) -> [Ranked<'t>; LEVELS] {
    let mut levels: [Vec<&CpuSet>; LEVELS] = [
        topology.packages.iter().collect(),
        topology.nodes_with_cpus().map(|node| &node.cpus).collect(),
        topology.llc.iter().map(|group| &group.cpus).collect(),
    ];
    levels.sort_by_key(|groups| {
        let cpus: usize = groups.iter().map(|group| group.len()).sum();
        // CPUs of a group, in thousandths so that the key has an order.
        Reverse(cpus * 1000 / groups.len().max(1))
    });
    levels.map(|groups| Ranked::new(topology, budget, groups))
}

/// Groups of one level, those with most cores of the budget first: a team that outgrows a group is split later.
struct Ranked<'t>(Vec<&'t CpuSet>);

impl<'t> Ranked<'t> {
    fn new(topology: &Topology, budget: &CpuSet, mut groups: Vec<&'t CpuSet>) -> Self {
        groups.sort_by_cached_key(|group| {
            let inside = group.intersection(budget);
            (Reverse(topology.cores_within(&inside)), inside.first())
        });
        Self(groups)
    }

    /// CPUs in no group come last.
    fn rank(&self, cpu: u32) -> usize {
        self.0
            .iter()
            .position(|group| group.contains(cpu))
            .unwrap_or(usize::MAX)
    }
}

/// Deals places round-robin over the groups of a level, inside each over those of the next, and so on.
fn deal(places: &[Place], level: usize) -> Vec<Place> {
    if level == LEVELS {
        return places.to_vec();
    }
    let mut groups: BTreeMap<usize, Vec<Place>> = BTreeMap::new();
    for place in places {
        groups.entry(place.groups[level]).or_default().push(*place);
    }
    let hands: Vec<Vec<Place>> = groups
        .into_values()
        .map(|group| deal(&group, level + 1))
        .collect();
    let longest = hands.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|turn| hands.iter().filter_map(move |hand| hand.get(turn)))
        .copied()
        .collect()
}
