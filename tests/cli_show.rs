//! `threadtune show` as a process: bytes on stdout, exit codes.

mod made_up;

use made_up::{TEXT, edited, with_regions};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MADE_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles/made-up.toml");

fn show() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
    command.env_clear().arg("show").args(["--profile", MADE_UP]);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn succeeds(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    assert_eq!(text(&stderr), "");
    text(&stdout).to_owned()
}

#[test]
fn the_table_has_a_line_a_workload_and_marks_the_inconclusive() {
    let table = succeeds(&mut show());
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 5 + 2);
    assert!(
        lines[1].starts_with("matmul-256               6    101 µs"),
        "{table}"
    );
    assert!(lines[3].contains(" 4? "), "{table}");
    assert!(
        lines[6].starts_with("? llama3.2-1b/decode: inconclusive"),
        "{table}"
    );
    assert!(lines[7].contains("killed by signal 11"), "{table}");
}

#[test]
fn a_workload_shows_its_curve_in_eighty_columns() {
    let curve = succeeds(show().arg("llama3.2-1b/decode"));
    assert!(curve.contains("unbound\n*    4"), "{curve}");
    // What ties with the unbound verdict says nothing about bound threads.
    assert!(curve.contains("close\n     2"), "{curve}");
    let bars = curve.lines().filter(|line| line.contains('█'));
    assert!(bars.clone().count() == 4 && bars.clone().all(|bar| bar.chars().count() <= 80));
}

#[test]
fn what_a_runs_budget_cut_short_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.toml");
    let keys = "entries = 5\ncut_short = [\"matmul-256\", \"triad-4m\"]\n";
    fs::write(&path, edited("entries = 5\n", keys)).unwrap();
    let show = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command.env_clear().arg("show").arg("--profile").arg(&path);
        command
    };
    let table = succeeds(&mut show());
    assert_eq!(
        table.lines().last(),
        Some(
            "Cut short by the time budget of a run: matmul-256, triad-4m; run `threadtune tune --missing`"
        )
    );
    assert_eq!(table.lines().count(), 1 + 5 + 2 + 1);
    let json: serde_json::Value = serde_json::from_str(&succeeds(show().arg("--json"))).unwrap();
    assert_eq!(
        json["cut_short"],
        serde_json::json!(["matmul-256", "triad-4m"])
    );
}

#[test]
fn json_and_csv_are_for_other_programs() {
    let json: serde_json::Value = serde_json::from_str(&succeeds(show().arg("--json"))).unwrap();
    assert_eq!(json["workload"].as_array().unwrap().len(), 5);
    let entry = succeeds(show().args(["--json", "matmul-256"]));
    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(entry["pinned"]["threads"], 6);
    let csv = succeeds(show().arg("--csv"));
    let points = TEXT.matches("placement").count() - TEXT.matches("pinned").count();
    assert_eq!(csv.lines().count(), 1 + points);
    assert_eq!(
        succeeds(show().args(["--csv", "gemm-bf16-64"]))
            .lines()
            .count(),
        5
    );
}

#[test]
fn regions_are_a_table_of_counts_and_pauses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("regions.toml");
    fs::write(&path, with_regions()).unwrap();
    let show = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command.env_clear().arg("show").arg("--profile").arg(&path);
        command
    };
    let expected = "\
Median time of an empty parallel region, µs

threads    hot  after 1 ms  after 10 ms
      1  0.002       0.061        0.340
      2  0.900        4.00         55.0
      8   2.50        7.25          210

