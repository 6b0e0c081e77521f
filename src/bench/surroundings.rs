//! The machine under the tuning, read once.

use super::measurer::Site;
use crate::configuration::Configuration;
use crate::environment::assignments;
use crate::machine::{
    Beside, Budget, CpuInfo, CpuOrder, Fingerprint, Host, Layout, Limit, LimitKind, Memory,
    Topology, TopologyError, bios, governor, kernel_release, microcode,
};
use crate::profile::{BudgetRecord, ClockRecord, Conditions};
use crate::units::ThreadCount;
use crate::worker::protocol::Greeting;
use crate::worker::team::{TeamChoice, wait_policy};
use rustix::process::{Resource, getrlimit};
use std::ffi::OsString;
use std::path::Path;

/// A last-level cache whose size cannot be told is taken for this large: more than most.
const CACHE_UNKNOWN: u64 = 64 << 20;

/// A thread's stack, where the limit of the process says nothing or less.
const LEAST_STACK: u64 = 8 << 20;

/// What a worker's own code, its runtime and its allocator take, and more.
const LIBRARIES: u64 = 512 << 20;

/// The supervisor's own tasks: one thread, which waits for the worker's answers. Signals need no thread.
const SUPERVISOR_TASKS: usize = 1;

/// Why this machine cannot be measured.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SurroundingsError {
    /// Its CPUs are unknown.
    #[error("the machine's CPUs cannot be read: {0}")]
    Topology(TopologyError),
    /// A limit on tasks is too low, for this reason.
    #[error("{0}")]
    NoRoom(String),
}

/// Everything about the machine that a tuning needs.
#[derive(Debug, Clone)]
pub struct Surroundings {
    topology: Topology,
    budget: Budget,
    memory: Memory,
    /// Which machine it is.
    pub fingerprint: Fingerprint,
    /// From which the counts worth trying follow.
    pub layout: Layout,
    /// Which CPUs a team gets.
    pub order: CpuOrder,
}

impl Surroundings {
    /// Reads the live machine for a worker with such a team. It is an error if a limit on tasks has no room for both the
    /// processes that measure and a single thread that is measured.
    pub fn read(
        configuration: &Configuration,
        team: TeamChoice,
    ) -> Result<Self, SurroundingsError> {
        let root = Path::new("/");
        let env = |name: &str| std::env::var(name).ok();
        let beside = Beside {
            reserve: configuration.reserve.as_ref(),
            tasks: SUPERVISOR_TASKS + team.tasks_beside(),
        };
        let Host { topology, budget } =
            Host::read(root, Some(&beside), env).map_err(SurroundingsError::Topology)?;
        if let Some(limit) = &budget.no_room {
            return Err(SurroundingsError::NoRoom(without_room(
                limit,
                beside.tasks,
                team,
            )));
        }
        let topology = topology.map_err(SurroundingsError::Topology)?;
        for note in topology.notes.iter().chain(budget.remarks()) {
            log::info!("{note}");
        }
        Ok(Self {
            memory: Memory::read(root, Some(&topology)),
            fingerprint: Fingerprint::of(&topology, &CpuInfo::read(root)),
            layout: Layout::of(&topology, &budget.cpus, budget.limit),
            order: CpuOrder::of(&topology, &budget.cpus),
            topology,
            budget,
        })
    }

    /// What of it matters to measuring.
    pub fn site(&self) -> Site {
        Site {
            layout: self.layout.clone(),
            order: self.order.clone(),
            nodes: self.topology.nodes.clone(),
            pool_bytes: self.pool_bytes(),
            memory_limit_bytes: self.memory_limit_bytes(),
            above_quota: self.budget.above_quota(),
        }
    }

    /// What a pool of weights may take.
    fn memory_limit_bytes(&self) -> u64 {
        self.memory.pool_limit()
    }

