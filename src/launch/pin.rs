//! Which CPUs a pinned program is bound to. Pure.

use crate::environment::{self, BINDERS};
use crate::machine::{CpuOrder, Placement};
use crate::profile::lookup::Choice;
use crate::units::{CpuSet, ThreadCount};
use std::ffi::OsString;

/// The CPUs of a pinned program. It gets them as one mask: its threads may move among them, but not off them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// How they were chosen: neighbours (`close`) or CPUs far from each other (`spread`).
    pub placement: Placement,
    /// The CPUs, all of them inside the budget.
    pub cpus: CpuSet,
    /// What the user has set that bears on it, for people. None of it stops a program.
    pub notices: Vec<String>,
}

/// In which order a team takes CPUs of the machine at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Those that this process may use.
    pub own: CpuOrder,
    /// Those that the profile was tuned on; absent where there is no profile.
    pub tuned: Option<CpuOrder>,
}

impl Orders {
    /// Would `tune` still take just these CPUs? The kernel may number a machine's CPUs otherwise than when it was
    /// tuned, and then the same numbers may be two cores instead of four.
    fn still_gives(&self, cpus: &CpuSet, placement: Placement) -> bool {
        let threads = ThreadCount::clamped(cpus.len());
        self.tuned.as_ref().is_some_and(|order| {
            let again: CpuSet = order.cpus_for(placement, threads).into_iter().collect();
            again == *cpus
        })
    }
}

/// The pin for a choice, or for a count that no profile tells; what is lacking for it joins the warnings.
///
/// The CPUs are those of the verdict where the choice brings them and they still lie as they did: they are the ones that
/// were timed. Otherwise they are taken anew, in the order in which `tune` takes them, from the CPUs that this process
/// may use.
pub(super) fn pin(
    choice: Option<&Choice>,
    threads: Option<ThreadCount>,
    orders: Option<&Orders>,
    planned: &environment::Plan,
    environment: &dyn Fn(&str) -> Option<OsString>,
    warnings: &mut Vec<String>,
) -> Option<Pin> {
    let (Some(threads), Some(orders)) = (threads, orders) else {
        warnings.push("the build of this machine is unknown: nothing is pinned".to_owned());
        return None;
    };
    let bound = choice.filter(|choice| choice.placement != Placement::Unbound);
    if choice.is_some() && bound.is_none() {
        warnings.push(
            "the profile has no timing of bound threads within the CPU budget (`threadtune tune` takes them): pinning \
             to CPUs close together"
                .to_owned(),
        );
    }
    let placement = bound.map_or(Placement::Close, |choice| choice.placement);
    // As many CPUs as the largest team that the environment allows: a user's eight threads are never squeezed on
    // four CPUs, nor are ours where the user wants fewer of one family only.
    let most = planned.most_threads().map_or(threads, |n| n.max(threads));
    let cpus = bound
        .and_then(|choice| choice.cpus.clone())
        .filter(|cpus| most == threads && orders.still_gives(cpus, placement))
        .unwrap_or_else(|| orders.own.cpus_for(placement, most).into_iter().collect());
    let mut notices = Vec::new();
    if most != threads {
        notices.push(format!("pinned to CPUs {cpus} because of {most} threads"));
    }
    let binders: Vec<&str> = BINDERS
        .into_iter()
        .filter(|binder| {
            environment(binder.name).is_some_and(|value| binder.may_bind(&value.to_string_lossy()))
        })
        .map(|binder| binder.name)
        .collect();
    if !binders.is_empty() {
        notices.push(format!(
            "{} may bind threads inside the pinned CPUs {cpus}",
            binders.join(", ")
        ));
    }
    Some(Pin {
        placement,
        cpus,
        notices,
    })
}
