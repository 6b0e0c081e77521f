//! The share of one task or rank, from the variables that launchers set.
//!
//! A launcher that binds its ranks has divided the CPUs already; dividing once more would leave most of them idle.

use super::budget::{LimitKind, Resolver};
use super::slurm;
use super::topology::Topology;
use super::variable::positive;
use crate::units::CpuSet;

/// Variables that tell how many ranks share this node, except Slurm's; a launcher inside another one comes first.
const LOCAL_SIZES: [&str; 5] = [
    TORCHRUN,
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    // Hydra: MPICH, Intel MPI.
    "MPI_LOCALNRANKS",
    // mpirun_rsh of MVAPICH2.
    "MV2_COMM_WORLD_LOCAL_SIZE",
    // mpiexec and aprun of HPE.
    "PALS_LOCAL_SIZE",
];
/// torchrun starts its ranks inside one task; the others' ranks take the place of Slurm's tasks.
const TORCHRUN: &str = "LOCAL_WORLD_SIZE";

/// Adds the limits of Slurm and of local ranks; `shared` are the CPUs that all ranks together may use.
pub(super) fn apply(
    budget: &mut Resolver,
    topology: &Topology,
    shared: &CpuSet,
    env: &impl Fn(&str) -> Option<String>,
) {
    let before_slurm = budget.limit.as_usize();
    let slurm = slurm::apply(budget, env);
    let local = LOCAL_SIZES
        .into_iter()
        .find_map(|name| Some((name, positive(budget, env, name)?)));
    let (source, ranks) = match (local, slurm.sharing()) {
        (Some(local), _) => local,
        (None, Some(tasks)) if !slurm.is_divided => tasks,
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
    let are_the_tasks = slurm.tasks.is_some_and(|(_, tasks)| tasks == ranks);
    let inside_a_task = source == TORCHRUN && !are_the_tasks && budget.has(LimitKind::Slurm);
    let whole = if inside_a_task {
        budget.limit.as_usize()
    } else {
        // All ranks of this node share what Slurm gave the job here, however many tasks they run in: `mpirun` starts
        // them on other nodes below a single task of its own.
        slurm
            .cpus_on_node
            .map_or(before_slurm, |cpus| before_slurm.min(cpus))
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
    if mask.len().saturating_mul(ranks) <= shared.len() {
        return None;
    }
    let nodes = topology.nodes.iter().map(|node| &node.cpus);
    let is_domain = topology
        .packages
        .iter()
        .chain(nodes)
        .any(|domain| domain.intersection(shared) == *mask);
    if is_domain {
        Some(ranks.saturating_mul(mask.len()).div_ceil(shared.len()))
    } else {
        Some(ranks)
    }
}