    /// What a worker needs at most: its data, the stacks of its threads, and its libraries. One that wants more leaks.
    pub fn worker_memory_bytes(&self) -> u64 {
        let stack = getrlimit(Resource::Stack).current.unwrap_or(0);
        let stacks = self.layout.logical.as_usize() as u64 * stack.max(LEAST_STACK);
        self.memory_limit_bytes()
            .saturating_add(stacks)
            .saturating_add(LIBRARIES)
    }

    /// Twice the last-level cache, so that what rotates through more than this comes from memory.
    fn pool_bytes(&self) -> u64 {
        2 * match self.fingerprint.llc_bytes {
            0 => {
                log::warn!(
                    "the kernel does not tell how large the caches are; taking {} MiB",
                    CACHE_UNKNOWN >> 20
                );
                CACHE_UNKNOWN
            }
            bytes => bytes,
        }
    }

    /// Memory nodes of the machine.
    pub fn numa_nodes(&self) -> usize {
        self.topology.nodes.len()
    }

    /// What a launched program would find in its environment.
    pub fn worker_environment(&self) -> Vec<(OsString, OsString)> {
        let plan = assignments(self.budget.limit, &|_| None, false);
        plan.assignments
            .into_iter()
            .map(|a| (a.variable.into(), a.value))
            .collect()
    }

    /// How a worker's threads are going to wait for work, as far as its environment says.
    pub fn wait_policy(&self) -> Option<String> {
        let environment = self.worker_environment();
        wait_policy(|name| {
            let (_, value) = environment.iter().find(|(variable, _)| variable == name)?;
            Some(value.to_string_lossy().into_owned())
        })
    }

    /// The CPU budget as a profile records it.
    pub fn budget_record(&self) -> BudgetRecord {
        BudgetRecord::of(&self.budget, Some(&self.topology))
    }

    /// What a program gets here without any verdict: the strongest cores, as far as they may all run.
    pub fn fallback(&self) -> ThreadCount {
        let cores = self.topology.strongest_cores(&self.budget.cpus);
        ThreadCount::clamped(cores).min(self.budget.limit)
    }

    /// What the profile records of the circumstances of a worker that greeted so.
    pub fn conditions(&self, backend: &str, worker: &Greeting) -> Conditions {
        let highest = worker.kernels.as_ref().map(|kernels| kernels.highest);
        Conditions {
            id: 0,
            kernel: kernel_release(Path::new("/")),
            microcode: microcode(Path::new("/")),
            bios: bios(Path::new("/")),
            governor: governor(Path::new("/"), &self.topology),
            budget: self.budget_record(),
            backend: backend.to_owned(),
            team: worker.team.clone(),
            library: worker.library.clone(),
            wait: worker.wait.clone(),
            level: highest.map(|level| level.to_string()),
            clock: clock_record(worker),
        }
    }
}

/// The clock that a worker's calls are timed with, as a profile records it.
pub fn clock_record(greeting: &Greeting) -> Option<ClockRecord> {
    let clock = greeting.clock.as_ref()?;
    Some(ClockRecord {
        source: clock.source.clone().unwrap_or_else(|| "unknown".to_owned()),
        read_ns: clock.read_ns.round() as u64,
        bracket_ns: clock.bracket_ns.round() as u64,
    })
}

/// Which limit is too low for a measurement, and what to do about it.
fn without_room(limit: &Limit, beside: usize, team: TeamChoice) -> String {
    let raise = if limit.kind == LimitKind::Pids {
        "raise `pids.max` (TasksMax= of a systemd unit, --pids-limit of a container)"
    } else {
        "raise it by `ulimit -u`"
    };
    let fewer = if team == TeamChoice::OpenMp {
        ""
    } else {
        "; `--team openmp` needs one task less"
    };
    format!(
        "{} ({}) has no room for a thread to measure with beside threadtune's own tasks ({beside}); {raise}, or end other \
         processes that it counts{fewer}",
        limit.value, limit.source
    )
}
