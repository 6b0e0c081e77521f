//! The status as a file: written whole, and read as untrusted.

use super::{SCHEMA, Status};
use crate::document::read::{ReadError, read_text};
use crate::document::write::{WriteError, replace};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// No status is larger.
pub const MAX_BYTES: u64 = 64 << 10;

/// Why a status could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// There is no such file.
    #[error("no daemon has written {path}; start it with `systemctl start threadtune`", path = .path.display())]
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
    /// Something else lies in its place.
    #[error("{path} is {what}, not a regular file; remove it and restart the daemon", path = .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// No status is that large.
    #[error("{path} has {bytes} bytes and a status at most {MAX_BYTES}; remove it and restart the daemon", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The text is no status.
    #[error("{path}, line {line}{}: {message}; restart the daemon, which writes it anew",
        .key.as_ref().map(|key| format!(", key `{key}`")).unwrap_or_default(), path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key, where one is to blame.
        key: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// Written by a later version of threadtune.
    #[error("{path} has status schema {found} and this threadtune knows {SCHEMA}; update threadtune", path = .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema it states.
        found: u64,
    },
    /// A value that no daemon should have; nothing was written.
    #[error("cannot write {path}: `{key}` {message}; this is a fault of threadtune: please report it", path = .path.display())]
    Impossible {
        /// The file.
        path: PathBuf,
        /// The key of the value.
        key: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
}

impl StatusError {
    /// Is the file simply not there?
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }

    fn reading(path: &Path, error: ReadError) -> Self {
        let path = path.to_owned();
        match error {
            ReadError::Absent => Self::Absent { path },
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
        }
    }
}

impl From<WriteError> for StatusError {
    fn from(error: WriteError) -> Self {
        Self::Io {
            action: error.action,
            path: error.path,
            source: error.source,
        }
    }
}

/// Puts this status in the place of the one at `path`, readable by everyone. Nothing is written that [`read`] would
/// refuse.
pub fn write(path: &Path, status: &Status) -> Result<(), StatusError> {
    if let Some((key, message)) = status.violation() {
        return Err(StatusError::Impossible {
            path: path.to_owned(),
            key,
            message,
        });
    }
    let mut text = serde_json::to_string_pretty(status).map_err(|error| StatusError::Io {
        action: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.push('\n');
    Ok(replace(path, text.as_bytes())?)
}

/// The status at `path`, checked.
pub fn read(path: &Path) -> Result<Status, StatusError> {
    /// What every schema has.
    #[derive(Deserialize)]
    struct Head {
        schema: u64,
    }
    let text = read_text(path, MAX_BYTES).map_err(|error| StatusError::reading(path, error))?;
    let malformed = |line: usize, key: Option<String>, message: String| StatusError::Malformed {
        path: path.to_owned(),
        line,
        key,
        message,
    };
    let syntax = |error: serde_json::Error| {
        let line = error.line().max(1);
        // The key is quoted with what follows it: a status has a line for each.
        let key = text.lines().nth(line - 1).and_then(key_of_line);
        malformed(line, key, without_place(&error))
    };
    let Head { schema } = serde_json::from_str(&text).map_err(syntax)?;
    if schema > u64::from(SCHEMA) {
        return Err(StatusError::NewerSchema {
            path: path.to_owned(),
            found: schema,
        });
    }
    let status: Status = serde_json::from_str(&text).map_err(syntax)?;
    match status.violation() {
        None => Ok(status),
        Some((key, message)) => {
            let line = text
                .lines()
                .position(|line| key_of_line(line).is_some_and(|found| found == key));
            let line = line.map_or(1, |index| index + 1);
            Err(malformed(line, Some(key.to_owned()), message.to_owned()))
        }
    }
}

/// `state` of `  "state": "idle",`.
fn key_of_line(line: &str) -> Option<String> {
    let (key, rest) = line.trim_start().strip_prefix('"')?.split_once('"')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let sound = rest.starts_with(':') && key.len() <= 60 && key.chars().all(plain);
    sound.then(|| key.to_owned())
}

/// What is wrong, without the line and column that serde's text ends with, and on one line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    super::printable(message).chars().take(200).collect()
}
