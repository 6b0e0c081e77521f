//! Where the own group lies below a mount point.
//!
//! `/proc/self/cgroup` and `/proc/self/mountinfo` name groups as the own cgroup namespace sees them, whatever namespace
//! made the mount. A process that was put into a new namespace but kept the old mount reads `/` of its own group, which
//! lies anywhere below a mount whose root it reads as `/../..`; one whose group lies outside of its namespace reads
//! `/../other` of it, and the mount has no such group (`cgroup_namespaces(7)`). Only `cgroup.procs` is beyond doubt.

use super::mounts::Mount;
use crate::machine::tree::Tree;
use std::collections::VecDeque;
use std::path::{Component, Path};

/// So many groups are looked through at most; the largest servers have some thousands.
const MOST_GROUPS: usize = 8192;

/// The number that the kernel gives the machine's own cgroup namespace (`PROC_CGROUP_INIT_INO`).
const INITIAL: &str = "cgroup:[4026531835]";

/// The way from the mount point to the own group, which `/proc/self/cgroup` calls `path`; `None` where it is not below it.
pub(super) fn below(tree: &Tree, mount: &Mount, path: &str) -> Option<String> {
    let Some(root) = &mount.root else {
        // Nothing tells which group lies at the mount point.
        return Some(plain(path).unwrap_or_default().to_owned());
    };
    let stated = path
        .strip_prefix(root.trim_end_matches('/'))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .and_then(plain);
    let process = own_process(tree);
    let is_own = |directory: &str| holds(tree, directory, process.as_deref()?);
    // What lists no processes even at its root was recorded without the lists, or does not let them be read.
    let is_told = is_own(&mount.point).is_some();
    let is_stated = |below: &&str| !is_told || is_own(&directory(mount, below)) == Some(true);
    if let Some(below) = stated.filter(is_stated) {
        return Some(below.to_owned());
    }
    search(tree, mount, |directory| is_own(directory) == Some(true))
}

/// Is the own cgroup namespace the machine's?
pub(super) fn is_initial_namespace(tree: &Tree) -> bool {
    tree.link("proc/self/ns/cgroup").as_deref() == Some(INITIAL)
}

/// A path without slashes at its ends, if it leads downwards only.
fn plain(path: &str) -> Option<&str> {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::RootDir);
    Path::new(path)
        .components()
        .all(is_plain)
        .then(|| path.trim_matches('/'))
}

fn directory(mount: &Mount, below: &str) -> String {
    let slash = if below.is_empty() { "" } else { "/" };
    format!("{}{slash}{below}", mount.point)
}

/// The number of this process, or of the one that a tree was recorded from.
fn own_process(tree: &Tree) -> Option<String> {
    if tree.is_live() {
        return Some(std::process::id().to_string());
    }
    let status = tree.text("proc/self/status")?;
    let number = status.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    Some(number.trim().to_owned())
}

/// Is this process in the group? Unknown where the kernel does not list its processes.
fn holds(tree: &Tree, directory: &str, process: &str) -> Option<bool> {
    // A group of threads has no list of processes.
    let lists = ["cgroup.procs", "cgroup.threads"];
    let text = lists
        .into_iter()
        .find_map(|name| tree.text(&format!("{directory}/{name}")))?;
    Some(text.lines().any(|line| line.trim() == process))
}

