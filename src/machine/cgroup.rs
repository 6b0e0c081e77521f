//! Control groups of this process: where they are mounted, and the limits on the way to the root.
//!
//! Mount points come from `/proc/self/mountinfo` (or `mounts`), the own group from `/proc/self/cgroup` (or `cpuset`).
//! A limit of any ancestor binds, so every reader walks up to the mount point.

mod counts;

pub use counts::{CpuCounts, cpu_counts};

use super::tree::Tree;
use crate::units::CpuSet;
use std::path::{Component, Path, PathBuf};

/// The version of a control group hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// Hierarchies that this process is in.
#[derive(Debug)]
pub(crate) struct Cgroups {
    mounts: Vec<Mount>,
    /// `(version, controllers, path)` of each line of `/proc/self/cgroup`.
    memberships: Vec<(Version, Vec<String>, String)>,
    /// The cpuset's path, where there is no `/proc/self/cgroup`.
    cpuset: Option<String>,
}

#[derive(Debug)]
struct Mount {
    version: Version,
    /// Relative to the tree's root.
    point: String,
    /// The group that is visible at the mount point.
    root: String,
    options: Vec<String>,
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

impl Cgroups {
    /// Reads mounts and memberships; empty where the tree has none.
    pub(crate) fn read(tree: &Tree) -> Self {
        let mounts = match tree.text("proc/self/mountinfo") {
            Some(text) => text.lines().filter_map(mountinfo_line).collect(),
            None => ["proc/self/mounts", "proc/mounts"]
                .into_iter()
                .find_map(|path| tree.text(path))
                .map(|text| text.lines().filter_map(mounts_line).collect())
                .unwrap_or_default(),
        };
        let memberships = tree
            .text("proc/self/cgroup")
            .map(|text| text.lines().filter_map(cgroup_line).collect())
            .unwrap_or_default();
        Self {
            mounts,
            memberships,
            cpuset: tree.text("proc/self/cpuset"),
        }
    }

    /// The own group and its ancestors, nearest first, in every hierarchy that may hold this controller.
    pub(crate) fn groups(&self, controller: &str) -> Vec<Vec<Group>> {
        self.mounts
            .iter()
            .filter_map(|mount| {
                let path = match mount.version {
                    Version::V2 => self.path(|version, _| version == Version::V2),
                    Version::V1 if mount.options.iter().any(|o| o == controller) => self
                        .path(|_, controllers| controllers.iter().any(|name| name == controller)),
                    Version::V1 => return None,
                };
                let path = path.or_else(|| {
                    let cpuset = self.cpuset.as_deref().filter(|_| controller == "cpuset");
                    cpuset.filter(|_| self.memberships.is_empty())
                })?;
                Some(ancestry(mount, path))
            })
            .collect()
    }

    fn path(&self, of: impl Fn(Version, &[String]) -> bool) -> Option<&str> {
        self.memberships
            .iter()
            .find(|(version, controllers, _)| of(*version, controllers))
            .map(|(_, _, path)| path.as_str())
    }
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

/// The directories from `path` up to the mount point. A path outside of what is mounted (a container that sees its
/// host's path) leaves the mount point itself.
fn ancestry(mount: &Mount, path: &str) -> Vec<Group> {
    let below = if mount.root == "/" {
        path
    } else {
        match path.strip_prefix(mount.root.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => "",
        }
    };
    let normal = Path::new(below)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
    let mut below = if normal { below.trim_matches('/') } else { "" };
    let noprefix = mount.options.iter().any(|option| option == "noprefix");
    let mut groups = Vec::new();
    loop {
        let slash = if below.is_empty() { "" } else { "/" };
        let path = format!("{}{slash}{below}", mount.root.trim_end_matches('/'));
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

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,cpu`; any number of fields before the dash.
fn mountinfo_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1).unwrap_or(""));
    mount(kind, root, point, options)
}

/// `cgroup /mount/point cgroup rw,cpu 0 0`.
fn mounts_line(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(1);
    let (point, kind) = (fields.next()?, fields.next()?);
    mount(kind, "/", point, fields.next().unwrap_or(""))
}

fn mount(kind: &str, root: &str, point: &str, options: &str) -> Option<Mount> {
    let version = match kind {
        "cgroup" | "cpuset" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let mut options: Vec<String> = options.split(',').map(str::to_owned).collect();
    if kind == "cpuset" {
        // The type of before there were control groups, which the kernel mounts as their cpuset with bare file names.
        options.extend(["cpuset", "noprefix"].map(str::to_owned));
    }
    Some(Mount {
        version,
        point: unescape(point).trim_matches('/').to_owned(),
        root: unescape(root),
        options,
    })
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

/// The kernel writes space, tab, newline and backslash in mount lines as three octal digits (`\040`).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_may_hold_spaces_and_any_number_of_optional_fields() {
        for optional in ["", "shared:7 ", "shared:7 master:8 propagate_from:9 "] {
            let line = format!(
                "7 5 0:7 / /sys/fs/my\\040cgroup rw {optional}- cgroup cgroup rw,cpu,cpuacct"
            );
            let mount = mountinfo_line(&line).unwrap();
            assert_eq!(mount.point, "sys/fs/my cgroup");
            assert_eq!(mount.options, ["rw", "cpu", "cpuacct"]);
        }
    }

    #[test]
    fn a_group_outside_of_the_mount_leaves_the_mount_point() {
        let directories = |root: &str, path: &str| -> Vec<String> {
            let mount = mount("cgroup2", root, "/cg", "rw").unwrap();
            let groups = ancestry(&mount, path);
            groups.into_iter().map(|g| g.directory).collect()
        };
        assert_eq!(directories("/", "/a/b"), ["cg/a/b", "cg/a", "cg"]);
        assert_eq!(directories("/docker/x", "/docker/x/y"), ["cg/y", "cg"]);
        assert_eq!(directories("/docker/x", "/docker/xyz"), ["cg"]);
        assert_eq!(directories("/", "/../../etc"), ["cg"]);
    }
}
