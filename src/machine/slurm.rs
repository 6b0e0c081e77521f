//! The CPUs that Slurm gave this process, and how many tasks of its own kind share them on this node.
//!
//! Slurm sets its variables in three places (src/common/env.c): for the tasks of a step (`env_array_for_step`), for a
//! batch script (`env_array_for_batch_job`) and for the shell of an allocation (`env_array_for_job`). The latter two find
//! the tasks of steps that may come in their variables, and are themselves one process.

use super::budget::{LimitKind, Resolver};
use super::variable::{left_out, positive};

/// The tasks of each node of the step that this process belongs to.
const OF_STEP: &str = "SLURM_STEP_TASKS_PER_NODE";
/// The same of the job, or of the step where `srun` does not preserve the job's variables.
const OF_JOB: &str = "SLURM_TASKS_PER_NODE";
/// What the user asked for, of every node.
const REQUESTED: &str = "SLURM_NTASKS_PER_NODE";
/// The place of this node among those of the step, the first being 0.
const NODE: &str = "SLURM_NODEID";
/// Set in steps only: a batch script's number is negative there and not written (`setup_env`).
const STEP: [&str; 3] = ["SLURM_STEP_ID", "SLURM_STEPID", OF_STEP];
const JOB: [&str; 2] = ["SLURM_JOB_ID", "SLURM_JOBID"];
/// The CPUs of the step or script on this node. Slurm sets it in every process that it starts on a node of the job, so
/// `SLURM_JOB_CPUS_PER_NODE` adds nothing: alone it is seen by a shell on another machine.
const CPUS_ON_NODE: &str = "SLURM_CPUS_ON_NODE";

