//! How many CPUs this process may use, which ones, and which limit decides.
//!
//! Affinity ∩ cpuset, without CPUs that the scheduler leaves alone, gives the CPUs; quotas, the configured reserve, limits
//! on tasks, batch systems and other ranks on the node cap how many threads may run on them.

use super::cgroup::{self, Cgroups, Group, Quota, Version};
use super::isolation;
use super::ranks;
use super::slots;
use super::tasks;
use super::thread_stacks;
use super::topology::Topology;
use super::tree::Tree;
use crate::units::{CpuSet, ThreadCount};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// What set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// The machine has no more CPUs online.
    Online,
    /// The affinity mask of the process.
    Affinity,
    /// A cpuset of control groups.
    Cpuset,
    /// CPUs that the scheduler leaves alone are left out.
    Isolated,
    /// A CPU quota of control groups.
    Quota,
    /// The CPUs that the configuration leaves to others.
    Reserve,
    /// How many tasks control groups may hold.
    Pids,
    /// How many tasks the user may have.
    Processes,
    /// The slots that Grid Engine gave the job on this host.
    Sge,
    /// The slots that LSF gave the job on this host.
    Lsf,
    /// The CPUs that Slurm gave each task.
    Slurm,
    /// Other ranks of the same program on this node.
    Ranks,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Online => "online",
            Self::Affinity => "affinity",
            Self::Cpuset => "cpuset",
            Self::Isolated => "isolated",
            Self::Quota => "quota",
            Self::Reserve => "reserve",
            Self::Pids => "pids",
            Self::Processes => "processes",
            Self::Sge => "sge",
            Self::Lsf => "lsf",
            Self::Slurm => "slurm",
            Self::Ranks => "ranks",
        })
    }
}

/// CPUs that are left to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// How many.
    pub cpus: usize,
    /// The file and key that say so.
    pub source: String,
}

/// What has to find room beside the team that a budget is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside<'a> {
    /// CPUs that the configuration leaves to others.
    pub reserve: Option<&'a Reserve>,
    /// Tasks of the asker that run while the team does and are none of it. There are none where the asker becomes the
    /// program: its own thread is one of the team then.
    pub tasks: usize,
}

/// One limit that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// What set it.
    pub kind: LimitKind,
    /// The file, system call or variables it was read from.
    pub source: String,
    /// Its value as found there, for people.
    pub value: String,
    /// The CPUs it leaves, for limits that name CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<CpuSet>,
    /// How many threads it leaves, rounded down, at least 1.
    pub threads: ThreadCount,
}

/// What a program may suffer from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Caution {
    /// For people.
    pub text: String,
    /// It does so with more threads than these.
    pub above: u32,
}

impl From<Caution> for String {
    fn from(caution: Caution) -> Self {
        caution.text
    }
}

