//! Bad input, and places that cannot be written.

use super::tuned_home::*;
use std::fs;
use std::process::Command;

#[test]
fn a_recording_that_cannot_be_written_is_told_before_measuring() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .args(["--record", "/nonexistent/r.csv"])
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot write /nonexistent/r.csv"),
        "{stderr}"
    );
    assert!(!home.profile_path().exists());
}

#[test]
fn a_level_that_is_none_is_wrong_usage() {
    let home = Home::new();
    let output = home.tune(TINY).args(["--isa", "avx"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("`avx` is not an instruction set; expected one of avx512"),
        "{}",
        text(&output.stderr)
    );
    assert!(!home.profile_path().exists());
}

#[test]
fn unknown_workloads_and_bad_catalogues_are_wrong_usage() {
    let home = Home::new();
    let entry = "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\n";
    for (catalog, argument, says) in [
        (TINY, "c", "unknown workload `c`"),
        (
            &*format!("{entry}{entry}"),
            "a",
            "line 4: the name `a` stands twice",
        ),
        (
            "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8:f32\"\n",
            "a",
            "gemm is written gemm:MxNxK:TYPE",
        ),
        ("nonsense", "a", "catalog.toml"),
        ("", "a", "no [[workload]]"),
    ] {
        let output = home.tune(catalog).arg(argument).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["tune", "matmul-265"])
        .env("XDG_CONFIG_HOME", home.directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("`matmul-256`"),
        "{}",
        text(&output.stderr)
    );
    let output = home
        .tune(TINY)
        .args(["--catalog", "/nowhere/catalog.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_broken_configuration_is_wrong_usage_and_nothing_is_measured() {
    let home = Home::new();
    let file = home.directory.path().join("threadtune/threadtune.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[budget]\nreserve = \"all\"\n").unwrap();
    let output = home.tune(TINY).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let place = format!("{}, line 2, key `budget.reserve`", file.display());
    assert!(stderr.contains(&place), "{stderr}");
    assert!(!home.profile_path().exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_told_before_measuring() {
    let home = Home::new();
    let file = home.directory.path().join("file");
    fs::write(&file, "").unwrap();
    let output = home
        .tune(TINY)
        .env("XDG_STATE_HOME", &file)
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("nothing is measured") && stderr.contains(&*file.to_string_lossy()),
        "{stderr}"
    );
    assert!(
        !stderr.contains("[1/2]") && output.stdout.is_empty(),
        "{stderr}"
    );
}

#[test]
fn a_closed_or_broken_stdout_is_no_failure_of_the_tuning() {
    let home = Home::new();
    let mut closed = Command::new("sh");
    let tune = home.tune(TINY);
    closed
        .args(["-c", "exec \"$@\" >&-", "sh"])
        .arg(tune.get_program())
        .args(tune.get_args())
        .arg("a");
    closed.env("XDG_STATE_HOME", home.directory.path());
    let output = end_of(spawn(&mut closed));
    assert!(
        !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(names(&home.profile()), ["a"]);

    let mut tune = spawn(home.tune(TINY).arg("b"));
    drop(tune.stdout.take());
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a", "b"]);
}
