//! `threadtune launch` with profiles of another numbering of the CPUs, of an earlier version, and of other machines with the
//! same processor.

mod launch_home;
mod made_up;

use launch_home::{Home, fallback, mine, text};
use made_up::TEXT;
use std::fs;
use std::path::PathBuf;
use std::process::Output;
use threadtune::cli::this_machine::ThisMachine;
use threadtune::machine::Fingerprint;

const WORKLOAD: &str = "gemm-bf16-64";

fn here() -> Fingerprint {
    ThisMachine::read().fingerprint.unwrap()
}

/// A home with this profile in the directory of this machine.
fn with(id: &str, profile: &str) -> Home {
    let home = Home::empty();
    let directory = home.directory.path().join("threadtune/profiles").join(id);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("native.toml"), profile).unwrap();
    home
}

fn directory_of(home: &Home) -> PathBuf {
    home.profile().parent().unwrap().to_owned()
}

fn launched(home: &Home, arguments: &[&str]) -> Output {
    let mut command = home.launch();
    command.args(["-w", WORKLOAD]).args(arguments);
    command
        .args(["--", "sh", "-c", "echo $OMP_NUM_THREADS"])
        .output()
        .unwrap()
}

/// The made-up profile as one of another machine with this processor.
fn of_elsewhere(id: &str) -> String {
    let isa: Vec<String> = here().isa.iter().map(|name| format!("{name:?}")).collect();
    mine(TEXT)
        .replace(&here().id, id)
        .replace("\"Made Up 8\"", &format!("{:?}", here().cpu_model))
        .replace("[\"avx2\"]", &format!("[{}]", isa.join(", ")))
        .replacen("limit = 4096", "cores = 4096, limit = 4096", 1)
}

#[test]
fn a_directory_of_threadtune_0_1_0_serves() {
    let earlier = here().earlier_id();
    assert_ne!(earlier, here().id);
    let home = with(&earlier, &mine(TEXT).replace(&here().id, &earlier));
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", ""));
    // Under another earlier id it is another machine's.
    let other = with("made-up-1s8c8t-000000", TEXT);
    let output = launched(&other, &["--strict"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("no profile of this machine"));
}

#[test]
fn where_cpus_have_other_numbers_no_recorded_list_is_used() {
    let own = ThisMachine::read().cpus.allowed.unwrap();
    let (first, last) = (own.first().unwrap(), own.iter().last().unwrap());
    // Tuned on a CPU that is the last one now.
    let point = "pinned = { threads = 1, placement = \"close\", cpus = \"0\"";
    let profile = mine(TEXT)
        .replacen(
            "budget = { cpus = \"0-7\"",
            &format!("budget = {{ cpus = \"{last}\""),
            1,
        )
        .replacen(point, &point.replace("\"0\"", &format!("\"{last}\"")), 1);
    let pinned = |profile: &str| {
        let home = with(&here().id, profile);
        let mut command = home.launch();
        command.args(["-w", WORKLOAD, "--strict", "--pin", "--json"]);
        let output = command.output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["pin"]["cpus"].clone()
    };
    assert_eq!(pinned(&profile), last.to_string());
    let cpus = format!("\ncpus = \"{}\"", here().cpus);
    assert!(profile.contains(&cpus));
    let renumbered = profile.replacen(&cpus, "\ncpus = \"600-601\"", 1);
    assert_eq!(pinned(&renumbered), first.to_string());
}

#[test]
fn another_machine_with_this_processor_and_as_many_cores_serves_by_its_curve() {
    let id = here().processor_prefix() + "9s9c9t-000000";
    let home = with(&id, &of_elsewhere(&id));
    let output = launched(&home, &["--strict"]);
    let told = "threadtune: warning: `gemm-bf16-64`: measured on other CPUs of this processor; `threadtune tune` measures on these\n";
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", told));
    let shown = home.threadtune().arg("show").output().unwrap();
    assert!(text(&shown.stderr).is_empty(), "{}", text(&shown.stderr));
    assert!(
        text(&shown.stdout).contains("measured on another machine with this processor"),
        "{}",
        text(&shown.stdout)
    );
}

#[test]
fn the_same_workload_of_another_backend_serves_where_no_own_verdict_does() {
    let home = Home::empty();
    let of_openblas = mine(TEXT).replace("backend = \"native\"", "backend = \"openblas\"");
    let directory = directory_of(&home);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("openblas.toml"), &of_openblas).unwrap();
    fs::write(directory.join("native.previous.toml"), "what was before").unwrap();
    let told = "threadtune: warning: `gemm-bf16-64`: measured with `openblas`; no verdict of threadtune's own kernels serves\n";
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", told));
    home.write(&mine(TEXT));
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", ""));
    // A copy of our own under another name is none of another backend.
    let copied = Home::empty();
    fs::create_dir_all(directory_of(&copied)).unwrap();
    fs::write(directory_of(&copied).join("backup.toml"), mine(TEXT)).unwrap();
    assert_eq!(launched(&copied, &["--strict"]).status.code(), Some(125));
}

#[test]
fn another_machine_with_fewer_cores_does_not_serve() {
    if ThisMachine::read().cpus.limit.unwrap().get() < 2 {
        eprintln!(
            "skipped another_machine_with_fewer_cores_does_not_serve: needs a budget of two CPUs"
        );
        return;
    }
    let id = here().processor_prefix() + "1s1c1t-000000";
    let home = with(
        &id,
        &of_elsewhere(&id).replacen("cores = 4096, limit = 4096", "cores = 1, limit = 1", 1),
    );
    let output = launched(&home, &[]);
    assert_eq!(text(&output.stdout).trim_end(), fallback());
    let told = "the verdict on `gemm-bf16-64` is not used: measured on another machine with this processor, which had fewer \
                CPUs; run `threadtune tune gemm-bf16-64`";
    assert!(
        text(&output.stderr).contains(told),
        "{}",
        text(&output.stderr)
    );
}
