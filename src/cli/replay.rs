//! `threadtune replay`: decides from recorded measurements instead of the machine.

use crate::bench::{
    LEAST_BLOCKS, RecordedMachine, RecordedWorkload, Recording, ReplayOptions, Times, replay,
};
use crate::report::{replay_json, replay_table};
use crate::units::Nanos;
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// The scatter of a call where one value a count was recorded and nothing else is said.
const NOISE: f64 = 0.02;

/// Decide from recorded measurements instead of the machine, as if they were taken now.
#[derive(Debug, Args)]
#[command(after_help = "\
Recordings, told apart by their header:
  workload,threads,seconds  one row a timing; what `tune --record` writes
                            `placement`, `flagged`, `calls`, `block`, `visit`
                            and `time_s` are understood, other columns
                            ignored; blocks are drawn whole where there are
                            five or more, visits decided one after another
  m,k,n,1,2,3,…             one row a matrix product, microseconds at each
                            count of threads

The machine file is TOML:
  packages = 2               # these two must be there
  cores_per_package = 24
  threads_per_core = 2       # default 1
  cores_per_llc = 24         # share a last-level cache; default: a package's
  numa_nodes = 4             # default: one a package
  efficiency_cores = 0       # of the whole machine, beside the others
  logical_cpus = 96          # these two where a CPU budget left fewer than all
  physical_cores = 48

Exit codes: 0 done, 2 wrong usage or an unusable file")]
pub struct ReplayArgs {
    /// Recordings.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The machine on which they were taken.
    #[arg(long, value_name = "FILE")]
    machine: PathBuf,
    /// Only this workload; may be given more than once.
    #[arg(short, long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Seed of the draws and of the order of measurements.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// About the most virtual seconds for a workload (a race under way may take a quarter more).
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    budget: f64,
    /// How calls scatter where one value a count was recorded: coefficient of variation, lognormal, beside a little
    /// drift and few outliers [default: 0.02].
    #[arg(long, value_name = "CV", value_parser = spread)]
    noise: Option<f64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl ReplayArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let (recording, machine) = match self.read() {
            Ok(read) => read,
            Err(error) => {
                log::error!("{error}");
                return Ok(ExitCode::from(2));
            }
        };
        self.warn_of_unknown_noise(&recording);
        let options = ReplayOptions {
            seed: self.seed,
            time_budget: Nanos::from_secs_f64(self.budget),
            noise: self.noise.unwrap_or(NOISE),
        };
        let mut replayed = Vec::new();
        for workload in &recording.workloads {
            let one = replay(workload, &machine, &options)
                .with_context(|| format!("{} cannot be replayed", workload.name))?;
            replayed.push(one);
        }
        let text = if self.json {
            replay_json(&replayed)?
        } else {
            replay_table(&replayed)
        };
        super::output::print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    /// How sure a verdict is follows from how the recorded times scatter: the user should know where nothing tells.
    fn warn_of_unknown_noise(&self, recording: &Recording) {
        let single = |w: &&RecordedWorkload| matches!(w.times, Times::Single(_));
        if self.noise.is_some() && !recording.workloads.iter().any(|w| single(&w)) {
            log::warn!(
                "--noise changes nothing here: these recordings hold the scatter themselves"
            );
        }
        warn_of(
            recording,
            |w| matches!(&w.times, Times::Repeated(arms) if arms.values().any(|r| r.len() == 1)),
            "hold counts with one timing only: how they scatter is not known, and they are taken for exact",
        );
        // Drift stays in only where blocks are drawn whole.
        warn_of(
            recording,
            |w| (1..LEAST_BLOCKS).contains(&w.blocks()),
            &format!(
                "hold fewer than {LEAST_BLOCKS} blocks: none is drawn whole, so drift between them counts as scatter"
            ),
        );
    }

    fn read(&self) -> anyhow::Result<(Recording, RecordedMachine)> {
        let machine = RecordedMachine::read(&self.machine)?;
        let mut recording = Recording::read(&self.files)?;
        recording.check_against(&machine)?;
        if !self.workloads.is_empty() {
            for name in &self.workloads {
                if let Err(unknown) = recording.get(name) {
                    bail!("{unknown}; {}", held(&recording));
                }
            }
            recording
                .workloads
                .retain(|workload| self.workloads.contains(&workload.name));
        }
        Ok((recording, machine))
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, 1e-3, 1e6)
}

fn spread(text: &str) -> Result<f64, String> {
    number(text, 0.0, 1.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("a number from {least} to {most} is expected"))
}

/// Says how many workloads are such, and names the first.
fn warn_of(recording: &Recording, is: impl Fn(&RecordedWorkload) -> bool, what: &str) {
    let such: Vec<&RecordedWorkload> = recording.workloads.iter().filter(|w| is(w)).collect();
    if let Some(first) = such.first() {
        log::warn!(
            "{} of {} workloads ({}, …) {what}",
            such.len(),
            recording.workloads.len(),
            first.name
        );
    }
}

/// The first names of a recording, for who asked for another.
fn held(recording: &Recording) -> String {
    let names: Vec<&str> = recording
        .workloads
        .iter()
        .map(|w| w.name.as_str())
        .collect();
    let (first, more) = names.split_at(names.len().min(5));
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" and {} more", more.len())
    };
    format!("the recordings hold {}{more}", first.join(", "))
}
