//! `machine` on trees of real machines, against the record of what each of them is.

use crate::recorded::{tables, text, truth, unpack};
use crate::{on_tree, succeeds};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use threadtune::units::CpuSet;

/// Compares field by field; a field that the record leaves open is not compared, a disputed one only reported.
struct Comparison<'a> {
    name: &'a str,
    machine: &'a toml::Table,
    /// CPUs that the tree calls isolated.
    isolated: CpuSet,
    found: &'a Value,
    compared: usize,
    failures: Vec<String>,
    disputed: Vec<String>,
}

impl Comparison<'_> {
    /// A key of both, where the record has it.
    fn same(&mut self, key: &str) {
        if let Some(truth) = self.machine.get(key) {
            self.field(key, &json!(truth), &[key]);
        }
    }

    /// A key that must be null where the record lacks it.
    fn same_or_null(&mut self, key: &str) {
        let truth = self.machine.get(key).map_or(Value::Null, |v| json!(v));
        self.field(key, &truth, &[key]);
    }

    fn field(&mut self, key: &str, truth: &Value, disputes: &[&str]) {
        self.compare(key, &self.found[key], truth, disputes);
    }

    /// `disputes`: names under which the record may dispute the field.
    fn compare(&mut self, key: &str, found: &Value, truth: &Value, disputes: &[&str]) {
        self.compared += 1;
        let (found, truth) = (unordered(found), unordered(truth));
        if found == truth {
            return;
        }
        let line = format!("{} {key}: found {found}, recorded {truth}", self.name);
        let disputed = self.machine.get("disputed").and_then(|d| d.as_table());
        if disputed.is_some_and(|d| disputes.iter().any(|name| d.contains_key(*name))) {
            self.disputed.push(line);
        } else {
            self.failures.push(line);
        }
    }

    /// A list of tables with some of the keys that the record has in each.
    fn groups(&mut self, key: &str, keys: &[&str], level: Option<i64>) {
        let group = |table: &&toml::Table| {
            let mut group: serde_json::Map<String, Value> = keys
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), json!(table.get(*key)?))))
                .collect();
            if let Some(level) = level {
                group.insert("level".to_owned(), json!(level));
            }
            Value::Object(group)
        };
        let truth: Vec<Value> = tables(self.machine, key).iter().map(group).collect();
        self.field(key, &json!(truth), &[key, &format!("{key}_groups")]);
    }

    fn all(&mut self) {
        for key in [
            "cpus_online",
            "cpus_online_count",
            "cores",
            "smt_max",
            "packages",
            "numa_nodes",
            "numa_nodes_with_cpus",
            "llc_groups",
            "l3_groups",
            "hybrid",
        ] {
            self.same(key);
        }
        for (key, disputed) in [("core_cpus", "cores"), ("package_cpus", "packages")] {
            if let Some(truth) = self.machine.get(key) {
                self.field(key, &json!(truth), &[key, disputed]);
            }
        }
        let dies = self.machine.get("die_cpus").map_or(json!([]), |v| json!(v));
        self.field("die_cpus", &dies, &["dies"]);
        self.groups("numa", &["id", "cpus", "mem_kib"], None);
        self.groups("llc", &["level", "cpus", "size_kib"], None);
        self.groups("l3", &["cpus", "size_kib"], Some(3));
        // The record tells what the mask allowed; isolated CPUs among them are not used.
        let allowed = text(self.machine, "allowed_cpus").or(text(self.machine, "cpus_online"));
        let allowed = allowed.map(|list| CpuSet::parse_list(list).unwrap());
        let used = allowed.map(|cpus| cpus.difference(&self.isolated).to_string());
        self.field("allowed_cpus", &json!(used), &["allowed_cpus"]);
        self.same_or_null("cpu_limit");
        self.same_or_null("mem_total_kib");
        self.core_kinds();
    }

    /// Kinds are ordered, strongest first. The record lists none where there is one only.
    fn core_kinds(&mut self) {
        let ranked = |kinds: Vec<Value>| json!(kinds.into_iter().enumerate().collect::<Vec<_>>());
        let kinds = tables(self.machine, "core_kind");
        let mut truth: Vec<Value> = kinds
            .iter()
            .map(|kind| json!([kind["cpus"], kind["core_count"]]))
            .collect();
        if truth.is_empty() {
            truth = vec![json!([self.machine["cpus_online"], self.machine["cores"]])];
        }
        let kinds = self.found["core_kinds"].as_array().unwrap();
        let found = kinds
            .iter()
            .map(|kind| json!([kind["cpus"], kind["cores"]]))
            .collect();
        let disputes = ["core_kinds", "cores", "hybrid"];
        self.compare("core_kinds", &ranked(found), &ranked(truth), &disputes);
    }
}

/// A list as the set of its elements: the record and the program need not order groups, or their keys, alike.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(elements) => {
            let text = |element: &Value| {
                let mut element = element.clone();
                element.sort_all_objects();
                element.to_string()
            };
            let texts: BTreeSet<String> = elements.iter().map(text).collect();
            assert_eq!(texts.len(), elements.len(), "an element twice: {value}");
            json!(texts)
        }
        other => other.clone(),
    }
}

