//! Small machines written file by file, one oddity each.

use std::fs;
use std::path::Path;
use tempfile::TempDir;
use threadtune::machine::{
    CacheGroup, CpuInfo, Fingerprint, Memory, Topology, TopologyError, cpu_pressure_percent,
    kernel_release,
};
use threadtune::units::CpuSet;

/// A tree of files that one test writes.
pub struct Made(TempDir);

impl Made {
    /// A tree of `(path, text)` files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            made.write(path, text);
        }
        made
    }

    /// Online CPUs with sibling lists: `cores` holds each core's CPUs.
    pub fn machine(online: &str, cores: &[&str]) -> Self {
        let made = Self::of(&[("sys/devices/system/cpu/online", online)]);
        for core in cores {
            for cpu in CpuSet::parse_list(core).unwrap().iter() {
                made.cpu(cpu, "topology/core_cpus_list", core);
                made.cpu(
                    cpu,
                    "topology/core_id",
                    core.split([',', '-']).next().unwrap(),
                );
                made.cpu(cpu, "topology/physical_package_id", "0");
            }
        }
        made
    }

    /// Writes a file of one CPU.
    pub fn cpu(&self, cpu: u32, path: &str, text: &str) {
        self.write(&format!("sys/devices/system/cpu/cpu{cpu}/{path}"), text);
    }

    /// Writes a file, with a newline at its end as the kernel does.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn topology(&self) -> Topology {
        Topology::read(self.root(), None).unwrap()
    }
}

fn texts<'a>(sets: impl IntoIterator<Item = &'a CpuSet>) -> Vec<String> {
    sets.into_iter().map(ToString::to_string).collect()
}

#[test]
fn siblings_that_are_not_neighbours_share_a_core() {
    let t = Made::machine("0-3", &["0,2", "1,3"]).topology();
    assert_eq!(texts(&t.cores), ["0,2", "1,3"]);
    assert_eq!((t.smt(), t.is_hybrid()), (2, false));
    assert_eq!(texts(&t.packages), ["0-3"]);
    assert_eq!(t.notes, Vec::<String>::new());
}

#[test]
fn offline_cpus_are_in_no_set_though_lists_name_them() {
    let made = Made::machine("0,2-3", &["0-1", "2-3"]);
    made.write("sys/devices/system/node/node3/cpulist", "0-3");
    made.cpu(0, "cache/index0/level", "2");
    made.cpu(0, "cache/index0/type", "Unified");
    made.cpu(0, "cache/index0/shared_cpu_list", "0-1");
    let t = made.topology();
    assert_eq!(texts(&t.cores), ["0", "2-3"]);
    assert_eq!(
        (t.nodes[0].id, t.nodes[0].cpus.to_string()),
        (3, "0,2-3".into())
    );
    assert_eq!((t.llc[0].level, t.llc[0].cpus.to_string()), (2, "0".into()));
}

#[test]
fn cpu_numbers_and_nodes_may_have_holes() {
    let made = Made::machine("2,70,4095", &["2", "70", "4095"]);
    made.write("sys/devices/system/node/node0/cpulist", "");
    made.write(
        "sys/devices/system/node/node8/cpumap",
        "40,00000000,00000004",
    );
    let t = made.topology();
    assert_eq!(t.online.to_string(), "2,70,4095");
    assert_eq!(t.nodes.len(), 2);
    assert_eq!(t.nodes_with_cpus().count(), 1);
    assert_eq!(t.nodes[1].cpus.to_string(), "2,70");
    assert!(
        t.notes
            .iter()
            .any(|n| n.contains("4095") && n.contains("no NUMA node"))
    );
}

#[test]
fn without_an_online_file_the_cpus_own_files_tell() {
    let made = Made::machine("", &["0", "1", "2"]);
    made.cpu(1, "online", "0");
    assert_eq!(made.topology().online.to_string(), "0,2");
    fs::remove_file(made.root().join("sys/devices/system/cpu/online")).unwrap();
    made.write("sys/devices/system/cpu/offline", "2");
    let t = made.topology();
    assert_eq!(t.online.to_string(), "0");
    assert!(t.notes[0].contains("online"), "{:?}", t.notes);
}

#[test]
fn cpus_that_all_seem_offline_count_rather_than_others_that_are_not_there() {
    let made = Made::machine("", &["4", "8"]);
    made.write("sys/devices/system/cpu/offline", "0-4095");
    made.write("sys/devices/system/cpu/present", "0-9");
    assert_eq!(made.topology().online.to_string(), "4,8");
}

