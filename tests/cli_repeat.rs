//! `threadtune repeat`: real tunings of tiny workloads; what they find depends on the machine, how it is told does not.

mod tuned_home;

use rustix::process::Signal;
use serde_json::Value;
use std::process::Command;
use threadtune::machine::affinity;
use tuned_home::*;

impl Home {
    /// `repeat` with a short budget.
    fn repeat(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command
            .env("XDG_STATE_HOME", self.directory.path())
            .env("XDG_CONFIG_HOME", self.directory.path())
            .args(["repeat", "--workload-budget", "2", "--turns"])
            .arg(self.directory.path())
            .arg("--catalog")
            .arg(self.catalog(TINY))
            .args(words);
        command
    }
}

#[test]
fn every_tuning_has_an_answer_and_every_round_its_visits() {
    let home = Home::new();
    let output = home.repeat(&["3", "a", "--json"]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("a [3/3]: "), "{stderr}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &json["workload"][0];
    assert_eq!(row["workload"], "a");
    let answers = row["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    let cpus = affinity::current().unwrap().len();
    if cpus > 1 && !answers[0]["threads"].is_null() {
        let visits = &row["visits"];
        assert_eq!(visits["counts"][0], answers[0]["threads"]);
        assert_ne!(visits["counts"][0], visits["counts"][1]);
        let rounds = visits["differences"].as_array().unwrap();
        assert_eq!(rounds.len(), 3);
        for round in rounds {
            let processes = round.as_array().unwrap();
            assert_eq!(processes.len(), 3);
            assert!(processes.iter().all(|p| p.as_array().unwrap().len() <= 8));
        }
    }
    assert!(!home.profile_path().exists());
}

#[test]
fn where_there_is_one_cpu_all_answers_agree_and_nothing_is_compared() {
    let home = Home::new();
    let output = on_one_cpu(home.repeat(&["2", "a"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("a: 2 tunings of "), "{stdout}");
    assert!(
        stdout.contains("2 of 2 answers conclusive, and all for 1 thread\n"),
        "{stdout}"
    );
    assert!(!stdout.contains("against"), "{stdout}");
}

#[test]
fn what_was_answered_before_ctrl_c_is_shown() {
    let home = Home::new();
    let repeat = spawn(&mut home.repeat(&["10000", "a", "b"]));
    let worker = worker_of(&repeat);
    // The second worker: the first tuning is over.
    wait_for("another tuning", || {
        (worker_of(&repeat) != worker).then_some(())
    });
    signal(repeat.id(), Signal::INT);
    let output = end_of(repeat);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with("a: ") && stdout.contains(" (median), in "),
        "{stdout}"
    );
    assert!(!stdout.contains("b: "), "{stdout}");
}

#[test]
fn fewer_than_two_tunings_and_unknown_workloads_are_wrong_usage() {
    let home = Home::new();
    for (words, says) in [
        (&["1", "a"][..], "1 is not in 2..=10000"),
        (&["often", "a"], "invalid digit"),
        (&["2", "c"], "unknown workload `c`"),
    ] {
        let output = home.repeat(words).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}
