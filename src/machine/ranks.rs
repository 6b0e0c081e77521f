//! The share of one task or rank, from the variables that launchers set.
//!
//! A launcher that binds its ranks has divided the CPUs already; dividing once more would leave most of them idle.

use super::budget::{LimitKind, Resolver};
use super::topology::Topology;
use crate::units::CpuSet;

/// Variables that tell how many ranks share this node, except Slurm's.
const LOCAL_SIZES: [&str; 3] = [TORCHRUN, "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];
/// torchrun starts its ranks inside one task; the others' ranks are Slurm's tasks themselves.
const TORCHRUN: &str = "LOCAL_WORLD_SIZE";
const SLURM_TASKS: &str = "SLURM_NTASKS_PER_NODE";

/// Adds the limits of Slurm and of local ranks; `shared` are the CPUs that all ranks together may use.
pub(super) fn apply(
    budget: &mut Resolver,
    topology: &Topology,
    shared: &CpuSet,
    env: &impl Fn(&str) -> Option<String>,
) {
    let tasks = positive(budget, env, SLURM_TASKS);
    let mut divided_by_tasks = false;
    let before_slurm = budget.limit.as_usize();
    if let Some(cpus) = positive(budget, env, "SLURM_CPUS_PER_TASK") {
        let value = format!("{cpus} CPUs a task");
        budget.threads(
            LimitKind::Slurm,
            "SLURM_CPUS_PER_TASK".to_owned(),
            value,
            cpus,
        );
        divided_by_tasks = true;
    } else if let Some(cpus) = positive(budget, env, "SLURM_CPUS_ON_NODE") {
        let (source, of) = match tasks {
            Some(tasks) => (format!("SLURM_CPUS_ON_NODE / {SLURM_TASKS}"), tasks),
            None => ("SLURM_CPUS_ON_NODE".to_owned(), 1),
        };
        let value = format!("{cpus} CPUs for {of} tasks");
        budget.threads(LimitKind::Slurm, source, value, cpus / of);
        divided_by_tasks = tasks.is_some();
    }

    let local = LOCAL_SIZES
        .into_iter()
        .find_map(|name| Some((name, positive(budget, env, name)?)));
    let (source, ranks) = match (local, tasks) {
        (Some(local), _) => local,
        (None, Some(tasks)) if !divided_by_tasks => (SLURM_TASKS, tasks),
        _ => return,
    };
    if ranks < 2 {
        return;
    }
    let bound_to = budget
        .least(LimitKind::Affinity)
        .map(|_| budget.cpus.clone());
    let on_this_mask = match bound_to {
        Some(mask) if mask.len() < shared.len() => {
            let Some(on_this_mask) = ranks_on(&mask, shared, ranks, topology) else {
                budget.note(format!(
                    "{source}={ranks} does not divide the budget: the affinity mask {mask} is this rank's own"
                ));
                return;
            };
            on_this_mask
        }
        _ => ranks,
    };
    let inside_a_task = source == TORCHRUN && tasks != Some(ranks) && budget.has(LimitKind::Slurm);
    let whole = if inside_a_task {
        budget.limit.as_usize()
    } else {
        before_slurm
    };
    let value = format!("{whole} CPUs for {on_this_mask} ranks");
    budget.threads(
        LimitKind::Ranks,
        source.to_owned(),
        value,
        whole / on_this_mask,
    );
}

/// How many of the ranks share a mask that is smaller than what all of them have; `None` if it belongs to one.
///
/// Launchers bind ranks in turn to packages or NUMA nodes; a mask of any other form is taken for the whole job's.
fn ranks_on(mask: &CpuSet, shared: &CpuSet, ranks: usize, topology: &Topology) -> Option<usize> {
    if mask.len() * ranks <= shared.len() {
        return None;
    }
    let nodes = topology.nodes.iter().map(|node| &node.cpus);
    let is_domain = topology
        .packages
        .iter()
        .chain(nodes)
        .any(|domain| domain.intersection(shared) == *mask);
    if is_domain {
        Some((ranks * mask.len()).div_ceil(shared.len()))
    } else {
        Some(ranks)
    }
}

fn positive(
    budget: &mut Resolver,
    env: &impl Fn(&str) -> Option<String>,
    name: &str,
) -> Option<usize> {
    let text = env(name)?;
    match text.trim().parse::<usize>() {
        Ok(n) if n > 0 => Some(n),
        _ => {
            let shown: String = text.chars().take(40).collect();
            budget.note(format!(
                "{name}: `{shown}` is not a number of 1 or more; left out"
            ));
            None
        }
    }
}
