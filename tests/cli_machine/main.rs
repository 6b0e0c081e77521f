//! `threadtune machine` as a process: bytes on stdout, errors, exit codes.

mod captured;
mod differences;
mod errors;
#[path = "../made_up/mod.rs"]
mod made_up;
#[path = "../machines/recorded.rs"]
mod recorded;

use std::path::Path;
use std::process::{Command, Output};

const THREADTUNE: &str = env!("CARGO_BIN_EXE_threadtune");

/// Runs a subcommand on a tree; nothing of this process's environment reaches it.
fn on_tree(subcommand: &str, root: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(THREADTUNE);
    command.env_clear().arg(subcommand).arg("--root").arg(root);
    command.args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The output of a run that succeeds and warns of nothing.
fn succeeds(output: &Output) -> &str {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}

/// The error of a run that fails with this exit code and prints no result.
fn fails(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}
