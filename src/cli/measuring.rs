//! What every subcommand that measures begins with: which workloads, and how workers are started.

use super::signals::StopRequest;
use crate::bench::{MayGoOn, Surroundings, WorkerSettings};
use crate::worker::team::TeamChoice;
use crate::workload::{Catalog, Level, Workload};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The catalogue of this file or the one built in, and what of it was asked for; `None` after saying what is wrong with
/// that, which is wrong usage.
pub fn selection(
    file: Option<&Path>,
    names: &[String],
    quick: bool,
) -> Option<(Catalog, Vec<Workload>)> {
    let catalog = match catalog(file) {
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

fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let Some(path) = file else {
        return Ok(Catalog::embedded());
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the catalogue {}", path.display()))?;
    Catalog::parse(&text)
        .with_context(|| format!("the catalogue {} cannot be used", path.display()))
}

/// Workers of this program, that stop when the user asks.
pub fn worker_settings(
    around: &Surroundings,
    team: TeamChoice,
    isa_cap: Option<Level>,
    deadline: Duration,
    stop: &StopRequest,
) -> WorkerSettings {
    WorkerSettings {
        // Still there when an upgrade has replaced the file.
        program: PathBuf::from("/proc/self/exe"),
        team,
        isa_cap,
        trusted_libraries: false,
        memory_limit: None,
        environment: around.worker_environment(),
        deadline,
        may_go_on: MayGoOn::until(stop.flag()),
    }
}
