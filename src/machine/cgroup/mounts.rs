//! Where hierarchies of control groups are mounted, of the lines of `/proc/self/mountinfo` or `mounts`.

use super::{CONTROLLERS, Version};
use crate::machine::tree::Tree;

/// A mounted hierarchy.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) version: Version,
    /// Relative to the tree's root.
    pub(super) point: String,
    /// The group that is visible at the mount point, as the reader's cgroup namespace names it; unknown where only
    /// `mounts` tells of it.
    pub(super) root: Option<String>,
    options: Vec<String>,
}

impl Mount {
    /// Does a version 1 hierarchy hold this controller, or is it mounted with this option?
    pub(super) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// Do both show the same hierarchy?
    pub(super) fn is_of_hierarchy_of(&self, other: &Self) -> bool {
        let alike = |controller: &&str| self.has(controller) == other.has(controller);
        self.version == other.version
            && (self.version == Version::V2 || CONTROLLERS.iter().all(alike))
    }
}

/// All that can be reached; none where the tree has neither file.
pub(super) fn mounts(tree: &Tree) -> Vec<Mount> {
    let all: Vec<Mount> = match tree.text("proc/self/mountinfo") {
        Some(text) => text.lines().filter_map(mountinfo_line).collect(),
        None => ["proc/self/mounts", "proc/mounts"]
            .into_iter()
            .find_map(|path| tree.text(path))
            .map(|text| text.lines().filter_map(mounts_line).collect())
            .unwrap_or_default(),
    };
    let mut reachable: Vec<Mount> = Vec::new();
    for mount in all {
        // A later mount hides an earlier one at the same place.
        reachable.retain(|earlier| earlier.point != mount.point);
        reachable.push(mount);
    }
    reachable
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,cpu`; any number of fields before the dash.
fn mountinfo_line(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1).unwrap_or(""));
    mount(kind, Some(root), point, options)
}

/// `cgroup /mount/point cgroup rw,cpu 0 0`.
fn mounts_line(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(1);
    let (point, kind) = (fields.next()?, fields.next()?);
    mount(kind, None, point, fields.next().unwrap_or(""))
}

fn mount(kind: &str, root: Option<&str>, point: &str, options: &str) -> Option<Mount> {
    let mut root = root.map(unescape);
    let mut options: Vec<String> = options.split(',').map(str::to_owned).collect();
    let version = match kind {
        "cgroup2" => Version::V2,
        "cgroup" => Version::V1,
        // The type of before there were control groups, which the kernel mounts as their cpuset with bare file names.
        "cpuset" => {
            options.extend(["cpuset", "noprefix"].map(str::to_owned));
            Version::V1
        }
        // lxcfs shows a container the hierarchies of version 1, each in a directory by its controllers.
        "fuse.lxcfs" => {
            let controllers = root.as_deref()?.strip_prefix("/cgroup/")?;
            let (controllers, below) = controllers.split_once('/').unwrap_or((controllers, ""));
            options.extend(controllers.split(',').map(str::to_owned));
            root = Some(format!("/{below}"));
            Version::V1
        }
        _ => return None,
    };
    Some(Mount {
        version,
        point: unescape(point).trim_matches('/').to_owned(),
        root,
        options,
    })
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
            assert_eq!(mount.root.as_deref(), Some("/"));
        }
    }

    #[test]
    fn lxcfs_shows_hierarchies_of_version_1() {
        let line = |root: &str| {
            format!("7 5 0:7 {root} /sys/fs/cgroup/cpu rw - fuse.lxcfs lxcfs rw,user_id=0")
        };
        let mount = mountinfo_line(&line("/cgroup/cpu,cpuacct")).unwrap();
        assert!(mount.version == Version::V1 && mount.has("cpu") && mount.has("cpuacct"));
        assert_eq!(mount.root.as_deref(), Some("/"));
        let below = mountinfo_line(&line("/cgroup/cpu/lxc/c1")).unwrap();
        assert_eq!(below.root.as_deref(), Some("/lxc/c1"));
        // What it shows of procfs and sysfs is none, nor is all that it has.
        for root in ["/", "/proc/cpuinfo", "/sys/devices/system/cpu", "/cgroup"] {
            assert!(mountinfo_line(&line(root)).is_none(), "{root}");
        }
    }
}