/// The CPU budget of one process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// The CPUs allowed; never empty.
    pub cpus: CpuSet,
    /// How many threads may run at once; at most as many as there are CPUs.
    pub limit: ThreadCount,
    /// What decided `limit`: the first of the limits that leaves so few.
    pub by: LimitKind,
    /// The tightest quota in CPUs, before rounding down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<f64>,
    /// The period of that quota, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_period_us: Option<u64>,
    /// Every limit found, in the order in which they were applied.
    pub limits: Vec<Limit>,
    /// The first limit on tasks that has no room for a team of even one thread, although `limit` is 1.
    #[serde(skip)]
    pub no_room: Option<Limit>,
    /// What a program may suffer from inside this budget, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<Caution>,
    /// What was malformed, contradictory or out of sight, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Budget {
    /// Resolves the budget under `root`.
    ///
    /// `affinity` is the mask of the live process, and must be `None` for a root other than `/`, where
    /// `proc/self/status` of the tree stands in. Nothing need fit beside the team where `beside` is `None`. `env` looks
    /// up environment variables. [`super::Host`] is the one way in which the subcommands come here.
    pub fn read(
        root: &Path,
        topology: &Topology,
        affinity: Option<&CpuSet>,
        beside: Option<&Beside>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let beside = beside.copied().unwrap_or_default();
        let mut tree = Tree::new(root);
        let cgroups = Cgroups::read(&tree);
        if let Some(unseen) = cgroups.unseen() {
            tree.note(unseen);
        }
        let mut budget = Resolver::new(&topology.online);

        let cpusets: Vec<(String, CpuSet)> = cgroups
            .groups("cpuset")
            .iter()
            .filter_map(|groups| cgroup::cpuset(&mut tree, groups))
            .collect();
        let shared = cpusets
            .iter()
            .map(|(_, cpus)| topology.online.intersection(cpus))
            .filter(|cpus| !cpus.is_empty())
            .fold(topology.online.clone(), |all, cpus| all.intersection(&cpus));

        let mask = match affinity {
            Some(mask) => Some(("sched_getaffinity".to_owned(), mask.clone())),
            None => status_mask(&mut tree),
        };
        for (kind, limits) in [
            (LimitKind::Affinity, Vec::from_iter(mask)),
            (LimitKind::Cpuset, cpusets),
        ] {
            for (source, cpus) in limits {
                budget.cpus(kind, source, &cpus);
            }
        }
        let isolated = isolation::apply(&mut budget, &mut tree);
        let shared = shared.difference(&isolated);
        for groups in cgroups.groups("cpu") {
            for (source, quota, version) in quotas(&mut tree, &groups) {
                let name = match version {
                    Version::V1 => "cfs quota",
                    Version::V2 => "cpu.max",
                };
                let value = format!("{name} of {} CPUs", trimmed(quota.cpus));
                // Rounded down: a thread more than the quota pays is throttled with all the others.
                budget.threads(LimitKind::Quota, source, value, quota.cpus as usize);
                budget.quota = match budget.quota {
                    Some(least) if least.cpus <= quota.cpus => Some(least),
                    _ => Some(quota),
                };
            }
        }
        if let Some(reserve) = beside.reserve.filter(|reserve| reserve.cpus > 0) {
            budget.reserve(reserve);
        }
        let online = topology.online.len();
        tasks::apply(&mut budget, &mut tree, &cgroups, online, beside.tasks);
        slots::apply(&mut budget, &tree, &env);
        // Ranks share all that was found so far.
        ranks::apply(&mut budget, topology, &shared, &env);
        thread_stacks::apply(&mut budget, &mut tree, &env);
        budget.finish(tree.into_notes())
    }

    /// All that is to be told, what matters most first.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        let cautions = self.cautions.iter().map(|caution| &caution.text);
        cautions.chain(&self.notes)
    }

    /// Has a limit of this kind been found?
    pub fn has(&self, kind: LimitKind) -> bool {
        self.limits.iter().any(|limit| limit.kind == kind)
    }

    /// The limit that decides.
    pub fn deciding(&self) -> Option<&Limit> {
        self.limits
            .iter()
            .filter(|limit| limit.kind == self.by)
            .min_by_key(|limit| limit.threads)
    }
}

/// Collects limits and keeps the running budget.
pub(super) struct Resolver {
    /// CPUs left so far.
    pub(super) cpus: CpuSet,
    /// Threads left so far.
    pub(super) limit: ThreadCount,
    by: LimitKind,
    quota: Option<Quota>,
    limits: Vec<Limit>,
    no_room: Option<Limit>,
    cautions: Vec<Caution>,
    notes: Vec<String>,
}

