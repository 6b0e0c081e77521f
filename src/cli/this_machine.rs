//! What a launch needs to know of this machine, and no more: it must not take a millisecond.

use crate::configuration::Configuration;
use crate::launch::Cpus;
use crate::machine::{Beside, Budget, CpuInfo, Fingerprint, Host, Topology};
use crate::units::ThreadCount;
use std::path::Path;

/// This machine, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ThisMachine {
    /// The id of its profiles; absent where sysfs and procfs do not tell what machine this is.
    pub id: Option<String>,
    /// The CPUs that this process may use.
    pub cpus: Cpus,
    /// How its CPUs hang together.
    pub topology: Option<Topology>,
    /// What this process may use, and why.
    pub budget: Option<Budget>,
}

impl ThisMachine {
    /// Reads the live machine, nothing being configured; what cannot be read stays unknown.
    pub fn read() -> Self {
        Self::configured(&Configuration::default())
    }

    /// Reads the live machine under a configuration.
    pub fn configured(configuration: &Configuration) -> Self {
        let root = Path::new("/");
        let env = |name: &str| std::env::var(name).ok();
        let beside = Beside {
            reserve: configuration.reserve.as_ref(),
            // A launch becomes the program.
            tasks: 0,
        };
        let Ok(host) = Host::read(root, Some(&beside), env) else {
            return Self::default();
        };
        let (topology, budget) = (host.topology.ok(), host.budget);
        let id = topology
            .as_ref()
            .map(|topology| Fingerprint::of(topology, &CpuInfo::read(root)).id);
        let physical = topology
            .as_ref()
            .map(|topology| ThreadCount::clamped(topology.cores_within(&budget.cpus)));
        Self {
            id,
            cpus: Cpus {
                allowed: Some(budget.cpus.clone()),
                limit: Some(budget.limit),
                physical,
                above_quota: budget.above_quota(),
            },
            topology,
            budget: Some(budget),
        }
    }
}
