//! CPUs that an administrator took from the scheduler: `isolcpus=` and isolated cpuset partitions, and `nohz_full=`.
//!
//! The kernel moves no thread to or from an isolated CPU by itself, so that the threads of a program stay where the first
//! one started, on one CPU (`isolcpus` in Documentation/admin-guide/kernel-parameters.txt).

use super::budget::{LimitKind, Resolver};
use super::topology::CPU;
use super::tree::Tree;
use crate::units::CpuSet;

/// Leaves out isolated CPUs while others remain, and says so; all that are isolated, if others remain.
pub(super) fn apply(budget: &mut Resolver, tree: &mut Tree) -> CpuSet {
    let source = format!("{CPU}/isolated");
    let all = stated(tree, &source);
    let isolated = all.intersection(&budget.cpus);
    let others = budget.cpus.difference(&isolated);
    let are_all = others.is_empty();
    if isolated.is_empty() {
    } else if are_all {
        budget.caution(0, format!(
            "all of CPUs {isolated} are isolated from the scheduler: threads that are not bound will share the one they start \
             on; bind each to a CPU of its own, as OMP_PROC_BIND=true does"
        ));
    } else {
        budget.cpus(LimitKind::Isolated, source, &others);
        budget.caution(0, format!(
            "CPUs {isolated} are isolated from the scheduler, and programs are kept off them while they may run on others; `taskset -c {isolated}` \
             uses them"
        ));
    }
    let tickless = stated(tree, &format!("{CPU}/nohz_full")).intersection(&budget.cpus);
    if !tickless.is_empty() {
        budget.note(format!(
            "CPUs {tickless} run without the scheduler's tick while one thread runs there (nohz_full): the kernel accounts CPU \
             time late on them"
        ));
    }
    if are_all { CpuSet::new() } else { all }
}

/// A list of CPUs; the kernel writes `(null)` into the file of an option that is not in force.
fn stated(tree: &mut Tree, path: &str) -> CpuSet {
    match tree.text(path).as_deref() {
        None | Some("(null)") => CpuSet::new(),
        Some(_) => tree.list(path).unwrap_or_default(),
    }
}
