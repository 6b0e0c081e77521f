//! The handful of numbers about a CPU budget from which the counts worth trying follow.

use crate::units::ThreadCount;
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
