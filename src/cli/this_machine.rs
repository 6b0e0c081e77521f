//! What a launch needs to know of this machine, and no more: it must not take a millisecond.

use crate::configuration::Configuration;
use crate::launch::Cpus;
use crate::machine::{
    Beside, Budget, CpuInfo, Fingerprint, Host, Topology, UNKNOWN, bios, governor, kernel_release,
    microcode,
};
use crate::profile::{BudgetRecord, Conditions, Directories, Gathered, Occasion};
use crate::units::{CpuSet, ThreadCount};
use std::path::Path;
use std::sync::Arc;

/// This machine, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ThisMachine {
    /// The id of its profiles; absent where sysfs and procfs do not tell what machine this is.
    pub id: Option<String>,
    /// The CPUs that this process may use.
    pub cpus: Cpus,
    /// How its CPUs hang together.
    pub topology: Option<Arc<Topology>>,
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
        let (topology, budget) = (host.topology.ok().map(Arc::new), host.budget);
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
                strongest: topology
                    .as_ref()
                    .map(|topology| ThreadCount::clamped(topology.strongest_cores(&budget.cpus))),
                above_quota: budget.above_quota(),
                topology: topology.clone(),
            },
            topology,
            budget: Some(budget),
        }
    }

    /// What a program may suffer from inside the CPU budget.
    pub fn cautions(&self) -> impl Iterator<Item = &str> {
        let budget = self.budget.iter();
        budget
            .flat_map(|budget| &budget.cautions)
            .map(String::as_str)
    }

    /// What was odd or could not be seen of the machine and the CPU budget.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let of_topology = self.topology.iter().flat_map(|topology| &topology.notes);
        let of_budget = self.budget.iter().flat_map(|budget| &budget.notes);
        of_topology.chain(of_budget).map(String::as_str)
    }

    /// What all its profiles say; with names, perhaps only to these workloads. Beside it what is wrong with profiles that were
    /// passed over.
    pub fn gather(
        &self,
        id: &str,
        backend: &str,
        names: &[String],
    ) -> (Option<Gathered>, Vec<String>) {
        let directories = Directories::from_environment(|name| std::env::var_os(name));
        let search = directories.search(id, backend, names);
        let problems = search.problems.iter().map(ToString::to_string).collect();
        let occasion = Occasion {
            place: &self.cpus.place(),
            today: &|| self.conditions(backend),
        };
        (Gathered::of(search.found, &occasion), problems)
    }

    /// Today's conditions, as far as they are known without a worker.
    fn conditions(&self, backend: &str) -> Conditions {
        let root = Path::new("/");
        let place = self.cpus.place();
        let unknown = || BudgetRecord {
            cpus: CpuSet::new(),
            cores: None,
            limit: ThreadCount::ONE,
            by: String::new(),
        };
        let governor = |topology: &Arc<Topology>| governor(root, topology);
        Conditions {
            id: 0,
            kernel: kernel_release(root),
            microcode: microcode(root),
            bios: bios(root),
            governor: self
                .topology
                .as_ref()
                .map_or_else(|| UNKNOWN.to_owned(), governor),
            budget: place.budget.unwrap_or_else(unknown),
            backend: backend.to_owned(),
            team: String::new(),
            library: None,
            wait: None,
            level: None,
            clock: None,
        }
    }
}
