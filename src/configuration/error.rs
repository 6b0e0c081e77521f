//! What can be wrong with a configuration file, and what to do next.

use crate::document::Fault;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}; {remedy}", remedy = remedy(.0))]
pub struct ConfigurationError(pub Fault);

// No `#[from]`: its text tells all of the fault, which would be told twice as the error's source.
impl From<Fault> for ConfigurationError {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

fn remedy(fault: &Fault) -> &'static str {
    match fault {
        Fault::Absent { .. } => "create it",
        Fault::Io { .. } => "make it readable, or remove it",
        Fault::NotRegular { .. } => "replace or remove it",
        Fault::TooLarge { .. } => "shorten or remove it",
        Fault::Malformed { .. } => "correct it, or remove the line",
    }
}
