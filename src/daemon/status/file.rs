//! The status as a file: written whole, and read as untrusted.

use super::{SCHEMA, Status};
use crate::document::Fault;
use crate::document::read::read_text;
use crate::document::write::replace;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// No status is larger.
pub const MAX_BYTES: u64 = 64 << 10;

/// Why a status could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It is not there, cannot be read or written, or is no status.
    #[error("{0}{remedy}", remedy = remedy(.0))]
    File(Fault),
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
        matches!(self, Self::File(fault) if fault.is_absent())
    }
}

// No `#[from]`: its text tells all of the fault, which would be told twice as the error's source.
impl From<Fault> for StatusError {
    fn from(fault: Fault) -> Self {
        Self::File(fault)
    }
}

fn remedy(fault: &Fault) -> &'static str {
    match fault {
        Fault::Absent { .. } => {
            ", which a daemon writes; start one with `systemctl start threadtune`"
        }
        Fault::Io { .. } => "",
        Fault::NotRegular { .. } | Fault::TooLarge { .. } => "; remove it and restart the daemon",
        Fault::Malformed { .. } => "; restart the daemon, which writes it anew",
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
    let mut text = serde_json::to_string_pretty(status).map_err(Fault::io("write", path))?;
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
    let text = read_text(path, MAX_BYTES)?;
    let malformed = |line: usize, key: Option<String>, message: String| {
        StatusError::File(Fault::Malformed {
            path: path.to_owned(),
            line,
            key,
            message,
        })
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
