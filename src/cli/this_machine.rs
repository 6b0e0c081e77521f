//! What a launch needs to know of this machine, and no more: it must not take a millisecond.

use crate::launch::Cpus;
use crate::machine::{Budget, CpuInfo, Fingerprint, Topology, affinity};
use crate::units::ThreadCount;
use std::path::Path;

/// This machine, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ThisMachine {
    /// The id of its profiles; absent where sysfs and procfs do not tell what machine this is.
    pub id: Option<String>,
    /// The CPUs that this process may use.
    pub cpus: Cpus,
}

impl ThisMachine {
    /// Reads the live machine; what cannot be read stays unknown.
    pub fn read() -> Self {
        let root = Path::new("/");
        let mask = affinity::current().ok();
        let known = Topology::read(root).ok();
        let id = known
            .as_ref()
            .map(|topology| Fingerprint::of(topology, &CpuInfo::read(root)).id);
        let topology = known
            .clone()
            .or_else(|| Some(Topology::flat(mask.clone()?)));
        let Some(topology) = topology else {
            return Self::default();
        };
        let env = |name: &str| std::env::var(name).ok();
        let budget = Budget::read(root, &topology, mask.as_ref(), env);
        let physical = known.map(|known| ThreadCount::clamped(known.cores_within(&budget.cpus)));
        Self {
            id,
            cpus: Cpus {
                allowed: Some(budget.cpus),
                limit: Some(budget.limit),
                physical,
            },
        }
    }
}