/// The first group below the mount point of which this is true, those nearest to it first.
fn search(tree: &Tree, mount: &Mount, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let mut left = VecDeque::from([String::new()]);
    for _ in 0..MOST_GROUPS {
        let below = left.pop_front()?;
        let here = directory(mount, &below);
        if is_it(&here) {
            return Some(below);
        }
        let slash = if below.is_empty() { "" } else { "/" };
        for name in tree.directories(&here) {
            left.push_back(format!("{below}{slash}{name}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Cgroups, Group};
    use crate::machine::tree::Tree;
    use tempfile::TempDir;

    /// Of process 7: what it reads of its group and of the root of the mount at `/cg`, and the groups below that with
    /// their processes.
    fn made(path: &str, root: &str, groups: &[(&str, &str)]) -> TempDir {
        let made = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = made.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/status", "Name:\tx\nPid:\t7\nPPid:\t1\n");
        write("proc/self/cgroup", &format!("0::{path}\n"));
        let mount = format!("5 4 0:4 {root} /cg rw - cgroup2 cgroup2 rw\n");
        write("proc/self/mountinfo", &mount);
        for (group, processes) in groups {
            write(&format!("cg/{group}/cgroup.procs"), processes);
        }
        made
    }

    fn groups(made: &TempDir) -> Vec<String> {
        let cgroups = Cgroups::read(&Tree::new(made.path()));
        let groups = cgroups.groups("cpu").into_iter().flatten();
        groups.map(|Group { directory, .. }| directory).collect()
    }

    fn unseen(made: &TempDir) -> Option<String> {
        Cgroups::read(&Tree::new(made.path())).unseen()
    }

    #[test]
    fn the_own_group_is_where_both_files_say() {
        let plain = made("/a/b", "/", &[("a/b", "1\n7\n"), ("", "17\n")]);
        assert_eq!(groups(&plain), ["cg/a/b", "cg/a", "cg"]);
        let container = made("/docker/x/y", "/docker/x", &[("y", "7\n")]);
        assert_eq!(groups(&container), ["cg/y", "cg"]);
        assert_eq!(unseen(&container), None);
        // No list of processes is to be had: the files are believed.
        let quiet = made("/a", "/", &[]);
        assert_eq!(groups(&quiet), ["cg/a", "cg"]);
    }

    #[test]
    fn a_namespace_with_the_mount_of_another_one_finds_its_group_by_its_processes() {
        let all = [("", "1\n"), ("a", "3\n"), ("a/b", "2\n7\n"), ("c", "77\n")];
        for root in ["/../..", "/..", "/"] {
            assert_eq!(
                groups(&made("/", root, &all)),
                ["cg/a/b", "cg/a", "cg"],
                "{root}"
            );
        }
        // The same name, but another group.
        let renamed = made("/a", "/", &all);
        assert_eq!(groups(&renamed), ["cg/a/b", "cg/a", "cg"]);
        // A group of threads.
        let threads = made("/", "/../..", &[("", "1\n")]);
        std::fs::create_dir_all(threads.path().join("cg/t")).unwrap();
        std::fs::write(threads.path().join("cg/t/cgroup.threads"), "7\n").unwrap();
        assert_eq!(groups(&threads), ["cg/t", "cg"]);
    }

    #[test]
    fn what_is_not_below_the_mount_is_told_and_nobody_elses_limit_is_taken() {
        let others = [("", "1\n"), ("etc", "2\n")];
        for (path, root) in [
            ("/../other", "/"),
            ("/../../etc", "/"),
            ("/docker/xyz", "/docker/x"),
            ("/", "/"),
            ("/etc", "/"),
        ] {
            let made = made(path, root, &others);
            assert_eq!(groups(&made), [""; 0], "{path}");
            let told = format!(
                "the own control group, `{path}`, is not among those mounted here: whether there is a CPU quota or a cpuset \
                 cannot be seen"
            );
            assert_eq!(unseen(&made), Some(told));
        }
    }

    #[test]
    fn without_a_mount_a_limit_may_be_there_unseen_but_in_the_machines_own_root() {
        let bare = |path: &str| {
            let made = made(path, "/", &[]);
            std::fs::write(made.path().join("proc/self/mountinfo"), "").unwrap();
            made
        };
        let told = "no control groups are mounted here: whether there is a CPU quota or a cpuset cannot be seen";
        assert_eq!(unseen(&bare("/")).as_deref(), Some(told));
        let initial = |path: &str| {
            let made = bare(path);
            std::fs::create_dir_all(made.path().join("proc/self/ns")).unwrap();
            let link = made.path().join("proc/self/ns/cgroup");
            std::os::unix::fs::symlink(super::INITIAL, link).unwrap();
            made
        };
        assert_eq!(unseen(&initial("/")), None);
        assert_eq!(unseen(&initial("/a")).as_deref(), Some(told));
        // A kernel without control groups.
        let none = bare("/");
        std::fs::remove_file(none.path().join("proc/self/cgroup")).unwrap();
        assert_eq!(unseen(&none), None);
    }

    #[test]
    fn only_the_controllers_that_are_not_seen_are_named() {
        let made = made("/", "/", &[]);
        let mounts = "1 1 0:1 / /cg rw - cgroup cgroup rw,cpu,cpuacct\n";
        std::fs::write(made.path().join("proc/self/mountinfo"), mounts).unwrap();
        let own = "4:cpuset:/x\n1:cpu,cpuacct:/\n0::/y\n";
        std::fs::write(made.path().join("proc/self/cgroup"), own).unwrap();
        std::fs::create_dir_all(made.path().join("cg")).unwrap();
        let told = "the own control group, `/x`, is not among those mounted here: whether there is a cpuset cannot be seen";
        assert_eq!(unseen(&made).as_deref(), Some(told));
        // Version 2 beside them has neither controller.
        let both = mounts.to_owned() + "1 1 0:1 / /unified rw - cgroup2 cgroup2 rw\n";
        std::fs::write(made.path().join("proc/self/mountinfo"), both).unwrap();
        assert_eq!(unseen(&made).as_deref(), Some(told));
    }
}