Measured with threads of libgomp.so.1.0.0 5f3a9c01 on CPUs 0-7, at most 8 at
once (affinity); kernel 6.1.0, governor performance.
A program that pauses so long between its parallel regions pays this for each of
them: it must be weighed against what the threads save.
";
    assert_eq!(succeeds(show().arg("--regions")), expected);
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&succeeds(show().args(arguments))).unwrap()
    };
    let regions = json(&["--regions", "--json"]);
    assert_eq!(
        regions["region"][1],
        serde_json::json!({ "threads": 2, "after_us": { "0": 0.9, "1000": 4.0, "10000": 55.0 } })
    );
    assert_eq!(regions["region_conditions"]["team"], "libgomp 4.5");
    assert_eq!(regions.as_object().unwrap().len(), 2);
    let whole = json(&["--json"]);
    for key in ["region", "region_conditions"] {
        assert_eq!(whole[key], regions[key]);
    }
    for other in ["--csv", "matmul-256"] {
        let output = show().args(["--regions", other]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{other}");
    }
}

#[test]
fn without_regions_it_is_told_how_to_measure_them() {
    for arguments in [&["--regions"][..], &["--regions", "--json"]] {
        let output = show().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        assert_eq!(
            text(&output.stderr),
            "threadtune: error: no regions were measured; run `threadtune tune`\n"
        );
    }
    let whole: serde_json::Value = serde_json::from_str(&succeeds(show().arg("--json"))).unwrap();
    assert!(whole.get("region").is_none() && whole.get("region_conditions").is_none());
}

#[test]
fn an_unknown_workload_names_the_closest() {
    let output = show().arg("matmul-265").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "threadtune: error: the profile holds no workload `matmul-265`; did you mean `matmul-256`?\n"
    );
    let output = show().arg("qqq").output().unwrap();
    assert!(
        text(&output.stderr).contains("`threadtune show` lists"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn usage_errors_exit_2_and_bad_files_1() {
    let bad = show().arg("--bogus").output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    let bad = show().args(["--json", "--csv"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(2));
    let directory = tempfile::tempdir().unwrap();
    let torn = directory.path().join("torn.toml");
    fs::write(&torn, &TEXT[..1000]).unwrap();
    for path in [torn.as_path(), directory.path(), Path::new("/nonexistent")] {
        let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
            .arg("show")
            .arg("--profile")
            .arg(path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr).lines().count(), 1);
        assert!(
            text(&output.stderr).contains("threadtune tune"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_broken_configuration_is_a_warning() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("threadtune")).unwrap();
    let file = home.path().join("threadtune/threadtune.toml");
    fs::write(&file, "[budget]\nreserve = []\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .env_clear()
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_STATE_HOME", home.path())
        .arg("show")
        .output()
        .unwrap();
    // There is no profile to show, which is another matter.
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    let place = format!("{}, line 2, key `budget.reserve`", file.display());
    assert!(lines[0].starts_with("threadtune: warning: "), "{lines:?}");
    assert!(lines[0].contains(&place), "{lines:?}");
    assert!(lines[1].contains("threadtune tune"), "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_reader_that_leaves_is_success_and_a_full_disk_is_not() {
    // The reading end is closed before anything is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = show()
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = show().stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("cannot write to stdout"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn closed_streams_do_not_panic() {
    let program = env!("CARGO_BIN_EXE_threadtune");
    for (closed, code) in [
        (">&-", 0),
        (">&- 2>&-", 0),
        ("gone 2>&-", 1),
        ("gone 2>/dev/full", 1),
    ] {
        let script = format!("exec {program} show --profile {MADE_UP} {closed}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(code), ""),
            "{closed}"
        );
    }
}

#[test]
fn messages_carry_priorities_under_systemd_only() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = File::create(&path).unwrap();
    let meta = journal.metadata().unwrap();
    let run = |stream: String| {
        let log = File::create(&path).unwrap();
        show()
            .arg("gone")
            .env("JOURNAL_STREAM", stream)
            .stderr(log)
            .status()
            .unwrap();
        fs::read_to_string(&path).unwrap()
    };
    let own = run(format!("{}:{}", meta.dev(), meta.ino()));
    assert!(
        own.starts_with("<3>the profile holds no workload `gone`"),
        "{own}"
    );
    for other in ["1:1", "", "x:y", ":"] {
        assert!(
            run(other.to_owned()).starts_with("threadtune: error: "),
            "{other}"
        );
    }
}
