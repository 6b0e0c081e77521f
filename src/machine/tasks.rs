//! How many threads more may be started: `pids.max` of control groups, and `RLIMIT_NPROC` of the user.
//!
//! A runtime that cannot start a thread of its team gives up, so both are limits of the budget. The thread that is
//! there already, this process's own, is counted among those in use. It becomes one of the team where this process
//! becomes the program; where it stays beside the team, the asker counts it among the tasks that do.

use super::budget::{LimitKind, Resolver};
use super::cgroup::{Cgroups, Group};
use super::tree::Tree;

const LIMITS: &str = "proc/self/limits";
const LOADAVG: &str = "proc/loadavg";
const STATUS: &str = "proc/self/status";
const UID_MAP: &str = "proc/self/uid_map";

/// `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE`, as bits of a capability set.
const EXEMPTING: u64 = 1 << 21 | 1 << 24;

/// Adds the limits that this process has; `online` is the largest team there could be, `beside` the number of tasks
/// that run beside it.
pub(super) fn apply(
    budget: &mut Resolver,
    tree: &mut Tree,
    cgroups: &Cgroups,
    online: usize,
    beside: usize,
) {
    let groups = cgroups.groups("pids").into_iter().flatten();
    let pids = groups
        .filter_map(|group| pids_of(tree, &group))
        .min_by_key(|found| found.team(beside));
    let processes = processes(tree, online.saturating_add(beside) as u64);
    for (kind, found) in [(LimitKind::Pids, pids), (LimitKind::Processes, processes)] {
        if let Some(found) = found {
            let team = found.team(beside);
            budget.tasks(kind, found.source, found.value, team);
        }
    }
}

/// A limit on tasks: `used` of `most` are there, one of them this process's own thread.
struct Found {
    source: String,
    value: String,
    most: u64,
    used: u64,
}

impl Found {
    /// The largest team that there is room for; 0 where there is none even for one thread.
    fn team(&self, beside: usize) -> usize {
        let others = self.used.saturating_sub(1).saturating_add(beside as u64);
        usize::try_from(self.most.saturating_sub(others)).unwrap_or(usize::MAX)
    }
}

/// What one group has room for. The kernel charges every task to its group and all ancestors, root's tasks too
/// (`pids_try_charge` in kernel/cgroup/pids.c), so each of them may be the one that is full.
fn pids_of(tree: &mut Tree, group: &Group) -> Option<Found> {
    let source = group.file("pids.max");
    let text = tree.text(&source)?;
    if text == "max" {
        return None;
    }
    let Ok(most) = text.parse::<u64>() else {
        tree.note(format!(
            "{source}: `{}` is not a limit; left out",
            shown(&text)
        ));
        return None;
    };
    let used = tree
        .text(&group.file("pids.current"))
        .and_then(|text| text.parse::<u64>().ok());
    let in_use = used.map_or("an unknown number".to_owned(), |used| used.to_string());
    let value = format!("pids.max of {most}, {in_use} in use");
    Some(Found {
        source,
        value,
        most,
        // At least this process.
        used: used.unwrap_or(1),
    })
}

/// What `RLIMIT_NPROC` has room for; `None` where it cannot bind.
///
/// It limits the tasks, threads included, of this process's real user; only tasks that are visible here can be
/// counted, so a container may have less room than this says. User 0 is exempt, and so is who has one of two
/// capabilities (`copy_process` in kernel/fork.c, `user_namespaces(7)`, `getrlimit(2)`). `wanted` is how many tasks more
/// there could be.
fn processes(tree: &mut Tree, wanted: u64) -> Option<Found> {
    let limits = tree.text(LIMITS)?;
    let soft = limits.lines().find_map(|line| {
        line.strip_prefix("Max processes")?
            .split_whitespace()
            .next()
    });
    if soft == Some("unlimited") {
        return None;
    }
    let Some(most) = soft.and_then(|soft| soft.parse::<u64>().ok()) else {
        tree.note(format!(
            "{LIMITS}: `Max processes` has no soft limit that is a number; left out"
        ));
        return None;
    };
    // Nearly always the whole system has fewer threads than one user may have: then nobody need be counted.
    if let Some(all) = tasks_of_all(tree)
        && all.saturating_add(wanted) <= most
    {
        return None;
    }
    let status = tree.text(STATUS).unwrap_or_default();
    let Some(user) = number(&status, "Uid:") else {
        tree.note(format!(
            "{STATUS}: no `Uid:`, so RLIMIT_NPROC of {most} is left out"
        ));
        return None;
    };
    if is_exempt(tree, user, &status) {
        return None;
    }
    // At least this process.
    let used = tasks_of(tree, user).max(1);
    let value = format!("RLIMIT_NPROC of {most}, {used} in use");
    Some(Found {
        source: LIMITS.to_owned(),
        value,
        most,
        used,
    })
}

/// The tasks of the whole system, those of other containers too: the second number of `0.20 0.18 0.12 1/80 11206`.
fn tasks_of_all(tree: &mut Tree) -> Option<u64> {
    let text = tree.text(LOADAVG)?;
    let all = text
        .split_whitespace()
        .nth(3)
        .and_then(|field| field.split_once('/')?.1.parse().ok());
    if all.is_none() {
        tree.note(format!(
            "{LOADAVG}: `{}` does not tell how many threads there are; counting them",
            shown(&text)
        ));
    }
    all
}

/// Privileges count in the initial user namespace only; in another one, user 0 is somebody else outside.
fn is_exempt(tree: &Tree, user: u64, status: &str) -> bool {
    let is_initial = tree.text(UID_MAP).is_none_or(|map| {
        let mut words = map.split_whitespace();
        (words.next(), words.next()) == (Some("0"), Some("0"))
    });
    let capabilities = word(status, "CapEff:")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    is_initial && (user == 0 || capabilities & EXEMPTING != 0)
}

/// The threads of all processes of this user, as far as they are visible.
fn tasks_of(tree: &mut Tree, user: u64) -> u64 {
    let mut tasks = 0u64;
    for process in tree.numbered("proc", "") {
        let path = format!("proc/{process}/status");
        // Gone in between.
        let Some(status) = tree.text(&path) else {
            continue;
        };
        match (number(&status, "Uid:"), number(&status, "Threads:")) {
            (Some(of), Some(threads)) if of == user => tasks = tasks.saturating_add(threads),
            (Some(_), Some(_)) => {}
            _ => tree.note(format!(
                "{path}: no user or no number of threads; left out of what RLIMIT_NPROC counts"
            )),
        }
    }
    tasks
}

/// The first word of a field of `/proc/PID/status`; of `Uid:` that is the real user.
fn word<'a>(status: &'a str, field: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))?
        .split_whitespace()
        .next()
}

/// The number in such a field; of memory, KiB.
pub(super) fn number(status: &str, field: &str) -> Option<u64> {
    word(status, field)?.parse().ok()
}

/// The begin of a text, for a note.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}
