//! What a launch needs to know of this machine, and no more: it must not take a millisecond.

use crate::configuration::Configuration;
use crate::launch::Cpus;
use crate::machine::{
    Beside, Budget, CpuInfo, Fingerprint, Host, LimitKind, Topology, UNKNOWN, bios, governor,
    kernel_release, microcode,
};
use crate::profile::{
    BudgetRecord, Conditions, Directories, Gathered, Occasion, Profile, StoreError,
};
use crate::units::{CpuSet, ThreadCount};
use std::path::Path;
use std::sync::Arc;

/// This machine, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ThisMachine {
    /// What its profiles are known by; absent where sysfs and procfs do not tell what machine this is.
    pub fingerprint: Option<Fingerprint>,
    /// The CPUs that this process may use.
    pub cpus: Cpus,
    /// How its CPUs hang together.
    pub topology: Option<Arc<Topology>>,
    /// What this process may use, and why.
    pub budget: Option<Budget>,
}

/// What is wrong with profiles, for people.
fn told(problems: &[StoreError]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
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
        let fingerprint = topology
            .as_ref()
            .map(|topology| Fingerprint::of(topology, &CpuInfo::read(root)));
        let physical = topology
            .as_ref()
            .map(|topology| ThreadCount::clamped(topology.cores_within(&budget.cpus)));
        Self {
            fingerprint,
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

    /// What a program with so many threads may suffer from inside the CPU budget.
    pub fn cautions(&self, threads: Option<ThreadCount>) -> Vec<&str> {
        let all = self.budget.iter().flat_map(|budget| &budget.cautions);
        let those = all.filter(|caution| threads.is_none_or(|n| n.get() > caution.above));
        those.map(|caution| caution.text.as_str()).collect()
    }

    /// The CPUs that a program keeps of its mask, where some of that are isolated from the scheduler.
    pub fn without_isolated(&self) -> Option<&CpuSet> {
        let budget = self.budget.as_ref()?;
        budget.has(LimitKind::Isolated).then_some(&budget.cpus)
    }

    /// What was odd or could not be seen of the machine and the CPU budget.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let of_topology = self.topology.iter().flat_map(|topology| &topology.notes);
        let of_budget = self.budget.iter().flat_map(|budget| &budget.notes);
        of_topology.chain(of_budget).map(String::as_str)
    }

    /// The id of its profiles.
    pub fn id(&self) -> Option<&str> {
        let fingerprint = self.fingerprint.as_ref();
        fingerprint.map(|fingerprint| fingerprint.id.as_str())
    }

    /// What all its profiles say; with names, perhaps only to these workloads. Beside it what is wrong with profiles that were
    /// passed over. Where that is not enough, all their verdicts are read, and those of other backends and of other machines
    /// with this processor on the same names.
    pub fn gather(
        &self,
        machine: &Fingerprint,
        backend: &str,
        names: &[String],
        is_enough: &dyn Fn(&Profile) -> bool,
    ) -> (Option<Gathered>, Vec<String>) {
        let directories = Directories::from_environment(|name| std::env::var_os(name));
        let place = self.cpus.place();
        let gathered = |found| {
            let today = || self.conditions(backend);
            let occasion = Occasion {
                backend,
                place: &place,
                today: &today,
            };
            Gathered::of(found, &occasion)
        };
        let search = directories.search(machine, backend, names);
        let own = gathered(search.found);
        if own.as_ref().is_some_and(|own| is_enough(&own.profile)) {
            return (own, told(&search.problems));
        }
        let search = directories.search(machine, backend, &[]);
        let mut all = search.found;
        all.extend(directories.search_other_backends(machine, backend, names));
        all.extend(directories.search_elsewhere(machine, backend, names));
        (gathered(all), told(&search.problems))
    }

    /// The same for whoever has no use for verdicts of others: all that this machine has where any of them serves.
    pub fn gather_all(
        &self,
        machine: &Fingerprint,
        backend: &str,
    ) -> (Option<Gathered>, Vec<String>) {
        let place = self.cpus.place();
        let serves = |profile: &Profile| profile.serves_any(&place);
        self.gather(machine, backend, &[], &serves)
    }

    /// Today's conditions, as far as they are known without a worker.
    fn conditions(&self, backend: &str) -> Conditions {
        let root = Path::new("/");
        let place = self.cpus.place();
        let unknown = || BudgetRecord {
            cpus: CpuSet::new(),
            cores: None,
            grouping: None,
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
