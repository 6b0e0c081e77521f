//! `threadtune check`: real checks of tiny workloads; what they find depends on the machine, how it is told does not.

mod tuned_home;

use serde_json::Value;
use std::process::{Command, Output};
use threadtune::profile::save;
use tuned_home::*;

impl Home {
    fn check(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command
            .env("XDG_STATE_HOME", self.directory.path())
            .env("XDG_CONFIG_HOME", self.directory.path())
            .args(["check", "--turns"])
            .arg(self.directory.path())
            .arg("--catalog")
            .arg(self.catalog(TINY))
            .args(words);
        command.output().unwrap()
    }
}

#[test]
fn without_a_profile_or_a_count_it_says_what_to_do() {
    let home = Home::new();
    let nothing = home.check(&["--profile", "/nowhere/native.toml"]);
    assert_eq!(nothing.status.code(), Some(2));
    let stderr = text(&nothing.stderr);
    assert!(stderr.contains("/nowhere/native.toml"), "{stderr}");
    assert!(stderr.contains("run `threadtune tune`"), "{stderr}");
    let typo = home.check(&["aa"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(text(&typo.stderr).contains("unknown workload `aa`"));
}

#[test]
fn counts_are_checked_and_nothing_is_written() {
    let home = Home::new();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let mut profile = home.profile();
    // A count that the machine would not choose is made up for what has none.
    profile.workloads.retain(|entry| entry.latency.is_some());
    if profile.workloads.is_empty() {
        eprintln!("skipped: the machine was too busy for any count");
        return;
    }
    profile.entries = profile.workloads.len();
    save(&home.profile_path(), &profile).unwrap();
    let before = std::fs::read(home.profile_path()).unwrap();
    let output = home.check(&["--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = json["workload"].as_array().unwrap();
    assert_eq!(rows.len(), profile.workloads.len());
    let held = |word: &str| rows.iter().any(|row| row["held"] == word);
    let code = match (held("no"), held("unknown")) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    };
    assert_eq!(output.status.code(), Some(code), "{json}");
    for (row, entry) in rows.iter().zip(&profile.workloads) {
        assert_eq!(row["workload"], entry.name.as_str());
        let threads = entry.latency.as_ref().unwrap().threads.get();
        assert_eq!(row["threads"], threads);
    }
    assert_eq!(std::fs::read(home.profile_path()).unwrap(), before);
    // A workload whose count the profile does not state.
    let name = profile.workloads[0].name.clone();
    profile.workloads[0].latency = None;
    save(&home.profile_path(), &profile).unwrap();
    let output = home.check(&[&name]);
    assert_eq!(output.status.code(), Some(2));
    let why = format!("the profile states no count for `{name}`; run `threadtune tune {name}`");
    assert!(
        text(&output.stderr).contains(&why),
        "{}",
        text(&output.stderr)
    );
}
