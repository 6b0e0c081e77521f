//! Limits on how many tasks there may be: `pids.max` of control groups, `RLIMIT_NPROC` of the user.

use crate::budgets::{budget, eight_cpus, limit, v2};
use crate::made_up::Made;
use threadtune::machine::{Beside, Budget, LimitKind};

/// The line of `proc/self/limits` among others, as the kernel lays it out.
fn limits(soft: &str) -> String {
    format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max cpu time              unlimited            unlimited            seconds   \n\
         Max processes             {soft:<20} 4096                 processes \n\
         Max open files            1024                 4096                 files     "
    )
}

fn status(user: u32, capabilities: &str, threads: u32) -> String {
    format!(
        "Name:\tx\nUid:\t{user}\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t{threads}\nCapEff:\t{capabilities}"
    )
}

const NO_CAPABILITY: &str = "0000000000000000";

/// Process 9 of user 7 with a soft limit, on a system of so many tasks: 3 of the user's own and 5 of somebody else.
fn user(soft: &str, tasks: &str) -> Made {
    let made = eight_cpus();
    made.write("proc/self/limits", &limits(soft));
    made.write("proc/loadavg", &format!("0.20 0.18 0.12 1/{tasks} 11206"));
    made.write("proc/self/status", &status(7, NO_CAPABILITY, 1));
    made.write("proc/9/status", &status(7, NO_CAPABILITY, 1));
    made.write("proc/10/status", &status(7, NO_CAPABILITY, 2));
    made.write("proc/11/status", &status(8, NO_CAPABILITY, 5));
    made
}

fn deciding(b: &Budget) -> (&str, &str) {
    let limit = b.deciding().unwrap();
    (&limit.source, &limit.value)
}

#[test]
fn the_group_with_least_room_for_tasks_decides() {
    let b = budget(&v2(&[
        ("a/b/pids.max", "100"),
        ("a/b/pids.current", "10"),
        ("a/pids.max", "512"),
        ("a/pids.current", "508"),
        ("pids.max", "max"),
    ]));
    // Four more threads, and the one that asks.
    assert_eq!(limit(&b), (5, LimitKind::Pids));
    assert_eq!(
        deciding(&b),
        ("sys/fs/cgroup/a/pids.max", "pids.max of 512, 508 in use")
    );
    assert_eq!(b.cpus.len(), 8, "a limit on tasks takes no CPU away");
    assert_eq!(b.limits.len(), 2, "{:?}", b.limits);
}

#[test]
fn a_full_group_leaves_one_thread() {
    for (max, current) in [("512", "512"), ("512", "600"), ("0", "0"), ("1", "1")] {
        let b = budget(&v2(&[("a/pids.max", max), ("a/pids.current", current)]));
        assert_eq!(limit(&b), (1, LimitKind::Pids), "{max} {current}");
    }
}

#[test]
fn where_the_number_of_tasks_is_unknown_this_process_is_one() {
    for current in ["", "x", "-1"] {
        let b = budget(&v2(&[("pids.max", "5"), ("pids.current", current)]));
        assert_eq!(limit(&b), (5, LimitKind::Pids));
        let value = "pids.max of 5, an unknown number in use";
        assert_eq!(deciding(&b), ("sys/fs/cgroup/pids.max", value));
    }
    let b = budget(&v2(&[("pids.max", "5")]));
    assert_eq!(limit(&b), (5, LimitKind::Pids));
    let b = budget(&v2(&[("pids.max", "5"), ("pids.current", "0")]));
    assert_eq!(limit(&b), (5, LimitKind::Pids));
}

#[test]
fn a_torn_limit_on_tasks_is_none_and_noted() {
    for text in ["", "x", "-5", "5 6", "99999999999999999999"] {
        let b = budget(&v2(&[("a/pids.max", text), ("a/pids.current", "5")]));
        assert_eq!(limit(&b), (8, LimitKind::Online), "{text}");
        let note = format!("sys/fs/cgroup/a/pids.max: `{text}` is not a limit; left out");
        assert_eq!(b.notes, [note]);
    }
    let b = budget(&v2(&[("pids.max", "max"), ("a/pids.max", "max")]));
    assert_eq!((b.limits.len(), b.notes.len()), (1, 0));
}

