//! `threadtune budget`: how many CPUs a program started here may use, and why.

use super::configuration;
use crate::configuration::Configuration;
use crate::machine::{AboveQuota, Beside, Budget, Host, Memory, is_live};
use crate::report::{counted, plain};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Prints how many threads the CPU budget allows.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done; 1 the machine cannot be read (stderr says why); 2 wrong usage, or a broken configuration")]
pub struct BudgetArgs {
    /// Name every limit with its source and value, and mark the one that decides.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Read a recorded tree of sysfs and procfs instead of this machine; its configuration and environment are unknown.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl BudgetArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let configuration = match is_live(&self.root).then(configuration::sound) {
            None => Configuration::default(),
            Some(Some(configuration)) => configuration,
            Some(None) => return Ok(ExitCode::from(2)),
        };
        let env = |name: &str| std::env::var(name).ok();
        let beside = Beside {
            reserve: configuration.reserve.as_ref(),
            // The program that is asked about takes the place of this process.
            tasks: 0,
        };
        let Host { topology, budget } = Host::read(&self.root, Some(&beside), env)?;
        if let Err(error) = &topology {
            log::warn!("{error}; counting {} CPUs", budget.cpus.len());
        }
        let memory = || Memory::read(&self.root, topology.as_ref().ok());
        let text = if self.json {
            as_json(&budget, &memory())? + "\n"
        } else if self.explain {
            // Of a recorded tree `machine --root` tells more.
            let known = topology.iter().filter(|_| is_live(&self.root));
            explain(
                &budget,
                &memory(),
                known.flat_map(|topology| &topology.notes),
            )
        } else {
            for note in budget.remarks() {
                log::warn!("{}", plain(note));
            }
            format!("{}\n", budget.limit)
        };
        super::output::print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    budget: &'a Budget,
    memory: MemoryReport<'a>,
}

/// Memory; what is unknown is null.
#[derive(Serialize)]
struct MemoryReport<'a> {
    total_bytes: Option<u64>,
    available_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    limit_source: Option<&'a str>,
    pool_limit_bytes: u64,
}

fn as_json(budget: &Budget, memory: &Memory) -> serde_json::Result<String> {
    let limit = memory.limit.as_ref();
    serde_json::to_string(&Report {
        budget,
        memory: MemoryReport {
            total_bytes: memory.total,
            available_bytes: memory.available,
            limit_bytes: limit.map(|(_, bytes)| *bytes),
            limit_source: limit.map(|(source, _)| source.as_str()),
            pool_limit_bytes: memory.pool_limit(),
        },
    })
}

fn explain<'n>(
    budget: &'n Budget,
    memory: &Memory,
    of_topology: impl Iterator<Item = &'n String>,
) -> String {
    let mut text = format!(
        "{} on CPUs {}, decided by {}\n",
        counted(budget.limit.as_usize(), "thread"),
        budget.cpus,
        budget.by
    );
    let deciding = budget.deciding();
    for limit in &budget.limits {
        let mark = if Some(limit) == deciding { '*' } else { ' ' };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{mark} {:<9} {:>5}  {} ({})",
            limit.kind,
            limit.threads,
            plain(&limit.value),
            plain(&limit.source)
        );
    }
    if let Some(above) = budget.above_quota() {
        let _ = writeln!(text, "{}", of_fraction(&above));
    }
    let _ = writeln!(text, "{}", plain(&in_words(memory)));
    for note in budget.remarks().chain(of_topology) {
        let _ = writeln!(text, "note: {}", plain(note));
    }
    text
}

/// What follows from a quota between two whole numbers.
fn of_fraction(above: &AboveQuota) -> String {
    format!(
        "quota: {above} pay {} in full; {} would be stopped for part of every {} ms, and count only where `tune` finds \
         them faster at this very quota",
        counted(above.threads.as_usize() - 1, "thread"),
        above.threads,
        above.period_us as f64 / 1e3
    )
}

/// What there is, what limits it, and what follows for the copies of weights that `tune` rotates over.
fn in_words(memory: &Memory) -> String {
    let mut words: Vec<String> = [(memory.total, "in all"), (memory.available, "available")]
        .into_iter()
        .filter_map(|(bytes, what)| Some(format!("{} {what}", mebibytes(bytes?))))
        .collect();
    if let Some((source, bytes)) = &memory.limit {
        words.push(format!("at most {} ({source})", mebibytes(*bytes)));
    }
    if words.is_empty() {
        words.push("unknown".to_owned());
    }
    format!(
        "memory: {}; pooled weights may take {}",
        words.join(", "),
        mebibytes(memory.pool_limit())
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
