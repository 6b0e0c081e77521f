//! The handful of numbers about a CPU budget from which the counts worth trying follow.

use super::topology::Topology;
use crate::units::{CpuSet, ThreadCount};
use serde::{Deserialize, Serialize};

/// How the CPUs of a budget are built up; the reference's `Topo` (`tune/candidates.rs` reads it).
///
/// All numbers count what lies inside the CPU budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// All logical CPUs of the budget: the largest count.
    pub logical: ThreadCount,
    /// Cores of every kind, at most `logical`.
    pub physical: ThreadCount,
    /// Cores of each kind, strongest first; they sum up to `physical`. One number on a machine of one kind.
    pub cores_of_kinds: Vec<u32>,
    /// Cores of the strongest kind in one package.
    pub cores_per_package: u32,
    /// Hardware threads of a core of the strongest kind.
    pub threads_per_core: u32,
    /// Cores that share one last-level cache.
    pub cores_per_llc: u32,
}

impl Layout {
    /// The layout of a budget: of these CPUs, with at most `limit` threads.
    ///
    /// The strongest kind is the strongest with a core in the budget; a budget of small cores has no big ones.
    pub fn of(topology: &Topology, cpus: &CpuSet, limit: ThreadCount) -> Self {
        let logical = ThreadCount::clamped(cpus.len()).min(limit);
        let cap = |cores: usize| cores.min(logical.as_usize()) as u32;
        let physical = cap(topology.cores_within(cpus));
        let kinds: Vec<CpuSet> = topology
            .kinds
            .iter()
            .map(|kind| kind.cpus.intersection(cpus))
            .filter(|kind| !kind.is_empty())
            .collect();
        let strongest = kinds.first().unwrap_or(cpus);
        // Fewer threads than cores are given to the strongest first.
        let mut left = physical;
        let cores_of_kinds: Vec<u32> = kinds
            .iter()
            .map(|kind| {
                let cores = cap(topology.cores_within(kind)).min(left);
                left -= cores;
                cores
            })
            .filter(|cores| *cores > 0)
            .collect();
        let most = |groups: &mut dyn Iterator<Item = &CpuSet>, within: &CpuSet| {
            groups
                .map(|group| topology.cores_within(&group.intersection(within)))
                .max()
                .filter(|cores| *cores > 0)
                .map(cap)
        };
        let threads_per_core = topology
            .cores
            .iter()
            .map(|core| core.intersection(strongest).len())
            .max()
            .unwrap_or(1)
            .max(1);
        Self {
            logical,
            physical: ThreadCount::clamped(physical as usize),
            cores_per_package: most(&mut topology.packages.iter(), strongest)
                .unwrap_or(physical.max(1)),
            cores_of_kinds,
            threads_per_core: threads_per_core as u32,
            cores_per_llc: most(&mut topology.llc.iter().map(|group| &group.cpus), cpus)
                .unwrap_or(physical.max(1)),
        }
    }
}
