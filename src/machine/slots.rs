//! The slots of this host that Grid Engine or LSF gave the job: normally one per thread.
//!
//! Both tell the slots of all hosts in one number (`NSLOTS` in `qsub(1)`, `LSB_DJOB_NUMPROC`), and those of each host in a
//! list: Grid Engine in the file `PE_HOSTFILE` (`sge_pe(5)`), LSF in `LSB_MCPU_HOSTS`.

use super::budget::{LimitKind, Resolver};
use super::tree::Tree;
use super::variable::{left_out, positive};
use std::collections::BTreeMap;

const SGE_SLOTS: &str = "NSLOTS";
const SGE_HOSTS: &str = "NHOSTS";
const SGE_LIST: &str = "PE_HOSTFILE";
const LSF_SLOTS: &str = "LSB_DJOB_NUMPROC";
const LSF_LIST: &str = "LSB_MCPU_HOSTS";
/// One line per slot with the CPUs that it is bound to.
const LSF_AFFINITY: &str = "LSB_AFFINITY_HOSTFILE";

/// A line per host of the largest jobs.
const LONGEST_LIST: usize = 1 << 20;

/// Adds the limits of both.
pub(super) fn apply(budget: &mut Resolver, tree: &Tree, env: &impl Fn(&str) -> Option<String>) {
    let here = tree.text("proc/sys/kernel/hostname").unwrap_or_default();
    if let Some(slots) = positive(budget, env, SGE_SLOTS) {
        let hosts = positive(budget, env, SGE_HOSTS).unwrap_or(1);
        let list = if hosts == 1 {
            None
        } else {
            of_grid_engine(budget, tree, env)
        };
        let found = Slots::of(slots, hosts, list.as_ref(), &here);
        found.limit(budget, LimitKind::Sge, SGE_SLOTS, SGE_LIST);
    }
    // With `affinity[core(4)]` a slot is a task of 4 cores, and LSF binds it to them: the mask says what it has.
    let is_bound = env(LSF_AFFINITY).is_some_and(|path| {
        let text = of_absolute(tree, &path);
        text.is_some_and(|text| !text.is_empty())
    });
    if is_bound {
        return;
    }
    if let Some(slots) = positive(budget, env, LSF_SLOTS) {
        let list = of_lsf(budget, env);
        let hosts = list.as_ref().map_or(1, BTreeMap::len);
        let found = Slots::of(slots, hosts, list.as_ref(), &here);
        found.limit(budget, LimitKind::Lsf, LSF_SLOTS, LSF_LIST);
    }
}

/// The slots of each host.
type Hosts = BTreeMap<String, usize>;

/// What is known of this host's slots.
enum Slots {
    /// The job runs on this host only.
    All(usize),
    /// The list names this host, or the same number for every host.
    Listed(usize, usize),
    /// The list names other hosts only: no host has more than this.
    AtMost(usize, usize, usize),
    /// There is no list, and each of the other hosts has a slot at least.
    Unlisted(usize, usize, usize),
}

impl Slots {
    fn of(slots: usize, hosts: usize, list: Option<&Hosts>, here: &str) -> Self {
        let Some(list) = list else {
            return match hosts {
                1 => Self::All(slots),
                _ => Self::Unlisted(slots.saturating_sub(hosts - 1).max(1), slots, hosts),
            };
        };
        let least = list.values().copied().min().unwrap_or(slots);
        let most = list.values().copied().max().unwrap_or(slots);
        let named = list.iter().find(|(host, _)| is_same(host, here));
        match named {
            _ if list.len() == 1 => Self::All(slots),
            Some((_, named)) => Self::Listed(*named, slots),
            None if least == most => Self::Listed(most, slots),
            None => Self::AtMost(most, slots, list.len()),
        }
    }

    fn limit(self, budget: &mut Resolver, kind: LimitKind, variable: &str, list: &str) {
        let (source, value, threads) = match self {
            Self::All(slots) => (variable, counted(slots), slots),
            Self::Listed(here, slots) => {
                (list, format!("{here} of {slots} slots on this host"), here)
            }
            Self::AtMost(most, slots, hosts) => {
                budget.note(format!(
                    "{list} names {hosts} hosts and this one is none of them: counting {most} slots, the most of any host"
                ));
                (list, format!("{most} of {slots} slots at most"), most)
            }
            Self::Unlisted(most, slots, hosts) => {
                budget.note(format!(
                    "{variable}={slots} counts the slots of {hosts} hosts, and {list} does not tell those of this one: \
                     counting {most}, as every other host has one at least"
                ));
                (variable, format!("{most} of {slots} slots at most"), most)
            }
        };
        budget.threads(kind, source.to_owned(), value, threads);
    }
}

/// The list of Grid Engine: host, slots, queue and processors on each line; a host has a line for every queue.
fn of_grid_engine(
    budget: &mut Resolver,
    tree: &Tree,
    env: &impl Fn(&str) -> Option<String>,
) -> Option<Hosts> {
    let path = env(SGE_LIST)?;
    // Only where the job was started: tasks on other hosts are told nothing.
    let text = of_absolute(tree, &path)?;
    let pairs = text.lines().map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    let hosts = summed(pairs);
    if hosts.is_none() {
        left_out(budget, SGE_LIST, &path, "a file of hosts and their slots");
    }
    hosts
}

/// The list of LSF: `hostA 4 hostB 2`.
fn of_lsf(budget: &mut Resolver, env: &impl Fn(&str) -> Option<String>) -> Option<Hosts> {
    let text = env(LSF_LIST)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs = words.chunks(2).map(|pair| match pair {
        [host, slots] => Some((*host, *slots)),
        _ => None,
    });
    let hosts = summed(pairs);
    if hosts.is_none() {
        left_out(budget, LSF_LIST, &text, "a list of hosts and their slots");
    }
    hosts
}

/// Adds up what each host has; `None` where one is no number, or there is none.
fn summed<'a>(pairs: impl Iterator<Item = Option<(&'a str, &'a str)>>) -> Option<Hosts> {
    let mut hosts = Hosts::new();
    for pair in pairs {
        let (host, slots) = pair?;
        let slots: usize = slots.parse().ok().filter(|slots| *slots > 0)?;
        let sum = hosts.entry(host.to_ascii_lowercase()).or_default();
        *sum = sum.saturating_add(slots);
    }
    (!hosts.is_empty()).then_some(hosts)
}

fn counted(slots: usize) -> String {
    match slots {
        1 => "1 slot".to_owned(),
        _ => format!("{slots} slots"),
    }
}

/// One of two names may lack the domain.
fn is_same(one: &str, other: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let is_short = !one.contains('.') || !other.contains('.');
    one.eq_ignore_ascii_case(other) || is_short && first(one).eq_ignore_ascii_case(&first(other))
}

/// A file that a variable names; a launcher's own names are absolute.
fn of_absolute(tree: &Tree, path: &str) -> Option<String> {
    tree.head(path.strip_prefix('/')?, LONGEST_LIST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_the_same_with_and_without_a_domain() {
        for (one, other, expected) in [
            ("n7", "n7", true),
            ("n7.cluster", "N7", true),
            ("n7", "n7.cluster", true),
            ("n7.one", "n7.other", false),
            ("n7", "n70", false),
            ("n7", "", false),
            ("", "n7.cluster", false),
        ] {
            assert_eq!(is_same(one, other), expected, "{one} {other}");
        }
    }
}
