//! Shares of tasks and ranks, from the variables of launchers and batch systems.

use crate::budgets::{budget_with, eight_cpus, limit};
use crate::made_up::Made;
use threadtune::machine::{Budget, LimitKind};

/// 32 CPUs in 4 packages.
fn big() -> Made {
    let cores: Vec<String> = (0..32).map(|cpu| cpu.to_string()).collect();
    let cores: Vec<&str> = cores.iter().map(String::as_str).collect();
    let made = Made::machine("0-31", &cores);
    for cpu in 0..32 {
        let package = (cpu / 8).to_string();
        made.cpu(cpu, "topology/physical_package_id", &package);
    }
    made
}

fn deciding(b: &Budget) -> (&str, &str) {
    let limit = b.deciding().unwrap();
    (&limit.source, &limit.value)
}

const ON_NODE: (&str, &str) = ("SLURM_CPUS_ON_NODE", "24");
const STEP_TASKS: &str = "SLURM_STEP_TASKS_PER_NODE";
const JOB_TASKS: &str = "SLURM_TASKS_PER_NODE";

#[test]
fn a_step_divides_the_cpus_of_this_node_by_its_own_tasks() {
    let made = big();
    let env = [
        ON_NODE,
        ("SLURM_JOB_ID", "7"),
        ("SLURM_STEP_ID", "0"),
        (STEP_TASKS, "8"),
        (JOB_TASKS, "2"),
        ("SLURM_NTASKS_PER_NODE", "4"),
    ];
    let b = budget_with(&made, None, &env);
    assert_eq!(limit(&b), (3, LimitKind::Slurm));
    assert_eq!(
        deciding(&b),
        (
            "SLURM_CPUS_ON_NODE / SLURM_STEP_TASKS_PER_NODE",
            "24 CPUs for 8 tasks"
        )
    );
    assert_eq!(b.notes, Vec::<String>::new());
    // Each of these comes next.
    let b = budget_with(&made, None, &[&env[..3], &env[4..]].concat());
    assert_eq!(limit(&b), (12, LimitKind::Slurm));
    let b = budget_with(&made, None, &[&env[..3], &env[5..]].concat());
    assert_eq!(limit(&b), (6, LimitKind::Slurm));
    // What the user says of each task goes before all of them.
    let per_task = [&env[..], &[("SLURM_CPUS_PER_TASK", "5")]].concat();
    let b = budget_with(&made, None, &per_task);
    assert_eq!(limit(&b), (5, LimitKind::Slurm));
}

#[test]
fn a_step_alone_divides_what_all_its_tasks_may_use() {
    let b = budget_with(&big(), None, &[(STEP_TASKS, "8")]);
    assert_eq!(limit(&b), (4, LimitKind::Ranks));
    assert_eq!(deciding(&b), (STEP_TASKS, "32 CPUs for 8 ranks"));
    // Slurm binds its tasks in turn: a mask of a quarter of the CPUs is a task's own.
    let b = budget_with(&big(), Some("4-7"), &[(STEP_TASKS, "8")]);
    assert_eq!(limit(&b), (4, LimitKind::Affinity));
    let b = budget_with(&big(), Some("8-15"), &[(STEP_TASKS, "8")]);
    assert_eq!(limit(&b), (4, LimitKind::Ranks), "two share a package");
}

#[test]
fn lists_of_tasks_are_looked_up_at_the_place_of_this_node() {
    let made = big();
    for name in [STEP_TASKS, JOB_TASKS] {
        for (node, threads) in [
            ("0", 6),
            ("1", 6),
            ("2", 8),
            ("3", 12),
            ("4", 4),
            (" 4\n", 4),
        ] {
            let env = [ON_NODE, (name, "4(x2),3,2,6"), ("SLURM_NODEID", node)];
            let b = budget_with(&made, None, &env);
            assert_eq!(limit(&b), (threads, LimitKind::Slurm), "{name}, {node}");
            assert_eq!(b.notes, Vec::<String>::new());
        }
    }
}

