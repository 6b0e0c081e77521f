//! Control groups of this process: where they are mounted, and the limits on the way to the root.
//!
//! Mount points come from `/proc/self/mountinfo` (or `mounts`), the own group from `/proc/self/cgroup` (or `cpuset`).
//! A limit of any ancestor binds, so every reader walks up to the mount point. Where the two do not fit together, as in a
//! namespace that kept the mounts of another one, the own group is looked for by its processes.

mod counts;
mod mounts;
mod own;

pub use counts::{CpuCounts, cpu_counts};

use super::tree::Tree;
use crate::units::CpuSet;
use mounts::Mount;
use std::path::{Path, PathBuf};

/// The version of a control group hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// The controllers whose limits and counts are read.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];

/// Hierarchies that this process is in.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// Each that is mounted, with the way from its mount point to the own group where that can be seen.
    mounts: Vec<(Mount, Option<String>)>,
    memberships: Memberships,
    /// Is the own cgroup namespace the machine's, where `/` is the group that has no limits?
    is_initial_namespace: bool,
}

/// The groups of this process.
#[derive(Debug)]
struct Memberships {
    /// `(version, controllers, path)` of each line of `/proc/self/cgroup`.
    lines: Vec<(Version, Vec<String>, String)>,
    /// The cpuset's path, where there is no `/proc/self/cgroup`.
    cpuset: Option<String>,
}

/// A directory of the own group or of an ancestor, and how its files are named.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Version of its hierarchy.
    pub(crate) version: Version,
    /// Relative to the tree's root.
    pub(crate) directory: String,
    /// In its hierarchy.
    path: String,
    /// v1 mounted with `noprefix`: `cpus`, not `cpuset.cpus`.
    noprefix: bool,
}

impl Group {
    /// The path of a file, given with its controller's prefix.
    pub(crate) fn file(&self, name: &str) -> String {
        let name = match name.split_once('.') {
            Some((_, bare)) if self.noprefix => bare,
            _ => name,
        };
        format!("{}/{name}", self.directory)
    }
}

/// The files of the own group and its ancestors whose writing can change how many CPUs this process has.
///
/// The effective cpusets are not among them: the kernel tells nobody when they change, only when what they follow from
/// is written. `cgroup.subtree_control` is, because writing it makes the limits of the groups below appear.
pub fn cpu_limit_files(root: &Path) -> Vec<PathBuf> {
    const QUOTA: [&str; 4] = [
        "cpu.max",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cgroup.subtree_control",
    ];
    const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.cpus.partition"];
    let groups = Cgroups::read(&Tree::new(root));
    let files = |controller: &str, names: &[&str]| -> Vec<PathBuf> {
        let groups = groups.groups(controller).into_iter().flatten();
        groups
            .flat_map(|group| names.iter().map(move |name| group.file(name)))
            .map(|file| root.join(file))
            .filter(|path| path.exists())
            .collect()
    };
    let mut found = files("cpu", &QUOTA);
    found.extend(files("cpuset", &CPUSET));
    found
}

impl Memberships {
    fn read(tree: &Tree) -> Self {
        let text = tree.text("proc/self/cgroup").unwrap_or_default();
        Self {
            lines: text.lines().filter_map(cgroup_line).collect(),
            cpuset: tree.text("proc/self/cpuset"),
        }
    }

    /// The own group in a mounted hierarchy.
    fn of(&self, mount: &Mount) -> Option<&str> {
        let mut lines = self.lines.iter();
        let found = lines.find(|(version, controllers, _)| {
            *version == mount.version
                && (*version == Version::V2 || controllers.iter().any(|name| mount.has(name)))
        });
        let stated = found.map(|(.., path)| path.as_str());
        let may_hold_cpusets = mount.version == Version::V2 || mount.has("cpuset");
        let cpuset = self.cpuset.as_deref();
        stated.or_else(|| cpuset.filter(|_| self.lines.is_empty() && may_hold_cpusets))
    }

