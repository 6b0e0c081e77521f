//! What every subcommand that measures begins with: which workloads, and how workers are started.

use super::duration;
use super::signals::StopRequest;
use super::turn::TurnArgs;
use crate::bench::{MayGoOn, Surroundings, WorkerSettings};
use crate::units::Nanos;
use crate::worker::team::TeamChoice;
use crate::workload::{Catalog, Level, Workload};
use anyhow::Context as _;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How workloads are measured.
#[derive(Debug, Args)]
pub struct MeasuringArgs {
    /// Another catalogue than the one built in.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Whose threads to measure: auto (OpenMP where it loads), openmp or rayon.
    #[arg(long, default_value_t = TeamChoice::Auto)]
    pub team: TeamChoice,
    /// Run kernels of no higher instruction set than this (avx512, avx2, neon, sse2, portable), to see what slower ones
    /// would give; what is found is marked as doubtful.
    #[arg(long, value_name = "LEVEL", hide = true)]
    pub isa: Option<Level>,
    /// Seed of the order of measurements.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// About the most time for a workload (a race under way may take a quarter more); what is undecided then is marked so.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = duration::limit)]
    pub workload_budget: Duration,
    /// Give a workload up when its worker does not answer for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub deadline: u64,
    /// Whose turn it is.
    #[command(flatten)]
    pub turn: TurnArgs,
}

impl MeasuringArgs {
    /// The catalogue of this file or the one built in, and what of it was asked for; `None` after saying what is wrong with
    /// that, which is wrong usage.
    pub fn selection(&self, names: &[String], quick: bool) -> Option<(Catalog, Vec<Workload>)> {
        let catalog = match catalog(self.catalog.as_deref()) {
            Ok(catalog) => catalog,
            Err(error) => {
                log::error!("{error:#}");
                return None;
            }
        };
        match catalog.select(names, quick) {
            Ok(selected) => Some((catalog, selected)),
            Err(unknown) => {
                log::error!(
                    "{unknown} (the catalogue holds {})",
                    catalog.names().join(", ")
                );
                None
            }
        }
    }

    /// Workers of this program, that stop when the user asks.
    pub fn worker_settings(&self, around: &Surroundings, stop: &StopRequest) -> WorkerSettings {
        WorkerSettings {
            // Still there when an upgrade has replaced the file.
            program: PathBuf::from("/proc/self/exe"),
            team: self.team,
            isa_cap: self.isa,
            trusted_libraries: false,
            memory_limit: None,
            environment: around.worker_environment(),
            deadline: Duration::from_secs(self.deadline),
            may_go_on: MayGoOn::until(stop.flag()),
        }
    }

    /// The time of one workload.
    pub fn time_budget(&self) -> Nanos {
        Nanos(self.workload_budget.as_nanos() as u64)
    }
}

fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let Some(path) = file else {
        return Ok(Catalog::embedded());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the catalogue {}", path.display()))?;
    Catalog::parse(&text)
        .with_context(|| format!("the catalogue {} cannot be used", path.display()))
}
