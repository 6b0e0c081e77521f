//! How much memory the machine has, how much is free, and how much this process may take.

use super::cgroup::{self, Cgroups};
use super::topology::Topology;
use super::tree::Tree;
use std::collections::BTreeMap;
use std::path::Path;

/// Where nothing tells how much memory there is, this much may be taken.
const USABLE_UNKNOWN: u64 = 4 << 30;

/// Memory in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// The machine's memory; the sum over NUMA nodes where `/proc/meminfo` is absent.
    pub total: Option<u64>,
    /// What can be taken without swapping, as the kernel reckons.
    pub available: Option<u64>,
    /// Memory of each NUMA node that tells, by the kernel's number.
    pub nodes: BTreeMap<u32, u64>,
    /// The least limit of the own control groups and their ancestors, with the file that sets it.
    pub limit: Option<(String, u64)>,
}

impl Memory {
    /// Reads under `root`; a topology names the NUMA nodes.
    pub fn read(root: &Path, topology: Option<&Topology>) -> Self {
        let tree = Tree::new(root);
        let meminfo = tree.text("proc/meminfo").unwrap_or_default();
        let limit = Cgroups::read(&tree)
            .groups("memory")
            .iter()
            .flat_map(|groups| {
                // Above `memory.high` the kernel slows a process down, which no measurement survives.
                ["memory.max", "memory.high"]
                    .map(|v2| cgroup::least(&tree, groups, v2, "memory.limit_in_bytes"))
            })
            .flatten()
            .min_by_key(|(_, bytes)| *bytes);
        let nodes = topology.map_or_else(BTreeMap::new, |topology| of_nodes(&tree, topology));
        let all_nodes =
            || (!nodes.is_empty()).then(|| nodes.values().copied().fold(0, u64::saturating_add));
        Self {
            total: field(&meminfo, "MemTotal:").or_else(all_nodes),
            available: field(&meminfo, "MemAvailable:").or_else(|| field(&meminfo, "MemFree:")),
            nodes,
            limit,
        }
    }

    /// What a process may take: the lesser of what is available and what its control groups allow at all.
    ///
    /// What the group has in use is not taken off: most of `memory.current` is the cache of files, which the kernel
    /// drops before it refuses anything, so the difference would be far too small.
    pub fn usable(&self) -> Option<u64> {
        let limit = self.limit.as_ref().map(|(_, bytes)| *bytes);
        [self.available.or(self.total), limit]
            .into_iter()
            .flatten()
            .min()
    }

    /// What a pool of weights may take: a quarter of what is usable, so that nobody else is pushed out.
    pub fn pool_limit(&self) -> u64 {
        self.usable().unwrap_or(USABLE_UNKNOWN) / 4
    }
}

/// Bytes from a line such as `MemTotal:  16384 kB` or `Node 0 MemTotal:  16384 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once(name))?.1;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn of_nodes(tree: &Tree, topology: &Topology) -> BTreeMap<u32, u64> {
    let bytes = |id| {
        field(
            &tree.text(&format!("sys/devices/system/node/node{id}/meminfo"))?,
            "MemTotal:",
        )
    };
    topology
        .nodes
        .iter()
        .filter_map(|node| Some((node.id, bytes(node.id)?)))
        .collect()
}
