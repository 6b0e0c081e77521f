//! `threadtune tune`: measures this machine and writes its profile after every workload.

mod forecast;
mod progress;
mod record;
mod run;

use super::logging::PROGRESS;
use super::measuring::MeasuringArgs;
use super::signals::StopRequest;
use super::{configuration, duration};
use crate::bench::{Measurer, QUICK_REGIONS_LIMIT, REGIONS_LIMIT, Surroundings};
use crate::machine::LoadWatch;
use crate::profile::{BudgetRecord, Directories, Profile, check_writable, load_to_continue};
use crate::tune::{Allowance, Options, VisitPlan};
use crate::units::Nanos;
use crate::worker::team::TeamChoice;
use crate::workload::Workload;
use anyhow::{Context as _, anyhow};
use clap::Args;
use forecast::Forecast;
use run::{Run, Setup};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Whose kernels run: the first part of a profile's file name.
const BACKEND: &str = "native";

/// Other processes that use this much of a core are worth a warning: each of them disturbs the thread on that core, however
/// many others there are.
const BUSY_CORES: f64 = 0.1;

/// Measure this machine and write its profile.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
#[command(
    after_help = "Workloads are measured by priority: the catalogue's quick ones first, then the others, each in its \
                  order. What empty parallel regions cost (`threadtune show --regions`) is measured after them.\n\nExit codes: 0 done (what --budget cut short is named), 1 a workload could not be measured, 2 wrong usage, 75 another one measures (with --no-wait), 130 stopped by Ctrl-C"
)]
pub struct TuneArgs {
    /// Only these workloads of the catalogue; their entries are replaced unless they say more, the others kept.
    workloads: Vec<String>,
    /// Only the quick part of the catalogue.
    #[arg(long, conflicts_with = "workloads")]
    quick: bool,
    /// Only what the profile lacks: no entry, another shape, no count stated, measured with fewer CPUs or by older kernels,
    /// or cut short by --budget; and what regions cost.
    #[arg(long)]
    missing: bool,
    /// Keep what is measured even where the profile knows more, as after noise that made a verdict wrong.
    #[arg(long)]
    replace: bool,
    /// Write the machine-wide profile, which every user reads (root).
    #[arg(long)]
    system: bool,
    /// Begin nothing more after this long, e.g. 90 (seconds) or 5m; the profile names what that cut short.
    #[arg(long, value_name = "SECONDS", value_parser = duration::limit)]
    budget: Option<Duration>,
    /// Race the best counts of each workload again after keeping all CPUs busy for this long, e.g. 30s (1s to 1h), on top
    /// of its time: what heat and power limits leave of the clock is known only then.
    #[arg(long, value_name = "SECONDS", value_parser = duration::load, conflicts_with = "record")]
    sustained: Option<Duration>,
    /// Write every sample to this file (CSV), and the machine to FILE with the ending `.machine.toml`, for `replay`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    measuring: MeasuringArgs,
}

