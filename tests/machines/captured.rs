//! The readers against trees of real machines and the record of what each of them is.

use crate::recorded::{tables, text, truth, unpack};
use std::collections::BTreeSet;
use std::path::Path;
use threadtune::machine::{Budget, Memory, Topology};
use threadtune::units::CpuSet;

type Sets = BTreeSet<String>;

fn sets<'a>(sets: impl IntoIterator<Item = &'a CpuSet>) -> Sets {
    sets.into_iter().map(ToString::to_string).collect()
}

fn strings(table: &toml::Table, key: &str) -> Option<Sets> {
    let array = table.get(key)?.as_array()?;
    Some(
        array
            .iter()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect(),
    )
}

/// Compares field by field; a field the record leaves open is not compared, a disputed one only reported.
struct Comparison<'a> {
    name: &'a str,
    machine: &'a toml::Table,
    failures: Vec<String>,
    disputed: Vec<String>,
}

impl Comparison<'_> {
    fn field<T: PartialEq + std::fmt::Debug>(&mut self, field: &str, found: &T, truth: &T) {
        if found == truth {
            return;
        }
        let line = format!("{} {field}: found {found:?}, recorded {truth:?}", self.name);
        let disputed = self
            .machine
            .get("disputed")
            .and_then(toml::Value::as_table)
            .is_some_and(|d| d.contains_key(field));
        if disputed {
            self.disputed.push(line);
        } else {
            self.failures.push(line);
        }
    }
}

fn compare_topology(c: &mut Comparison, topology: &Topology) {
    let m = c.machine;
    c.field(
        "cpus_online",
        &topology.online.to_string(),
        &text(m, "cpus_online").unwrap().to_owned(),
    );
    c.field(
        "cores",
        &sets(&topology.cores),
        &strings(m, "core_cpus").unwrap(),
    );
    c.field(
        "smt_max",
        &i64::try_from(topology.smt()).unwrap(),
        &m["smt_max"].as_integer().unwrap(),
    );
    if let Some(packages) = strings(m, "package_cpus") {
        c.field("packages", &sets(&topology.packages), &packages);
    }
    c.field(
        "dies",
        &sets(&topology.dies),
        &strings(m, "die_cpus").unwrap_or_default(),
    );
    let nodes: BTreeSet<(i64, String)> = tables(m, "numa")
        .iter()
        .map(|n| {
            let cpus = text(n, "cpus").unwrap_or_default();
            (n["id"].as_integer().unwrap(), cpus.to_owned())
        })
        .collect();
    let found = topology
        .nodes
        .iter()
        .map(|n| (i64::from(n.id), n.cpus.to_string()))
        .collect();
    c.field("numa_nodes", &found, &nodes);
    let groups = |key, level: Option<u32>| -> BTreeSet<(Option<i64>, String, Option<i64>)> {
        tables(m, key)
            .iter()
            .map(|group| {
                let number = |key: &str| group.get(key).and_then(toml::Value::as_integer);
                let level = level.map_or_else(|| number("level"), |l| Some(i64::from(l)));
                (
                    level,
                    text(group, "cpus").unwrap().to_owned(),
                    number("size_kib"),
                )
            })
            .collect()
    };
    let found = |level: Option<u32>| {
        topology
            .llc
            .iter()
            .filter(|group| level.is_none_or(|l| group.level == l))
            .map(|group| {
                let kib = group.bytes.map(|b| i64::try_from(b >> 10).unwrap());
                (Some(i64::from(group.level)), group.cpus.to_string(), kib)
            })
            .collect()
    };
    c.field("llc_groups", &found(None), &groups("llc", None));
    c.field("l3_groups", &found(Some(3)), &groups("l3", Some(3)));
    c.field(
        "hybrid",
        &topology.is_hybrid(),
        &m["hybrid"].as_bool().unwrap(),
    );
    let kinds: Vec<(String, i64)> = tables(m, "core_kind")
        .iter()
        .map(|kind| {
            let cores = kind["core_count"].as_integer().unwrap();
            (text(kind, "cpus").unwrap().to_owned(), cores)
        })
        .collect();
    if !kinds.is_empty() {
        let found: Vec<(String, i64)> = topology
            .kinds
            .iter()
            .map(|kind| (kind.cpus.to_string(), i64::try_from(kind.cores).unwrap()))
            .collect();
        c.field("core_kinds", &found, &kinds);
    }
}

fn compare_budget(c: &mut Comparison, topology: &Topology, root: &Path) {
    let m = c.machine;
    let budget = Budget::read(root, topology, None, None, |_| None);
    let allowed = text(m, "allowed_cpus").or(text(m, "cpus_online")).unwrap();
    c.field(
        "allowed_cpus",
        &budget.cpus.to_string(),
        &allowed.to_owned(),
    );
    let limit = m.get("cpu_limit").and_then(toml::Value::as_float);
    c.field("cpu_limit", &budget.quota, &limit);
    let memory = Memory::read(root, Some(topology))
        .total
        .map(|bytes| bytes >> 10);
    let recorded = m
        .get("mem_total_kib")
        .and_then(toml::Value::as_integer)
        .map(|kib| u64::try_from(kib).unwrap());
    c.field("mem_total_kib", &memory, &recorded);
}

#[test]
fn real_machines_are_read_as_recorded() {
    let Some(truth) = truth("real_machines_are_read_as_recorded") else {
        return;
    };
    let machines = tables(&truth, "machine");
    assert!(!machines.is_empty());
    let mut failures = Vec::new();
    for machine in &machines {
        let name = text(machine, "name").unwrap();
        let tree = unpack(text(machine, "file").unwrap());
        let mut comparison = Comparison {
            name,
            machine,
            failures: Vec::new(),
            disputed: Vec::new(),
        };
        match Topology::read(tree.path()) {
            Ok(topology) => {
                compare_topology(&mut comparison, &topology);
                compare_budget(&mut comparison, &topology, tree.path());
            }
            Err(error) => comparison.failures.push(format!("{name}: {error}")),
        }
        for line in &comparison.disputed {
            eprintln!("disputed: {line}");
        }
        failures.append(&mut comparison.failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn quota_cases_are_read_as_recorded() {
    let Some(truth) = truth("quota_cases_are_read_as_recorded") else {
        return;
    };
    let cases = tables(&truth, "cgroup_case");
    assert!(!cases.is_empty());
    let tree = unpack("cgroup-quota-cases.tar.gz");
    let topology = Topology::flat((0..64).collect());
    for case in cases {
        let name = text(case, "name").unwrap();
        let budget = Budget::read(&tree.path().join(name), &topology, None, None, |_| None);
        let quota = case.get("cpu_limit").and_then(toml::Value::as_float);
        assert_eq!(budget.quota, quota, "{name}");
        let allowed = text(case, "allowed_cpus").unwrap_or("0-63");
        assert_eq!(budget.cpus.to_string(), allowed, "{name}");
        let threads = quota.map_or(64, |cpus| cpus.floor() as u32);
        assert_eq!(budget.limit.get(), threads, "{name}");
    }
}
