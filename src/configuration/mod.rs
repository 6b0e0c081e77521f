//! What the user and the administrator asked for, in `threadtune.toml`: which files there are, what they may hold.
//!
//! It is handed down as values: what obeys a key does not know of files.

mod error;
mod files;
mod parse;

pub use error::ConfigurationError;
pub use files::{Files, MAX_BYTES};
pub use parse::parse;

use crate::machine::Reserve;

/// What is configured; what is absent was left to threadtune.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// CPUs left to others, with the file that says so.
    pub reserve: Option<Reserve>,
}

impl Configuration {
    /// This configuration where it says something, and the other one where it does not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            reserve: self.reserve.or(other.reserve),
        }
    }
}
