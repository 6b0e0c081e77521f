//! Where the kernel counts CPU time and throttling of the own control groups.

use super::{Cgroups, Group, Version};
use crate::machine::tree::Tree;
use std::path::{Path, PathBuf};

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

#[cfg(test)]
mod tests {
    use super::*;

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
