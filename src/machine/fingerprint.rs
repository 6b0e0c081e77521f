//! Which machine a profile belongs to.

use super::cpuinfo::CpuInfo;
use super::topology::Topology;
use crate::units::CpuSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The structure of a machine; the profile's `[machine]` table. Two machines with equal ids may share a profile, and one
/// whose CPUs are numbered anew, as a container that is dealt other ones of the same form, keeps its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Readable name and hash of the other fields but those that number CPUs: `[a-z0-9-]+`.
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
    /// Hash of how cores of which kinds, with how many hardware threads, form last-level cache groups, NUMA nodes and
    /// packages, whatever the numbers of their CPUs. Empty in profiles that are older than it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub structure: String,
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
            structure: topology.structure(),
            isa: info.isa.clone(),
        };
        fingerprint.id = fingerprint.name_and_hash(&fingerprint.canonical());
        fingerprint
    }

    /// The id that threadtune 0.1.0 gave this machine, which was of the numbers of its CPUs, too.
    pub fn earlier_id(&self) -> String {
        self.name_and_hash(&self.numbered_canonical())
    }

    /// Is this an id of this machine?
    pub fn is_known_as(&self, id: &str) -> bool {
        id == self.id || id == self.earlier_id()
    }

    /// Have the CPUs of the other one, known by an id of this machine, the same numbers?
    pub fn is_numbered_like(&self, other: &Self) -> bool {
        let both_are_told = !self.grouping.is_empty() && !other.grouping.is_empty();
        self.cpus == other.cpus
            && self.core_kinds == other.core_kinds
            && (!both_are_told || self.grouping == other.grouping)
    }

    /// Is the other one made of the same processor, as far as its name tells?
    pub fn is_same_processor(&self, other: &Self) -> bool {
        !self.cpu_model.is_empty() && self.cpu_model == other.cpu_model && self.isa == other.isa
    }

    /// How the ids of all machines with this processor begin.
    pub fn processor_prefix(&self) -> String {
        slug(&self.cpu_model) + "-"
    }

    fn name_and_hash(&self, canonical: &str) -> String {
        let model = slug(&self.cpu_model);
        let hash = fnv1a(canonical.as_bytes());
        // 24 of 64 bits, all of which take part.
        let short = (hash ^ hash >> 24 ^ hash >> 48) & 0xff_ffff;
        format!(
            "{model}-{}s{}c{}t-{short:06x}",
            self.packages, self.cores, self.smt
        )
    }

    /// Every field but the id, and those that number CPUs, as one text. Its form must not change: ids in profiles depend on
    /// it.
    fn canonical(&self) -> String {
        format!(
            "model={};packages={};cores={};smt={};nodes={};llc={};structure={};isa={}",
            self.cpu_model,
            self.packages,
            self.cores,
            self.smt,
            self.numa_nodes,
            self.llc_bytes,
            self.structure,
            self.isa.join(",")
        )
    }

    /// What threadtune 0.1.0 made ids of.
    fn numbered_canonical(&self) -> String {
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
            structure: "0".into(),
            isa: vec!["asimd".into()],
        };
        let changes: [fn(&mut Fingerprint); 8] = [
            |f| f.cpu_model = "Neoverse-N2".into(),
            |f| f.packages = 2,
            |f| f.smt = 2,
            |f| f.cores = 4,
            |f| f.numa_nodes = 2,
            |f| f.llc_bytes += 1,
            |f| f.structure = "1".into(),
            |f| f.isa.clear(),
        ];
        let id = |f: &Fingerprint| f.name_and_hash(&f.canonical());
        for (i, change) in changes.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert_ne!(id(&other), id(&base), "change {i}");
            // Not by the readable name alone, which holds some of the fields, too.
            assert_ne!(other.canonical(), base.canonical(), "change {i}");
        }
    }

    #[test]
    fn other_numbers_of_the_same_cpus_change_only_the_earlier_id() {
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
            structure: "0".into(),
            isa: vec!["asimd".into()],
        };
        // As threadtune 0.1.0 had it.
        assert_eq!(base.earlier_id(), "neoverse-n1-1s2c1t-43100f");
        let changes: [fn(&mut Fingerprint); 3] = [
            |f| f.cpus = CpuSet::parse_list("2-3").unwrap(),
            |f| f.grouping = "1".into(),
            |f| {
                f.core_kinds.insert("performance".into(), CpuSet::new());
            },
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert_eq!(other.canonical(), base.canonical(), "change {i}");
            assert_ne!(other.earlier_id(), base.earlier_id(), "change {i}");
            assert!(!base.is_numbered_like(&other) && !other.is_numbered_like(&base));
        }
        let mut older = base.clone();
        older.grouping.clear();
        assert!(base.is_numbered_like(&older), "nothing says that it is not");
    }
}
