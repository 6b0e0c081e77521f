//! `threadtune budget` as a shell sees it: exit code and bytes.

use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use threadtune::machine::affinity;

const THREADTUNE: &str = env!("CARGO_BIN_EXE_threadtune");

/// A command that sees no launcher's variables and nobody's configuration.
fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if [
            "SLURM_",
            "OMPI_",
            "MPI_",
            "MV2_",
            "PALS_",
            "LOCAL_",
            "LSB_",
            "NSLOTS",
            "OMP_STACKSIZE",
        ]
        .iter()
        .any(|p| name.starts_with(p))
        {
            command.env_remove(name);
        }
    }
    command.args(args).env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

fn run(program: &str, args: &[&str]) -> Output {
    command(program, args).output().unwrap()
}

/// `budget` with this directory as the home of the user's configuration.
fn configured(directory: &Path, args: &[&str]) -> Output {
    command(THREADTUNE, &["budget"])
        .args(args)
        .env("XDG_CONFIG_HOME", directory)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Writes files below a directory.
fn write_all(directory: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
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
        text.starts_with(&format!("1 thread on CPUs {last}, decided by affinity\n")),
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
    write_all(
        tree.path(),
        &[
            ("sys/devices/system/cpu/online", "0-63\n"),
            ("proc/self/status", "Cpus_allowed_list:\t0-47\n"),
            ("proc/self/cgroup", "0::/\n"),
            (
                "proc/self/mountinfo",
                "5 4 0:4 / /cg rw - cgroup2 none rw\n",
            ),
            ("cg/cpu.max", "1250000 100000\n"),
        ],
    );
    let root = tree.path().to_str().unwrap();
    // Neither this process's environment nor its configuration has to do with it.
    let mine = tempfile::tempdir().unwrap();
    write_all(mine.path(), &[("threadtune/threadtune.toml", "broken")]);
    let output = Command::new(THREADTUNE)
        .args(["budget", "--root", root])
        .env("SLURM_CPUS_PER_TASK", "2")
        .env("XDG_CONFIG_HOME", mine.path())
        .output()
        .unwrap();
    assert_eq!(
        (stdout(&output), stderr(&output)),
        ("12\n".into(), String::new())
    );

    fs::remove_dir_all(tree.path().join("sys")).unwrap();
    let output = run(THREADTUNE, &["budget", "--root", root]);
    assert_eq!(stdout(&output), "12\n");
    assert!(stderr(&output).contains("counting 48 CPUs"), "{output:?}");
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
fn a_step_of_slurm_divides_the_cpus_of_its_node() {
    let step = |args: &[&str]| {
        let output = command(THREADTUNE, &[&["budget"], args].concat())
            .env("SLURM_CPUS_ON_NODE", "9")
            .env("SLURM_STEP_TASKS_PER_NODE", "4(x2),9")
            .env("SLURM_NODEID", "2")
            .output()
            .unwrap();
        assert_eq!(stderr(&output), "");
        stdout(&output)
    };
    assert_eq!(step(&[]), "1\n");
    let line =
        " slurm         1  9 CPUs for 9 tasks (SLURM_CPUS_ON_NODE / SLURM_STEP_TASKS_PER_NODE)\n";
    let text = step(&["--explain"]);
    assert!(text.contains(line), "{text}");
}

#[test]
fn slots_of_a_batch_system_are_limits_with_names_of_their_own() {
    for (name, kind) in [("NSLOTS", "sge"), ("LSB_DJOB_NUMPROC", "lsf")] {
        let of = |args: &[&str]| {
            let mut command = command(THREADTUNE, &[&["budget"], args].concat());
            stdout(&command.env(name, "1").output().unwrap())
        };
        let line = format!(" {kind}           1  1 slot ({name})\n");
        let text = of(&["--explain"]);
        assert!(text.contains(&line), "{text}");
        let json: serde_json::Value = serde_json::from_str(&of(&["--json"])).unwrap();
        assert_eq!(json["limit"], 1);
        assert_eq!(
            json["limits"].as_array().unwrap().last().unwrap()["kind"],
            kind
        );
    }
}

#[test]
fn a_limit_on_memory_without_room_for_the_stacks_is_told() {
    if affinity::current().unwrap().len() < 2 {
        eprintln!("skipped a_limit_on_memory_without_room_for_the_stacks_is_told: one CPU only");
        return;
    }
    for (option, name) in [("v", "RLIMIT_AS"), ("d", "RLIMIT_DATA")] {
        let of = |arguments: &str| {
            let script =
                format!("ulimit -{option} 1048575 && exec {THREADTUNE} budget {arguments}");
            let mut command = command("bash", &["-c", &script]);
            command.env("OMP_STACKSIZE", "1G").output().unwrap()
        };
        let says = format!(
            "{name} of 1024 MiB has room for 1 thread only, as each further one takes a stack of 1024 MiB (OMP_STACKSIZE)"
        );
        let plain = of("");
        assert!(plain.status.success(), "{plain:?}");
        assert!(stderr(&plain).contains(&says), "{plain:?}");
        let explained = stdout(&of("--explain"));
        assert!(explained.contains(&format!("note: {says}")), "{explained}");
        let json: serde_json::Value = serde_json::from_str(&stdout(&of("--json"))).unwrap();
        assert!(json["cautions"][0].as_str().unwrap().starts_with(&says));
    }
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let script = format!("{THREADTUNE} budget --json | true; exit ${{PIPESTATUS[0]}}");
    let output = run("bash", &["-c", &script]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn memory_is_told_as_tune_reckons_with_it() {
    let tree = tempfile::tempdir().unwrap();
    write_all(
        tree.path(),
        &[
            ("sys/devices/system/cpu/online", "0-3\n"),
            (
                "proc/meminfo",
                "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n",
            ),
            ("proc/self/cgroup", "0::/a\n"),
            (
                "proc/self/mountinfo",
                "5 4 0:4 / /cg rw - cgroup2 none rw\n",
            ),
            ("cg/a/memory.max", "2147483648\n"),
            ("cg/a/pids.max", "512\n"),
            ("cg/a/pids.current", "510\n"),
        ],
    );
    let root = tree.path().to_str().unwrap();
    let output = run(THREADTUNE, &["budget", "--explain", "--root", root]);
    assert_eq!(
        stdout(&output),
        "3 threads on CPUs 0-3, decided by pids\n\
         \x20 online        4  CPUs 0-3 (sys/devices/system/cpu)\n\
         * pids          3  pids.max of 512, 510 in use (cg/a/pids.max)\n\
         memory: 16384 MiB in all, 12288 MiB available, at most 2048 MiB (cg/a/memory.max); \
         pooled weights may take 512 MiB\n"
    );
    let output = run(THREADTUNE, &["budget", "--json", "--root", root]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["by"], "pids");
    assert_eq!(
        json["memory"],
        serde_json::json!({
            "total_bytes": 17_179_869_184_u64,
            "available_bytes": 12_884_901_888_u64,
            "limit_bytes": 2_147_483_648_u64,
            "limit_source": "cg/a/memory.max",
            "pool_limit_bytes": 536_870_912,
        })
    );
    write_all(
        tree.path(),
        &[("proc/meminfo", ""), ("cg/a/memory.max", "max\n")],
    );
    let output = run(THREADTUNE, &["budget", "--explain", "--root", root]);
    assert!(
        stdout(&output).ends_with("memory: unknown; pooled weights may take 1024 MiB\n"),
        "{output:?}"
    );
}

#[test]
fn a_quota_between_two_counts_says_what_follows_from_it() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path().to_str().unwrap();
    let explained = |quota: &str| {
        write_all(
            tree.path(),
            &[
                ("sys/devices/system/cpu/online", "0-3\n"),
                (
                    "proc/self/mountinfo",
                    "5 4 0:4 / /cg rw - cgroup2 cgroup2 rw",
                ),
                ("proc/self/cgroup", "0::/a\n"),
                ("cg/a/cpu.max", quota),
            ],
        );
        stdout(&run(THREADTUNE, &["budget", "--explain", "--root", root]))
    };
    let text = explained("150000 100000");
    let says = "quota: 1.5 CPUs pay 1 thread in full; 2 would be stopped for part of every 100 ms, and count only where \
                `tune` finds them faster at this very quota\n";
    assert!(text.contains(says), "{text}");
    let output = run(THREADTUNE, &["budget", "--json", "--root", root]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["quota"], &json["limit"]), (&1.5.into(), &1.into()));
    assert_eq!(json["quota_period_us"], 100_000);
    assert!(!explained("200000 100000").contains("quota: "));
}

#[test]
fn the_configured_reserve_is_a_limit_with_its_file() {
    let home = tempfile::tempdir().unwrap();
    write_all(
        home.path(),
        &[("threadtune/threadtune.toml", "[budget]\nreserve = 4096\n")],
    );
    assert_eq!(stdout(&configured(home.path(), &[])), "1\n");
    let file = home.path().join("threadtune/threadtune.toml");
    let text = stdout(&configured(home.path(), &["--explain"]));
    let cpus = affinity::current().unwrap().len();
    let line = format!(
        " reserve       1  4096 of {cpus} CPUs left to others ({}: budget.reserve)",
        file.display()
    );
    assert!(text.contains(&line), "{text}");
}

#[test]
fn a_broken_configuration_is_wrong_usage_that_names_its_place() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("threadtune/threadtune.toml");
    let refused = |says: &str| {
        let output = configured(home.path(), &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(stdout(&output), "");
        let stderr = stderr(&output);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(&*file.to_string_lossy()), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    };
    fs::create_dir_all(&file).unwrap();
    refused("is a directory");
    fs::remove_dir(&file).unwrap();
    rustix::fs::mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    refused("is a FIFO");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "[budget]\nreserved = 1\n").unwrap();
    refused("line 2, key `budget.reserved`: no such key (did you mean `budget.reserve`?)");
    fs::write(&file, b"[budget]\n# \xff\n").unwrap();
    refused("line 2: the text is not UTF-8");
    fs::write(&file, "").unwrap();
    assert!(configured(home.path(), &[]).status.success());
}

/// `budget --explain` under `ulimit -u 1`, started by these words.
fn with_one_process(launcher: &[&str]) -> Output {
    let script = format!("ulimit -u 1 && exec {THREADTUNE} budget --explain");
    let words = [launcher, &["bash", "-c", &script]].concat();
    run(words[0], &words[1..])
}

#[test]
fn roots_limit_on_processes_does_not_bind() {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/self/status");
    let is_root = status.contains("\nUid:\t0\t");
    if !is_root || !read("/proc/self/uid_map").ends_with(" 0 4294967295\n") {
        eprintln!("skipped roots_limit_on_processes_does_not_bind: not root of the machine");
        return;
    }
    let output = with_one_process(&[]);
    assert!(output.status.success(), "{output:?}");
    assert!(!stdout(&output).contains("processes"), "{output:?}");
}

/// The words that start the binary as a user without privileges; none where this user has none.
fn unprivileged(test: &str) -> Option<&'static [&'static str]> {
    const NOBODY: [&str; 4] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let status = fs::read_to_string("/proc/self/status").unwrap();
    if status.contains("\nUid:\t0\t") {
        let can = [&NOBODY[1..], &[THREADTUNE, "--version"]].concat();
        let tried = command(NOBODY[0], &can).output();
        if tried.is_ok_and(|output| output.status.success()) {
            return Some(&NOBODY);
        }
        eprintln!("skipped {test}: setpriv cannot start the binary as another user");
        return None;
    }
    if status.contains("\nCapEff:\t0000000000000000\n") {
        return Some(&[]);
    }
    eprintln!("skipped {test}: this user may have capabilities that exempt it");
    None
}

