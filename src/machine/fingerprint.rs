//! Which machine a profile belongs to.

use super::cpuinfo::CpuInfo;
use super::topology::Topology;
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
    /// Hash of which CPUs form cores, packages, NUMA nodes and last-level cache groups: machines that are alike in
    /// every number may have them in another order, and the lists of CPUs in a profile mean other places then. Empty in
    /// profiles that are older than it.
    #[serde(default)]
    pub grouping: String,
    /// Instruction set extensions that change which kernels run.
    pub isa: Vec<String>,
}

impl Fingerprint {
    /// The fingerprint of a machine: structure only, nothing that differs from boot to boot.
    pub fn of(topology: &Topology, info: &CpuInfo) -> Self {
        let core_kinds = topology
            .kinds
            .iter()
            .map(|kind| (kind.name.clone(), kind.cpus.clone()))
            .collect();
        let mut fingerprint = Self {
            id: String::new(),
            cpu_model: info.model.clone(),
            packages: topology.packages.len() as u32,
            cores: topology.cores.len() as u32,
            cpus: topology.online.clone(),
            smt: topology.smt() as u32,
            numa_nodes: topology.nodes_with_cpus().count() as u32,
            core_kinds,
            llc_bytes: topology
                .llc
                .iter()
                .filter_map(|group| group.bytes)
                .fold(0, u64::saturating_add),
            grouping: grouping(topology),
            isa: info.isa.clone(),
        };
        fingerprint.id = fingerprint.name_and_hash();
        fingerprint
    }

    fn name_and_hash(&self) -> String {
        let model = slug(&self.cpu_model);
        let hash = fnv1a(self.canonical().as_bytes());
        // 24 of 64 bits, all of which take part.
        let short = (hash ^ hash >> 24 ^ hash >> 48) & 0xff_ffff;
        format!(
            "{model}-{}s{}c{}t-{short:06x}",
            self.packages, self.cores, self.smt
        )
    }

    /// Every field but the id as one text. Its form must not change: ids in profiles depend on it.
    fn canonical(&self) -> String {
        let kinds: Vec<String> = self
            .core_kinds
            .iter()
            .map(|(name, cpus)| format!("{name}={cpus}"))
            .collect();
        format!(
            "model={};packages={};cores={};cpus={};smt={};nodes={};kinds={};llc={};grouping={};isa={}",
            self.cpu_model,
            self.packages,
            self.cores,
            self.cpus,
            self.smt,
            self.numa_nodes,
            kinds.join("/"),
            self.llc_bytes,
            self.grouping,
            self.isa.join(",")
        )
    }
}

/// The hash of a machine's sets of CPUs, in hexadecimal.
fn grouping(topology: &Topology) -> String {
    fn sets<'t>(sets: impl Iterator<Item = &'t CpuSet>) -> String {
        let sets: Vec<String> = sets.map(ToString::to_string).collect();
        sets.join("/")
    }
    let levels = [
        sets(topology.cores.iter()),
        sets(topology.packages.iter()),
        sets(topology.nodes_with_cpus().map(|node| &node.cpus)),
        sets(topology.llc.iter().map(|group| &group.cpus)),
    ];
    format!("{:016x}", fnv1a(levels.join(";").as_bytes()))
}

/// The words of a processor's name that tell it from others: at most three, `[a-z0-9]+` joined by `-`.
fn slug(model: &str) -> String {
    const SAYS_NOTHING: [&str; 23] = [
        "amd",
        "bronze",
        "core",
        "cpu",
        "for",
        "gen",
        "genuine",
        "gold",
        "ibm",
        "intel",
        "altivec",
        "architected",
        "platinum",
        "processor",
        "r",
        "rev",
        "silver",
        "supported",
        "tm",
        "with",
        "graphics",
        "radeon",
        "th",
    ];
    let before_clock = model.split('@').next().unwrap_or_default();
    let lower = before_clock.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && !SAYS_NOTHING.contains(word))
        .take(3)
        .collect();
    let mut slug = words.join("-");
    slug.truncate(32);
    if slug.is_empty() {
        std::env::consts::ARCH.replace('_', "-")
    } else {
        slug.trim_end_matches('-').to_owned()
    }
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo; RFC 9923): the same on every machine and in every release.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_what_tells_processors_apart() {
        for (model, name) in [
            (
                "INTEL(R) XEON(R) PLATINUM 8581C CPU @ 2.30GHz",
                "xeon-8581c",
            ),
            ("AMD EPYC 9654 96-Core Processor", "epyc-9654-96"),
            ("13th Gen Intel(R) Core(TM) i7-1370P", "13th-i7-1370p"),
            ("Neoverse-N1", "neoverse-n1"),
            ("POWER9, altivec supported", "power9"),
        ] {
            assert_eq!(slug(model), name);
        }
    }

    #[test]
    fn a_name_of_any_bytes_makes_a_valid_id() {
        for model in ["", "@", "../../etc", "Процессор", "---", &"x-".repeat(200)] {
            let slug = slug(model);
            assert!(!slug.is_empty() && slug.len() <= 32, "{model}");
            assert!(
                slug.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
    }

    #[test]
    fn the_hash_is_fnv1a() {
        // From the algorithm's published test vectors.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_field_of_the_structure_changes_the_id() {
        let base = Fingerprint {
            id: String::new(),
            cpu_model: "Neoverse-N1".into(),
            packages: 1,
            cores: 2,
            cpus: CpuSet::parse_list("0-1").unwrap(),
            smt: 1,
            numa_nodes: 1,
            core_kinds: BTreeMap::new(),
            llc_bytes: 1 << 20,
            grouping: "0".into(),
            isa: vec!["asimd".into()],
        };
        let changes: [fn(&mut Fingerprint); 10] = [
            |f| f.cpu_model = "Neoverse-N2".into(),
            |f| f.packages = 2,
            |f| f.smt = 2,
            |f| f.cores = 4,
            |f| f.cpus.insert(2),
            |f| f.numa_nodes = 2,
            |f| f.llc_bytes += 1,
            |f| f.grouping = "1".into(),
            |f| f.isa.clear(),
            |f| {
                f.core_kinds.insert("performance".into(), CpuSet::new());
            },
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert_ne!(other.name_and_hash(), base.name_and_hash(), "change {i}");
            // Not by the readable name alone, which holds some of the fields, too.
            assert_ne!(other.canonical(), base.canonical(), "change {i}");
        }
    }
}
