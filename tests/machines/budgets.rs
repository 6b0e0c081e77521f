//! CPU budgets from made-up control groups, masks and environments.

use crate::made_up::Made;
use threadtune::machine::{Beside, Budget, LimitKind, Reserve, Topology};
use threadtune::units::CpuSet;

const V2: &str = "5 4 0:4 / /sys/fs/cgroup rw shared:5 - cgroup2 cgroup2 rw";

pub fn eight_cpus() -> Made {
    Made::machine("0-7", &["0", "1", "2", "3", "4", "5", "6", "7"])
}

pub fn v2(files: &[(&str, &str)]) -> Made {
    let made = eight_cpus();
    made.write("proc/self/mountinfo", V2);
    made.write("proc/self/cgroup", "0::/a/b");
    for (path, text) in files {
        made.write(&format!("sys/fs/cgroup/{path}"), text);
    }
    made
}

pub fn budget_with(made: &Made, mask: Option<&str>, env: &[(&str, &str)]) -> Budget {
    reserving(made, mask, None, env)
}

fn reserving(made: &Made, mask: Option<&str>, cpus: Option<usize>, env: &[(&str, &str)]) -> Budget {
    let mask = mask.map(|list| CpuSet::parse_list(list).unwrap());
    let reserve = cpus.map(|cpus| Reserve {
        cpus,
        source: "file: budget.reserve".to_owned(),
    });
    let beside = Beside {
        reserve: reserve.as_ref(),
        tasks: 0,
    };
    let (topology, mask) = (made.topology(), mask.as_ref());
    Budget::read(made.root(), &topology, mask, Some(&beside), |name| {
        let (_, value) = env.iter().find(|(n, _)| *n == name)?;
        Some((*value).to_owned())
    })
}

pub fn budget(made: &Made) -> Budget {
    budget_with(made, None, &[])
}

pub fn limit(budget: &Budget) -> (u32, LimitKind) {
    (budget.limit.get(), budget.by)
}

#[test]
fn without_limits_the_online_cpus_are_the_budget() {
    let b = budget(&eight_cpus());
    assert_eq!(limit(&b), (8, LimitKind::Online));
    assert_eq!((b.cpus.to_string(), b.limits.len()), ("0-7".into(), 1));
}

#[test]
fn the_tightest_quota_of_all_ancestors_decides_and_is_rounded_down() {
    let b = budget(&v2(&[
        ("a/b/cpu.max", "700000 100000"),
        ("a/cpu.max", "390000 100000"),
        ("cpu.max", "max 100000"),
    ]));
    assert_eq!(limit(&b), (3, LimitKind::Quota));
    assert_eq!(b.quota, Some(3.9));
    let deciding = b.deciding().unwrap();
    assert_eq!(deciding.source, "sys/fs/cgroup/a/cpu.max");
    assert_eq!(deciding.value, "cpu.max of 3.9 CPUs");
    assert_eq!(b.limits.len(), 3, "the looser quota is listed too");
    assert_eq!(b.cpus.len(), 8, "a quota takes no CPU away");
}

#[test]
fn a_quota_below_one_cpu_leaves_one_thread() {
    for quota in ["5000 100000", "50000 100000"] {
        let b = budget(&v2(&[("a/b/cpu.max", quota)]));
        assert_eq!(limit(&b), (1, LimitKind::Quota));
        assert_eq!(b.above_quota(), None);
    }
}

/// The count above the quota, the quota and its period.
fn above(budget: &Budget) -> Option<(u32, f64, u64)> {
    let above = budget.above_quota()?;
    Some((above.threads.get(), above.cpus, above.period_us))
}

#[test]
fn a_quota_between_two_counts_keeps_its_fraction_and_the_count_above() {
    for (quota, floor, expected) in [
        ("150000 100000", 1, Some((2, 1.5, 100_000))),
        ("75000 50000", 1, Some((2, 1.5, 50_000))),
        ("200000 100000", 2, None),
        ("399000 100000", 3, Some((4, 3.99, 100_000))),
        ("750000 100000", 7, Some((8, 7.5, 100_000))),
        ("850000 100000", 8, None),
    ] {
        let b = budget(&v2(&[("a/b/cpu.max", quota), ("cpu.max", "900000 200000")]));
        // The looser quota of an ancestor is 4.5 CPUs.
        let (floor, expected) = if floor > 4 {
            (4, Some((5, 4.5, 200_000)))
        } else {
            (floor, expected)
        };
        assert_eq!(limit(&b), (floor, LimitKind::Quota), "{quota}");
        assert_eq!(above(&b), expected, "{quota}");
    }
    let alone = budget(&v2(&[("a/b/cpu.max", "750000 100000")]));
    assert_eq!(above(&alone), Some((8, 7.5, 100_000)));
    // More than there are CPUs decides nothing.
    let loose = budget(&v2(&[("a/b/cpu.max", "850000 100000")]));
    assert_eq!((limit(&loose).0, above(&loose)), (8, None));
}