/// What Slurm says of this node.
pub(super) struct Slurm {
    /// The tasks of this node, with the variable that says so; in a batch script, those that steps may start.
    pub(super) tasks: Option<(&'static str, usize)>,
    /// The CPUs of all tasks of this node.
    pub(super) cpus_on_node: Option<usize>,
    /// A limit was found that is one task's own.
    pub(super) is_divided: bool,
    /// This process is known to be a batch script, or a shell in an allocation: no other task shares what it has.
    is_alone: bool,
}

impl Slurm {
    /// The tasks that share what this process sees.
    pub(super) fn sharing(&self) -> Option<(&'static str, usize)> {
        self.tasks.filter(|_| !self.is_alone)
    }
}

/// Adds the limit that Slurm sets.
pub(super) fn apply(budget: &mut Resolver, env: &impl Fn(&str) -> Option<String>) -> Slurm {
    let is_any_set = |names: &[&str]| names.iter().any(|name| env(name).is_some());
    let mut slurm = Slurm {
        tasks: tasks_of_this_node(budget, env),
        cpus_on_node: positive(budget, env, CPUS_ON_NODE),
        is_divided: false,
        is_alone: is_any_set(&JOB) && !is_any_set(&STEP),
    };
    if let Some(cpus) = positive(budget, env, "SLURM_CPUS_PER_TASK") {
        let value = format!("{cpus} CPUs a task");
        let source = "SLURM_CPUS_PER_TASK".to_owned();
        budget.threads(LimitKind::Slurm, source, value, cpus);
        slurm.is_divided = true;
    } else if let Some(cpus) = slurm.cpus_on_node {
        let (source, value, of) = match (slurm.sharing(), slurm.tasks) {
            (Some((name, tasks)), _) => (
                format!("{CPUS_ON_NODE} / {name}"),
                format!("{cpus} CPUs for {}", counted(tasks)),
                tasks,
            ),
            (None, Some((_, 2..))) => (
                CPUS_ON_NODE.to_owned(),
                format!("{cpus} CPUs, not divided: this is no task of a step"),
                1,
            ),
            _ => (CPUS_ON_NODE.to_owned(), format!("{cpus} CPUs"), 1),
        };
        budget.threads(LimitKind::Slurm, source, value, cpus / of);
        slurm.is_divided = slurm.sharing().is_some();
    }
    slurm
}

fn tasks_of_this_node(
    budget: &mut Resolver,
    env: &impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, usize)> {
    for name in [OF_STEP, OF_JOB] {
        let Some(text) = env(name) else { continue };
        let Some(runs) = runs(&text) else {
            left_out(
                budget,
                name,
                &text,
                "a list of tasks per node such as `4(x2),3`",
            );
            continue;
        };
        return Some((name, of_this_node(budget, env, name, &runs)));
    }
    Some((REQUESTED, positive(budget, env, REQUESTED)?))
}

/// So many tasks on each of so many nodes.
struct Run {
    tasks: usize,
    nodes: usize,
}

/// Parses `4(x2),3`: two nodes with 4 tasks, then one with 3 (`uint16_array_to_str`).
fn runs(text: &str) -> Option<Vec<Run>> {
    let positive = |text: &str| text.parse().ok().filter(|number: &usize| *number > 0);
    text.trim()
        .split(',')
        .map(|part| {
            let (tasks, nodes) = match part.split_once("(x") {
                Some((tasks, rest)) => (tasks, positive(rest.strip_suffix(')')?)?),
                None => (part, 1),
            };
            let tasks = positive(tasks)?;
            Some(Run { tasks, nodes })
        })
        .collect()
}

/// The tasks of this node. Where it is not known which one that is and they differ, the most: a share that is too small
/// costs less than CPUs that two tasks fight over.
fn of_this_node(
    budget: &mut Resolver,
    env: &impl Fn(&str) -> Option<String>,
    name: &str,
    runs: &[Run],
) -> usize {
    let least = runs.iter().map(|run| run.tasks).min().unwrap_or(1);
    let most = runs.iter().map(|run| run.tasks).max().unwrap_or(1);
    if least == most {
        return most;
    }
    let node = env(NODE);
    let found = node.as_ref().and_then(|node| {
        let mut before = node.trim().parse::<usize>().ok()?;
        runs.iter().find_map(|run| {
            let is_here = before < run.nodes;
            before = before.saturating_sub(run.nodes);
            is_here.then_some(run.tasks)
        })
    });
    found.unwrap_or_else(|| {
        let why = match node {
            Some(node) => {
                let shown: String = node.chars().take(40).collect();
                format!("{NODE}=`{shown}` is none of them")
            }
            None => format!("{NODE} is not set"),
        };
        budget.note(format!(
            "{name} differs between nodes, and {why}: counting {most} tasks, the most of any node"
        ));
        most
    })
}

fn counted(tasks: usize) -> String {
    match tasks {
        1 => "1 task".to_owned(),
        _ => format!("{tasks} tasks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Option<Vec<usize>> {
        let runs = runs(text)?;
        Some(
            runs.iter()
                .flat_map(|run| vec![run.tasks; run.nodes])
                .collect(),
        )
    }

    #[test]
    fn a_list_names_every_node_in_turn() {
        assert_eq!(expanded("4(x2),3"), Some(vec![4, 4, 3]));
        assert_eq!(expanded("8"), Some(vec![8]));
        assert_eq!(expanded(" 1,2(x1),1\n"), Some(vec![1, 2, 1]));
        // As many nodes as this are counted, never written out.
        let many = runs("2(x18446744073709551615),1").unwrap();
        assert_eq!((many[0].nodes, many[1].tasks), (usize::MAX, 1));
    }

    #[test]
    fn what_is_no_list_is_none() {
        for text in [
            "",
            ",",
            "4,",
            "0",
            "4(x0)",
            "4(x2",
            "4(2)",
            "4x2",
            "(x2)",
            "4(x2)3",
            "-4",
            "0x4",
            "4(x99999999999999999999)",
            "four",
        ] {
            assert_eq!(expanded(text), None, "{text}");
        }
    }
}
