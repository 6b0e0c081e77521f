//! Which changes of a machine give it another id, tried on trees of real machines.

use crate::made_up::Made;
use crate::recorded::{tables, text, truth, unpack};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use threadtune::machine::{CpuInfo, Fingerprint, Topology};
use threadtune::units::CpuSet;

const CPU: &str = "sys/devices/system/cpu";

fn fingerprint(root: &Path) -> Fingerprint {
    Fingerprint::of(&Topology::read(root, None).unwrap(), &CpuInfo::read(root))
}

/// Gives a file another text; false where the file is absent or the text stays.
fn rewrite(path: &Path, edit: impl Fn(&str) -> String) -> bool {
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    let old = String::from_utf8_lossy(&bytes).into_owned();
    let new = edit(&old);
    fs::write(path, &new).unwrap();
    new != old
}

/// The text with new numbers in the lines whose key is one of these.
fn with_other_numbers(text: &str, is_reading: impl Fn(&str) -> bool) -> String {
    let other = |line: &str| match line.split_once(':') {
        Some((key, value)) if is_reading(key.trim()) => {
            let digit = |c: char| match c.to_digit(10) {
                Some(digit) => char::from_digit((digit + 3) % 10, 10).unwrap(),
                None => c,
            };
            format!("{key}:{}", value.chars().map(digit).collect::<String>())
        }
        _ => line.to_owned(),
    };
    text.lines().map(|line| other(line) + "\n").collect()
}

/// Changes what the kernel reads anew at each boot or each look; how many files it found to change.
fn reboot(root: &Path, online: &CpuSet) -> usize {
    let clocks = [
        "cpu MHz",
        "bogomips",
        "BogoMIPS",
        "clock",
        "cpu MHz dynamic",
        "cpu MHz static",
    ];
    let mut changed = usize::from(rewrite(&root.join("proc/cpuinfo"), |text| {
        with_other_numbers(text, |key| clocks.contains(&key))
    }));
    changed += usize::from(rewrite(&root.join("proc/meminfo"), |text| {
        with_other_numbers(text, |key| key != "MemTotal")
    }));
    for cpu in online.iter() {
        let limit = format!("{CPU}/cpu{cpu}/cpufreq/scaling_max_freq");
        changed += usize::from(rewrite(&root.join(limit), |_| {
            format!("{}\n", 1_000_000 + cpu)
        }));
    }
    changed
}

/// Takes a CPU away as a smaller virtual machine lacks it; lists of siblings may still name it.
fn remove_cpu(root: &Path, cpu: u32) {
    fs::remove_dir_all(root.join(format!("{CPU}/cpu{cpu}"))).unwrap();
    rewrite(&root.join(format!("{CPU}/online")), |text| {
        let mut left = CpuSet::parse_list(text.trim_matches(['\n', '\0'])).unwrap();
        left = left.difference(&CpuSet::from_iter([cpu]));
        format!("{left}\n")
    });
}

#[test]
fn ids_survive_a_reboot_and_nothing_else() {
    let Some(truth) = truth("ids_survive_a_reboot_and_nothing_else") else {
        return;
    };
    let mut all: BTreeMap<String, Fingerprint> = BTreeMap::new();
    let (mut rebooted, mut resized) = (0, 0);
    for machine in tables(&truth, "machine") {
        let name = text(machine, "name").unwrap();
        let tree = unpack(text(machine, "file").unwrap());
        let before = fingerprint(tree.path());
        if reboot(tree.path(), &before.cpus) > 0 {
            rebooted += 1;
        }
        assert_eq!(fingerprint(tree.path()), before, "{name}");

        let last = before.cpus.iter().last().unwrap();
        all.insert(name.to_owned(), before.clone());
        if before.cpus.len() > 1 {
            remove_cpu(tree.path(), last);
            let smaller = fingerprint(tree.path());
            let left = before.cpus.difference(&CpuSet::from_iter([last]));
            assert_eq!(smaller.cpus, left, "{name}");
            assert_ne!(smaller.id, before.id, "{name}");
            all.insert(format!("{name} without CPU {last}"), smaller);
            resized += 1;
        }
    }
    assert!(
        rebooted >= 25,
        "only {rebooted} trees hold anything that changes"
    );
    assert_eq!(resized, 35);
    // No two of them agree, so that each needs an id of its own.
    let ids: BTreeMap<&str, &str> = all
        .iter()
        .map(|(name, f)| (f.id.as_str(), name.as_str()))
        .collect();
    assert_eq!(ids.len(), 36 + 35);
}

#[test]
fn cpus_that_are_numbered_otherwise_are_the_same_machine_with_other_lists() {
    let made = |cores: [&str; 4], caches: [&str; 2]| {
        let made = Made::machine("0-7", &cores);
        for cache in caches {
            for cpu in CpuSet::parse_list(cache).unwrap().iter() {
                made.cpu(cpu, "cache/index0/level", "3");
                made.cpu(cpu, "cache/index0/type", "Unified");
                made.cpu(cpu, "cache/index0/size", "16M");
                made.cpu(cpu, "cache/index0/shared_cpu_list", cache);
            }
        }
        fingerprint(made.root())
    };
    let far = ["0,4", "1,5", "2,6", "3,7"];
    let near = ["0-1", "2-3", "4-5", "6-7"];
    let all = [
        made(far, ["0-1,4-5", "2-3,6-7"]),
        made(far, ["0,2,4,6", "1,3,5,7"]),
        made(near, ["0-3", "4-7"]),
    ];
    assert_eq!(all[0], made(far, ["0-1,4-5", "2-3,6-7"]));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(all[one].id, all[other].id);
        assert!(!all[one].is_numbered_like(&all[other]), "{one} {other}");
        assert_ne!(all[one].earlier_id(), all[other].earlier_id());
    }
    // One cache of three cores and one of a single core.
    let uneven = made(near, ["0-5", "6-7"]);
    assert_ne!(uneven.id, all[0].id);
}