#[test]
fn the_count_above_a_quota_needs_a_cpu_and_room_under_every_other_limit() {
    let made = v2(&[("a/b/cpu.max", "150000 100000")]);
    let with = |mask, reserve, env: &[(&str, &str)]| above(&reserving(&made, mask, reserve, env));
    let expected = Some((2, 1.5, 100_000));
    assert_eq!(with(Some("3,5"), None, &[]), expected);
    assert_eq!(with(Some("3"), None, &[]), None);
    assert_eq!(with(None, Some(6), &[]), expected);
    assert_eq!(with(None, Some(7), &[]), None);
    let slurm = |cpus| {
        with(
            None,
            None,
            &[("SLURM_CPUS_PER_TASK", cpus), ("SLURM_JOB_ID", "1")],
        )
    };
    assert_eq!(slurm("2"), expected);
    assert_eq!(slurm("1"), None);
    made.write("sys/fs/cgroup/a/b/pids.max", "1");
    assert_eq!(with(None, None, &[]), None);
}

#[test]
fn quotas_that_are_torn_or_nonsense_are_no_limits() {
    for text in [
        "",
        "max",
        "0 100000",
        "-5 100000",
        "100000 0",
        "x y",
        "200000 x",
        "99999999999999999999 1",
    ] {
        let b = budget(&v2(&[("a/b/cpu.max", text)]));
        assert_eq!(limit(&b), (8, LimitKind::Online), "{text}");
    }
    for (text, says) in [
        ("9 0", "a quota of `9` with a period of 0 µs"),
        ("9 x", "a quota of `9` with a period that is not a number"),
    ] {
        let b = budget(&v2(&[("a/b/cpu.max", text)]));
        let note = format!("sys/fs/cgroup/a/b/cpu.max: {says} is not a limit; left out");
        assert_eq!(b.notes, [note]);
    }
    // Cut after the quota: the kernel's default period.
    assert_eq!(
        limit(&budget(&v2(&[("cpu.max", "200000")]))),
        (2, LimitKind::Quota)
    );
}

#[test]
fn v1_quotas_count_over_all_ancestors_of_their_own_hierarchy() {
    let made = eight_cpus();
    made.write(
        "proc/self/mountinfo",
        "7 5 0:7 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
         8 5 0:8 / /cg/memory rw - cgroup cgroup rw,memory",
    );
    made.write("proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/x/y\n0::/z");
    for (group, quota) in [
        ("x/y", "-1"),
        ("x", "250000"),
        ("m", "100000"),
        ("", "500000"),
    ] {
        made.write(&format!("cg/cpu,cpuacct/{group}/cpu.cfs_quota_us"), quota);
        made.write(
            &format!("cg/cpu,cpuacct/{group}/cpu.cfs_period_us"),
            "100000",
        );
    }
    let b = budget(&made);
    assert_eq!(limit(&b), (2, LimitKind::Quota));
    assert_eq!(above(&b), Some((3, 2.5, 100_000)));
    assert_eq!(
        b.deciding().unwrap().source,
        "cg/cpu,cpuacct/x/cpu.cfs_quota_us"
    );
}

#[test]
fn a_container_sees_its_group_at_the_mount_point() {
    let made = eight_cpus();
    made.write(
        "proc/self/mountinfo",
        "7 5 0:7 /docker/f00 /cg rw - cgroup2 cgroup rw",
    );
    made.write("proc/self/cgroup", "0::/docker/f00");
    made.write("cg/cpu.max", "200000 100000");
    assert_eq!(limit(&budget(&made)), (2, LimitKind::Quota));
}

