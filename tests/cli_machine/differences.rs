//! `machine --diff`: a profile against trees of made-up machines.

use crate::made_up::{edited, profile};
use crate::{fails, on_tree, succeeds, text};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use threadtune::machine::{Budget, CpuInfo, Fingerprint, Topology, governor, kernel_release};
use threadtune::profile::{BudgetRecord, save};

/// A machine with four CPUs and a profile of it.
struct Measured(TempDir);

impl Measured {
    fn new() -> Self {
        let measured = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("sys/devices/system/cpu/online", "0-3"),
            (
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                "performance",
            ),
            ("proc/sys/kernel/osrelease", "6.1.0"),
            (
                "proc/cpuinfo",
                "model name : Made Up 4\nflags : avx avx2 avx512f avx512_bf16",
            ),
        ] {
            measured.write(path, text);
        }
        for cpu in 0..4 {
            let directory = format!("sys/devices/system/cpu/cpu{cpu}");
            measured.write(&format!("{directory}/topology/core_id"), &cpu.to_string());
            measured.write(&format!("{directory}/topology/physical_package_id"), "0");
        }
        let topology = Topology::read(measured.root(), None).unwrap();
        let budget = Budget::read(measured.root(), &topology, None, None, |_| None);
        let mut profile = profile();
        profile.machine = Fingerprint::of(&topology, &CpuInfo::read(measured.root()));
        profile.conditions[0].kernel = kernel_release(measured.root());
        profile.conditions[0].governor = governor(measured.root(), &topology);
        profile.conditions[0].budget = BudgetRecord::of(&budget, Some(&topology));
        save(&measured.profile(), &profile).unwrap();
        measured
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn profile(&self) -> PathBuf {
        self.root().join("profile.toml")
    }

    fn diff(&self, profile: &Path, more: &[&str]) -> std::process::Output {
        let mut args = vec!["--diff", profile.to_str().unwrap()];
        args.extend(more);
        on_tree("machine", self.root(), &args)
    }

    /// Exit code and JSON.
    fn json(&self) -> (i32, Value) {
        let output = self.diff(&self.profile(), &["--json"]);
        assert_eq!(text(&output.stderr), "");
        let json = serde_json::from_str(text(&output.stdout)).unwrap();
        (output.status.code().unwrap(), json)
    }
}

fn fields(json: &Value) -> Vec<(&str, &str)> {
    let changes = json["changes"].as_array().unwrap();
    let text =
        |change: &'_ Value, key: &str| -> String { change[key].as_str().unwrap().to_owned() };
    assert!(changes.iter().all(|change| !text(change, "why").is_empty()));
    changes
        .iter()
        .map(|c| (c["field"].as_str().unwrap(), c["matters"].as_str().unwrap()))
        .collect()
}

#[test]
fn a_profile_measured_here_differs_in_nothing() {
    let measured = Measured::new();
    let output = measured.diff(&measured.profile(), &[]);
    let stdout = succeeds(&output);
    assert!(
        stdout.ends_with(
            "\nNothing differs: the profile is used here, and there is nothing to do.\n"
        )
    );
    let (code, json) = measured.json();
    assert_eq!((code, &json["same_machine"]), (0, &json!(true)));
    assert_eq!(json["changes"], json!([]));
}

#[test]
fn conditions_differ_on_the_same_machine() {
    let measured = Measured::new();
    measured.write("proc/sys/kernel/osrelease", "6.12.1");
    measured.write(
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "powersave",
    );
    measured.write("proc/self/status", "Cpus_allowed_list:\t0-1");
    let (code, json) = measured.json();
    assert_eq!((code, &json["same_machine"]), (0, &json!(true)));
    let expected = [
        ("kernel", "maybe"),
        ("governor", "maybe"),
        ("budget.cpus", "no"),
        ("budget.cores", "no"),
        ("budget.limit", "no"),
    ];
    assert_eq!(fields(&json), expected);
    assert_eq!(
        json["changes"][2]["only"],
        json!({ "profile": "2-3", "here": "" })
    );
    let output = measured.diff(&measured.profile(), &[]);
    let stdout = succeeds(&output);
    assert!(
        stdout.contains("\ngovernor      performance     powersave      maybe: "),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("`threadtune tune WORKLOAD`.\n"),
        "{stdout}"
    );
}

#[test]
fn another_machine_is_exit_code_1_and_every_field_is_shown() {
    let measured = Measured::new();
    measured.write("sys/devices/system/cpu/online", "0-2");
    fs::remove_dir_all(measured.root().join("sys/devices/system/cpu/cpu3")).unwrap();
    measured.write(
        "proc/cpuinfo",
        "model name : Made Up 4\nflags : avx avx2 avx512f fma",
    );
    let (code, json) = measured.json();
    assert_eq!((code, &json["same_machine"]), (1, &json!(false)));
    assert_eq!(
        fields(&json),
        [
            ("cores", "yes"),
            ("cpus", "yes"),
            ("core_kinds", "yes"),
            ("grouping", "yes"),
            ("structure", "yes"),
            ("isa", "yes"),
            ("budget.cpus", "no"),
            ("budget.cores", "no"),
            ("budget.limit", "no")
        ]
    );
    assert_eq!(
        json["changes"][5],
        json!({
            "field": "isa",
            "profile": "avx avx2 avx512_bf16 avx512f",
            "here": "avx avx2 avx512f fma",
            "only": { "profile": "avx512_bf16", "here": "fma" },
            "matters": "yes",
            "why": "other kernels run",
        })
    );
    let output = measured.diff(&measured.profile(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("\nisa           also avx512_bf16"),
        "{stdout}"
    );
    assert!(
        stdout.ends_with(
            "\nThe profile is not used here: run `threadtune tune` to measure this machine.\n"
        ),
        "{stdout}"
    );
    assert!(
        stdout.lines().all(|line| line.chars().count() <= 80),
        "{stdout}"
    );
}

#[test]
fn a_profile_that_cannot_be_read_is_exit_code_2_with_the_place() {
    let measured = Measured::new();
    let path = measured.root().join("other.toml");
    let error = |text: Option<String>| {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        fails(&measured.diff(&path, &[]), 2).to_owned()
    };
    let absent = error(None);
    assert!(
        absent.contains("there is no file") && absent.contains("threadtune tune"),
        "{absent}"
    );
    let broken = error(Some(edited("cores = 8", "cores = \"eight\"")));
    assert!(
        broken.contains("other.toml, line 11, key `machine.cores`"),
        "{broken}"
    );
    let newer = error(Some(edited("schema = 2", "schema = 3")));
    assert!(
        newer.contains("schema 3") && newer.contains("update threadtune"),
        "{newer}"
    );
    let torn = error(Some("schema = 1\nentries".to_owned()));
    assert!(torn.contains("other.toml, line 2"), "{torn}");
    let directory = fails(&measured.diff(measured.root(), &[]), 2).to_owned();
    assert!(
        directory.contains("is a directory, not a regular file"),
        "{directory}"
    );
}
