//! What can be wrong with a profile file; each text names the file, the place in it and what to do next.

use crate::document::Fault;
use std::path::PathBuf;

/// Why a profile could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there, cannot be read or written, or is no profile.
    #[error("{0}{remedy}", remedy = remedy(.0))]
    File(Fault),
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
        matches!(self, Self::File(fault) if fault.is_absent())
    }
}

// No `#[from]`: its text tells all of the fault, which would be told twice as the error's source.
impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::File(fault)
    }
}

fn remedy(fault: &Fault) -> &'static str {
    match fault {
        Fault::Absent { .. } => "; run `threadtune tune` to measure this machine",
        // Reading or writing: who wanted it knows what to do instead.
        Fault::Io { .. } => "",
        Fault::NotRegular { .. } | Fault::TooLarge { .. } => {
            "; remove it and run `threadtune tune`"
        }
        Fault::Malformed { .. } => "; correct it, or remove the file and run `threadtune tune`",
    }
}
