//! `threadtune launch` with profiles of another numbering of the CPUs, of an earlier version, and of other machines with the
//! same processor.

mod launch_home;
mod made_up;

use launch_home::{Home, fallback, mine, text};
use made_up::TEXT;
use std::fs;
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
    let old = format!("\ncpus = \"{}\"", here().cpus);
    let text_of = mine(TEXT);
    assert!(text_of.contains(&old));
    let home = with(
        &here().id,
        &text_of.replacen(&old, "\ncpus = \"600-601\"", 1),
    );
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", ""));
    let json = home
        .launch()
        .args(["-w", WORKLOAD, "--pin", "--json"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let own = ThisMachine::read().cpus.allowed.unwrap();
    let pinned = json["pin"]["cpus"].as_str().unwrap().parse().unwrap();
    assert!(own.contains(pinned), "{json}");
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
    let directory = home.profile().parent().unwrap().to_owned();
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("openblas.toml"), &of_openblas).unwrap();
    fs::write(directory.join("native.previous.toml"), "what was before").unwrap();
    let told = "threadtune: warning: `gemm-bf16-64`: measured with openblas; no verdict of threadtune's own kernels serves\n";
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", told));
    home.write(&mine(TEXT));
    let output = launched(&home, &["--strict"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("1\n", ""));
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
        &of_elsewhere(&id).replacen("limit = 4096", "limit = 1", 1),
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
