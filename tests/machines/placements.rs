//! Golden orders and layouts: which CPUs a growing team takes on machines of every form.

use crate::made_up::Made;
use threadtune::machine::{CpuOrder, Layout, Placement, Topology};
use threadtune::units::{CpuSet, ThreadCount};

fn order(topology: &Topology, budget: &str, placement: Placement) -> Vec<u32> {
    let budget = CpuSet::parse_list(budget).unwrap();
    CpuOrder::of(topology, &budget).cpus_for(placement, ThreadCount::clamped(4096))
}

fn layout(topology: &Topology, budget: &str, limit: usize) -> Layout {
    let budget = CpuSet::parse_list(budget).unwrap();
    Layout::of(topology, &budget, ThreadCount::clamped(limit))
}

/// Two packages of two cache groups of two cores; siblings are `n` and `n + 8`.
fn server() -> Topology {
    let cores: Vec<String> = (0..8).map(|n| format!("{n},{}", n + 8)).collect();
    let made = Made::machine(
        "0-15",
        &cores.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    for cpu in 0..16 {
        let (package, group) = (cpu % 8 / 4, cpu % 8 / 2);
        made.cpu(cpu, "topology/physical_package_id", &package.to_string());
        made.cpu(cpu, "cache/index0/level", "3");
        made.cpu(cpu, "cache/index0/type", "Unified");
        made.cpu(cpu, "cache/index0/size", "32M");
        let first = group * 2;
        let mates = format!("{}-{},{}-{}", first, first + 1, first + 8, first + 9);
        made.cpu(cpu, "cache/index0/shared_cpu_list", &mates);
    }
    made.write("sys/devices/system/node/node0/cpulist", "0-3,8-11");
    made.write("sys/devices/system/node/node1/cpulist", "4-7,12-15");
    made.topology()
}

/// Two big cores with siblings, four small ones.
fn hybrid() -> Topology {
    let made = Made::machine("0-7", &["0-1", "2-3", "4", "5", "6", "7"]);
    made.write("sys/devices/cpu_core/cpus", "0-3");
    made.write("sys/devices/cpu_atom/cpus", "4-7");
    made.topology()
}

#[test]
fn close_fills_groups_and_takes_siblings_last() {
    let t = server();
    assert_eq!(
        order(&t, "0-15", Placement::Close),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    );
    // The package with more cores of the budget comes first, and in it the fuller group.
    assert_eq!(order(&t, "1,4,6-7,12", Placement::Close), [6, 7, 4, 1, 12]);
}

#[test]
fn spread_deals_over_packages_then_cache_groups() {
    let t = server();
    assert_eq!(
        order(&t, "0-15", Placement::Spread),
        [0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15]
    );
    let budget = CpuSet::parse_list("0-15").unwrap();
    let order = CpuOrder::of(&t, &budget);
    let differ: Vec<u32> = order
        .differing()
        .into_iter()
        .map(ThreadCount::get)
        .collect();
    assert_eq!(differ, [2, 3, 4, 5, 6, 10, 11, 12, 13, 14]);
}

#[test]
fn strong_cores_come_first_and_every_core_before_a_sibling() {
    let t = hybrid();
    for placement in [Placement::Close, Placement::Spread] {
        assert_eq!(order(&t, "0-7", placement), [0, 2, 4, 5, 6, 7, 1, 3]);
    }
    // A core whose first thread is not in the budget gives its second first.
    assert_eq!(order(&t, "1,4", Placement::Close), [1, 4]);
    assert_eq!(order(&t, "5,1,4", Placement::Unbound), [1, 4, 5]);
}

#[test]
fn a_team_larger_than_the_budget_gets_what_there_is() {
    let budget = CpuSet::parse_list("4-5").unwrap();
    let order = CpuOrder::of(&hybrid(), &budget);
    assert_eq!(
        order.cpus_for(Placement::Close, ThreadCount::clamped(1)),
        [4]
    );
    assert_eq!(
        order.cpus_for(Placement::Close, ThreadCount::clamped(9)),
        [4, 5]
    );
}

#[test]
fn layouts_count_what_lies_inside_the_budget() {
    let t = server();
    let all = layout(&t, "0-15", 16);
    assert_eq!((all.logical.get(), all.physical.get()), (16, 8));
    assert_eq!(all.cores_of_kinds, [8]);
    assert_eq!(
        (
            all.cores_per_package,
            all.cores_per_llc,
            all.threads_per_core
        ),
        (4, 2, 2)
    );
    let part = layout(&t, "0-2,4", 16);
    assert_eq!((part.logical.get(), part.physical.get()), (4, 4));
    assert_eq!(
        (
            part.cores_per_package,
            part.cores_per_llc,
            part.threads_per_core
        ),
        (3, 2, 1)
    );
    let capped = layout(&t, "0-15", 3);
    assert_eq!(
        (
            capped.logical.get(),
            capped.physical.get(),
            capped.cores_per_package
        ),
        (3, 3, 3)
    );
}

#[test]
fn layouts_of_hybrid_machines_split_the_cores_by_kind() {
    let all = layout(&hybrid(), "0-7", 8);
    assert_eq!(
        (all.physical.get(), all.cores_of_kinds.as_slice()),
        (6, [2, 4].as_slice())
    );
    assert_eq!((all.threads_per_core, all.cores_per_llc), (2, 6));
    let small = layout(&hybrid(), "4-7", 8);
    assert_eq!(
        (small.cores_of_kinds.as_slice(), small.threads_per_core),
        ([4].as_slice(), 1)
    );
    // Fewer threads than cores: the strongest get them.
    assert_eq!(layout(&hybrid(), "0-7", 5).cores_of_kinds, [2, 3]);
    assert_eq!(layout(&hybrid(), "0-7", 2).cores_of_kinds, [2]);
}
