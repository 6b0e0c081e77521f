//! What can be wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a file. The text names file, line and key; what to do next is told by whoever knows what the file
/// is for.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is none.
    #[error("there is no file {path}", path = .path.display())]
    Absent {
        /// The file looked for.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {action} {path}: {cause}", path = .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer, which the text tells already.
        cause: io::Error,
    },
    /// Something else lies in its place.
    #[error("{path} is {what}, not a regular file", path = .path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Larger than what it is read as can be.
    #[error("{path} has {bytes} bytes, and at most {limit} are read", path = .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The text is not what it should be: wrong syntax, a key that is missing or unknown, or a value out of range.
    #[error("{path}, line {line}{}: {message}",
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

impl Fault {
    /// What the system answered to `action`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |error| Self::Io {
            action,
            path: path.to_owned(),
            cause: error.into(),
        }
    }

    /// Is the file simply not there?
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}