#[test]
fn real_machines_are_told_as_recorded() {
    let Some(truth) = truth("real_machines_are_told_as_recorded") else {
        return;
    };
    let machines = tables(&truth, "machine");
    assert_eq!(machines.len(), 36);
    let (mut failures, mut compared, mut with_isolated) = (Vec::new(), 0, 0);
    for machine in machines {
        let name = text(machine, "name").unwrap();
        let tree = unpack(text(machine, "file").unwrap());
        let output = on_tree("machine", tree.path(), &["--json"]);
        let found: Value = serde_json::from_str(succeeds(&output)).unwrap();
        let isolated = tree.path().join("sys/devices/system/cpu/isolated");
        let isolated = std::fs::read_to_string(isolated).unwrap_or_default();
        let isolated = CpuSet::parse_list(isolated.trim()).unwrap();
        with_isolated += usize::from(!isolated.is_empty());
        let mut comparison = Comparison {
            name,
            machine,
            isolated,
            found: &found,
            compared: 0,
            failures: Vec::new(),
            disputed: Vec::new(),
        };
        comparison.all();
        for line in &comparison.disputed {
            eprintln!("disputed: {line}");
        }
        failures.append(&mut comparison.failures);
        compared += comparison.compared;

        let picture = on_tree("machine", tree.path(), &[]);
        check_picture(name, succeeds(&picture), &found);
        let budget = on_tree("budget", tree.path(), &[]);
        let allowed = CpuSet::parse_list(found["allowed_cpus"].as_str().unwrap()).unwrap();
        let threads = crate::text(&budget.stdout).trim_end();
        assert_eq!(threads, allowed.len().to_string(), "{name}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(with_isolated, 1);
    // 17 fields of each machine, fewer of the two whose packages are unknown.
    assert!(compared > 36 * 16, "{compared}");
}

/// Lines fit a terminal, the tree names exactly the online CPUs, and every group is there.
fn check_picture(name: &str, picture: &str, json: &Value) {
    for line in picture.lines() {
        assert!(line.chars().count() <= 80, "{name}: {line}");
    }
    assert!(picture.contains(json["id"].as_str().unwrap()), "{name}");
    // The first paragraph is the heading.
    let tree = picture.split("\n\n").nth(1).unwrap();
    let mut named = CpuSet::new();
    for line in tree.lines() {
        // A line that is cut goes on with CPUs only.
        let list = line.split_once(" core").map_or(line, |(_, after)| after);
        let list = list.trim_start_matches(|c: char| !c.is_ascii_digit());
        for set in list.split(';') {
            let set = CpuSet::parse_list(set).unwrap_or_else(|e| panic!("{name}: {line}: {e}"));
            named = named.union(&set);
        }
    }
    assert_eq!(json["cpus_online"], named.to_string(), "{name}");

    let groups = |word: &str| -> usize {
        tree.lines()
            .filter(|line| line.split([' ', ',']).any(|w| w == word))
            .map(|line| match line.trim_start().split_once(" × ") {
                Some((times, _)) => times.parse::<usize>().unwrap(),
                None => 1,
            })
            .sum()
    };
    assert_eq!(json["packages"], groups("package"), "{name}");
    assert_eq!(json["numa_nodes_with_cpus"], groups("node"), "{name}");
    assert_eq!(json["l3_groups"], groups("L3"), "{name}");
    let dies = json["die_cpus"].as_array().unwrap().len();
    assert_eq!(dies, groups("die"), "{name}");
}

#[test]
fn quota_cases_are_told_as_recorded() {
    let Some(truth) = truth("quota_cases_are_told_as_recorded") else {
        return;
    };
    let cases = tables(&truth, "cgroup_case");
    assert_eq!(cases.len(), 12);
    let tree = unpack("cgroup-quota-cases.tar.gz");
    for case in cases {
        let name = text(case, "name").unwrap();
        let root = tree.path().join(name);
        let output = on_tree("machine", &root, &["--json"]);
        let found: Value = serde_json::from_str(succeeds(&output)).unwrap();
        let recorded = |key: &str| case.get(key).map_or(Value::Null, |v| json!(v));
        assert_eq!(found["cpu_limit"], recorded("cpu_limit"), "{name}");
        assert_eq!(found["allowed_cpus"], recorded("allowed_cpus"), "{name}");
        for key in [
            "id",
            "cpus_online",
            "cores",
            "core_cpus",
            "numa",
            "llc",
            "core_kinds",
        ] {
            assert_eq!(found.get(key), Some(&Value::Null), "{name} {key}");
        }
        let note = found["notes"][0].as_str().unwrap();
        assert!(note.starts_with("no CPU found"), "{name}: {note}");

        let picture = on_tree("machine", &root, &[]);
        let picture = succeeds(&picture).to_owned();
        assert!(
            picture.lines().all(|l| l.chars().count() <= 80),
            "{picture}"
        );
        let quota = case.get("cpu_limit").and_then(toml::Value::as_float);
        let expected = match quota {
            None => "budget  no limit was found\n".to_owned(),
            Some(cpus) if cpus < 2.0 => "budget  1 thread".to_owned(),
            Some(cpus) => format!("budget  {cpus} threads, decided by quota: "),
        };
        assert!(picture.contains(&expected), "{name}: {picture}");

        // Without quota it counts from as many CPUs as it handles at all.
        let budget = on_tree("budget", &root, &[]);
        let threads = quota.map_or(4096, |cpus| cpus.floor() as u32);
        assert_eq!(
            crate::text(&budget.stdout),
            format!("{threads}\n"),
            "{name}"
        );
    }
}