#[test]
fn effective_cpusets_count_and_empty_ones_mean_the_parents() {
    let b = budget(&v2(&[
        ("a/b/cpuset.cpus.effective", ""),
        ("a/cpuset.cpus.effective", "2-5,100"),
        ("cpuset.cpus.effective", "0-7"),
    ]));
    assert_eq!(limit(&b), (4, LimitKind::Cpuset));
    assert_eq!(b.cpus.to_string(), "2-5");
    assert_eq!(
        b.deciding().unwrap().source,
        "sys/fs/cgroup/a/cpuset.cpus.effective"
    );
}

#[test]
fn v1_cpusets_have_bare_names_with_noprefix_and_as_a_file_system_of_their_own() {
    for (mounts, line) in [
        (
            "proc/mounts",
            "cpuset /dev/cpuset cgroup rw,cpuset,noprefix 0 0",
        ),
        (
            "proc/self/mounts",
            "none /dev/cpuset cpuset rw,relatime 0 0",
        ),
    ] {
        let made = eight_cpus();
        made.write(mounts, line);
        made.write("proc/self/cpuset", "/batch");
        made.write("dev/cpuset/batch/cpus", "1,3");
        made.write("dev/cpuset/batch/cpuset.cpus", "0");
        assert_eq!(budget(&made).cpus.to_string(), "1,3", "{line}");
    }
}

#[test]
fn affinity_and_cpuset_meet_and_the_one_that_takes_more_decides() {
    let made = v2(&[("cpuset.cpus.effective", "2-5")]);
    let b = budget_with(&made, Some("4-7"), &[]);
    assert_eq!(b.cpus.to_string(), "4-5");
    assert_eq!(limit(&b), (2, LimitKind::Cpuset));
    let b = budget_with(&made, Some("2"), &[]);
    assert_eq!(
        (b.cpus.to_string(), limit(&b)),
        ("2".into(), (1, LimitKind::Affinity))
    );
}

#[test]
fn limits_that_leave_no_cpu_cannot_be_true_and_are_noted() {
    let made = v2(&[("cpuset.cpus.effective", "6")]);
    let b = budget_with(&made, Some("0-1"), &[]);
    assert_eq!(
        (b.cpus.to_string(), limit(&b)),
        ("0-1".into(), (2, LimitKind::Affinity))
    );
    assert!(
        b.notes[0].contains("cpuset.cpus.effective"),
        "{:?}",
        b.notes
    );
}

#[test]
fn a_recorded_tree_has_its_mask_in_status() {
    let made = eight_cpus();
    made.write(
        "proc/self/status",
        "Name:\tcp\nCpus_allowed:\tff\nCpus_allowed_list:\t0-2",
    );
    let b = budget(&made);
    assert_eq!(
        (b.cpus.to_string(), limit(&b)),
        ("0-2".into(), (3, LimitKind::Affinity))
    );
    assert_eq!(b.deciding().unwrap().source, "proc/self/status:3");
}

#[test]
fn slurm_gives_each_task_its_cpus() {
    let made = eight_cpus();
    let of = |env: &[(&str, &str)]| limit(&budget_with(&made, None, env));
    assert_eq!(of(&[("SLURM_CPUS_PER_TASK", "3")]), (3, LimitKind::Slurm));
    let node = ("SLURM_CPUS_ON_NODE", "8");
    assert_eq!(
        of(&[node, ("SLURM_NTASKS_PER_NODE", "3")]),
        (2, LimitKind::Slurm)
    );
    assert_eq!(of(&[node]), (8, LimitKind::Online));
    // Divided once, though the number of tasks is a number of ranks too.
    let env = [("SLURM_CPUS_PER_TASK", "4"), ("SLURM_NTASKS_PER_NODE", "2")];
    assert_eq!(of(&env), (4, LimitKind::Slurm));
    assert_eq!(of(&[("SLURM_NTASKS_PER_NODE", "2")]), (4, LimitKind::Ranks));
}

#[test]
fn ranks_of_one_program_share_the_budget() {
    let made = v2(&[("cpu.max", "650000 100000")]);
    for name in [
        "LOCAL_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "MPI_LOCALNRANKS",
    ] {
        let b = budget_with(&made, Some("0-7"), &[(name, "4")]);
        assert_eq!(limit(&b), (1, LimitKind::Ranks));
        let b = budget_with(&made, Some("0-7"), &[(name, "2")]);
        assert_eq!(limit(&b), (3, LimitKind::Ranks));
        assert_eq!(b.deciding().unwrap().source, name);
    }
    assert_eq!(
        limit(&budget_with(&made, None, &[("LOCAL_WORLD_SIZE", "1")])).0,
        6
    );
    assert_eq!(
        limit(&budget_with(&made, None, &[("LOCAL_WORLD_SIZE", "100")])).0,
        1
    );
}

