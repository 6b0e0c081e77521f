//! What the user and the administrator asked for, in `threadtune.toml`: which files there are, what they may hold.
//!
//! It is handed down as values: what obeys a key does not know of files.

mod daemon;
mod error;
mod files;
mod hours;
mod parse;
mod value;

pub use daemon::{BACKENDS, DaemonTable, Interval};
pub use error::ConfigurationError;
pub use files::{Files, MAX_BYTES, SYSTEM_FILE, read_file};
pub use hours::{Hours, InvalidHours};
pub use parse::parse;

use crate::machine::Reserve;
use std::path::PathBuf;

/// What is configured; what is absent was left to threadtune.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configuration {
    /// CPUs left to others, with the file that says so.
    pub reserve: Option<Reserve>,
    /// What the daemon does and when.
    pub daemon: DaemonTable,
    /// Where the daemon writes its figures for the node exporter.
    pub textfile: Option<PathBuf>,
}

impl Configuration {
    /// This configuration where it says something, and the other one where it does not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            reserve: self.reserve.or(other.reserve),
            daemon: self.daemon.or(other.daemon),
            textfile: self.textfile.or(other.textfile),
        }
    }
}
