//! A home directory for a `launch` that runs for real.

#![allow(dead_code, reason = "each test binary uses its own part")]

use crate::made_up::TEXT;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;
use threadtune::cli::this_machine::ThisMachine;

/// A user's home with a profile for the machine that the test runs on.
pub struct Home {
    pub directory: TempDir,
}

impl Home {
    /// Without any profile.
    pub fn empty() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// With the made-up profile, as if it had been measured here.
    pub fn with_profile() -> Self {
        let home = Self::empty();
        home.write(&mine(TEXT));
        home
    }

    pub fn profile(&self) -> PathBuf {
        self.directory
            .path()
            .join("threadtune/profiles")
            .join(machine_id())
            .join("native.toml")
    }

    /// Where the configuration belongs; its directory is made.
    pub fn configuration(&self) -> PathBuf {
        let directory = self.directory.path().join("config/threadtune");
        fs::create_dir_all(&directory).unwrap();
        directory.join("threadtune.toml")
    }

    pub fn write(&self, text: &str) {
        fs::create_dir_all(self.profile().parent().unwrap()).unwrap();
        fs::write(self.profile(), text).unwrap();
    }

    /// `launch` in an environment that holds nothing else.
    pub fn launch(&self) -> Command {
        let mut command = self.threadtune();
        command.arg("launch");
        command
    }

    /// threadtune in an environment that holds nothing else.
    pub fn threadtune(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("XDG_STATE_HOME", self.directory.path())
            .env("XDG_CONFIG_HOME", self.directory.path().join("config"));
        command
    }
}

pub fn machine_id() -> String {
    ThisMachine::read().id().unwrap().to_owned()
}

/// The made-up profile as one of this machine, which may have a single CPU: one thread is its best count.
pub fn mine(text: &str) -> String {
    let machine = ThisMachine::read().fingerprint.unwrap();
    let kinds = machine.core_kinds.iter();
    let kinds: Vec<String> = kinds
        .map(|(name, cpus)| format!("{name} = \"{cpus}\""))
        .collect();
    // Nothing is to be said of it having been measured with fewer CPUs than this machine may have, or with CPUs of other
    // numbers.
    text.replace("made-up-1s8c8t-000000", &machine.id)
        .replacen("limit = 8,", "limit = 4096,", 1)
        .replacen(
            "\ncpus = \"0-7\"",
            &format!("\ncpus = \"{}\"", machine.cpus),
            1,
        )
        .replacen("performance = \"0-7\"", &kinds.join(", "), 1)
        .replacen("0123456789abcdef", &machine.grouping, 1)
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a program gets on this machine where no profile tells.
pub fn fallback() -> String {
    ThisMachine::read().cpus.fallback().unwrap().to_string()
}
