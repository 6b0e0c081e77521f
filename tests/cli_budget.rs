//! `threadtune budget` as a shell sees it: exit code and bytes.

use std::process::{Command, Output};
use threadtune::machine::affinity;

const THREADTUNE: &str = env!("CARGO_BIN_EXE_threadtune");

fn run(program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["SLURM_", "OMPI_", "MPI_", "LOCAL_"]
            .iter()
            .any(|p| name.starts_with(p))
        {
            command.env_remove(name);
        }
    }
    command.args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_plain_output_is_the_number_alone() {
    let output = run(THREADTUNE, &["budget"]);
    assert!(output.status.success());
    let threads: usize = stdout(&output).strip_suffix('\n').unwrap().parse().unwrap();
    assert!((1..=affinity::current().unwrap().len()).contains(&threads));
}

#[test]
fn an_affinity_mask_is_the_budget_of_what_it_starts() {
    let allowed = affinity::current().unwrap();
    if allowed.len() < 2 {
        eprintln!("skipped an_affinity_mask_is_the_budget_of_what_it_starts: one CPU only");
        return;
    }
    let last = allowed.iter().last().unwrap().to_string();
    let output = run("taskset", &["-c", &last, THREADTUNE, "budget"]);
    assert_eq!(stdout(&output), "1\n");

    let output = run("taskset", &["-c", &last, THREADTUNE, "budget", "--explain"]);
    let text = stdout(&output);
    assert!(
        text.starts_with(&format!("1 threads on CPUs {last}, decided by affinity\n")),
        "{text}"
    );
    let marked: Vec<&str> = text.lines().filter(|l| l.starts_with('*')).collect();
    assert_eq!(marked.len(), 1, "{text}");
    assert!(marked[0].contains("sched_getaffinity"), "{text}");

    let output = run("taskset", &["-c", &last, THREADTUNE, "budget", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["cpus"], last);
    assert_eq!(json["limit"], 1);
    assert_eq!(json["by"], "affinity");
    assert_eq!(json["limits"][0]["kind"], "online");
}

#[test]
fn a_recorded_tree_is_read_instead_of_this_machine_and_its_environment() {
    let tree = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("sys/devices/system/cpu/online", "0-63\n"),
        ("proc/self/status", "Cpus_allowed_list:\t0-47\n"),
        ("proc/self/cgroup", "0::/\n"),
        (
            "proc/self/mountinfo",
            "5 4 0:4 / /cg rw - cgroup2 none rw\n",
        ),
        ("cg/cpu.max", "1250000 100000\n"),
    ] {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = tree.path().to_str().unwrap();
    let output = Command::new(THREADTUNE)
        .args(["budget", "--root", root])
        .env("SLURM_CPUS_PER_TASK", "2")
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "12\n");

    std::fs::remove_dir_all(tree.path().join("sys")).unwrap();
    let output = run(THREADTUNE, &["budget", "--root", root]);
    assert_eq!(stdout(&output), "12\n");
}

#[test]
fn a_root_without_a_machine_is_an_error_that_names_it() {
    let output = run(THREADTUNE, &["budget", "--root", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("/nonexistent") && stderr.contains("--root"),
        "{stderr}"
    );
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let script = format!("{THREADTUNE} budget --json | true; exit ${{PIPESTATUS[0]}}");
    let output = run("bash", &["-c", &script]);
    assert!(output.status.success(), "{output:?}");
}
