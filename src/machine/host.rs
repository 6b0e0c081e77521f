//! The machine as one process finds it: the one way from a root path to topology and CPU budget.

use super::affinity;
use super::budget::{Beside, Budget};
use super::topology::{Topology, TopologyError};
use crate::units::MAX_CPUS;
use std::path::Path;

/// Is this the machine that runs, and not the recorded tree of one?
pub fn is_live(root: &Path) -> bool {
    root == Path::new("/")
}

/// The machine under a process, and what that process may use of it.
#[derive(Debug, Clone)]
pub struct Host {
    /// How its CPUs hang together, or why that is unknown.
    pub topology: Result<Topology, TopologyError>,
    /// What the process may use. Where the topology is unknown, it counts from the CPUs that the process was given.
    pub budget: Budget,
}

impl Host {
    /// The host of the calling thread where `root` is `/`, else that of the process whose tree was recorded there.
    ///
    /// `beside` is what has to fit beside the team, `None` for nothing. `env` looks up environment variables of the live
    /// process; a recorded one has left none. An error means that nothing at all names a CPU.
    pub fn read(
        root: &Path,
        beside: Option<&Beside>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, TopologyError> {
        let is_live = is_live(root);
        // Where the system call fails, the mask in `proc/self/status` stands in.
        let mask = is_live.then(|| affinity::current().ok()).flatten();
        let env = |name: &str| is_live.then(|| env(name)).flatten();
        let read = |topology: &Topology| Budget::read(root, topology, mask.as_ref(), beside, env);
        let topology = Topology::read(root, mask.as_ref());
        let budget = match &topology {
            Ok(topology) => read(topology),
            Err(error) => {
                // A tree of control groups only: what they allow is all that can be told.
                let is_group = !is_live && root.join("proc/self/cgroup").exists();
                let given = mask
                    .clone()
                    .or_else(|| is_group.then(|| (0..MAX_CPUS).collect()));
                read(&Topology::flat(given.ok_or_else(|| error.clone())?))
            }
        };
        Ok(Self { topology, budget })
    }
}
