//! Trees of real machines with files deleted, cut short and overwritten at random (seeded).
//!
//! Whatever is torn: no reader panics, and nothing that is told names a CPU that is not online.

use crate::recorded::{tables, text, truth, unpack};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use threadtune::machine::{
    Budget, CpuInfo, CpuOrder, Fingerprint, Layout, Memory, Placement, Topology,
};
use threadtune::report::{MachineReport, machine_json, machine_picture};
use threadtune::units::{CpuSet, ThreadCount};

/// Trees of more files take minutes to damage and read so often; their forms recur in the small ones.
const MOST_FILES: usize = 600;

/// The CPUs that a tree without an intact `online` file can name at all.
fn existing_cpus(root: &Path) -> CpuSet {
    fs::read_dir(root.join("sys/devices/system/cpu"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("cpu")?.parse().ok()
        })
        .collect()
}

fn files_below(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

fn damage(file: &Path, rng: &mut Pcg64Mcg) {
    let mut bytes = fs::read(file).unwrap_or_default();
    match rng.random_range(0..4) {
        0 => return fs::remove_file(file).unwrap_or(()),
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => {
            for _ in 0..rng.random_range(1..8) {
                let len = bytes.len();
                if len > 0 {
                    bytes[rng.random_range(0..len)] = rng.random();
                }
            }
        }
        _ => {
            let garbage = [
                "",
                "-1",
                "0-4095",
                "max",
                "99999999999999999999",
                "\0\0",
                "ffffffff,ffffffff",
            ];
            bytes = garbage[rng.random_range(0..garbage.len())].into();
        }
    }
    fs::write(file, bytes).unwrap_or(());
}

/// Whatever is torn: no panic, no CPU that is not online, and groups that are what their names promise.
fn check_invariants(name: &str, root: &Path, topology: &Topology) {
    let online = &topology.online;
    let existing = existing_cpus(root);
    assert!(!online.is_empty(), "{name}");
    assert!(
        online.is_subset(&existing) || existing.is_empty(),
        "{name}: {online}"
    );
    let partitions = |what: &str, groups: Vec<&CpuSet>| {
        let mut taken = CpuSet::new();
        for group in groups {
            assert!(group.is_subset(online), "{name} {what}: {group}");
            assert!(
                group.intersection(&taken).is_empty(),
                "{name} {what}: {group} twice"
            );
            taken = taken.union(group);
        }
        taken
    };
    assert_eq!(
        &partitions("cores", topology.cores.iter().collect()),
        online
    );
    assert_eq!(
        &partitions("packages", topology.packages.iter().collect()),
        online
    );
    assert_eq!(
        &partitions("kinds", topology.kinds.iter().map(|k| &k.cpus).collect()),
        online
    );
    partitions("dies", topology.dies.iter().collect());
    partitions("nodes", topology.nodes.iter().map(|n| &n.cpus).collect());
    partitions("llc", topology.llc.iter().map(|g| &g.cpus).collect());

    let budget = Budget::read(root, topology, None, None, |_| Some("4096".to_owned()));
    assert!(
        budget.cpus.is_subset(online) && !budget.cpus.is_empty(),
        "{name}"
    );
    assert!(budget.limit.as_usize() <= budget.cpus.len(), "{name}");
    let order = CpuOrder::of(topology, &budget.cpus);
    for placement in [Placement::Close, Placement::Spread] {
        let all = order.cpus_for(placement, ThreadCount::clamped(4096));
        assert_eq!(all.len(), budget.cpus.len(), "{name} {placement}");
        assert_eq!(
            all.into_iter().collect::<CpuSet>(),
            budget.cpus,
            "{name} {placement}"
        );
    }
    let layout = Layout::of(topology, &budget.cpus, budget.limit);
    assert!(layout.physical <= layout.logical, "{name}");
    assert_eq!(
        layout.cores_of_kinds.iter().sum::<u32>(),
        layout.physical.get(),
        "{name}"
    );
    let fingerprint = Fingerprint::of(topology, &CpuInfo::read(root));
    let id = &fingerprint.id;
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "{name}: {id}"
    );
    let report = MachineReport {
        known: Some((topology, &fingerprint)),
        budget: &budget,
        memory: &Memory::read(root, Some(topology)),
        notes: &topology.notes,
    };
    for line in machine_picture(&report).lines() {
        assert!(line.chars().count() <= 80, "{name}: {line}");
        assert!(!line.contains(char::is_control), "{name}: {line:?}");
    }
    let json: Value = serde_json::from_str(&machine_json(&report).unwrap()).unwrap();
    let sets = sets_in(&json);
    assert!(sets.len() > topology.cores.len(), "{name}: {sets:?}");
    for set in sets {
        let set = CpuSet::parse_list(set).unwrap();
        assert!(set.is_subset(online), "{name}: {set}");
    }
}

/// Every set of CPUs in a JSON value, whatever it belongs to.
fn sets_in(json: &Value) -> Vec<&str> {
    fn add<'j>(json: &'j Value, is_set: bool, sets: &mut Vec<&'j str>) {
        match json {
            Value::String(text) if is_set => sets.push(text),
            Value::Array(elements) => elements.iter().for_each(|e| add(e, is_set, sets)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                add(value, key.ends_with("cpus") || key == "cpus_online", sets);
            }),
            _ => {}
        }
    }
    let mut sets = Vec::new();
    add(json, false, &mut sets);
    sets
}

/// Damages and reads, again and again, each tree with so many files.
fn damage_trees(test: &str, seed: u64, files_in_tree: &RangeInclusive<usize>, most_rounds: usize) {
    let Some(truth) = truth(test) else {
        return;
    };
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let (mut rounds, mut damaged) = (0, 0);
    for machine in tables(&truth, "machine") {
        let tree = unpack(text(machine, "file").unwrap());
        let mut files = Vec::new();
        files_below(tree.path(), &mut files);
        files.sort();
        if !files_in_tree.contains(&files.len()) {
            continue;
        }
        let online_file = tree.path().join("sys/devices/system/cpu/online");
        let intact = fs::read(&online_file).ok();
        let recorded = CpuSet::parse_list(text(machine, "cpus_online").unwrap()).unwrap();
        // Damage gathers from round to round, until next to nothing is left.
        for round in 0..most_rounds {
            let name = format!("{} round {round}", text(machine, "name").unwrap());
            for _ in 0..=round * files.len() / 200 {
                damage(&files[rng.random_range(0..files.len())], &mut rng);
                damaged += 1;
            }
            if let Ok(topology) = Topology::read(tree.path(), None) {
                rounds += 1;
                check_invariants(&name, tree.path(), &topology);
                if intact.is_some() && fs::read(&online_file).ok() == intact {
                    assert!(topology.online.is_subset(&recorded), "{name}");
                }
            }
        }
    }
    eprintln!("{damaged} files damaged, {rounds} trees read");
    assert!(rounds > most_rounds, "next to no tree was read: {rounds}");
}

#[test]
fn damaged_trees_never_panic_and_never_name_cpus_that_are_not_online() {
    let test = "damaged_trees_never_panic_and_never_name_cpus_that_are_not_online";
    damage_trees(test, 0x7472_6565, &(1..=MOST_FILES), 16);
}

#[test]
#[ignore = "takes a minute or two"]
fn damaged_trees_of_every_size_never_panic_and_never_name_cpus_that_are_not_online() {
    let test = "damaged_trees_of_every_size_never_panic_and_never_name_cpus_that_are_not_online";
    for seed in 0..4 {
        damage_trees(test, seed, &(1..=usize::MAX), 20);
    }
}