#[test]
fn a_torn_online_file_falls_back_and_one_with_absent_cpus_is_cut() {
    let made = Made::machine("0-", &["0", "1"]);
    assert_eq!(made.topology().online.to_string(), "0-1");
    made.write("sys/devices/system/cpu/online", "0-7");
    let t = made.topology();
    assert_eq!(t.online.to_string(), "0-1");
    assert!(t.notes[0].contains("2-7"), "{:?}", t.notes);
}

#[test]
fn a_package_holds_its_cores_whole_though_its_list_is_torn() {
    let made = Made::machine("0-3", &["0-1", "2-3"]);
    for cpu in 0..4 {
        made.cpu(cpu, "topology/physical_package_id", "-1");
        made.cpu(cpu, "topology/package_cpus_list", "0,2-3");
    }
    assert_eq!(texts(&made.topology().packages), ["0-3"]);
}

#[test]
fn a_cpu_that_tells_nothing_of_itself_is_where_its_package_lists_it() {
    // CPU 5 is coming up: it is online and has no topology yet.
    let made = Made::machine("0-5", &["0", "1", "2", "3", "4"]);
    made.cpu(5, "online", "1");
    for cpu in 0..5 {
        let (id, package) = if cpu < 2 { ("0", "0-1") } else { ("1", "2-5") };
        made.cpu(cpu, "topology/physical_package_id", id);
        made.cpu(cpu, "topology/package_cpus_list", package);
    }
    assert_eq!(texts(&made.topology().packages), ["0-1", "2-5"]);
}

#[test]
fn a_cpu_that_nobody_lists_counts_to_the_only_package() {
    let made = Made::machine("0-3", &["0", "1", "2"]);
    made.cpu(3, "online", "1");
    for cpu in 0..3 {
        made.cpu(cpu, "topology/physical_package_id", "0");
        made.cpu(cpu, "topology/package_cpus_list", "0-2");
    }
    let topology = made.topology();
    assert_eq!(texts(&topology.packages), ["0-3"]);
    assert!(
        topology
            .notes
            .contains(&"the package of CPUs 3 is unknown: they count to the only one".to_owned()),
        "{:?}",
        topology.notes
    );
}

#[test]
fn a_cpu_is_in_the_first_of_the_nodes_that_name_it() {
    for (second, left) in [("1-3", "2-3"), ("0-1", "")] {
        let made = Made::machine("0-3", &["0", "1", "2", "3"]);
        made.write("sys/devices/system/node/node0/cpulist", "0-1");
        made.write("sys/devices/system/node/node1/cpulist", second);
        let t = made.topology();
        assert_eq!(texts(t.nodes.iter().map(|n| &n.cpus)), ["0-1", left]);
        assert!(t.notes[0].contains("nodes overlap"), "{:?}", t.notes);
    }
}

#[test]
fn a_tree_without_cpus_is_an_error_that_names_the_root() {
    let made = Made::of(&[("proc/self/cgroup", "0::/")]);
    let error = Topology::read(made.root(), None).unwrap_err();
    assert_eq!(error, TopologyError::NoCpus(made.root().to_owned()));
    assert!(error.to_string().contains(made.root().to_str().unwrap()));
    made.write("proc/cpuinfo", "processor\t: 3\n");
    assert_eq!(made.topology().online.to_string(), "3");
}

#[test]
fn cores_go_by_ids_only_where_lists_are_missing() {
    let made = Made::of(&[("sys/devices/system/cpu/online", "0-3")]);
    for (cpu, core) in [(0, "5"), (1, "5"), (2, "6"), (3, "-1")] {
        made.cpu(cpu, "topology/core_id", core);
    }
    assert_eq!(texts(&made.topology().cores), ["0-1", "2", "3"]);
}

#[test]
fn siblings_of_a_core_with_id_minus_one_are_not_believed() {
    let made = Made::machine("0-1", &["0-1"]);
    made.cpu(0, "topology/core_id", "-1");
    let t = made.topology();
    assert_eq!(texts(&t.cores), ["0", "1"]);
    assert!(t.notes[0].contains("core_id -1"));
}

