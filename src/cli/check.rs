//! `threadtune check`: looks whether counts of the profiles still hold, as the service does by itself.

use super::configuration;
use super::measuring::MeasuringArgs;
use super::output::print;
use super::signals::StopRequest;
use super::this_machine::ThisMachine;
use crate::bench::{Measurer, Stopped, Surroundings};
use crate::configuration::Configuration;
use crate::profile::{Profile, load_named};
use crate::report::{CheckedWorkload, Held, checks_json, checks_table};
use crate::tune::Options;
use crate::workload::Workload;
use anyhow::{anyhow, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// The only backend so far.
const BACKEND: &str = "native";

/// Exit code where it is not known whether counts hold.
const UNKNOWN: u8 = 2;

/// Look whether the counts of the profiles still hold: each is timed again beside up to five others. Nothing is written;
/// `tune` measures anew what does not hold.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all counts hold, 1 one is proven to lose more than 5 %, 2 that could not be told of all, or wrong usage, 75 another one measures (with --no-wait), 130 stopped by Ctrl-C"
)]
pub struct CheckArgs {
    /// Workloads of the catalogue; all that the profiles state a count for where none is named.
    workloads: Vec<String>,
    /// The profile to check; it must be of this machine, or of another one with the same processor.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    measuring: MeasuringArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> ExitCode {
        let Some((_, selected)) = self.measuring.selection(&self.workloads, false) else {
            return ExitCode::from(UNKNOWN);
        };
        let Some(configuration) = configuration::sound() else {
            return ExitCode::from(UNKNOWN);
        };
        self.check(&selected, &configuration)
            .unwrap_or_else(|error| {
                log::error!("{error:#}");
                ExitCode::from(UNKNOWN)
            })
    }

    fn check(
        &self,
        selected: &[Workload],
        configuration: &Configuration,
    ) -> anyhow::Result<ExitCode> {
        let stop = StopRequest::register()?;
        // Whoever has the turn before may write the profile.
        let _turn = match self.measuring.turn.take(&stop) {
            Ok(turn) => turn,
            Err(code) => return Ok(code),
        };
        let profile = self.find_profile(&ThisMachine::configured(configuration))?;
        let is_stated = |workload: &&Workload| {
            let entry = profile.entry(&workload.name);
            entry.is_some_and(|entry| {
                entry.latency.is_some()
                    && entry.shape == workload.shape.to_string()
                    && entry.backend == BACKEND
                    && entry.elsewhere.is_none()
            })
        };
        let stated: Vec<&Workload> = selected.iter().filter(is_stated).collect();
        let missing: Vec<&str> = selected
            .iter()
            .filter(|workload| !self.workloads.is_empty() && !is_stated(workload))
            .map(|workload| workload.name.as_str())
            .collect();
        if !missing.is_empty() {
            bail!(
                "the profile states no count for `{0}`; run `threadtune tune {1}`",
                missing.join("`, `"),
                missing.join(" ")
            );
        }
        if stated.is_empty() {
            bail!("the profile states no count of the catalogue; run `threadtune tune`");
        }
        let around = Surroundings::read(configuration, self.measuring.team)?;
        let settings = self.measuring.worker_settings(&around, &stop);
        let mut measurer = Measurer::start(settings, around.site())?;
        let usual = Options::drift_check();
        let options = Options {
            seed: self.measuring.seed,
            time_budget: usual.time_budget.min(self.measuring.time_budget()),
            ..usual
        };
        let mut checks = Vec::new();
        for workload in stated {
            let Some(entry) = profile.entry(&workload.name) else {
                continue;
            };
            match measurer.check(workload, entry, &options, &mut |_| {}) {
                Ok(checked) => checks.push(CheckedWorkload::new(entry, checked)),
                Err(Stopped(_)) => break,
            }
        }
        let text = if self.json {
            checks_json(&checks)?
        } else {
            checks_table(&checks)
        };
        print(text.as_bytes())?;
        if stop.is_set() {
            return Ok(stop.exit_code());
        }
        let any = |held| checks.iter().any(|check| check.held == held);
        Ok(match (any(Held::No), any(Held::Unknown)) {
            (true, _) => ExitCode::FAILURE,
            (false, true) => ExitCode::from(UNKNOWN),
            (false, false) => ExitCode::SUCCESS,
        })
    }

    fn find_profile(&self, machine: &ThisMachine) -> anyhow::Result<Profile> {
        let fingerprint = machine
            .fingerprint
            .as_ref()
            .ok_or_else(|| anyhow!("this machine could not be identified, so no profile is its"))?;
        if let Some(path) = &self.profile {
            return Ok(load_named(path, fingerprint, &[])?);
        }
        let (gathered, problems) = machine.gather_all(fingerprint, BACKEND);
        for problem in problems {
            log::warn!("{problem}");
        }
        let gathered = gathered.ok_or_else(|| {
            anyhow!(
                "there is no sound profile of this machine (`{}`); run `threadtune tune`",
                fingerprint.id
            )
        })?;
        Ok(gathered.profile)
    }
}