    /// The own group in the hierarchy that has this controller, and which version that is of; it is version 2's where no
    /// other has it.
    fn with(&self, controller: &str) -> Option<(Version, &str)> {
        let has = |controllers: &[String]| controllers.iter().any(|name| name == controller);
        let of_version_1 = self.lines.iter().find(|(_, names, _)| has(names));
        let of_version_2 = || self.lines.iter().find(|line| line.0 == Version::V2);
        let (version, _, path) = of_version_1.or_else(of_version_2)?;
        Some((*version, path))
    }
}

impl Cgroups {
    /// Reads mounts and memberships; empty where the tree has none.
    pub(crate) fn read(tree: &Tree) -> Self {
        let memberships = Memberships::read(tree);
        let mut mounts: Vec<(Mount, Option<String>)> = mounts::mounts(tree)
            .into_iter()
            .filter(|mount| {
                mount.version == Version::V2 || CONTROLLERS.iter().any(|c| mount.has(c))
            })
            .map(|mount| {
                let path = memberships.of(&mount);
                let own = path.and_then(|path| own::stated(tree, &mount, path));
                (mount, own)
            })
            .collect();
        for i in 0..mounts.len() {
            let (mount, own) = &mounts[i];
            // Where one mount of a hierarchy shows the own group no other need do.
            let mut alike = mounts
                .iter()
                .filter(|(other, _)| other.is_of_hierarchy_of(mount));
            let is_seen = own.is_some() || alike.any(|(_, own)| own.is_some());
            if !is_seen && memberships.of(mount).is_some() {
                mounts[i].1 = own::search(tree, mount);
            }
        }
        Self {
            mounts,
            memberships,
            is_initial_namespace: own::is_initial_namespace(tree),
        }
    }

    /// The own group and its ancestors, nearest first, in every hierarchy that may hold this controller.
    pub(crate) fn groups(&self, controller: &str) -> Vec<Vec<Group>> {
        let may_hold = |mount: &Mount| mount.version == Version::V2 || mount.has(controller);
        self.mounts
            .iter()
            .filter(|(mount, _)| may_hold(mount))
            .filter_map(|(mount, below)| Some(ancestry(mount, below.as_deref()?)))
            .collect()
    }

    /// What cannot be seen of the limits on CPUs, for people: not to see one does not mean that there is none.
    pub(super) fn unseen(&self) -> Option<String> {
        let own = |controller: &str| {
            let (version, path) = self.memberships.with(controller)?;
            let is_limitless = path == "/" && self.is_initial_namespace;
            let all = self.groups(controller);
            let is_seen = all.iter().flatten().any(|group| group.version == version);
            (!is_limitless && !is_seen).then_some(path)
        };
        let (what, path) = match (own("cpu"), own("cpuset")) {
            (None, None) => return None,
            (Some(path), None) => ("a CPU quota", path),
            (None, Some(path)) => ("a cpuset", path),
            (Some(path), Some(_)) => ("a CPU quota or a cpuset", path),
        };
        let why = if self.mounts.is_empty() {
            "no control groups are mounted here".to_owned()
        } else {
            format!("the own control group, `{path}`, is not among those mounted here")
        };
        Some(format!("{why}: whether there is {what} cannot be seen"))
    }
}

/// The CPUs of the own cpusets, if they hold all of this mask: if they do not, they are those of somebody else.
pub(super) fn cpuset_around(tree: &mut Tree, mask: &CpuSet) -> Option<CpuSet> {
    let cgroups = Cgroups::read(tree);
    let mut sets = cgroups.groups("cpuset").into_iter().filter_map(|groups| {
        let (_, cpus) = cpuset(tree, &groups)?;
        mask.is_subset(&cpus).then_some(cpus)
    });
    let first = sets.next()?;
    Some(sets.fold(first, |all, cpus| all.intersection(&cpus)))
}