#[test]
fn torchrun_divides_what_slurm_gave_its_task() {
    let env = [("SLURM_CPUS_PER_TASK", "6"), ("LOCAL_WORLD_SIZE", "2")];
    let b = budget_with(&eight_cpus(), None, &env);
    assert_eq!(limit(&b), (3, LimitKind::Ranks));
}

#[test]
fn a_mask_that_is_the_ranks_own_is_not_divided_again() {
    let made = eight_cpus();
    let env = [("OMPI_COMM_WORLD_LOCAL_SIZE", "4")];
    let b = budget_with(&made, Some("2-3"), &env);
    assert_eq!(
        (b.cpus.to_string(), limit(&b)),
        ("2-3".into(), (2, LimitKind::Affinity))
    );
    // Two packages, four ranks: two of them share the mask of one package.
    for cpu in 4..8 {
        made.cpu(cpu, "topology/physical_package_id", "1");
    }
    assert_eq!(
        limit(&budget_with(&made, Some("4-7"), &env)),
        (2, LimitKind::Ranks)
    );
    // No package: the whole job was started under this mask.
    assert_eq!(
        limit(&budget_with(&made, Some("1-4"), &env)),
        (1, LimitKind::Ranks)
    );
}

#[test]
fn variables_that_are_no_counts_are_noted_and_ignored() {
    for text in ["", "0", "-2", "four", "1.5"] {
        let b = budget_with(&eight_cpus(), None, &[("SLURM_CPUS_PER_TASK", text)]);
        assert_eq!(limit(&b), (8, LimitKind::Online), "{text}");
        assert!(
            b.notes[0].starts_with("SLURM_CPUS_PER_TASK"),
            "{:?}",
            b.notes
        );
    }
}

#[test]
fn an_unknown_machine_still_has_a_budget() {
    let made = Made::of(&[("proc/self/mountinfo", V2), ("proc/self/cgroup", "0::/")]);
    made.write("sys/fs/cgroup/cpu.max", "300000 100000");
    let topology = Topology::flat((0..64).collect());
    let b = Budget::read(made.root(), &topology, None, None, |_| None);
    assert_eq!(limit(&b), (3, LimitKind::Quota));
}

#[test]
fn a_reserve_leaves_cpus_of_the_mask_to_others() {
    let made = v2(&[("cpuset.cpus.effective", "0-5")]);
    let b = reserving(&made, Some("0-7"), Some(2), &[]);
    assert_eq!(limit(&b), (4, LimitKind::Reserve));
    assert_eq!(b.cpus.to_string(), "0-5", "any of them may be used");
    let deciding = b.deciding().unwrap();
    assert_eq!(deciding.source, "file: budget.reserve");
    assert_eq!(deciding.value, "2 of 6 CPUs left to others");
    for cpus in [5, 6, 7, 4096] {
        let b = reserving(&made, Some("0-7"), Some(cpus), &[]);
        assert_eq!(limit(&b), (1, LimitKind::Reserve), "{cpus}");
    }
    let b = reserving(&made, Some("0-7"), Some(0), &[]);
    assert_eq!(limit(&b), (6, LimitKind::Cpuset));
    assert!(b.limits.iter().all(|l| l.kind != LimitKind::Reserve));
}

#[test]
fn a_quota_does_not_add_to_a_reserve() {
    let made = v2(&[("cpu.max", "500000 100000")]);
    let of = |cpus| limit(&reserving(&made, None, Some(cpus), &[]));
    assert_eq!(of(2), (5, LimitKind::Quota));
    assert_eq!(of(4), (4, LimitKind::Reserve));
}

#[test]
fn ranks_share_what_the_reserve_and_limits_on_tasks_leave() {
    let env = [("LOCAL_WORLD_SIZE", "2")];
    let b = reserving(&eight_cpus(), None, Some(2), &env);
    assert_eq!(limit(&b), (3, LimitKind::Ranks));
    let made = v2(&[("pids.max", "100"), ("pids.current", "97")]);
    let b = budget_with(&made, None, &env);
    assert_eq!(limit(&b), (2, LimitKind::Ranks));
}
