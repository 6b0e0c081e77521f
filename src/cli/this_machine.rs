//! What a launch needs to know of this machine, and no more: it must not take a millisecond.

use crate::launch::Cpus;
use crate::units::{CpuSet, ThreadCount};

/// This machine, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ThisMachine {
    /// The id of its profiles.
    pub id: Option<String>,
    /// The CPUs that this process may use.
    pub cpus: Cpus,
}

impl ThisMachine {
    /// Reads the live machine.
    pub fn read() -> Self {
        let allowed = rustix::thread::sched_getaffinity(None).ok().map(|set| {
            (0..1024u32)
                .filter(|cpu| set.is_set(*cpu as usize))
                .collect::<CpuSet>()
        });
        let limit = allowed
            .as_ref()
            .map(|cpus| ThreadCount::clamped(cpus.len()));
        Self {
            id: None,
            cpus: Cpus {
                allowed,
                limit,
                physical: None,
            },
        }
    }
}