#[test]
fn v1_counts_tasks_in_the_hierarchy_of_pids() {
    let made = eight_cpus();
    made.write(
        "proc/self/mountinfo",
        "7 5 0:7 / /cg/cpu rw - cgroup cgroup rw,cpu\n8 5 0:8 / /cg/pids rw - cgroup cgroup rw,pids",
    );
    made.write("proc/self/cgroup", "4:pids:/m\n3:cpu:/x");
    made.write("cg/pids/m/pids.max", "20");
    made.write("cg/pids/m/pids.current", "18");
    made.write("cg/cpu/x/pids.max", "1");
    let b = budget(&made);
    assert_eq!(limit(&b), (3, LimitKind::Pids));
    assert_eq!(deciding(&b).0, "cg/pids/m/pids.max");
}

#[test]
fn the_users_own_threads_count_against_rlimit_nproc() {
    let b = budget(&user("6", "80"));
    assert_eq!(limit(&b), (4, LimitKind::Processes));
    assert_eq!(
        deciding(&b),
        ("proc/self/limits", "RLIMIT_NPROC of 6, 3 in use")
    );
    for (soft, threads) in [("3", 1), ("0", 1), ("4", 2), ("9", 7)] {
        let b = budget(&user(soft, "80"));
        assert_eq!(limit(&b), (threads, LimitKind::Processes), "{soft}");
    }
    // Listed though it does not decide: the system has more tasks than the limit.
    let b = budget(&user("50", "80"));
    assert_eq!(limit(&b), (8, LimitKind::Online));
    assert_eq!(b.limits[1].threads.get(), 48);
    // Nobody visible, not even this process.
    let made = user("2", "80");
    for process in ["9", "10", "11"] {
        std::fs::remove_dir_all(made.root().join("proc").join(process)).unwrap();
    }
    assert_eq!(limit(&budget(&made)), (2, LimitKind::Processes));
}

#[test]
fn a_limit_that_the_whole_system_cannot_reach_is_not_listed() {
    // Eight more threads than the ten there are fit below 18, not below 17.
    assert_eq!(budget(&user("18", "10")).limits.len(), 1);
    assert_eq!(budget(&user("17", "10")).limits.len(), 2);
    let b = budget(&user("unlimited", "80"));
    assert_eq!((b.limits.len(), b.notes.len()), (1, 0));
}

#[test]
fn root_and_two_capabilities_are_exempt_in_the_initial_user_namespace() {
    let of = |user_id: u32, capabilities: &str, uid_map: Option<&str>| {
        let made = user("3", "80");
        made.write("proc/self/status", &status(user_id, capabilities, 1));
        if let Some(map) = uid_map {
            made.write("proc/self/uid_map", map);
        }
        limit(&budget(&made)).1
    };
    let initial = Some("         0          0 4294967295");
    for map in [None, initial] {
        assert_eq!(of(0, NO_CAPABILITY, map), LimitKind::Online);
        for exempting in ["0000000000200000", "0000000001000000", "000001ffffffffff"] {
            assert_eq!(of(7, exempting, map), LimitKind::Online, "{exempting}");
        }
        for other in [NO_CAPABILITY, "000001fffedfffff", "", "xyz"] {
            assert_eq!(of(7, other, map), LimitKind::Processes, "{other}");
        }
    }
    // A container of user 1000, who is root inside it.
    let inside = Some("         0       1000          1");
    assert_eq!(of(0, "000001ffffffffff", inside), LimitKind::Processes);
}