/// The CPUs of a cpuset: those of the nearest group that names any. What is effective counts, since what was asked
/// for may lie outside the parent's set or be offline.
pub(crate) fn cpuset(tree: &mut Tree, groups: &[Group]) -> Option<(String, CpuSet)> {
    for group in groups {
        let names: &[&str] = match group.version {
            Version::V2 => &["cpuset.cpus.effective"],
            Version::V1 => &["cpuset.effective_cpus", "cpuset.cpus"],
        };
        for name in names {
            let path = group.file(name);
            if let Some(cpus) = tree.list(&path).filter(|set| !set.is_empty()) {
                return Some((path, cpus));
            }
        }
    }
    None
}

/// What a group may use of the CPUs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quota {
    /// CPUs, on average over a period.
    pub(crate) cpus: f64,
    /// Microseconds.
    pub(crate) period_us: u64,
}

/// The quota of one group; `None` where it has none or its files are not to be believed.
pub(crate) fn quota(tree: &mut Tree, group: &Group) -> Option<(String, Quota)> {
    let (path, quota, period) = match group.version {
        Version::V2 => {
            let path = group.file("cpu.max");
            let text = tree.text(&path)?;
            let mut words = text.split_whitespace();
            let quota = words.next().map(str::to_owned);
            // The kernel's own period where the file was cut short.
            let period = words.next().map_or(Some(100_000), |p| p.parse().ok());
            (path, quota?, period)
        }
        Version::V1 => {
            let path = group.file("cpu.cfs_quota_us");
            let period = tree.number(&group.file("cpu.cfs_period_us"));
            let quota = tree.text(&path)?;
            (path, quota, period)
        }
    };
    if quota == "max" || quota.starts_with('-') {
        return None;
    }
    match (quota.parse::<i64>().ok(), period) {
        (Some(quota), Some(period)) if quota > 0 && period > 0 => {
            let quota = Quota {
                cpus: quota as f64 / period as f64,
                period_us: period as u64,
            };
            Some((path, quota))
        }
        _ => {
            let period = period.map_or("a period that is not a number".to_owned(), |period| {
                format!("a period of {period} µs")
            });
            tree.note(format!(
                "{path}: a quota of `{quota}` with {period} is not a limit; left out"
            ));
            None
        }
    }
}

/// The least number in a file of these groups, with its path (`max` and v1's huge default are no limits).
pub(crate) fn least(tree: &Tree, groups: &[Group], v2: &str, v1: &str) -> Option<(String, u64)> {
    const NO_LIMIT: u64 = 1 << 60;
    groups
        .iter()
        .filter_map(|group| {
            let path = group.file(match group.version {
                Version::V2 => v2,
                Version::V1 => v1,
            });
            let value = tree.text(&path)?.parse().ok()?;
            Some((path, value))
        })
        .filter(|(_, value)| *value < NO_LIMIT)
        .min_by_key(|(_, value)| *value)
}

/// The directories from a group up to the mount point; `below` is the way from there to the group.
fn ancestry(mount: &Mount, below: &str) -> Vec<Group> {
    let mut below = below.trim_matches('/');
    let root = mount.root.as_deref().unwrap_or("/").trim_end_matches('/');
    let noprefix = mount.has("noprefix");
    let mut groups = Vec::new();
    loop {
        let slash = if below.is_empty() { "" } else { "/" };
        let path = format!("{root}{slash}{below}");
        groups.push(Group {
            version: mount.version,
            directory: format!("{}{slash}{below}", mount.point),
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path
            },
            noprefix,
        });
        if below.is_empty() {
            return groups;
        }
        below = below.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
}

/// `4:cpu,cpuacct:/path`; a line without controllers is the unified hierarchy.
fn cgroup_line(line: &str) -> Option<(Version, Vec<String>, String)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    if controllers.is_empty() {
        return Some((Version::V2, Vec::new(), path.to_owned()));
    }
    let controllers = controllers.split(',').map(str::to_owned).collect();
    Some((Version::V1, controllers, path.to_owned()))
}
