//! What is known of a machine, and its JSON. Sets of CPUs are texts in the kernel's list format.

use crate::machine::{Budget, CacheGroup, Fingerprint, Memory, Topology};
use crate::units::CpuSet;
use serde::Serialize;

/// Everything that `machine` tells, as JSON and as a picture.
#[derive(Debug, Clone, Copy)]
pub struct MachineReport<'m> {
    /// Build and identity; absent where no file names a CPU, as in trees of control groups only.
    pub known: Option<(&'m Topology, &'m Fingerprint)>,
    /// What a program may use.
    pub budget: &'m Budget,
    /// How much memory there is.
    pub memory: &'m Memory,
    /// What was missing or contradictory, for people.
    pub notes: &'m [String],
}

impl MachineReport<'_> {
    /// The CPUs that a program may use; unknown where neither the machine nor a limit names any.
    pub(super) fn allowed_cpus(&self) -> Option<&CpuSet> {
        // The first limit is the machine itself, which a flat stand-in has made up where it is unknown.
        let told = self.known.is_some()
            || self
                .budget
                .limits
                .iter()
                .skip(1)
                .any(|limit| limit.cpus.is_some());
        told.then_some(&self.budget.cpus)
    }
}

/// The keys of the JSON object; those about the build are null where it is unknown.
#[derive(Serialize)]
struct Json<'m> {
    id: Option<&'m str>,
    cpu_model: Option<&'m str>,
    cpus_online: Option<&'m CpuSet>,
    cpus_online_count: Option<usize>,
    cores: Option<usize>,
    core_cpus: Option<&'m [CpuSet]>,
    smt_max: Option<usize>,
    packages: Option<usize>,
    package_cpus: Option<&'m [CpuSet]>,
    die_cpus: Option<&'m [CpuSet]>,
    numa_nodes: Option<usize>,
    numa_nodes_with_cpus: Option<usize>,
    numa: Option<Vec<NodeJson<'m>>>,
    llc_groups: Option<usize>,
    llc: Option<Vec<CacheJson<'m>>>,
    l3_groups: Option<usize>,
    l3: Option<Vec<CacheJson<'m>>>,
    hybrid: Option<bool>,
    core_kinds: Option<Vec<KindJson<'m>>>,
    allowed_cpus: Option<&'m CpuSet>,
    cpu_limit: Option<f64>,
    mem_total_kib: Option<u64>,
    notes: &'m [String],
}

#[derive(Serialize)]
struct NodeJson<'m> {
    id: u32,
    cpus: &'m CpuSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_kib: Option<u64>,
}

#[derive(Serialize)]
struct CacheJson<'m> {
    level: u32,
    cpus: &'m CpuSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_kib: Option<u64>,
}

#[derive(Serialize)]
struct KindJson<'m> {
    name: &'m str,
    cpus: &'m CpuSet,
    cores: usize,
}

/// The report as one JSON object, ended by a newline.
pub fn machine_json(report: &MachineReport) -> Result<String, serde_json::Error> {
    let topology = report.known.map(|(topology, _)| topology);
    let fingerprint = report.known.map(|(_, fingerprint)| fingerprint);
    let llc = topology.map(|t| caches(&t.llc));
    let l3 = topology.map(|t| caches(&t.l3));
    let numa = topology.map(|t| nodes(t, report.memory));
    let json = Json {
        id: fingerprint.map(|f| f.id.as_str()),
        cpu_model: fingerprint.map(|f| f.cpu_model.as_str()),
        cpus_online: topology.map(|t| &t.online),
        cpus_online_count: topology.map(|t| t.online.len()),
        cores: topology.map(|t| t.cores.len()),
        core_cpus: topology.map(|t| t.cores.as_slice()),
        smt_max: topology.map(Topology::smt),
        packages: topology.map(|t| t.packages.len()),
        package_cpus: topology.map(|t| t.packages.as_slice()),
        die_cpus: topology.map(|t| t.dies.as_slice()),
        numa_nodes: topology.map(|t| t.nodes.len()),
        numa_nodes_with_cpus: topology.map(|t| t.nodes_with_cpus().count()),
        numa,
        llc_groups: llc.as_ref().map(Vec::len),
        llc,
        l3_groups: l3.as_ref().map(Vec::len),
        l3,
        hybrid: topology.map(Topology::is_hybrid),
        core_kinds: topology.map(kinds),
        allowed_cpus: report.allowed_cpus(),
        cpu_limit: report.budget.quota,
        mem_total_kib: report.memory.total.map(|bytes| bytes >> 10),
        notes: report.notes,
    };
    serde_json::to_string_pretty(&json).map(|text| text + "\n")
}

fn nodes<'m>(topology: &'m Topology, memory: &Memory) -> Vec<NodeJson<'m>> {
    topology
        .nodes
        .iter()
        .map(|node| NodeJson {
            id: node.id,
            cpus: &node.cpus,
            mem_kib: memory.nodes.get(&node.id).map(|bytes| bytes >> 10),
        })
        .collect()
}

fn caches(groups: &[CacheGroup]) -> Vec<CacheJson<'_>> {
    groups
        .iter()
        .map(|group| CacheJson {
            level: group.level,
            cpus: &group.cpus,
            size_kib: group.bytes.map(|bytes| bytes >> 10),
        })
        .collect()
}

fn kinds(topology: &Topology) -> Vec<KindJson<'_>> {
    topology
        .kinds
        .iter()
        .map(|kind| KindJson {
            name: &kind.name,
            cpus: &kind.cpus,
            cores: kind.cores,
        })
        .collect()
}