#[test]
fn a_sibling_list_torn_to_nothing_is_mended_by_the_other_sibling() {
    let made = Made::machine("0-3", &["0-1", "2-3"]);
    made.cpu(0, "topology/core_cpus_list", "");
    assert_eq!(texts(&made.topology().cores), ["0-1", "2-3"]);
}

fn with_l1(made: &Made, cpu: u32, bytes: &str) {
    made.cpu(cpu, "cache/index0/level", "1");
    made.cpu(cpu, "cache/index0/type", "Data");
    made.cpu(cpu, "cache/index0/size", bytes);
    made.cpu(cpu, "cache/index0/shared_cpu_list", &cpu.to_string());
}

#[test]
fn kinds_are_told_by_pmu_files_first_and_the_strongest_comes_first() {
    let made = Made::machine("0-3", &["0", "1", "2", "3"]);
    made.write("sys/devices/cpu_atom/cpus", "0-2");
    made.write("sys/devices/cpu_core/cpus", "3-9");
    let kinds = made.topology().kinds;
    assert_eq!(texts(kinds.iter().map(|k| &k.cpus)), ["3", "0-2"]);
    assert_eq!((kinds[0].name.as_str(), kinds[0].cores), ("performance", 1));
    assert_eq!((kinds[1].name.as_str(), kinds[1].cores), ("efficiency", 3));
}

#[test]
fn favoured_cores_are_no_kind_but_clearly_faster_ones_are() {
    let made = Made::machine("0-3", &["0", "1", "2", "3"]);
    for (cpu, khz) in [
        (0, "4300000"),
        (1, "4500000"),
        (2, "4600000"),
        (3, "4700000"),
    ] {
        made.cpu(cpu, "cpufreq/cpuinfo_max_freq", khz);
    }
    assert!(!made.topology().is_hybrid());
    for cpu in [2, 3] {
        made.cpu(cpu, "cpufreq/cpuinfo_max_freq", "3500000");
    }
    let t = made.topology();
    assert_eq!(texts(t.kinds.iter().map(|k| &k.cpus)), ["0-1", "2-3"]);
}

#[test]
fn a_sign_that_one_core_lacks_makes_no_kind() {
    let made = Made::machine("0-2", &["0", "1", "2"]);
    with_l1(&made, 0, "48K");
    with_l1(&made, 1, "48K");
    assert!(!made.topology().is_hybrid());
    with_l1(&made, 2, "32K");
    let t = made.topology();
    assert_eq!(texts(t.kinds.iter().map(|k| &k.cpus)), ["0-1", "2"]);
}

#[test]
fn arm_parts_come_from_cpuinfo_where_registers_are_not_shown() {
    let made = Made::machine("0-1", &["0", "1"]);
    made.write(
        "proc/cpuinfo",
        "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd46\n\n\
         processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd4e\n",
    );
    let t = made.topology();
    // The newer part is taken for the stronger where nothing tells speed.
    assert_eq!(texts(t.kinds.iter().map(|k| &k.cpus)), ["1", "0"]);
    assert_eq!(CpuInfo::read(made.root()).model, "Cortex-A510");
}

#[test]
fn the_same_structure_has_the_same_id_whatever_the_clocks_say() {
    let fingerprint = |mhz: &str, online: &str| {
        let made = Made::machine(online, &["0", "1"]);
        made.write(
            "proc/cpuinfo",
            &format!("processor\t: 0\nmodel name\t: AMD EPYC 7B13\ncpu MHz\t: {mhz}\nbogomips\t: {mhz}\nflags\t: fpu avx2\n"),
        );
        Fingerprint::of(&made.topology(), &CpuInfo::read(made.root()))
    };
    let id = |mhz: &str, online: &str| fingerprint(mhz, online).id;
    assert_eq!(id("2450.1", "0-1"), id("3500.7", "0-1"));
    assert_ne!(id("2450.1", "0-1"), id("2450.1", "0"));
    assert!(id("1", "0-1").starts_with("epyc-7b13-1s2c1t-"));
    // Profiles hold ids: this one may only change together with what `Fingerprint` describes, and that of threadtune 0.1.0
    // never.
    assert_eq!(id("1", "0-1"), "epyc-7b13-1s2c1t-5e4b0e");
    let earlier = fingerprint("1", "0-1").earlier_id();
    assert_eq!(earlier, "epyc-7b13-1s2c1t-5c1591");
}

