//! What can be wrong with a profile file; each text names the file, the place in it and what to do next.

use crate::document::read::ReadError;
use crate::document::write::WriteError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such file.
    #[error("there is no profile {path}; run `threadtune tune` to measure this machine", path = .path.display())]
    Absent {
        /// The file looked for.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else lies in the profile's place.
    #[error("{path} is {what}, not a regular file; remove it and run `threadtune tune`", path = .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// No profile is that large.
    #[error("{path} has {bytes} bytes and a profile at most {limit}; remove it and run `threadtune tune`", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The text is no profile: wrong syntax, a key that is missing, or a value out of range.
    #[error("{path}, line {line}{}: {message}; correct it, or remove the file and run `threadtune tune`",
        .key.as_ref().map(|key| format!(", key `{key}`")).unwrap_or_default(), path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The dotted path of the key, where one is to blame.
        key: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Written by a later version of threadtune.
    #[error("{path} has profile schema {found} and this threadtune knows up to {known}; update threadtune, or remove the file and run `threadtune tune`", path = .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema it states.
        found: i64,
        /// The newest schema that is understood.
        known: u32,
    },
    /// The file was cut off between two entries.
    #[error("{path} ends at line {line} with {} of {promised} entries missing; run `threadtune tune --missing`", .promised - .found, path = .path.display())]
    MissingEntries {
        /// The file.
        path: PathBuf,
        /// Its last line.
        line: usize,
        /// Entries that are there.
        found: usize,
        /// Entries that its head announces; more than `found`.
        promised: usize,
    },
    /// Measured elsewhere.
    #[error("{path} was measured on machine `{found}` and this is `{expected}`; run `threadtune tune` here", path = .path.display())]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// The machine it belongs to.
        found: String,
        /// This machine.
        expected: String,
    },
    /// The values cannot be written as TOML.
    #[error("cannot write {path}: {message}", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

impl StoreError {
    /// Is the file simply not there?
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }

    /// What went wrong with reading this file.
    pub(super) fn reading(path: &Path, error: ReadError) -> Self {
        let path = path.to_owned();
        match error {
            ReadError::Absent => Self::Absent { path },
            ReadError::Io { action, source } => Self::Io {
                action,
                path,
                source,
            },
            ReadError::NotRegular { what } => Self::NotRegular { path, what },
            ReadError::TooLarge { bytes, limit } => Self::TooLarge { path, bytes, limit },
            ReadError::NotText { line } => Self::Malformed {
                path,
                line,
                key: None,
                message: "the text is not UTF-8".to_owned(),
            },
        }
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        Self::Io {
            action: error.action,
            path: error.path,
            source: error.source,
        }
    }
}