impl TuneArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let Some((catalog, mut selected)) = self.measuring.selection(&self.workloads, self.quick)
        else {
            return Ok(ExitCode::from(2));
        };
        let Some(configuration) = configuration::sound() else {
            return Ok(ExitCode::from(2));
        };
        let around = Surroundings::read(&configuration, self.measuring.team)?;
        let path = self.profile_path(&around)?;
        check_writable(&path)
            .context("the profile could not be written, so nothing is measured")?;
        let stop = StopRequest::register()?;
        let _turn = match self.measuring.turn.take(&stop) {
            Ok(turn) => turn,
            Err(code) => return Ok(code),
        };
        // Whoever had the turn before may have written the profile, and left more memory.
        let around = Surroundings::read(&configuration, self.measuring.team)?;
        let old = load_to_continue(&path, &around.fingerprint)?;
        let budget = around.budget_record();
        if self.missing {
            let knows_bursts_only = |old: &Profile, workload: &Workload| {
                let entry = old.entry(&workload.name);
                entry.is_none_or(|entry| entry.sustained_s.is_none())
            };
            let lacks = |old: &Profile, workload: &Workload| {
                old.lacks(workload, Some(&budget))
                    || self.sustained.is_some() && knows_bursts_only(old, workload)
            };
            selected.retain(|workload| old.as_ref().is_none_or(|old| lacks(old, workload)));
            let has_regions = old.as_ref().is_some_and(|old| !old.regions.is_empty());
            if selected.is_empty() && has_regions {
                super::output::print(format!("{} lacks nothing\n", path.display()).as_bytes())?;
                return Ok(ExitCode::SUCCESS);
            }
        }
        if self.sustained.is_none()
            && self.workloads.is_empty()
            && !selected.is_empty()
            && let Some(old) = &old
        {
            leave_sustained(old, &budget, &mut selected);
            if selected.is_empty() && !old.regions.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        warn_of_busy_machine();
        let settings = self.measuring.worker_settings(&around, &stop);
        let site = around.site();
        let allowance = self.allowance();
        let place = forecast::Place {
            layout: &site.layout,
            pool_bytes: site.pool_bytes.min(site.memory_limit_bytes),
            above_quota: site.above_quota,
        };
        let forecast = Forecast::of(&selected, old.as_ref(), &place, &allowance);
        let mut measurer = Measurer::start(settings, site)?;
        if let Some(path) = &self.record {
            measurer.record_to(record::begin(path, &around)?);
        }
        if let Some(note) = &measurer.greeting().note {
            log::warn!("measuring with rayon's threads: {note}");
        }
        let conditions = around.conditions(BACKEND, measurer.greeting());
        let mut run = Run::new(Setup {
            profile: Profile::renewed(old, around.fingerprint.clone()),
            path,
            conditions,
            fallback: around.fallback(),
            replaces: self.replace,
            order: catalog.names(),
            allowance,
            to_go_on: self.to_go_on(),
        });
        if !selected.is_empty() {
            log::info!(target: PROGRESS, "{forecast}");
        }
        let finished = run.measure(&mut measurer, &selected, &self.options(), &stop)?
            && run.measure_regions(&mut measurer, self.regions_again(), self.regions_limit())?;
        let code = run.report(finished, selected.len(), &stop)?;
        measurer.recorder().map_or(Ok(()), record::end)?;
        Ok(code)
    }

    fn options(&self) -> Options {
        Options {
            seed: self.measuring.seed,
            sustained: self.sustained.map(nanos),
            visit_plan: Some(VisitPlan::default()),
            ..Options::default()
        }
    }

    /// Are regions measured that the profile knows already? They are the machine's, not a workload's.
    fn regions_again(&self) -> bool {
        self.workloads.is_empty() && !self.missing
    }

    fn regions_limit(&self) -> Nanos {
        if self.quick {
            QUICK_REGIONS_LIMIT
        } else {
            REGIONS_LIMIT
        }
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            run: self.budget.map(nanos),
            workload: self.measuring.time_budget(),
            sustained: self.sustained.map_or(Nanos::ZERO, nanos),
        }
    }

    /// The command that measures what this run leaves out.
    fn to_go_on(&self) -> String {
        let mut words = vec!["threadtune tune --missing".to_owned()];
        if self.quick {
            words.push("--quick".to_owned());
        }
        if self.system {
            words.push("--system".to_owned());
        }
        if self.measuring.team != TeamChoice::Auto {
            words.push(format!("--team {}", self.measuring.team));
        }
        if let Some(load) = self.sustained {
            let load = humantime::format_duration(load).to_string();
            words.push(format!("--sustained {}", in_shell(&load)));
        }
        if let Some(catalog) = &self.measuring.catalog {
            words.push(format!(
                "--catalog {}",
                in_shell(&catalog.to_string_lossy())
            ));
        }
        words.extend(self.workloads.iter().cloned());
        words.join(" ")
    }

    fn profile_path(&self, around: &Surroundings) -> anyhow::Result<PathBuf> {
        let id = &around.fingerprint.id;
        if self.system {
            return Ok(Directories::system_profile(id, BACKEND));
        }
        Directories::from_environment(|name| std::env::var_os(name))
            .user_profile(id, BACKEND)
            .ok_or_else(|| anyhow!("neither XDG_STATE_HOME nor HOME says where the profile should lie; set one of them"))
    }
}

/// A length of time that is a day at most.
fn nanos(duration: Duration) -> Nanos {
    Nanos(duration.as_nanos() as u64)
}

/// A word as a shell takes it whole.
fn in_shell(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What bursts would say is not to replace what is known of longer load, unless it is asked for by name.
fn leave_sustained(old: &Profile, budget: &BudgetRecord, selected: &mut Vec<Workload>) {
    let left = selected.extract_if(.., |workload| old.is_sustained(workload, Some(budget)));
    let names: Vec<String> = left.map(|workload| workload.name).collect();
    if !names.is_empty() {
        let names = names.join(" ");
        log::warn!(
            "not measured again, as what is known of them was found under sustained load: {names}; \
             `threadtune tune --sustained 30s {names}` does so, and without --sustained in bursts"
        );
    }
}

/// What other processes use now is lost to the measurement: the user should know before, not after.
fn warn_of_busy_machine() {
    let Ok(mut watch) = LoadWatch::start() else {
        return;
    };
    std::thread::sleep(Duration::from_millis(LoadWatch::LEAST_MS));
    let busy = watch.busy(&[], BUSY_CORES);
    if busy.is_empty() {
        return;
    }
    let cores: f64 = busy.iter().map(|process| process.cores).sum();
    let names: Vec<String> = busy
        .iter()
        .take(3)
        .map(|p| format!("{} (process {}, {:.1})", p.name, p.pid, p.cores))
        .collect();
    let others = busy.len().saturating_sub(3);
    let more = if others > 0 {
        format!(" and {others} more")
    } else {
        String::new()
    };
    log::warn!(
        "other processes use {cores:.1} CPUs: {}{more}; measuring beside them takes longer and may stay inconclusive",
        names.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::in_shell;

    #[test]
    fn a_word_reaches_the_shell_whole() {
        assert_eq!(in_shell("/a/b-1.toml"), "/a/b-1.toml");
        assert_eq!(in_shell("my file"), "'my file'");
        assert_eq!(in_shell("it's;"), r"'it'\''s;'");
    }
}
