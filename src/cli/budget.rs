//! `threadtune budget`: how many CPUs a program started here may use, and why.

use crate::machine::{Budget, Topology, affinity};
use crate::units::MAX_CPUS;
use anyhow::Context as _;
use clap::Args;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints how many threads the CPU budget allows.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// Name every limit with its source and value, and mark the one that decides.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Read a recorded tree of sysfs and procfs instead of this machine.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl BudgetArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let budget = read(&self.root)?;
        let text = if self.json {
            serde_json::to_string(&budget)? + "\n"
        } else if self.explain {
            explain(&budget)
        } else {
            for note in &budget.notes {
                log::warn!("{note}");
            }
            format!("{}\n", budget.limit)
        };
        super::output::print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The budget of this process, or of the one whose tree was recorded.
fn read(root: &Path) -> anyhow::Result<Budget> {
    if root != Path::new("/") {
        let topology = match Topology::read(root) {
            Ok(topology) => topology,
            // A tree of control groups only: what they allow is all that can be told.
            Err(error) if root.join("proc/self/cgroup").exists() => {
                log::warn!("{error}; counting from {MAX_CPUS} CPUs");
                Topology::flat((0..MAX_CPUS).collect())
            }
            Err(error) => return Err(error.into()),
        };
        return Ok(Budget::read(root, &topology, None, |_| None));
    }
    let mask = affinity::current().context("cannot read the affinity mask of this process")?;
    let topology = Topology::read(root).unwrap_or_else(|_| Topology::flat(mask.clone()));
    let env = |name: &str| std::env::var(name).ok();
    Ok(Budget::read(root, &topology, Some(&mask), env))
}

fn explain(budget: &Budget) -> String {
    let mut text = format!(
        "{} threads on CPUs {}, decided by {}\n",
        budget.limit, budget.cpus, budget.by
    );
    let deciding = budget.deciding();
    for limit in &budget.limits {
        let mark = if Some(limit) == deciding { '*' } else { ' ' };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{mark} {:<9} {:>5}  {} ({})",
            limit.kind, limit.threads, limit.value, limit.source
        );
    }
    for note in &budget.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
