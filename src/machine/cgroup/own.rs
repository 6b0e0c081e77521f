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

/// So many groups are looked through at most, which takes some hundredths of a second; most machines have some hundreds.
const MOST_GROUPS: usize = 2048;

/// The number that the kernel gives the machine's own cgroup namespace (`PROC_CGROUP_INIT_INO`).
const INITIAL: &str = "cgroup:[4026531835]";

/// The way from the mount point to the own group, which `/proc/self/cgroup` calls `path`, where that is below it and the
/// kernel does not contradict.
pub(super) fn stated(tree: &Tree, mount: &Mount, path: &str) -> Option<String> {
    let Some(root) = &mount.root else {
        // Nothing tells which group lies at the mount point.
        return plain(path).map(str::to_owned);
    };
    let stated = path
        .strip_prefix(root.trim_end_matches('/'))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .and_then(plain)?;
    let processes = own_processes(tree);
    let is_own = match holds(tree, &directory(mount, stated), &processes) {
        Some(is_own) => is_own,
        // What lists no processes even at its root was recorded without the lists, or does not let them be read.
        None => holds(tree, &mount.point, &processes).is_none(),
    };
    is_own.then(|| stated.to_owned())
}

/// The way from the mount point to the first group below it that holds this process, those nearest to it first.
pub(super) fn search(tree: &Tree, mount: &Mount) -> Option<String> {
    let processes = own_processes(tree);
    let is_own = |below: &str| holds(tree, &directory(mount, below), &processes) == Some(true);
    let inside = |below: &str| -> Vec<String> {
        let slash = if below.is_empty() { "" } else { "/" };
        let names = tree.directories(&directory(mount, below)).into_iter();
        names.map(|name| format!("{below}{slash}{name}")).collect()
    };
    let mut left = VecDeque::from([String::new()]);
    for _ in 0..MOST_GROUPS {
        let below = left.pop_front()?;
        if is_own(&below) {
            // A group whose children hold its threads lists the processes of all of them.
            let mut deepest = below;
            while let Some(child) = inside(&deepest).into_iter().find(|child| is_own(child)) {
                deepest = child;
            }
            return Some(deepest);
        }
        left.extend(inside(&below));
    }
    None
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

/// The number of this process; of the one that a tree was recorded from also that of its parent, as scripts record one file
/// by one process each.
fn own_processes(tree: &Tree) -> Vec<String> {
    if tree.is_live() {
        return vec![std::process::id().to_string()];
    }
    let status = tree.text("proc/self/status").unwrap_or_default();
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
    let numbers = ["Pid:", "PPid:"].into_iter().filter_map(field);
    numbers.map(|number| number.trim().to_owned()).collect()
}

/// Is one of these processes in the group? Unknown where the kernel does not list its processes.
fn holds(tree: &Tree, directory: &str, processes: &[String]) -> Option<bool> {
    if processes.is_empty() {
        return None;
    }
    // A group of threads has no list of processes.
    let lists = ["cgroup.procs", "cgroup.threads"];
    let text = lists
        .into_iter()
        .find_map(|name| tree.text(&format!("{directory}/{name}")))?;
    let is_own = |line: &str| processes.iter().any(|process| process == line.trim());
    Some(text.lines().any(is_own))
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
        write("proc/self/status", "Name:\tx\nPid:\t7\nPPid:\t5\n");
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
        // A script reads the files of itself by other processes.
        let script = made("/s", "/", &[("", "1\n"), ("s", "5\n9\n")]);
        assert_eq!(groups(&script), ["cg/s", "cg"]);
        // A group of threads, all of whose processes the one above lists.
        let threads = made("/", "/../..", &[("", "1\n7\n")]);
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
