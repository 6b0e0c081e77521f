//! How the online CPUs form cores, packages, dies, NUMA nodes, cache groups and core kinds.
//!
//! Read from sysfs under a root path. Every set is cut to the online CPUs; where files are missing or contradict
//! each other, the answer is the best that the rest supports, with a note.

use super::cache::{self, CoreCaches};
use super::cgroup;
use super::core;
use super::cpuinfo::CpuInfo;
use super::kind;
use super::tree::Tree;
use crate::units::CpuSet;
use std::path::{Path, PathBuf};

/// Where sysfs describes CPUs, relative to the root.
pub(crate) const CPU: &str = "sys/devices/system/cpu";
const NODE: &str = "sys/devices/system/node";

/// The build of a machine, as far as it is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Online logical CPUs; never empty.
    pub online: CpuSet,
    /// Physical cores as sets of their hardware threads, by lowest CPU.
    pub cores: Vec<CpuSet>,
    /// Processor packages (sockets), by lowest CPU; one package where the files tell nothing.
    pub packages: Vec<CpuSet>,
    /// Dies, only on machines where a package has several.
    pub dies: Vec<CpuSet>,
    /// NUMA nodes by id, those without CPUs included; empty where the kernel shows none.
    pub nodes: Vec<Node>,
    /// Groups of CPUs that share their last-level cache, by lowest CPU. CPUs without cache files are in none.
    pub llc: Vec<CacheGroup>,
    /// Groups of CPUs that share a level 3 cache, by lowest CPU: mostly those of `llc`, but some machines have a level 4.
    pub l3: Vec<CacheGroup>,
    /// Core kinds, strongest first; a single one where all cores are alike.
    pub kinds: Vec<CoreKind>,
    /// What was missing or contradictory, for people.
    pub notes: Vec<String>,
}

/// One NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The kernel's number; may have holes.
    pub id: u32,
    /// Its online CPUs; none in nodes that are memory only.
    pub cpus: CpuSet,
}

/// CPUs that share a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheGroup {
    /// Cache level, usually 3.
    pub level: u32,
    /// The online CPUs that share it.
    pub cpus: CpuSet,
    /// Its size in bytes, where the kernel tells.
    pub bytes: Option<u64>,
}

/// Cores of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreKind {
    /// `performance` for the strongest; then `middle`, `middle-2` …, and `efficiency` for the weakest.
    pub name: String,
    /// Its CPUs, all hardware threads.
    pub cpus: CpuSet,
    /// How many cores.
    pub cores: usize,
}

/// Why nothing can be said about a machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// No file names a CPU.
    #[error(
        "no CPU found: neither `{0}/sys/devices/system/cpu` nor `{0}/proc/cpuinfo` names one; mount sysfs there, or give another --root"
    )]
    NoCpus(PathBuf),
}

impl Topology {
    /// Reads the machine under `root` (`/` for the live one).
    ///
    /// `mask` is the affinity mask of the live process, whose CPUs are online whatever the files say.
    pub fn read(root: &Path, mask: Option<&CpuSet>) -> Result<Self, TopologyError> {
        let mut tree = Tree::new(root);
        let online =
            online_cpus(&mut tree, mask).ok_or_else(|| TopologyError::NoCpus(root.to_owned()))?;
        let cores = core::cores(&mut tree, &online);
        let caches = CoreCaches::read(&mut tree, &cores, &online);
        let packages = core::packages(&mut tree, &cores, &online);
        let dies = core::dies(&tree, &cores, &packages);
        let nodes = nodes(&mut tree, &online);
        let llc = cache::last_level_groups(&mut tree, &cores, &caches);
        let l3 = cache::l3_groups(&mut tree, &cores, &caches, &llc);
        let kinds = kind::core_kinds(&mut tree, &cores, &caches, &online);
        Ok(Self {
            online,
            cores,
            packages,
            dies,
            nodes,
            llc,
            l3,
            kinds,
            notes: tree.into_notes(),
        })
    }

    /// A machine of which only the CPU numbers are known: every CPU is its own core.
    pub fn flat(online: CpuSet) -> Self {
        let cores: Vec<CpuSet> = online.iter().map(|cpu| CpuSet::from_iter([cpu])).collect();
        Self {
            packages: vec![online.clone()],
            dies: Vec::new(),
            nodes: Vec::new(),
            llc: Vec::new(),
            l3: Vec::new(),
            kinds: vec![CoreKind {
                name: kind::STRONGEST.to_owned(),
                cpus: online.clone(),
                cores: cores.len(),
            }],
            cores,
            online,
            notes: vec!["the build of this machine is unknown: each CPU counts as a core".into()],
        }
    }

    /// The most hardware threads that a core has online.
    pub fn smt(&self) -> usize {
        self.cores.iter().map(CpuSet::len).max().unwrap_or(1)
    }

    /// Are there several kinds of cores?
    pub fn is_hybrid(&self) -> bool {
        self.kinds.len() > 1
    }

