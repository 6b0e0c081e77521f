//! Golden pictures of machines of every form.

use crate::made_up::Made;
use threadtune::machine::{Budget, CpuInfo, Fingerprint, Memory};
use threadtune::report::{MachineReport, machine_picture};

fn picture(made: &Made) -> String {
    let topology = made.topology();
    let fingerprint = Fingerprint::of(&topology, &CpuInfo::read(made.root()));
    let budget = Budget::read(made.root(), &topology, None, None, |_| None);
    let memory = Memory::read(made.root(), Some(&topology));
    machine_picture(&MachineReport {
        known: Some((&topology, &fingerprint)),
        budget: &budget,
        memory: &memory,
        notes: &topology.notes,
    })
}

/// A machine with one processor model and an id that the test need not know: it is cut from the picture.
fn without_id(text: &str) -> String {
    let (before, after) = text.split_once(", id made-up-").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    format!("{before}\n{after}")
}

fn named(made: &Made) {
    made.write("proc/cpuinfo", "model name\t: Made Up");
}

fn cache(made: &Made, cpus: &str, level: &str, size: &str) {
    for cpu in threadtune::units::CpuSet::parse_list(cpus).unwrap().iter() {
        made.cpu(cpu, "cache/index0/level", level);
        made.cpu(cpu, "cache/index0/type", "Unified");
        made.cpu(cpu, "cache/index0/size", size);
        made.cpu(cpu, "cache/index0/shared_cpu_list", cpus);
    }
}

fn package(made: &Made, cpus: std::ops::Range<u32>, id: &str) {
    for cpu in cpus {
        made.cpu(cpu, "topology/physical_package_id", id);
    }
}

fn node(made: &Made, id: u32, cpus: &str, kib: u64) {
    let directory = format!("sys/devices/system/node/node{id}");
    made.write(&format!("{directory}/cpulist"), cpus);
    let text = format!("Node {id} MemTotal:       {kib} kB");
    made.write(&format!("{directory}/meminfo"), &text);
}

const GIB: u64 = 1 << 20;

#[test]
fn a_server_folds_cache_groups_that_are_alike() {
    let cores: Vec<String> = (0..8).map(|n| format!("{n},{}", n + 8)).collect();
    let cores: Vec<&str> = cores.iter().map(String::as_str).collect();
    let made = Made::machine("0-15", &cores);
    named(&made);
    for (group, cpus) in ["0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15"]
        .iter()
        .enumerate()
    {
        cache(&made, cpus, "3", if group == 3 { "16M" } else { "32M" });
    }
    package(&made, 4..8, "1");
    package(&made, 12..16, "1");
    node(&made, 0, "0-3,8-11", 64 * GIB);
    node(&made, 1, "4-7,12-15", 63 * GIB);
    made.write("proc/self/status", "Cpus_allowed_list:\t0-3");
    made.write("proc/meminfo", "MemTotal: 133000000 kB");
    let expected = "\
Made Up
2 packages, 8 cores, 16 CPUs, 2 threads a core (the first: CPUs 0,8), 2 NUMA
nodes, 4 L3 groups

package, node 0 (64 GiB)  4 cores       0-3,8-11
  2 × L3 32 MiB           2 cores each  0-1,8-9; 2-3,10-11
package, node 1 (63 GiB)  4 cores       4-7,12-15
  L3 32 MiB               2 cores       4-5,12-13
  L3 16 MiB               2 cores       6-7,14-15

memory  127 GiB
budget  4 threads on CPUs 0-3, decided by affinity: CPUs 0-3
        (proc/self/status:1)
";
    assert_eq!(without_id(&picture(&made)), expected);
}

