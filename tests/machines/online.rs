//! Which CPUs run, where the file that says so is gone or contradicted.

use crate::made_up::Made;
use crate::recorded::{tables, text, truth, unpack};
use std::fs;
use threadtune::machine::Topology;

const CPU: &str = "sys/devices/system/cpu";

#[test]
fn cpus_that_are_off_stay_off_when_no_file_says_so_any_more() {
    let Some(truth) = truth("cpus_that_are_off_stay_off_when_no_file_says_so_any_more") else {
        return;
    };
    let mut with_offline = 0;
    for machine in tables(&truth, "machine") {
        let name = text(machine, "name").unwrap();
        // Captured while CPUs went on and off: the other files tell of other moments.
        if name == "phone-meizu-pro-6" {
            continue;
        }
        let tree = unpack(text(machine, "file").unwrap());
        let cpus = tree.path().join(CPU);
        for file in ["online", "offline"] {
            let _ = fs::remove_file(cpus.join(file));
        }
        for entry in fs::read_dir(&cpus).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path().join("online"));
        }
        let online = Topology::read(tree.path(), None)
            .unwrap()
            .online
            .to_string();
        assert_eq!(
            Some(online.as_str()),
            text(machine, "cpus_online"),
            "{name}"
        );
        with_offline += usize::from(text(machine, "cpus_offline").is_some_and(|c| !c.is_empty()));
    }
    assert!(with_offline >= 4, "{with_offline}");
}

#[test]
fn a_cpu_that_says_itself_that_it_runs_is_believed() {
    let made = Made::of(&[]);
    for cpu in 0..4 {
        made.cpu(cpu, "regs/dummy", "");
    }
    made.cpu(1, "online", "1");
    made.cpu(2, "online", "0");
    made.cpu(3, "topology/core_id", "3");
    // Of 0 and 3, which say nothing, only 3 has a topology.
    assert_eq!(made.topology().online.to_string(), "1,3");
    made.write("proc/cpuinfo", "processor\t: 0\nprocessor\t: 1\n");
    assert_eq!(made.topology().online.to_string(), "1,3");
}

#[test]
fn lists_that_contradict_each_other_are_noted() {
    let made = Made::machine("0-3", &["0", "1", "2", "3"]);
    made.write("sys/devices/system/cpu/offline", "2-3,9");
    let topology = made.topology();
    assert_eq!(topology.online.to_string(), "0-3");
    assert!(
        topology.notes[0].contains("both name CPUs 2-3"),
        "{:?}",
        topology.notes
    );
}
