//! The form of a machine, whatever the numbers of its CPUs: which a kernel may deal anew, and a container's host does.

use super::fingerprint::fnv1a;
use super::topology::Topology;
use crate::units::CpuSet;

/// Packages, NUMA nodes and cache groups, from the outside to the inside.
const LEVELS: usize = 3;

/// Where a core lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Core {
    /// The place of its group among those of each level; none is [`usize::MAX`].
    groups: [usize; LEVELS],
    /// The place of its kind, strongest first.
    kind: usize,
    threads: usize,
}

impl Topology {
    /// The hash of the form of the whole machine, in hexadecimal.
    pub(super) fn structure(&self) -> String {
        hash(&form(self, &self.online, CpuSet::len))
    }

    /// The hash of how the cores that have one of these CPUs are grouped, whatever the numbers of their CPUs and however many
    /// each has.
    pub fn grouping_of(&self, cpus: &CpuSet) -> String {
        hash(&form(self, cpus, |_| 1))
    }
}

fn hash(form: &str) -> String {
    format!("{:016x}", fnv1a(form.as_bytes()))
}

/// The form of these CPUs as a text: `1*(1*(2*(4*0.2)))` is one package of one node of two cache groups, each of four cores
/// of kind 0 with two hardware threads. Equal for two sets if and only if their CPUs can be renumbered so that they are the
/// same, as far as groups of one level lie in those of the level above.
fn form(topology: &Topology, cpus: &CpuSet, threads: impl Fn(&CpuSet) -> usize) -> String {
    let levels: [Vec<&CpuSet>; LEVELS] = [
        topology.packages.iter().collect(),
        topology.nodes.iter().map(|node| &node.cpus).collect(),
        topology.llc.iter().map(|group| &group.cpus).collect(),
    ];
    let kinds: Vec<&CpuSet> = topology.kinds.iter().map(|kind| &kind.cpus).collect();
    let place = |groups: &[&CpuSet], cpu: u32| {
        let found = groups.iter().position(|group| group.contains(cpu));
        found.unwrap_or(usize::MAX)
    };
    let core = |core: &CpuSet| {
        let core = core.intersection(cpus);
        let cpu = core.first()?;
        Some(Core {
            groups: levels.each_ref().map(|groups| place(groups, cpu)),
            kind: place(&kinds, cpu),
            threads: threads(&core),
        })
    };
    let mut cores: Vec<Core> = topology.cores.iter().filter_map(core).collect();
    cores.sort_unstable();
    of_level(&cores, 0)
}

fn of_level(cores: &[Core], level: usize) -> String {
    let parts: Vec<String> = if level == LEVELS {
        let kinds = cores.iter();
        kinds
            .map(|core| format!("{}.{}", core.kind, core.threads))
            .collect()
    } else {
        cores
            .chunk_by(|a, b| a.groups[level] == b.groups[level])
            .map(|group| format!("({})", of_level(group, level + 1)))
            .collect()
    };
    counted(parts)
}

/// Each part once, with how often it is there.
fn counted(mut parts: Vec<String>) -> String {
    parts.sort_unstable();
    let runs = parts.chunk_by(|a, b| a == b);
    let texts: Vec<String> = runs
        .map(|run| format!("{}*{}", run.len(), run[0]))
        .collect();
    texts.join("+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{CacheGroup, CoreKind, Node};

    fn sets(lists: &[&str]) -> Vec<CpuSet> {
        lists
            .iter()
            .map(|list| CpuSet::parse_list(list).unwrap())
            .collect()
    }

    /// Cores, and cache groups that are nodes and packages, too.
    fn made(cores: &[&str], caches: &[&str]) -> Topology {
        let cores = sets(cores);
        let all = cores
            .iter()
            .fold(CpuSet::new(), |all, core| all.union(core));
        let groups = sets(caches);
        let group = |cpus: &CpuSet| CacheGroup {
            level: 3,
            cpus: cpus.clone(),
            bytes: None,
        };
        Topology {
            cores,
            llc: groups.iter().map(group).collect(),
            nodes: groups
                .iter()
                .zip(0..)
                .map(|(cpus, id)| Node {
                    id,
                    cpus: cpus.clone(),
                })
                .collect(),
            packages: groups,
            ..Topology::flat(all)
        }
    }

    fn whole(topology: &Topology) -> String {
        form(topology, &topology.online, CpuSet::len)
    }

    #[test]
    fn cores_are_grouped_alike_whichever_of_their_cpus_are_there() {
        let machine = made(&["0,4", "1,5", "2,6", "3,7"], &["0-1,4-5", "2-3,6-7"]);
        let of = |list: &str| machine.grouping_of(&CpuSet::parse_list(list).unwrap());
        let two_of_one = of("0-1");
        assert_eq!(of("2-3"), two_of_one);
        assert_eq!(of("0-1,4-5"), two_of_one);
        assert_eq!(of("4,1"), two_of_one);
        assert_ne!(of("0,2"), two_of_one);
        assert_ne!(of("0"), two_of_one);
        assert_ne!(of("0-3"), two_of_one);
    }

    #[test]
    fn a_form_tells_how_cores_are_grouped() {
        let one = made(&["0-1", "2-3", "4-5", "6-7"], &["0-7"]);
        assert_eq!(whole(&one), "1*(1*(1*(4*0.2)))");
        let two = made(&["0,4", "1,5", "2", "3"], &["0-1,4-5", "2-3"]);
        assert_eq!(whole(&two), "1*(1*(1*(2*0.1)))+1*(1*(1*(2*0.2)))");
        assert_eq!(
            whole(&Topology::flat((0..3).collect())),
            "1*(1*(1*(3*0.1)))"
        );
        let mut hybrid = one.clone();
        hybrid.kinds = [("performance", "0-3"), ("efficiency", "4-7")]
            .map(|(name, cpus)| CoreKind {
                name: name.to_owned(),
                cpus: CpuSet::parse_list(cpus).unwrap(),
                cores: 2,
            })
            .to_vec();
        assert_eq!(whole(&hybrid), "1*(1*(1*(2*0.2+2*1.2)))");
        assert_ne!(hybrid.structure(), one.structure());
        assert_eq!(one.structure().len(), 16);
    }

    #[test]
    fn renumbered_cpus_keep_the_form_and_regrouped_ones_do_not() {
        let first = whole(&made(&["0", "1", "2-3"], &["0-1", "2-3"]));
        for (cores, caches) in [
            (["24", "30", "31,47"], ["24,30", "31,47"]),
            (["0,1", "2", "3"], ["0,1", "2-3"]),
        ] {
            assert_eq!(whole(&made(&cores, &caches)), first, "{cores:?}");
        }
        for (cores, caches) in [
            (["0", "1", "2-3"], ["0-3", "9"]),
            (["0", "1", "2-3"], ["0", "1-3"]),
            (["0", "1,2", "3"], ["0-2", "3"]),
        ] {
            assert_ne!(whole(&made(&cores, &caches)), first, "{cores:?} {caches:?}");
        }
    }
}
