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
    /// Cores of the strongest kind (all cores on a machine of one kind).
    pub performance_cores: u32,
    /// Cores of the other kinds.
    pub efficiency_cores: u32,
    /// Performance cores of one package.
    pub cores_per_package: u32,
    /// Hardware threads of a performance core.
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
        let strongest = topology
            .kinds
            .iter()
            .map(|kind| kind.cpus.intersection(cpus))
            .find(|kind| !kind.is_empty())
            .unwrap_or_else(|| cpus.clone());
        let performance_cores = cap(topology.cores_within(&strongest)).clamp(1, physical.max(1));
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
            .map(|core| core.intersection(&strongest).len())
            .max()
            .unwrap_or(1)
            .max(1);
        Self {
            logical,
            physical: ThreadCount::clamped(physical as usize),
            performance_cores,
            efficiency_cores: physical.saturating_sub(performance_cores),
            cores_per_package: most(&mut topology.packages.iter(), &strongest)
                .unwrap_or(performance_cores),
            threads_per_core: threads_per_core as u32,
            cores_per_llc: most(&mut topology.llc.iter().map(|group| &group.cpus), cpus)
                .unwrap_or(physical.max(1)),
        }
    }
}