impl Resolver {
    fn new(online: &CpuSet) -> Self {
        let threads = ThreadCount::clamped(online.len());
        Self {
            cpus: online.clone(),
            limit: threads,
            by: LimitKind::Online,
            quota: None,
            limits: vec![Limit {
                kind: LimitKind::Online,
                source: "sys/devices/system/cpu".to_owned(),
                value: format!("CPUs {online}"),
                cpus: Some(online.clone()),
                threads,
            }],
            no_room: None,
            cautions: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Applies a limit that names CPUs; one that leaves none cannot be true and is noted only.
    pub(super) fn cpus(&mut self, kind: LimitKind, source: String, allowed: &CpuSet) {
        let left = self.cpus.intersection(allowed);
        if left.is_empty() {
            self.note(format!(
                "{source} allows CPUs {allowed}, none of which is left by the other limits ({}); left out",
                self.cpus
            ));
            return;
        }
        let allowed = allowed.intersection(&self.online());
        self.limits.push(Limit {
            kind,
            source,
            value: format!("CPUs {allowed}"),
            threads: ThreadCount::clamped(allowed.len()),
            cpus: Some(allowed),
        });
        self.cpus = left;
        self.decide(kind, self.cpus.len());
    }

    /// Applies a limit on the number of threads.
    pub(super) fn threads(
        &mut self,
        kind: LimitKind,
        source: String,
        value: String,
        threads: usize,
    ) {
        self.limits.push(Limit {
            kind,
            source,
            value,
            cpus: None,
            threads: ThreadCount::clamped(threads),
        });
        self.decide(kind, threads);
    }

    /// Applies a limit on tasks, which has room for a team of so many threads.
    pub(super) fn tasks(&mut self, kind: LimitKind, source: String, value: String, team: usize) {
        self.threads(kind, source, value, team);
        if team == 0 && self.no_room.is_none() {
            self.no_room = self.limits.last().cloned();
        }
    }

    /// Leaves CPUs to others. It does not matter which: they are no part of the mask that programs see.
    fn reserve(&mut self, reserve: &Reserve) {
        let allowed = self.cpus.len();
        let value = format!("{} of {allowed} CPUs left to others", reserve.cpus);
        let threads = allowed.saturating_sub(reserve.cpus);
        self.threads(LimitKind::Reserve, reserve.source.clone(), value, threads);
    }

    /// Remembers what a program with more threads than these may suffer from.
    pub(super) fn caution(&mut self, above: u32, text: String) {
        self.cautions.push(Caution { text, above });
    }

    /// Remembers what was odd.
    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Has a limit of this kind been found?
    pub(super) fn has(&self, kind: LimitKind) -> bool {
        self.limits.iter().any(|limit| limit.kind == kind)
    }

    /// The least that limits of this kind leave.
    pub(super) fn least(&self, kind: LimitKind) -> Option<usize> {
        self.limits
            .iter()
            .filter(|limit| limit.kind == kind)
            .map(|limit| limit.threads.as_usize())
            .min()
    }

    fn online(&self) -> CpuSet {
        self.limits
            .first()
            .and_then(|limit| limit.cpus.clone())
            .unwrap_or_default()
    }

    fn decide(&mut self, kind: LimitKind, threads: usize) {
        let threads = ThreadCount::clamped(threads);
        if threads < self.limit {
            self.limit = threads;
            self.by = kind;
        }
    }

    fn finish(self, mut notes: Vec<String>) -> Budget {
        notes.extend(self.notes);
        Budget {
            cpus: self.cpus,
            limit: self.limit,
            by: self.by,
            quota: self.quota.map(|quota| quota.cpus),
            quota_period_us: self.quota.map(|quota| quota.period_us),
            limits: self.limits,
            no_room: self.no_room,
            cautions: self.cautions,
            notes,
        }
    }
}

fn quotas(tree: &mut Tree, groups: &[Group]) -> Vec<(String, Quota, Version)> {
    groups
        .iter()
        .filter_map(|group| {
            let (source, quota) = cgroup::quota(tree, group)?;
            Some((source, quota, group.version))
        })
        .collect()
}

/// The mask of the process that a tree was recorded from.
fn status_mask(tree: &mut Tree) -> Option<(String, CpuSet)> {
    const STATUS: &str = "proc/self/status";
    let text = tree.text(STATUS)?;
    let (number, list) = text
        .lines()
        .enumerate()
        .find_map(|(i, line)| Some((i + 1, line.strip_prefix("Cpus_allowed_list:")?)))?;
    match CpuSet::parse_list(list) {
        Ok(cpus) if !cpus.is_empty() => Some((format!("{STATUS}:{number}"), cpus)),
        Ok(_) => None,
        Err(error) => {
            tree.note(format!("{STATUS}:{number}: {error}; left out"));
            None
        }
    }
}

/// Two decimals at most, none that are zero.
pub(super) fn trimmed(cpus: f64) -> String {
    let text = format!("{cpus:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
