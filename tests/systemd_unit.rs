//! The service's unit, user and preset, judged by systemd's own tools where they are installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A file of the directory `systemd`.
fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("systemd")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// The settings of the unit, without comments.
fn settings() -> Vec<(String, String)> {
    text("threadtune.service")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// What a setting is in each line that makes it.
fn setting(key: &str) -> Vec<String> {
    let settings = settings().into_iter();
    settings.filter(|(k, _)| k == key).map(|(_, v)| v).collect()
}

/// Runs a tool of systemd; nothing where it is missing.
fn run(test: &str, tool: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped {test}: {tool}: {error}");
            None
        }
    }
}

/// The unit in a directory of its own, with the program that was built.
fn unit_with_this_program() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let unit = text("threadtune.service");
    let program = env!("CARGO_BIN_EXE_threadtune");
    let path = directory.path().join("threadtune.service");
    fs::write(&path, unit.replace("/usr/bin/threadtune", program)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn systemd_understands_every_line() {
    let (_directory, unit) = unit_with_this_program();
    // The manual is not installed yet.
    let arguments = ["verify", "--man=no", &unit];
    let Some(output) = run(
        "systemd_understands_every_line",
        "systemd-analyze",
        &arguments,
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let about_this = |line: &&str| line.contains("threadtune");
    assert_eq!(said.lines().find(about_this), None);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_service_is_exposed_no_more_than_it_must_be() {
    let (_directory, unit) = unit_with_this_program();
    // Tenths: above 0.6 the exit code is not 0.
    let arguments = [
        "security",
        "--offline=true",
        "--threshold=6",
        "--no-pager",
        &unit,
    ];
    let Some(output) = run(
        "the_service_is_exposed_no_more_than_it_must_be",
        "systemd-analyze",
        &arguments,
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Overall exposure level"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn systemd_creates_the_user_that_the_unit_names() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let directory = root.path().join("usr/lib/sysusers.d");
    fs::create_dir_all(&directory).unwrap();
    fs::write(
        directory.join("threadtune.conf"),
        text("threadtune.sysusers"),
    )
    .unwrap();
    let at = format!("--root={}", root.path().display());
    let arguments = [at.as_str(), "threadtune.conf"];
    let Some(output) = run(
        "systemd_creates_the_user_that_the_unit_names",
        "systemd-sysusers",
        &arguments,
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let entry: Vec<&str> = users.trim_end().split(':').collect();
    assert_eq!(setting("User"), [entry[0]]);
    assert_eq!(setting("Group"), [entry[0]]);
    assert!(entry[6].ends_with("nologin"), "{users}");
}

#[test]
fn every_user_reads_what_the_service_writes() {
    assert_eq!(setting("StateDirectory"), ["threadtune"]);
    assert_eq!(setting("StateDirectoryMode"), ["0755"]);
    assert_eq!(setting("RuntimeDirectory"), ["threadtune"]);
    assert_eq!(setting("RuntimeDirectoryMode"), ["0755"]);
    assert_eq!(setting("UMask"), ["0022"]);
    assert!(setting("DynamicUser").is_empty());
}

/// Each of these was seen to break the service or to falsify what it measures.
#[test]
fn nothing_disturbs_the_measurement() {
    let disturbing = [
        "AllowedCPUs",
        "AllowedMemoryNodes",
        "CPUAffinity",
        "CPUQuota",
        "CPUQuotaPeriodSec",
        "CPUSchedulingPolicy",
        "CPUSchedulingPriority",
        "CPUWeight",
        "MemoryDenyWriteExecute",
        "NUMAMask",
        "NUMAPolicy",
        "Nice",
        "Slice",
    ];
    let settings = settings();
    let found: Vec<_> = settings
        .iter()
        .filter(|(key, _)| disturbing.contains(&key.as_str()))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(
        !settings
            .iter()
            .any(|(_, value)| value.contains("~@resources"))
    );
}

#[test]
fn what_the_daemon_needs_is_granted() {
    assert_eq!(setting("Type"), ["notify"]);
    assert_eq!(setting("KillMode"), ["mixed"]);
    assert_eq!(setting("OOMPolicy"), ["continue"]);
    assert_eq!(setting("ProtectProc"), ["default"]);
    assert_eq!(setting("ProcSubset"), ["all"]);
    assert_eq!(setting("RestrictAddressFamilies"), ["AF_UNIX AF_NETLINK"]);
    assert_eq!(setting("ExecStart"), ["/usr/bin/threadtune daemon"]);
}

#[test]
fn the_preset_enables_the_unit() {
    let preset = text("50-threadtune.preset");
    let rules: Vec<&str> = preset
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(rules, ["enable threadtune.service"]);
}
