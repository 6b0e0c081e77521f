//! `threadtune launch` as a process: the program always starts, with the right variables and byte-exact arguments.

mod launch_home;
mod made_up;

use launch_home::{Home, fallback, machine_id, mine, text};
use made_up::{TEXT, edited};
use rustix::fs::{CWD, FileType, Mode};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use threadtune::cli::this_machine::ThisMachine;

/// The count that a started `sh` sees, and the lines on stderr.
fn started(command: &mut Command) -> (String, Vec<String>) {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .args(["--", "sh", "-c", "echo started $OMP_NUM_THREADS"])
        .output()
        .unwrap();
    assert!(status.success(), "{}", text(&stderr));
    let count = text(&stdout).trim().strip_prefix("started").unwrap();
    let lines = text(&stderr).lines().map(str::to_owned).collect();
    (count.trim().to_owned(), lines)
}

#[test]
fn the_profiles_count_reaches_the_program() {
    let home = Home::with_profile();
    // One thread is the verdict, whatever this machine's budget is.
    let (count, lines) = started(home.launch().args(["-w", "gemm-bf16-64"]));
    assert_eq!((count.as_str(), lines.len()), ("1", 0));
    let output = home
        .launch()
        .args(["-w", "gemm-bf16-64:2.5", "--objective", "efficient", "env"])
        .output()
        .unwrap();
    let mut variables: Vec<&str> = text(&output.stdout)
        .lines()
        .filter(|line| line.contains("THREADS"))
        .collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "BLIS_NUM_THREADS=1",
            "JULIA_NUM_THREADS=1",
            "LLAMA_ARG_THREADS=1",
            "MKL_NUM_THREADS=1",
            "NUMEXPR_MAX_THREADS=1",
            "NUMEXPR_NUM_THREADS=1",
            "OMP_NUM_THREADS=1",
            "OPENBLAS_NUM_THREADS=1",
            "POLARS_MAX_THREADS=1",
            "RAYON_NUM_THREADS=1",
            "VECLIB_MAXIMUM_THREADS=1",
        ]
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn print_and_json_start_nothing() {
    let home = Home::with_profile();
    let output = home
        .launch()
        .args(["-w", "gemm-bf16-64", "--print", "--", "touch"])
        .arg(home.directory.path().join("started"))
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        "OMP_NUM_THREADS=1\nMKL_NUM_THREADS=1\nOPENBLAS_NUM_THREADS=1\nBLIS_NUM_THREADS=1\n\
         VECLIB_MAXIMUM_THREADS=1\nNUMEXPR_NUM_THREADS=1\nNUMEXPR_MAX_THREADS=1\nRAYON_NUM_THREADS=1\n\
         POLARS_MAX_THREADS=1\nJULIA_NUM_THREADS=1\nLLAMA_ARG_THREADS=1\n"
    );
    assert!(!home.directory.path().join("started").exists());
    let output = home
        .launch()
        .env("MKL_NUM_THREADS", "7")
        .args(["-w", "gemm-bf16-64", "--json", "--", "app", "{threads}"])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["threads"], 1);
    assert_eq!(json["machine"], machine_id());
    assert_eq!(json["kept"]["MKL_NUM_THREADS"], "7");
    assert_eq!(json["environment"]["OMP_NUM_THREADS"], "1");
    assert_eq!(json["command"], serde_json::json!(["app", "1"]));
    assert_eq!(json["warnings"], serde_json::json!([]));
}

#[test]
fn arguments_are_byte_exact() {
    let home = Home::with_profile();
    let raw = OsStr::from_bytes(b"\xff\xfe {threads} {other} \x01\n'\"$x");
    let output = home
        .launch()
        .args(["-w", "gemm-bf16-64", "printf", "%s|", "-v", "--", ""])
        .args([raw, OsStr::new("{threads:gemm-bf16-64}{")])
        .output()
        .unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.stdout, b"-v|--||\xff\xfe 1 {other} \x01\n'\"$x|1{|");
}

