//! Sections of man pages that the command line's definition does not hold: files and environment.

use crate::configuration::Files;
use crate::daemon::status::STATUS_FILE;
use crate::environment::{FAMILIES, Family, Variable};
use crate::profile::Directories;
use std::path::PathBuf;

/// A section that explains one term after the other.
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What its terms have in common.
    pub introduction: &'static str,
    /// Terms with what they mean.
    pub entries: Vec<(String, String)>,
}

/// The sections of a page, by its name.
pub fn of(page: &str) -> Vec<Section> {
    match page {
        "threadtune" => vec![files(), read_variables()],
        "threadtune-launch" => vec![set_variables()],
        _ => Vec::new(),
    }
}

fn files() -> Section {
    let profiles = Directories::from_environment(|_| None).system;
    let written = Directories::system_profile("MACHINE", "BACKEND");
    Section {
        title: "FILES",
        introduction: "MACHINE is the id that `threadtune machine` tells, BACKEND whose kernels ran (native).",
        entries: entries(&[
            (
                "$XDG_CONFIG_HOME/threadtune/threadtune.toml",
                "The user's configuration (below ~/.config where the variable is not set). Its keys win over the \
                 machine's.",
            ),
            (
                &Files::from_environment(|_| None).system.to_string_lossy(),
                "The machine's configuration.",
            ),
            (
                "$XDG_STATE_HOME/threadtune/profiles/MACHINE/BACKEND.toml",
                "The profile that `tune` writes for the user (below ~/.local/state where the variable is not set); it \
                 is looked at first.",
            ),
            (
                STATUS_FILE,
                "What the daemon does, and why: `threadtune status` shows it.",
            ),
            (
                &joined(&profiles),
                &format!(
                    "Where machine-wide profiles are looked for next, in this order; `tune --system` writes {}.",
                    written.display()
                ),
            ),
        ]),
    }
}

fn read_variables() -> Section {
    Section {
        title: "ENVIRONMENT",
        introduction: "These are read:",
        entries: entries(&[
            (
                "XDG_CONFIG_HOME, XDG_STATE_HOME, HOME",
                "Where the user's configuration and profiles lie. They count only if they are absolute.",
            ),
            (
                "RUST_LOG",
                "What is said on stderr (error, warn, info, debug or trace), unless -v or -q is given. `launch` leaves \
                 it to the program.",
            ),
            (
                "SLURM_CPUS_PER_TASK, SLURM_CPUS_ON_NODE, SLURM_STEP_TASKS_PER_NODE, SLURM_TASKS_PER_NODE, \
                 SLURM_NTASKS_PER_NODE, SLURM_NODEID, SLURM_STEP_ID, SLURM_JOB_ID",
                "The CPUs of a Slurm task: they limit the CPU budget. Those of the node are divided by its tasks, as the \
                 first of the three variables of tasks tells; not in a batch script, which is no task of a step.",
            ),
            (
                "NSLOTS, NHOSTS, PE_HOSTFILE, LSB_DJOB_NUMPROC, LSB_MCPU_HOSTS, LSB_AFFINITY_HOSTFILE",
                "The slots of a job of Grid Engine or LSF: those of this host limit the CPU budget, unless LSF bound them \
                 to CPUs.",
            ),
            (
                "LOCAL_WORLD_SIZE, OMPI_COMM_WORLD_LOCAL_SIZE, MPI_LOCALNRANKS, MV2_COMM_WORLD_LOCAL_SIZE, \
                 PALS_LOCAL_SIZE",
                "The ranks that share this node: they divide the CPU budget, unless each is bound to CPUs of its own.",
            ),
            (
                "OMP_STACKSIZE, GOMP_STACKSIZE, KMP_STACKSIZE",
                "The stack of each thread, else RLIMIT_STACK tells it: `budget` says where the stacks of a team do not \
                 fit in what `ulimit -v` or `ulimit -d` leaves.",
            ),
        ]),
    }
}

fn set_variables() -> Section {
    let told = |family: &Family| {
        let names: Vec<&str> = family
            .variables
            .iter()
            .map(|Variable { name, .. }| *name)
            .collect();
        (
            names.join(", "),
            format!("{}: {}.", family.name, family.note),
        )
    };
    let limits = (
        "OMP_THREAD_LIMIT".to_owned(),
        "Read, never set: no count above it is given to the families that obey it.".to_owned(),
    );
    Section {
        title: "ENVIRONMENT",
        introduction: "The program finds these set, all to the same count. One that is set before stays as it is, unless \
                       --force is given.",
        entries: FAMILIES.iter().map(told).chain([limits]).collect(),
    }
}

fn entries(told: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(term, text): &(&str, &str)| ((*term).to_owned(), (*text).to_owned());
    told.iter().map(owned).collect()
}

fn joined(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    names.join(", ")
}