#[test]
fn a_users_limit_on_processes_binds() {
    let Some(launcher) = unprivileged("a_users_limit_on_processes_binds") else {
        return;
    };
    let output = with_one_process(launcher);
    let text = stdout(&output);
    let line = "processes     1  RLIMIT_NPROC of 1, ";
    assert!(text.contains(line), "{output:?}");
    assert!(text.contains(" in use (proc/self/limits)\n"), "{text}");
}

#[test]
fn a_configuration_out_of_reach_is_absent_and_one_that_is_barred_itself_is_an_error() {
    const NAME: &str =
        "a_configuration_out_of_reach_is_absent_and_one_that_is_barred_itself_is_an_error";
    let Some(launcher) = unprivileged(NAME) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let files = [("threadtune/threadtune.toml", "[budget]\nreserve = 4096\n")];
    write_all(home.path(), &files);
    let file = home.path().join(files[0].0);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let budget = |directory: &Path, args: &[&str]| {
        let words = [launcher, &[THREADTUNE, "budget"], args].concat();
        let mut command = command(words[0], &words[1..]);
        let output = command.env("XDG_CONFIG_HOME", directory).output().unwrap();
        (output.status.code(), stdout(&output), stderr(&output))
    };
    mode(home.path(), 0o000);
    let (code, text, errors) = budget(home.path(), &["--explain", "-v"]);
    mode(home.path(), 0o755);
    assert_eq!(code, Some(0), "{errors}");
    assert!(!text.contains("reserve"), "{text}");
    let said = format!(
        "{} cannot be reached and counts as absent: Permission denied",
        file.display()
    );
    assert!(errors.contains(&said), "{errors}");

    let (code, _, errors) = budget(&file, &["-v"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(
        errors.contains("counts as absent: Not a directory"),
        "{errors}"
    );
    let (_, _, errors) = budget(&file, &[]);
    assert!(!errors.contains("reached"), "{errors}");

    mode(&file, 0o000);
    let (code, text, errors) = budget(home.path(), &[]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    let said = format!("cannot open {}: Permission denied", file.display());
    assert!(
        errors.contains(&said) && errors.contains("make it readable"),
        "{errors}"
    );
}

#[test]
fn names_and_values_cannot_write_to_the_terminal() {
    let tree = tempfile::tempdir().unwrap();
    write_all(
        tree.path(),
        &[
            ("sys/devices/system/cpu/online", "0-7\n"),
            ("proc/meminfo", "MemTotal: 16777216 kB\n"),
            ("proc/self/cgroup", "0::/a\u{1b}[31m\n"),
            (
                "proc/self/mountinfo",
                "5 4 0:4 / /cg rw - cgroup2 none rw\n",
            ),
            ("cg/a\u{1b}[31m/cpu.max", "200000 100000\n"),
            ("cg/a\u{1b}[31m/memory.max", "1073741824\n"),
            ("cg/a\u{1b}[31m/pids.max", "\u{1b}]0;x\n"),
        ],
    );
    let root = tree.path().to_str().unwrap();
    let output = run(THREADTUNE, &["budget", "--explain", "--root", root]);
    let text = stdout(&output);
    for line in [
        "* quota         2  cpu.max of 2 CPUs (cg/a [31m/cpu.max)\n",
        "at most 1024 MiB (cg/a [31m/memory.max); ",
        "note: cg/a [31m/pids.max: `",
    ] {
        assert!(text.contains(line), "{text:?}");
    }
    let is_raw = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_raw), "{text:?}");
    let output = run(THREADTUNE, &["budget", "--root", root]);
    let errors = stderr(&output);
    assert!(errors.contains("cg/a [31m/pids.max"), "{errors:?}");
    assert!(!errors.contains(is_raw), "{errors:?}");
}
