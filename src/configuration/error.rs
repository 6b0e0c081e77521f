//! What can be wrong with a configuration file; each text names the file, the place in it and what to do next.

use super::MAX_BYTES;
use crate::document::read::ReadError;
use std::io;
use std::path::{Path, PathBuf};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}; make it readable, or remove it", path = .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else lies in the file's place.
    #[error("{path} is {what}, not a regular file; replace or remove it", path = .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// No configuration is that large.
    #[error("{path} has {bytes} bytes and a configuration at most {MAX_BYTES}; shorten or remove it", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The text is no configuration: wrong syntax, an unknown key, or a value out of range.
    #[error("{path}, line {line}{}: {message}; correct it, or remove the line",
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
}

impl ConfigurationError {
    /// What went wrong with reading this file; nothing where it is simply not there.
    pub(super) fn reading(path: &Path, error: ReadError) -> Option<Self> {
        let path = path.to_owned();
        Some(match error {
            ReadError::Absent => return None,
            ReadError::Io { action, source } => Self::Io {
                action,
                path,
                source,
            },
            ReadError::NotRegular { what } => Self::NotRegular { path, what },
            ReadError::TooLarge { bytes, .. } => Self::TooLarge { path, bytes },
            ReadError::NotText { line } => Self::Malformed {
                path,
                line,
                key: None,
                message: "the text is not UTF-8".to_owned(),
            },
        })
    }
}