#[test]
fn where_the_place_is_unknown_the_fullest_node_counts() {
    let made = big();
    // No place is needed where all are equal.
    for list in ["4(x2)", "4,4", "4(x2),4(x3)", "4"] {
        let b = budget_with(&made, None, &[ON_NODE, (JOB_TASKS, list)]);
        assert_eq!((limit(&b).0, b.notes.len()), (6, 0), "{list}");
    }
    let b = budget_with(&made, None, &[ON_NODE, (JOB_TASKS, "4(x2),3")]);
    assert_eq!(limit(&b), (6, LimitKind::Slurm));
    assert_eq!(
        b.notes,
        [
            "SLURM_TASKS_PER_NODE differs between nodes, and SLURM_NODEID is not set: counting 4 tasks, the most of any \
             node"
        ]
    );
    for node in ["3", "-1", "x", "", "99999999999999999999"] {
        let env = [ON_NODE, (STEP_TASKS, "4(x2),3"), ("SLURM_NODEID", node)];
        let b = budget_with(&made, None, &env);
        assert_eq!(limit(&b), (6, LimitKind::Slurm), "{node}");
        let note = format!(
            "SLURM_STEP_TASKS_PER_NODE differs between nodes, and SLURM_NODEID=`{node}` is none of them: counting 4 \
             tasks, the most of any node"
        );
        assert_eq!(b.notes, [note]);
    }
}

#[test]
fn a_list_that_is_none_is_noted_and_the_next_variable_counts() {
    for text in ["", "4(x2", "0", "4(x0)", "0x4", "4;3"] {
        let env = [ON_NODE, (STEP_TASKS, text), (JOB_TASKS, "2")];
        let b = budget_with(&big(), None, &env);
        assert_eq!(limit(&b), (12, LimitKind::Slurm), "{text}");
        let note = format!(
            "{STEP_TASKS}: `{text}` is not a list of tasks per node such as `4(x2),3`; left out"
        );
        assert_eq!(b.notes, [note]);
    }
}

#[test]
fn a_batch_script_has_all_that_its_steps_will_share() {
    let made = big();
    for job in ["SLURM_JOB_ID", "SLURM_JOBID"] {
        for tasks in [JOB_TASKS, "SLURM_NTASKS_PER_NODE"] {
            let script = [(job, "7"), ("SLURM_NODEID", "0"), ON_NODE, (tasks, "8")];
            let b = budget_with(&made, None, &script);
            assert_eq!(limit(&b), (24, LimitKind::Slurm), "{job}, {tasks}");
            assert_eq!(
                deciding(&b),
                (
                    "SLURM_CPUS_ON_NODE",
                    "24 CPUs, not divided: this is no task of a step"
                )
            );
            // `salloc` may start its shell on a machine that is none of the job's nodes.
            let b = budget_with(&made, None, &[(job, "7"), (tasks, "8")]);
            assert_eq!(limit(&b), (32, LimitKind::Online), "{job}, {tasks}");
            for step in ["SLURM_STEP_ID", "SLURM_STEPID"] {
                let env = [&script[..], &[(step, "0")]].concat();
                let b = budget_with(&made, None, &env);
                assert_eq!(limit(&b), (3, LimitKind::Slurm), "{step}, {tasks}");
            }
        }
    }
    // An interactive step is one task, though it keeps the job's variables.
    let env = [
        ("SLURM_JOB_ID", "7"),
        ("SLURM_STEP_ID", "4294967290"),
        ON_NODE,
        (STEP_TASKS, "1"),
        (JOB_TASKS, "8"),
    ];
    let b = budget_with(&made, None, &env);
    assert_eq!(limit(&b), (24, LimitKind::Slurm));
    assert_eq!(deciding(&b).1, "24 CPUs for 1 task");
}

#[test]
fn ranks_that_mpirun_starts_in_a_job_share_its_cpus_on_this_node() {
    let made = big();
    let ranks = ("OMPI_COMM_WORLD_LOCAL_SIZE", "8");
    // On the script's own node, and on another one, where a step of one task holds them.
    let script = [("SLURM_JOB_ID", "7"), ON_NODE, (JOB_TASKS, "8"), ranks];
    let elsewhere = [
        ("SLURM_JOB_ID", "7"),
        ("SLURM_STEP_ID", "0"),
        ON_NODE,
        (STEP_TASKS, "1(x2)"),
        ranks,
    ];
    for env in [&script[..], &elsewhere] {
        let b = budget_with(&made, None, env);
        assert_eq!(limit(&b), (3, LimitKind::Ranks), "{env:?}");
        assert_eq!(deciding(&b).1, "24 CPUs for 8 ranks");
    }
    // torchrun in a script that asked for as many tasks as it starts ranks, and inside one of two tasks.
    let torchrun = ("LOCAL_WORLD_SIZE", "8");
    let b = budget_with(&made, None, &[&script[..3], &[torchrun]].concat());
    assert_eq!(limit(&b), (3, LimitKind::Ranks));
    let b = budget_with(&made, None, &[ON_NODE, (STEP_TASKS, "2"), torchrun]);
    assert_eq!(limit(&b), (1, LimitKind::Ranks));
}