#[test]
fn the_exit_code_is_the_programs_or_says_why_there_is_none() {
    let home = Home::with_profile();
    let plain = home.directory.path().join("plain");
    fs::write(&plain, "echo hello\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let plain = plain.to_str().unwrap();
    let code = |arguments: &[&str]| {
        let output = home.launch().args(arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            text(&output.stderr).to_owned(),
        )
    };
    assert_eq!(code(&["--", "sh", "-c", "exit 37"]).0, 37);
    let (missing, message) = code(&["--", "no-such-program-anywhere"]);
    assert_eq!(missing, 127);
    assert!(
        message.contains("no-such-program-anywhere: not found"),
        "{message}"
    );
    assert_eq!(code(&["--", plain]).0, 126);
    assert_eq!(code(&["--", "/"]).0, 126);
    assert_eq!(code(&["--", ""]).0, 127);
    for usage in [
        &["--bogus", "--", "true"][..],
        &[],
        &["-w", "matmul-256"],
        &["-w", "matmul-256:x", "--", "true"],
        &["-w", "matmul-256:-1", "--", "true"],
        &["--objective", "fun", "--", "true"],
    ] {
        assert_eq!(code(usage).0, 125, "{usage:?}");
    }
    assert_eq!(code(&["--help"]).0, 0);
}

#[test]
fn whatever_lies_in_the_profiles_place_the_program_starts() {
    let home = Home::with_profile();
    let path = home.profile();
    let clear = || {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir(&path);
    };
    let one_warning = |expected: &str| {
        let (count, lines) = started(&mut home.launch());
        assert_eq!(count, fallback(), "{expected}");
        assert_eq!(lines.len(), 1, "{expected}: {lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
        let strict = home.launch().args(["--strict", "--", "true"]).output();
        assert_eq!(strict.unwrap().status.code(), Some(125), "{expected}");
    };
    clear();
    one_warning("no profile of this machine");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    one_warning("is a FIFO");
    clear();
    fs::create_dir(&path).unwrap();
    one_warning("is a directory");
    clear();
    File::create(&path).unwrap().set_len(100_000_000).unwrap();
    one_warning("has 100000000 bytes");
    fs::write(&path, b"\xff\xfe").unwrap();
    one_warning("not UTF-8");
    home.write(TEXT);
    one_warning("was measured on machine `made-up-1s8c8t-000000`");
    home.write("schema = 99\n");
    one_warning("schema 99");
    for threads in ["0", "-1", "1000000", "18446744073709551616"] {
        let from = "threads = 6, median_us = 101.0";
        home.write(&mine(&edited(
            from,
            &format!("threads = {threads}, median_us = 101.0"),
        )));
        one_warning("line 39");
    }
    let empty = &TEXT[..TEXT.find("\n[[workload]]").unwrap()];
    home.write(&mine(empty).replace("entries = 5", "entries = 0"));
    one_warning("no verdict of the profile serves here");
}

#[test]
fn a_profile_that_was_cut_off_never_stops_a_program() {
    let home = Home::with_profile();
    let whole = mine(TEXT);
    for end in (0..whole.len() - 1).step_by(whole.len() / 40) {
        home.write(&whole[..end]);
        let (count, lines) = started(home.launch().args(["-w", "gemm-bf16-64"]));
        assert_eq!((count, lines.len()), (fallback(), 1), "{end}: {lines:?}");
        assert!(lines[0].contains("native.toml"), "{end}: {lines:?}");
    }
}

#[test]
fn the_users_thread_limit_holds() {
    let home = Home::with_profile();
    let mut launch = home.launch();
    let output = launch
        .env("OMP_THREAD_LIMIT", "1")
        .args(["--print", "-w", "gemm-bf16-64"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("OMP_NUM_THREADS=1\n"));
}

#[test]
fn a_shape_that_is_none_is_wrong_usage() {
    let output = Home::with_profile()
        .launch()
        .args(["--shape", "gemm:8x8:f32", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gemm:MxNxK:TYPE"));
}

#[test]
fn a_named_profile_must_be_this_machines() {
    let home = Home::empty();
    let path = home.directory.path().join("named.toml");
    fs::write(&path, mine(TEXT)).unwrap();
    let named = |path: &Path| {
        let mut command = home.launch();
        command.args(["-w", "gemm-bf16-64", "--profile"]).arg(path);
        started(&mut command)
    };
    assert_eq!(named(&path), ("1".to_owned(), vec![]));
    fs::write(&path, TEXT).unwrap();
    let (count, lines) = named(&path);
    assert_eq!((count, lines.len()), (fallback(), 1));
    assert!(lines[0].contains("made-up-1s8c8t-000000"), "{lines:?}");
    let (count, lines) = named(Path::new("/nonexistent"));
    assert_eq!((count, lines.len()), (fallback(), 1));
}

#[test]
fn an_unknown_name_is_one_warning() {
    let home = Home::with_profile();
    let (_, lines) = started(home.launch().args(["-w", "no-such-workload"]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("`no-such-workload`"), "{lines:?}");
}

#[test]
fn what_the_user_set_wins() {
    let home = Home::with_profile();
    let seen = |variables: &[(&str, &str)], options: &[&str]| {
        let output = home
            .launch()
            .envs(variables.iter().copied())
            .args(["-w", "gemm-bf16-64"])
            .args(options)
            .args(["--", "sh", "-c"])
            .arg("echo $OMP_NUM_THREADS/$MKL_NUM_THREADS/$OPENBLAS_NUM_THREADS/$RAYON_NUM_THREADS")
            .output()
            .unwrap();
        let stderr = text(&output.stderr).to_owned();
        (text(&output.stdout).trim().to_owned(), stderr)
    };
    let (values, stderr) = seen(&[("OMP_NUM_THREADS", "5")], &[]);
    assert_eq!(values, "5/5/5/1");
    assert_eq!(
        stderr,
        "threadtune: warning: kept as set already: OMP_NUM_THREADS=\"5\"; chosen was 1 (`--force` overrides)\n"
    );
    let (values, stderr) = seen(&[("OMP_NUM_THREADS", "4,2")], &[]);
    assert_eq!((values.as_str(), stderr.lines().count()), ("4,2/4/4/1", 1));
    let (values, stderr) = seen(&[("OMP_NUM_THREADS", "lots")], &[]);
    assert_eq!((values.as_str(), stderr.lines().count()), ("lots/1/1/1", 1));
    let (values, stderr) = seen(&[("MKL_NUM_THREADS", "3"), ("GOTO_NUM_THREADS", "2")], &[]);
    assert_eq!((values.as_str(), stderr.lines().count()), ("1/3/2/1", 1));
    let (values, stderr) = seen(&[("OMP_NUM_THREADS", "1")], &[]);
    assert_eq!((values.as_str(), stderr.as_str()), ("1/1/1/1", ""));
    let set = [("OMP_NUM_THREADS", "4,2"), ("MKL_NUM_THREADS", "3")];
    let (values, stderr) = seen(&set, &["--force"]);
    assert_eq!((values.as_str(), stderr.as_str()), ("1/1/1/1", ""));
    let (_, stderr) = seen(&set, &["-q"]);
    assert_eq!(stderr, "");
}

#[test]
fn a_users_rust_log_is_left_to_the_program() {
    let home = Home::empty();
    for filter in ["off", "trace"] {
        let (_, lines) = started(home.launch().env("RUST_LOG", filter));
        assert_eq!(lines.len(), 1, "{filter}: {lines:?}");
    }
}

#[test]
fn the_budget_of_one_cpu_is_one_thread() {
    let home = Home::with_profile();
    let one = ThisMachine::read().cpus.allowed.unwrap().first().unwrap();
    for workload in ["matmul-256", "gemv-2048x2048", "no-such-workload"] {
        let output = Command::new("taskset")
            .args(["-c", &one.to_string()])
            .arg(env!("CARGO_BIN_EXE_threadtune"))
            .args(["launch", "-w", workload, "--", "sh", "-c"])
            .args(["echo $OMP_NUM_THREADS $0", "{cpus}"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_STATE_HOME", home.directory.path())
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), format!("1 {one}\n"), "{workload}");
    }
}

#[test]
fn the_configured_reserve_is_left_to_others() {
    let home = Home::with_profile();
    fs::write(home.configuration(), "[budget]\nreserve = 4096\n").unwrap();
    for workload in ["matmul-256", "gemv-2048x2048"] {
        let (count, lines) = started(home.launch().args(["-w", workload]));
        assert_eq!(count, "1", "{workload}: {lines:?}");
    }
    let output = home.launch().args(["--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["budget"]["limit"], 1);
}

#[test]
fn whatever_lies_in_the_configurations_place_the_program_starts() {
    let home = Home::with_profile();
    let path = home.configuration();
    let one_warning = |expected: &str| {
        let (count, lines) = started(home.launch().args(["-w", "gemm-bf16-64"]));
        assert_eq!((count.as_str(), lines.len()), ("1", 1), "{lines:?}");
        assert!(lines[0].contains(&*path.to_string_lossy()), "{lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
        let strict = home.launch().args(["--strict", "--", "true"]).output();
        assert_eq!(strict.unwrap().status.code(), Some(125), "{expected}");
    };
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    one_warning("is a FIFO");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    one_warning("is a directory");
    fs::remove_dir(&path).unwrap();
    File::create(&path).unwrap().set_len(100_000_000).unwrap();
    one_warning("has 100000000 bytes");
    fs::write(&path, "[budget]\nreserve = -1\n").unwrap();
    one_warning("line 2, key `budget.reserve`: -1 is not a number of CPUs");
    // As if the file were empty, and no more than that: what is sound in it does not count either.
    fs::write(&path, "[budget]\nreserve = 4096\nextra = 1\n").unwrap();
    one_warning("line 3, key `budget.extra`: no such key");
    let output = home.launch().arg("--json").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = ThisMachine::read().cpus.limit.unwrap();
    assert_eq!(json["budget"]["limit"], allowed.get());
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1, "{json}");
}

#[test]
fn the_program_starts_with_default_signals_and_any_streams() {
    let home = Home::with_profile();
    // Compared with a direct start: whoever runs the tests may ignore signals of its own.
    let grep = ["-E", "^Sig(Ign|Blk)", "/proc/self/status"];
    let direct = Command::new("grep").args(grep).output().unwrap();
    let output = home
        .launch()
        .args(["-w", "gemm-bf16-64", "--", "grep"])
        .args(grep)
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), text(&direct.stdout));
    // A reader that leaves ends the program by SIGPIPE, which Rust programs ignore for themselves.
    let script = format!(
        "{{ {} launch -- yes; echo $? >&2; }} | head -n 1",
        env!("CARGO_BIN_EXE_threadtune")
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .output()
        .unwrap();
    let last = text(&output.stderr).lines().last().unwrap();
    assert_eq!(last, (128 + 13).to_string());
    let program = env!("CARGO_BIN_EXE_threadtune");
    for closed in [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full"] {
        let script = format!("exec {program} launch -- sh -c 'exit 7' {closed}");
        let status = Command::new("sh")
            .args(["-c", &script])
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(7), "{closed}");
    }
}

#[test]
fn without_home_or_anything_else_the_program_starts() {
    let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .env_clear()
        .args([
            "launch",
            "-w",
            "matmul-256",
            "--",
            "/bin/sh",
            "-c",
            "echo $OMP_NUM_THREADS",
        ])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout).trim(), fallback());
}
