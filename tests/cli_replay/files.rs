//! Files for a replay, and the program run on them.

use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

const SIX_CORES: &str = "packages = 1\ncores_per_package = 6\n";

/// A directory with a machine file of six cores.
pub struct Files(TempDir);

impl Files {
    pub fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("machine.toml", SIX_CORES);
        files
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs replay in the directory.
    pub fn replay(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_threadtune"))
            .current_dir(self.0.path())
            .args(["replay", "--machine", "machine.toml"])
            .args(arguments)
            .output()
            .unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.replay(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit 2, nothing on stdout, and this on stderr.
    pub fn refuses(&self, arguments: &[&str], message: &str) {
        let output = self.replay(arguments);
        assert_eq!(
            text(&output.stderr),
            format!("threadtune: error: {message}\n")
        );
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