#[test]
fn torn_files_of_rlimit_nproc_are_noted_and_count_what_can_be_counted() {
    let torn = |path: &str, text: &str| {
        let made = user("6", "80");
        made.write(path, text);
        let b = budget(&made);
        assert_eq!(b.notes.len(), 1, "{path}: {text}: {:?}", b.notes);
        assert!(b.notes[0].starts_with(path), "{:?}", b.notes);
        limit(&b)
    };
    let none = (8, LimitKind::Online);
    for text in [
        "",
        "Max processes",
        "Max processes   x  y",
        "Max cpu time 1 1",
    ] {
        assert_eq!(torn("proc/self/limits", text), none);
    }
    for text in ["", "0.20 0.18", "1 2 3 4 5", "1 2 3 4/x 5"] {
        assert_eq!(torn("proc/loadavg", text), (4, LimitKind::Processes));
    }
    for text in ["", "Uid:", "Uid:\tx", "Name:\tUid: 7"] {
        assert_eq!(torn("proc/self/status", text), none);
    }
    // Two threads of the user's are no longer counted.
    for text in ["", "Uid:\t7", "Uid:\t7\nThreads:\tmany"] {
        assert_eq!(torn("proc/10/status", text), (6, LimitKind::Processes));
    }
}

#[test]
fn without_the_files_of_procfs_there_is_no_such_limit() {
    let made = user("6", "80");
    std::fs::remove_file(made.root().join("proc/loadavg")).unwrap();
    let b = budget(&made);
    assert_eq!((limit(&b), b.notes.len()), ((4, LimitKind::Processes), 0));
    std::fs::remove_file(made.root().join("proc/self/limits")).unwrap();
    let b = budget(&made);
    assert_eq!((limit(&b), b.notes.len()), ((8, LimitKind::Online), 0));
}

/// The budget where so many of the asker's tasks stay beside the team.
fn beside(made: &Made, tasks: usize) -> Budget {
    let beside = Beside {
        reserve: None,
        tasks,
    };
    Budget::read(made.root(), &made.topology(), None, Some(&beside), |_| None)
}

#[test]
fn tasks_beside_the_team_take_their_room_from_limits_on_tasks_only() {
    let group = v2(&[("a/pids.max", "10"), ("a/pids.current", "6")]);
    let quota = v2(&[("cpu.max", "300000 100000")]);
    for (tasks, threads) in [(0, 5), (1, 4), (2, 3), (4, 1)] {
        let b = beside(&group, tasks);
        assert_eq!(limit(&b), (threads, LimitKind::Pids), "{tasks}");
        assert_eq!(deciding(&b).1, "pids.max of 10, 6 in use");
        assert_eq!(b.no_room, None);
        let b = beside(&user("7", "80"), tasks);
        assert_eq!(limit(&b), (threads, LimitKind::Processes), "{tasks}");
        assert_eq!(b.no_room, None);
        assert_eq!(limit(&beside(&quota, tasks)), (3, LimitKind::Quota));
    }
    // Ten tasks and eight more threads fit below 18, and not with another one beside them.
    assert_eq!(beside(&user("18", "10"), 0).limits.len(), 1);
    assert_eq!(beside(&user("18", "10"), 1).limits.len(), 2);
}

#[test]
fn a_limit_without_room_for_one_thread_is_told_apart_from_one_with_room_for_one() {
    let made = v2(&[
        ("a/pids.max", "10"),
        ("a/pids.current", "6"),
        ("cpu.max", "1000 100000"),
    ]);
    for tasks in [5, 9, usize::MAX] {
        let b = beside(&made, tasks);
        assert_eq!(b.limit.get(), 1);
        let full = b.no_room.unwrap();
        assert_eq!((full.kind, full.threads.get()), (LimitKind::Pids, 1));
        assert_eq!(full.source, "sys/fs/cgroup/a/pids.max");
    }
    // A quota of less than a CPU slows one thread down, and stops none.
    assert_eq!(beside(&made, 4).no_room, None);
    let b = beside(&user("3", "80"), 1);
    assert_eq!(b.no_room.unwrap().kind, LimitKind::Processes);
}
