//! Which machine a profile belongs to.

use crate::units::CpuSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The structure of a machine; the profile's `[machine]` table. Two machines with equal ids may share a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Readable name and hash of the other fields: `[a-z0-9-]+`.
    pub id: String,
    /// The processor's name as the kernel gives it.
    pub cpu_model: String,
    /// Processor packages (sockets).
    pub packages: u32,
    /// Physical cores that are online.
    pub cores: u32,
    /// Online logical CPUs.
    pub cpus: CpuSet,
    /// The most hardware threads a core has.
    pub smt: u32,
    /// NUMA nodes that have CPUs.
    pub numa_nodes: u32,
    /// CPUs of each core kind.
    pub core_kinds: BTreeMap<String, CpuSet>,
    /// Bytes of last-level cache, summed over the machine.
    pub llc_bytes: u64,
    /// Instruction set extensions that change which kernels run.
    pub isa: Vec<String>,
}
