//! The one way from a root path to topology and budget.

use crate::budgets::{limit, v2};
use crate::made_up::Made;
use std::fs;
use std::path::Path;
use threadtune::machine::{Host, LimitKind, affinity};

#[test]
fn a_recorded_host_has_its_topology_or_counts_what_its_groups_allow() {
    let read = |made: &Made| Host::read(made.root(), None, |_| Some("2".to_owned()));
    let made = v2(&[("cpu.max", "300000 100000")]);
    let host = read(&made).unwrap();
    assert_eq!(host.topology.unwrap().online.len(), 8);
    // The environment is the reader's, not the recorded process's.
    assert_eq!(limit(&host.budget), (3, LimitKind::Quota));
    fs::remove_dir_all(made.root().join("sys/devices")).unwrap();
    let host = read(&made).unwrap();
    assert!(host.topology.is_err());
    assert_eq!(limit(&host.budget), (3, LimitKind::Quota));
    assert_eq!(host.budget.cpus.len(), 4096);
    fs::remove_file(made.root().join("proc/self/cgroup")).unwrap();
    assert!(read(&made).is_err());
}

#[test]
fn the_live_host_is_the_calling_threads() {
    let host = Host::read(Path::new("/"), None, |_| None).unwrap();
    let mask = affinity::current().unwrap();
    assert!(host.budget.cpus.is_subset(&mask));
    let limit = &host.budget.limits[1];
    assert_eq!(limit.kind, LimitKind::Affinity);
    assert_eq!(limit.source, "sched_getaffinity");
    let one = Host::read(Path::new("/"), None, |name| {
        (name == "SLURM_CPUS_PER_TASK").then(|| "1".to_owned())
    });
    assert_eq!(one.unwrap().budget.limit.get(), 1);
}