#[test]
fn a_hybrid_machine_has_a_line_for_each_kind() {
    let made = Made::machine("0-9", &["0-1", "2-3", "4", "5", "6", "7", "8", "9"]);
    named(&made);
    made.write("sys/devices/cpu_core/cpus", "0-3");
    made.write("sys/devices/cpu_atom/cpus", "4-9");
    cache(&made, "0-7", "3", "24M");
    cache(&made, "8-9", "2", "2048K");
    let expected = "\
Made Up
1 package, 8 cores (2 performance, 4 middle, 2 efficiency), 10 CPUs, up to 2
threads a core, 1 L3 group, 1 L2 group

package      8 cores              0-9
  L3 24 MiB  6 cores              0-7
             2 performance cores  0-3
             4 middle cores       4-7
  L2 2 MiB   2 efficiency cores   8-9
";
    assert_eq!(without_id(&picture(&made)), expected);
}

#[test]
fn a_cache_may_span_nodes_and_nodes_may_have_no_cpus() {
    let made = Made::machine("0-3", &["0", "1", "2", "3"]);
    named(&made);
    cache(&made, "0-3", "3", "39424K");
    node(&made, 0, "0-1", 32 * GIB);
    node(&made, 1, "2-3", 32 * GIB);
    node(&made, 2, "", 126 * GIB);
    made.write("proc/self/cgroup", "0::/");
    made.write("proc/self/mountinfo", "5 4 0:4 / /cg rw - cgroup2 none rw");
    made.write("cg/memory.max", "8589934592");
    let expected = "\
Made Up
1 package, 4 cores, 4 CPUs, 3 NUMA nodes, 1 L3 group

package, L3 38.5 MiB  4 cores  0-3
  node 0 (32 GiB)     2 cores  0-1
  node 1 (32 GiB)     2 cores  2-3

memory  190 GiB; without CPUs: node 2 (126 GiB); at most 8 GiB allowed
        (cg/memory.max)
";
    assert_eq!(without_id(&picture(&made)), expected);
}

#[test]
fn a_level_that_cuts_across_has_a_tree_of_its_own() {
    let made = Made::machine("0-5", &["0", "1", "2", "3", "4", "5"]);
    named(&made);
    package(&made, 3..6, "1");
    node(&made, 0, "0-1", GIB);
    node(&made, 1, "2-4", GIB);
    cache(&made, "0-1", "2", "1M");
    let expected = "\
Made Up
2 packages, 6 cores, 6 CPUs, 2 NUMA nodes, 1 L2 group

package     3 cores  0-2
  L2 1 MiB  2 cores  0-1
  others    1 core   2
package     3 cores  3-5

Cutting across the groups above:
node 0 (1 GiB)  2 cores  0-1
node 1 (1 GiB)  3 cores  2-4

memory  2 GiB
note: CPUs 5 are in no NUMA node
";
    assert_eq!(without_id(&picture(&made)), expected);
}

#[test]
fn one_cpu_and_nothing_else_is_a_machine_too() {
    let made = Made::machine("0", &["0"]);
    named(&made);
    let expected = "\
Made Up
1 package, 1 core, 1 CPU

package  1 core  0
";
    assert_eq!(without_id(&picture(&made)), expected);
    made.write("proc/cpuinfo", "model name\t: \u{1b}[31m");
    assert!(picture(&made).starts_with(" [31m, id ") || picture(&made).starts_with("[31m, id "));
}

#[test]
fn many_small_packages_share_a_line() {
    let cores: Vec<String> = (0..40).map(|n| (n * 2).to_string()).collect();
    let texts: Vec<&str> = cores.iter().map(String::as_str).collect();
    let made = Made::machine(&cores.join(","), &texts);
    named(&made);
    for cpu in 0..40 {
        made.cpu(cpu * 2, "topology/physical_package_id", &cpu.to_string());
    }
    let expected = "\
Made Up
40 packages, 40 cores, 40 CPUs

40 × package  1 core each  0; 2; 4; 6; 8; 10; 12; 14; 16; 18; 20; 22; 24; 26;
                           28; 30; 32; 34; 36; 38; 40; 42; 44; 46; 48; 50; 52;
                           54; 56; 58; 60; 62; 64; 66; 68; 70; 72; 74; 76; 78
";
    assert_eq!(without_id(&picture(&made)), expected);
}
