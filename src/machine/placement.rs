//! Which CPUs a team's threads get.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which CPUs the threads of a team get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Threads run wherever the kernel puts them inside the CPU budget.
    Unbound,
    /// One CPU a thread: strongest cores first, one thread a core before siblings, neighbours together.
    Close,
    /// One CPU a thread, dealt round-robin over packages and NUMA nodes.
    Spread,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unbound => "unbound",
            Self::Close => "close",
            Self::Spread => "spread",
        })
    }
}