#[test]
fn memory_is_the_least_of_what_is_free_and_what_groups_allow() {
    let made = Made::machine("0", &["0"]);
    for (path, text) in [
        ("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 800 kB"),
        ("proc/self/cgroup", "0::/a/b"),
        ("proc/self/mountinfo", "5 4 0:4 / /cg rw - cgroup2 none rw"),
        ("cg/a/b/memory.max", "max"),
        ("cg/a/b/memory.high", "700000"),
        ("cg/a/memory.max", "600000"),
    ] {
        made.write(path, text);
    }
    let memory = Memory::read(made.root(), Some(&made.topology()));
    assert_eq!(memory.total, Some(1_024_000));
    assert_eq!(memory.available, Some(819_200));
    assert_eq!(memory.limit, Some(("cg/a/memory.max".to_owned(), 600_000)));
    assert_eq!(memory.usable(), Some(600_000));
    assert_eq!(memory.pool_limit(), 150_000);
    // Mostly the cache of files: what is in use takes nothing away.
    made.write("cg/a/memory.current", "590000");
    let topology = made.topology();
    let pool_limit = || Memory::read(made.root(), Some(&topology)).pool_limit();
    assert_eq!(pool_limit(), 150_000);
    made.write("cg/a/memory.max", "max");
    made.write("cg/a/b/memory.high", "max");
    assert_eq!(pool_limit(), 204_800);
    made.write("proc/meminfo", "torn");
    assert_eq!(pool_limit(), 1 << 30);
}

#[test]
fn an_instruction_cache_is_no_last_level() {
    let made = Made::machine("0-1", &["0", "1"]);
    for (index, level, kind, cpus) in [
        (0, "2", "Instruction", "0-1"),
        (1, "2", "Data", "0"),
        (2, "3", "Instruction", "0-1"),
    ] {
        made.cpu(0, &format!("cache/index{index}/level"), level);
        made.cpu(0, &format!("cache/index{index}/type"), kind);
        made.cpu(0, &format!("cache/index{index}/size"), "2M");
        made.cpu(0, &format!("cache/index{index}/shared_cpu_list"), cpus);
    }
    let t = made.topology();
    assert_eq!(t.llc.len(), 1);
    assert_eq!((t.llc[0].level, t.llc[0].cpus.to_string()), (2, "0".into()));
    assert_eq!(t.llc[0].bytes, Some(2 << 20));
}

#[test]
fn conditions_that_the_kernel_does_not_show_are_unknown() {
    let made = Made::machine("0-1", &["0", "1"]);
    let governor = || threadtune::machine::governor(made.root(), &made.topology());
    let pressure = || cpu_pressure_percent(made.root());
    assert_eq!((governor(), pressure()), ("unknown".into(), None));
    assert_eq!(kernel_release(made.root()), "unknown");
    made.write("proc/sys/kernel/osrelease", "6.1.0-test");
    made.write(
        "proc/pressure/cpu",
        "some avg10=1.77 avg60=2.00 avg300=3.00 total=4\nfull avg10=9.00 avg60=0.00",
    );
    made.cpu(0, "cpufreq/scaling_governor", "schedutil");
    made.cpu(1, "cpufreq/scaling_governor", "performance");
    assert_eq!(
        (governor(), pressure()),
        ("performance+schedutil".into(), Some(1.77))
    );
    assert_eq!(kernel_release(made.root()), "6.1.0-test");
}

#[test]
fn a_level_3_cache_is_one_though_there_is_a_level_4() {
    let made = Made::machine("0-3", &["0", "1", "2", "3"]);
    for cpu in 0..4 {
        let l3 = if cpu < 2 { "0-1" } else { "2-3" };
        for (index, level, cpus) in [(0, "3", l3), (1, "4", "0-3")] {
            made.cpu(cpu, &format!("cache/index{index}/level"), level);
            made.cpu(cpu, &format!("cache/index{index}/type"), "Unified");
            made.cpu(cpu, &format!("cache/index{index}/size"), "8M");
            made.cpu(cpu, &format!("cache/index{index}/shared_cpu_list"), cpus);
        }
    }
    let topology = made.topology();
    let sets = |groups: &[CacheGroup]| -> Vec<(u32, String)> {
        groups
            .iter()
            .map(|g| (g.level, g.cpus.to_string()))
            .collect()
    };
    assert_eq!(sets(&topology.llc), [(4, "0-3".into())]);
    assert_eq!(sets(&topology.l3), [(3, "0-1".into()), (3, "2-3".into())]);
}