#[test]
fn every_launcher_tells_the_ranks_of_this_node() {
    let made = eight_cpus();
    for name in [
        "LOCAL_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "MPI_LOCALNRANKS",
        "MV2_COMM_WORLD_LOCAL_SIZE",
        "PALS_LOCAL_SIZE",
    ] {
        let b = budget_with(&made, Some("0-7"), &[(name, "4")]);
        assert_eq!(limit(&b), (2, LimitKind::Ranks), "{name}");
        assert_eq!(deciding(&b), (name, "8 CPUs for 4 ranks"));
        let b = budget_with(&made, Some("2-3"), &[(name, "4")]);
        assert_eq!(limit(&b), (2, LimitKind::Affinity), "{name}");
        let b = budget_with(&made, None, &[(name, "all")]);
        assert_eq!(limit(&b), (8, LimitKind::Online));
        let note = format!("{name}: `all` is not a number of 1 or more; left out");
        assert_eq!(b.notes, [note]);
    }
    // `mpirun` inside an application of PALS.
    let env = [
        ("PALS_LOCAL_SIZE", "1"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"),
    ];
    assert_eq!(limit(&budget_with(&made, None, &env)).0, 2);
}

/// Eight CPUs of a host with this name.
fn host(name: &str) -> Made {
    let made = eight_cpus();
    made.write("proc/sys/kernel/hostname", name);
    made
}

#[test]
fn slots_of_one_host_limit_the_threads_and_ranks_share_them() {
    for (name, kind) in [
        ("NSLOTS", LimitKind::Sge),
        ("LSB_DJOB_NUMPROC", LimitKind::Lsf),
    ] {
        let made = eight_cpus();
        let b = budget_with(&made, None, &[(name, "6")]);
        assert_eq!(limit(&b), (6, kind));
        assert_eq!(deciding(&b), (name, "6 slots"));
        assert_eq!(b.cpus.len(), 8, "slots are no CPUs");
        let b = budget_with(&made, None, &[(name, "16")]);
        assert_eq!((limit(&b), b.limits.len()), ((8, LimitKind::Online), 2));
        for ranks in ["LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS"] {
            let b = budget_with(&made, None, &[(name, "6"), (ranks, "3")]);
            assert_eq!(limit(&b), (2, LimitKind::Ranks), "{ranks}");
        }
        for text in ["", "0", "-1", "many", "4(x2)"] {
            let b = budget_with(&made, None, &[(name, text)]);
            assert_eq!(limit(&b), (8, LimitKind::Online), "{text}");
            let note = format!("{name}: `{text}` is not a number of 1 or more; left out");
            assert_eq!(b.notes, [note]);
        }
    }
}

#[test]
fn grid_engine_lists_the_slots_of_each_host_in_a_file() {
    let of = |here: &str, list: &str| {
        let made = host(here);
        made.write("var/spool/pe_hostfile", list);
        let env = [
            ("NSLOTS", "9"),
            ("NHOSTS", "3"),
            ("PE_HOSTFILE", "/var/spool/pe_hostfile"),
        ];
        budget_with(&made, None, &env)
    };
    let list = "n1.cluster 4 all.q@n1.cluster UNDEFINED\n\
                n2.cluster 2 all.q@n2.cluster UNDEFINED\n\
                n3.cluster 2 all.q@n3.cluster UNDEFINED\n\
                n3.cluster 1 fast.q@n3.cluster UNDEFINED";
    for (here, slots) in [("n1", 4), ("N2.cluster", 2), ("n3.cluster", 3)] {
        let b = of(here, list);
        assert_eq!(limit(&b), (slots, LimitKind::Sge), "{here}");
        let value = format!("{slots} of 9 slots on this host");
        assert_eq!(deciding(&b), ("PE_HOSTFILE", value.as_str()));
        assert_eq!(b.notes, Vec::<String>::new());
    }
    let b = of("n1.elsewhere", list);
    assert_eq!(limit(&b), (4, LimitKind::Sge));
    assert_eq!(deciding(&b).1, "4 of 9 slots at most");
    assert_eq!(
        b.notes,
        [
            "PE_HOSTFILE names 3 hosts and this one is none of them: counting 4 slots, the most of any host"
        ]
    );
    let b = of("n9", "n1 3\nn2 3\nn3 3");
    assert_eq!((limit(&b), b.notes.len()), ((3, LimitKind::Sge), 0));
    for torn in ["", "n1", "n1 four", "n1 0", "n1 4\n\nn2 2"] {
        let b = of("n1", torn);
        assert_eq!(limit(&b), (7, LimitKind::Sge), "{torn}");
        assert_eq!(
            b.notes,
            [
                "PE_HOSTFILE: `/var/spool/pe_hostfile` is not a file of hosts and their slots; left out",
                "NSLOTS=9 counts the slots of 3 hosts, and PE_HOSTFILE does not tell those of this one: counting 7, as \
                 every other host has one at least"
            ]
        );
    }
}

#[test]
fn without_the_file_the_other_hosts_have_a_slot_each() {
    let made = host("n1");
    for file in [None, Some("/absent"), Some("relative"), Some("")] {
        let mut env = vec![("NSLOTS", "6"), ("NHOSTS", "3")];
        env.extend(file.map(|path| ("PE_HOSTFILE", path)));
        let b = budget_with(&made, None, &env);
        assert_eq!(limit(&b), (4, LimitKind::Sge), "{file:?}");
        assert_eq!(deciding(&b), ("NSLOTS", "4 of 6 slots at most"));
        assert_eq!(b.notes.len(), 1, "{:?}", b.notes);
    }
    let b = budget_with(&made, None, &[("NSLOTS", "2"), ("NHOSTS", "9")]);
    assert_eq!(limit(&b), (1, LimitKind::Sge));
    // A file of another job does not matter to a job on one host.
    made.write("hosts", "n1 1\nn2 1");
    let env = [("NSLOTS", "6"), ("NHOSTS", "1"), ("PE_HOSTFILE", "/hosts")];
    assert_eq!(limit(&budget_with(&made, None, &env)), (6, LimitKind::Sge));
}

#[test]
fn lsf_lists_the_slots_of_each_host_in_a_variable() {
    let of = |here: &str, list: &str| {
        let env = [("LSB_DJOB_NUMPROC", "9"), ("LSB_MCPU_HOSTS", list)];
        budget_with(&host(here), None, &env)
    };
    let list = "n1 4 n2.cluster 2 n3 3 ";
    for (here, slots) in [("n1.cluster", 4), ("n2", 2), ("n3", 3)] {
        let b = of(here, list);
        assert_eq!(limit(&b), (slots, LimitKind::Lsf), "{here}");
        assert_eq!(deciding(&b).0, "LSB_MCPU_HOSTS");
        assert_eq!(b.notes, Vec::<String>::new());
    }
    let b = of("login", list);
    assert_eq!((limit(&b), b.notes.len()), ((4, LimitKind::Lsf), 1));
    // One host is this one, by whatever name.
    let b = of("login", "n1 9");
    assert_eq!((limit(&b), b.notes.len()), ((8, LimitKind::Online), 0));
    for torn in ["", "n1", "n1 4 n2", "n1 x", "n1 0", "4 n1"] {
        let b = of("n1", torn);
        assert_eq!(limit(&b), (8, LimitKind::Online), "{torn}");
        let note =
            format!("LSB_MCPU_HOSTS: `{torn}` is not a list of hosts and their slots; left out");
        assert_eq!(b.notes, [note]);
    }
}

#[test]
fn slots_that_lsf_binds_to_cpus_are_counted_by_their_mask() {
    let made = host("n1");
    let env = [
        ("LSB_DJOB_NUMPROC", "1"),
        ("LSB_AFFINITY_HOSTFILE", "/affinity"),
    ];
    made.write("affinity", "n1 2,3,4,5");
    let b = budget_with(&made, Some("2-5"), &env);
    assert_eq!(limit(&b), (4, LimitKind::Affinity));
    // LSF leaves the file empty where the job asked for no binding.
    made.write("affinity", "");
    assert_eq!(limit(&budget_with(&made, None, &env)), (1, LimitKind::Lsf));
}