    /// Nodes that have CPUs.
    pub fn nodes_with_cpus(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.cpus.is_empty())
    }

    /// Cores with at least one hardware thread among these CPUs.
    pub fn cores_within(&self, cpus: &CpuSet) -> usize {
        self.cores
            .iter()
            .filter(|core| !core.intersection(cpus).is_empty())
            .count()
    }

    /// How many cores of the strongest kind that has any have a CPU in this set.
    pub fn strongest_cores(&self, cpus: &CpuSet) -> usize {
        let mut kinds = self.kinds.iter().map(|kind| kind.cpus.intersection(cpus));
        let strongest = kinds.find(|cpus| !cpus.is_empty());
        self.cores_within(strongest.as_ref().unwrap_or(cpus))
    }
}

/// The CPUs that the files say are online, if those of the live process's affinity mask, and of the cpuset around it, are
/// among them. Else it is the files that are wrong: in a container lxcfs writes `online` itself, as 0 to n-1 for any n CPUs
/// that the container has. Its cpuset and the mask are the kernel's own word.
pub(super) fn online_cpus(tree: &mut Tree, mask: Option<&CpuSet>) -> Option<CpuSet> {
    let described = described_online(tree)?;
    let Some(mask) = mask.filter(|mask| !mask.is_empty() && **mask != described) else {
        return Some(described);
    };
    let running = cgroup::cpuset_around(tree, mask).unwrap_or_else(|| mask.clone());
    if running.is_subset(&described) {
        return Some(described);
    }
    tree.note(format!(
        "{CPU} describes CPUs {described} as online, but this process may run on CPUs {mask}; CPUs {running} are taken to be \
         online"
    ));
    Some(running)
}

/// The `online` file cut to CPUs that exist; without it, the CPUs that exist and are not said to be offline.
fn described_online(tree: &mut Tree) -> Option<CpuSet> {
    let existing: CpuSet = tree.numbered(CPU, "cpu").into_iter().collect();
    let stated = tree
        .list(&format!("{CPU}/online"))
        .filter(|set| !set.is_empty());
    if let Some(stated) = stated {
        let offline = tree.list(&format!("{CPU}/offline")).unwrap_or_default();
        let denied = stated.intersection(&offline);
        if !denied.is_empty() {
            tree.note(format!(
                "{CPU}/online and {CPU}/offline both name CPUs {denied}: counted as online"
            ));
        }
        let both = stated.intersection(&existing);
        if both == stated || existing.is_empty() {
            return Some(stated);
        }
        if !both.is_empty() {
            let absent = stated.difference(&existing);
            tree.note(format!(
                "{CPU}/online names CPUs {absent}, which have no directory; left out"
            ));
            return Some(both);
        }
        tree.note(format!(
            "{CPU}/online names only CPUs that have no directory; left out"
        ));
    }
    let offline = tree.list(&format!("{CPU}/offline")).unwrap_or_default();
    let (mut online, mut unsaid) = (CpuSet::new(), CpuSet::new());
    for cpu in existing.difference(&offline).iter() {
        match tree.number(&format!("{CPU}/cpu{cpu}/online")) {
            Some(0) => {}
            Some(_) => online.insert(cpu),
            None => unsaid.insert(cpu),
        }
    }
    online = online.union(&seem_to_run(tree, unsaid));
    if online.is_empty() {
        // Files that leave no CPU on cannot be true: somebody runs this.
        online = existing;
    }
    if online.is_empty() {
        online = tree.list(&format!("{CPU}/present")).unwrap_or_default();
    }
    if online.is_empty() {
        online = CpuInfo::read_all(tree).processors();
    }
    if online.is_empty() {
        return None;
    }
    tree.note(format!(
        "no usable {CPU}/online: CPUs {online} follow from the rest"
    ));
    Some(online)
}

/// Those of some CPUs that seem to run, though no file says so: the kernel takes the topology of a CPU away with it,
/// and lists in `/proc/cpuinfo` only those that run. What knows none of them says nothing.
fn seem_to_run(tree: &Tree, mut cpus: CpuSet) -> CpuSet {
    let with_topology = cpus
        .iter()
        .filter(|cpu| tree.exists(&format!("{CPU}/cpu{cpu}/topology")))
        .collect();
    for signs in [with_topology, CpuInfo::read_all(tree).processors()] {
        let both = cpus.intersection(&signs);
        if !both.is_empty() {
            cpus = both;
        }
    }
    cpus
}

fn nodes(tree: &mut Tree, online: &CpuSet) -> Vec<Node> {
    let ids = tree.numbered(NODE, "node");
    let mut stated: Vec<Node> = Vec::new();
    for id in ids {
        let directory = format!("{NODE}/node{id}");
        let cpus = tree
            .list_or_mask(
                &format!("{directory}/cpulist"),
                &format!("{directory}/cpumap"),
            )
            .unwrap_or_default()
            .intersection(online);
        stated.push(Node { id, cpus });
    }
    let mut covered = CpuSet::new();
    let mut overlap = false;
    for node in &mut stated {
        let own = node.cpus.difference(&covered);
        overlap |= own != node.cpus;
        covered = covered.union(&own);
        node.cpus = own;
    }
    if overlap {
        tree.note("NUMA nodes overlap: each CPU is counted in the first that names it");
    }
    let homeless = online.difference(&covered);
    if !stated.is_empty() && !homeless.is_empty() {
        tree.note(format!("CPUs {homeless} are in no NUMA node"));
    }
    stated
}
