//! Control groups of this process: where they are mounted, and the limits on the way to the root.
//!
//! Mount points come from `/proc/self/mountinfo` (or `mounts`), the own group from `/proc/self/cgroup` (or `cpuset`).
//! A limit of any ancestor binds, so every reader walks up to the mount point.

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

/// Where the kernel counts what a control group does on the CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuCounts {
    /// `cpu.stat`: for how long it was throttled and, in version 2, its CPU time.
    pub stat: PathBuf,
    /// `cpuacct.usage` of version 1: its CPU time, or where its controller has no such group, that of the whole machine.
    pub usage: Option<PathBuf>,
}

/// Those of the own group and its ancestors.
pub fn cpu_counts(root: &Path) -> Vec<CpuCounts> {
    const USAGE: &str = "cpuacct.usage";
    let groups = Cgroups::read(&Tree::new(root));
    // This controller may be mounted by itself, and its groups be others.
    let accounts: Vec<(String, PathBuf)> = groups
        .groups("cpuacct")
        .into_iter()
        .flatten()
        .filter(|group| group.version == Version::V1)
        .map(|group| (group.path.clone(), root.join(group.file(USAGE))))
        .filter(|(_, file)| file.exists())
        .collect();
    let usage = |of: &Group| {
        let account = |path: &str| accounts.iter().find(|(known, _)| known == path);
        let found = account(&of.path).or_else(|| account("/"))?;
        Some(found.1.clone())
    };
    let groups = groups.groups("cpu");
    groups
        .iter()
        .flatten()
        .map(|group| CpuCounts {
            stat: root.join(group.file("cpu.stat")),
            usage: usage(group).filter(|_| group.version == Version::V1),
        })
        .filter(|counts| counts.stat.exists())
        .collect()
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

    #[test]
    fn cpu_time_of_version_1_is_that_of_the_same_group_or_of_the_whole_machine() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let mount = |controllers: &str, root: &str| {
            format!("1 1 0:1 {root} /cg/{controllers} rw - cgroup cgroup rw,{controllers}\n")
        };
        let counts = |mounts: String, own: &str| -> Vec<(String, Option<String>)> {
            write("proc/self/mountinfo", &mounts);
            write("proc/self/cgroup", own);
            let relative = |path: PathBuf| {
                path.strip_prefix(root.path())
                    .unwrap()
                    .display()
                    .to_string()
            };
            let counts = cpu_counts(root.path()).into_iter();
            counts
                .map(|c| (relative(c.stat), c.usage.map(relative)))
                .collect()
        };
        let some = |path: &str| Some(path.to_owned());
        for path in ["cg/cpu", "cg/cpu/a", "cg/cpu,cpuacct/a"] {
            write(&format!("{path}/cpu.stat"), "");
        }
        for path in ["cg/cpuacct", "cg/cpuacct/a", "cg/cpu,cpuacct/a"] {
            write(&format!("{path}/cpuacct.usage"), "");
        }
        let apart = || mount("cpu", "/") + &mount("cpuacct", "/");
        let of = |usage: &str| {
            vec![
                ("cg/cpu/a/cpu.stat".to_owned(), some(usage)),
                (
                    "cg/cpu/cpu.stat".to_owned(),
                    some("cg/cpuacct/cpuacct.usage"),
                ),
            ]
        };
        assert_eq!(
            counts(apart(), "2:cpuacct:/a\n1:cpu:/a\n"),
            of("cg/cpuacct/a/cpuacct.usage")
        );
        // Another group counts others.
        for other in ["/", "/b"] {
            let own = format!("2:cpuacct:{other}\n1:cpu:/a\n");
            assert_eq!(
                counts(apart(), &own),
                of("cg/cpuacct/cpuacct.usage"),
                "{other}"
            );
        }
        // systemd mounts a hierarchy of version 2 beside those of version 1, in which a group has the same name.
        let unified = || "1 1 0:1 / /cg/unified rw - cgroup2 cgroup2 rw\n".to_owned();
        let own = "2:cpuacct:/a\n1:cpu:/a\n0::/a\n";
        assert_eq!(
            counts(unified() + &apart(), own),
            of("cg/cpuacct/a/cpuacct.usage")
        );
        let together = mount("cpu,cpuacct", "/");
        let beside = (
            "cg/cpu,cpuacct/a/cpu.stat".to_owned(),
            some("cg/cpu,cpuacct/a/cpuacct.usage"),
        );
        assert_eq!(counts(together, "1:cpu,cpuacct:/a\n"), [beside]);
        // In a container that sees its own group alone, what is mounted is not the whole machine.
        let container = mount("cpu", "/x/a") + &mount("cpuacct", "/x");
        let unknown = ("cg/cpu/cpu.stat".to_owned(), None);
        assert_eq!(counts(container, "2:cpuacct:/x\n1:cpu:/x/a\n"), [unknown]);
    }
}
