//! `threadtune show`: a profile as a table, one workload as a curve, what regions cost; as JSON or CSV, too.

use super::configuration;
use super::output::print;
use super::this_machine::ThisMachine;
use crate::profile::{Entry, Judged, Place, Profile, load};
use crate::report::{
    curve, cut_short_line, entry_json, profile_csv, profile_json, profile_table, region_json,
    region_table,
};
use anyhow::{Context, bail};
use clap::Args;
use log::warn;
use std::path::PathBuf;
use std::process::ExitCode;

/// The only backend so far.
const BACKEND: &str = "native";

/// Characters of a line where stdout is no terminal.
const WIDTH: usize = 80;

/// Options of `show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 there is no such profile or workload, or no regions were measured (stderr says which); 2 wrong usage"
)]
pub struct ShowArgs {
    /// The workload whose curve to show; without one, the table of all.
    workload: Option<String>,
    /// The profile to show, of any machine.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// What an empty parallel region costs with each count of threads: back to back (hot) and after pauses.
    #[arg(long, conflicts_with_all = ["workload", "csv"])]
    regions: bool,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, one line for each timed count.
    #[arg(long)]
    csv: bool,
}

impl ShowArgs {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (profile, place) = self.find_profile()?;
        let text = match &self.workload {
            None if self.regions => self.regions_of(&profile)?,
            None => {
                let entries: Vec<&Entry> = profile.workloads.iter().collect();
                match (self.json, self.csv) {
                    (true, _) => profile_json(&profile)?,
                    (_, true) => profile_csv(&entries)?,
                    _ => {
                        let cut_short = cut_short_line(&profile).unwrap_or_default();
                        profile_table(&profile.judged(&place)) + &cut_short
                    }
                }
            }
            Some(name) => {
                let Some(entry) = profile.entry(name) else {
                    bail!(unknown(name, &profile));
                };
                match (self.json, self.csv) {
                    (true, _) => entry_json(entry)?,
                    (_, true) => profile_csv(&[entry])?,
                    _ => {
                        let standing = profile.standing(entry, &place);
                        let judged = Judged { entry, standing };
                        curve(&judged, level_of(&profile, entry), width())
                    }
                }
            }
        };
        print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    fn regions_of(&self, profile: &Profile) -> anyhow::Result<String> {
        let shown = if self.json {
            region_json(profile).transpose()?
        } else {
            region_table(profile)
        };
        shown.context("no regions were measured; run `threadtune tune`")
    }

    /// The profile, and the place where its verdicts are to serve: nowhere in particular where a file is named, which may be
    /// of another machine.
    fn find_profile(&self) -> anyhow::Result<(Profile, Place)> {
        if let Some(path) = &self.profile {
            return Ok((load(path)?, Place::default()));
        }
        let (configuration, problems) = configuration::read();
        for problem in &problems {
            warn!("{problem}");
        }
        let machine = ThisMachine::configured(&configuration);
        let fingerprint = machine
            .fingerprint
            .as_ref()
            .context("this machine could not be identified; name a file with --profile")?;
        let (gathered, problems) = machine.gather_all(fingerprint, BACKEND);
        for problem in problems {
            warn!("{problem}");
        }
        let gathered = gathered.with_context(|| {
            format!(
                "there is no sound profile of this machine (`{}`); run `threadtune tune`",
                fingerprint.id
            )
        })?;
        Ok((gathered.profile, machine.cpus.place()))
    }
}

/// The instruction set of the kernels that an entry was measured with.
fn level_of<'p>(profile: &'p Profile, entry: &Entry) -> Option<&'p str> {
    profile.conditions_of(entry)?.level.as_deref()
}

/// The error about a name that the profile does not hold, with the closest ones that it does.
fn unknown(name: &str, profile: &Profile) -> String {
    let mut near: Vec<(f64, &str)> = profile
        .workloads
        .iter()
        .map(|entry| (strsim::jaro_winkler(name, &entry.name), entry.name.as_str()))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = near.iter().take(3).map(|(_, name)| *name).collect();
    if names.is_empty() {
        format!("the profile holds no workload `{name}`; `threadtune show` lists those it holds")
    } else {
        format!(
            "the profile holds no workload `{name}`; did you mean `{}`?",
            names.join("`, `")
        )
    }
}

/// Characters of a line of the terminal.
fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(WIDTH)
}
