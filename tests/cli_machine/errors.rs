//! What `machine` says of roots and profiles that cannot be read, and of wrong usage.

use crate::{THREADTUNE, fails, on_tree, succeeds, text};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn a_root_that_is_no_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for root in [directory.path().join("absent"), file] {
        let output = on_tree("machine", &root, &[]);
        let expected = format!(
            "threadtune: error: there is no directory `{}`; give --root the directory that holds `sys` and `proc` of a \
             machine\n",
            root.display()
        );
        assert_eq!(fails(&output, 1), expected);
    }
}

#[test]
fn an_empty_root_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    for (args, code) in [
        (&[][..], 1),
        (&["--json"], 1),
        (&["--diff", "unread.toml"], 2),
    ] {
        let output = on_tree("machine", directory.path(), args);
        let stderr = fails(&output, code);
        for part in [
            "no CPU found",
            "sys/devices/system/cpu",
            "proc/cpuinfo",
            "--root",
        ] {
            assert!(stderr.contains(part), "{stderr}");
        }
    }
}

#[test]
fn control_groups_alone_are_told_but_compared_with_no_profile() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("proc/self")).unwrap();
    fs::write(directory.path().join("proc/self/cgroup"), "0::/\n").unwrap();
    let output = on_tree("machine", directory.path(), &[]);
    assert!(succeeds(&output).contains("no limit was found"));
    let output = on_tree("machine", directory.path(), &["--diff", "unread.toml"]);
    let stderr = fails(&output, 2);
    assert!(
        stderr.contains("nothing to compare") && stderr.contains("no CPU found"),
        "{stderr}"
    );
}

fn usage(args: &[&str]) -> Output {
    let mut command = Command::new(THREADTUNE);
    command
        .env_clear()
        .arg("machine")
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_tells_the_codes() {
    for args in [&["--diff"][..], &["--root"], &["--explain"], &["extra"]] {
        let output = usage(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&output.stdout), "");
    }
    let output = usage(&["--help"]);
    let help = succeeds(&output).replace('\n', " ");
    assert!(help.contains("Exit codes: 0"), "{help}");
    assert!(
        help.contains("1 the profile belongs to another machine; 2 trouble"),
        "{help}"
    );
}

#[test]
fn the_live_machine_is_told() {
    if !Path::new("/sys/devices/system/cpu/online").exists() {
        eprintln!("skipped the_live_machine_is_told: sysfs is not mounted");
        return;
    }
    let output = usage(&["--json"]);
    let json: serde_json::Value = serde_json::from_str(succeeds(&output)).unwrap();
    let set =
        |key: &str| threadtune::units::CpuSet::parse_list(json[key].as_str().unwrap()).unwrap();
    assert!(set("allowed_cpus").is_subset(&set("cpus_online")));
    assert_eq!(json["cpus_online_count"], set("cpus_online").len());
    let output = usage(&[]);
    assert!(succeeds(&output).contains(json["id"].as_str().unwrap()));
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let script = format!("{THREADTUNE} machine --json | true; exit ${{PIPESTATUS[0]}}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
