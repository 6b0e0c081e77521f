//! One run: measures one workload after another and then what regions cost, saves after each, and says how it ended.

use super::progress::Display;
use crate::bench::{Measurer, Stopped, Tuned};
use crate::cli::logging::PROGRESS;
use crate::cli::signals::StopRequest;
use crate::profile::{Entry, Profile, RegionConditions, StopReason, save_now};
use crate::report::{counted, profile_table};
use crate::tune::{Allowance, Options, Patience};
use crate::units::Nanos;
use crate::workload::Workload;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One run: what is measured and where it goes.
pub struct Run<'a> {
    profile: Profile,
    path: PathBuf,
    order: Vec<&'a str>,
    allowance: Allowance,
    to_go_on: String,
    /// When the first workload began.
    begun: Instant,
    fresh: Vec<Entry>,
    cut_short: Vec<String>,
}

impl<'a> Run<'a> {
    /// A run that has not begun: the profile as it was before, where it lies, the names of the catalogue in its order,
    /// how much time there is, and the command that measures what this run leaves out.
    pub fn new(
        profile: Profile,
        path: PathBuf,
        order: Vec<&'a str>,
        allowance: Allowance,
        to_go_on: String,
    ) -> Self {
        Self {
            profile,
            path,
            order,
            allowance,
            to_go_on,
            begun: Instant::now(),
            fresh: Vec::new(),
            cut_short: Vec::new(),
        }
    }

    /// Measures and saves one workload after another, as long as there is time; false if the user stopped it.
    pub fn measure(
        &mut self,
        measurer: &mut Measurer,
        selected: &[Workload],
        options: &Options,
        stop: &StopRequest,
    ) -> anyhow::Result<bool> {
        let display = Display::new(selected.len());
        self.begun = Instant::now();
        let until = self.allowance.run.and_then(|run| {
            let tuning = run.saturating_sub(self.allowance.sustained);
            self.begun.checked_add(Duration::from_nanos(tuning.0))
        });
        let mut patience = Patience::Long;
        for (i, workload) in selected.iter().enumerate() {
            if stop.is_set() {
                return Ok(false);
            }
            let Some(time_budget) = self.allowance.of_next(self.spent()) else {
                self.never_begun(&selected[i..])?;
                break;
            };
            let begin = Instant::now();
            display.begin(i, &workload.name);
            let options = Options {
                time_budget,
                patience,
                ..options.clone()
            };
            let tuned = measurer.tune(workload, options, until, None, &mut |progress| {
                display.progress(progress);
            });
            match tuned {
                Ok(tuned) => {
                    display.finished(&tuned.entry);
                    // Whoever stayed through all of that is likely to stay.
                    patience = match tuned.entry.stop {
                        StopReason::Contaminated => Patience::Short,
                        _ => Patience::Long,
                    };
                    self.keep(tuned, begin.elapsed())?;
                }
                Err(Stopped(_)) => return Ok(false),
            }
        }
        display.end();
        Ok(true)
    }

    /// Measures within `limit`, and what is left of the run's time, what an empty parallel region costs, if it is wanted
    /// `again` or not known under these conditions; false if the user stopped it.
    pub fn measure_regions(
        &mut self,
        measurer: &mut Measurer,
        again: bool,
        limit: Nanos,
    ) -> anyhow::Result<bool> {
        let conditions = RegionConditions::from(&self.profile.conditions);
        if !again && self.profile.has_regions(&conditions) {
            return Ok(true);
        }
        let left = self
            .allowance
            .run
            .map(|run| run.saturating_sub(self.spent()));
        let limit = left.map_or(limit, |left| limit.min(left));
        match measurer.regions(conditions, limit) {
            Ok(Some(fresh)) => {
                log::info!(
                    target: PROGRESS,
                    "what an empty parallel region costs was measured on {} ({:.1} s); `threadtune show --regions` shows it",
                    counted(fresh.regions.len(), "count"),
                    fresh.spent_s
                );
                self.profile.keep_regions(fresh);
                self.save()?;
                Ok(true)
            }
            Ok(None) => Ok(true),
            Err(Stopped(_)) => Ok(false),
        }
    }

    /// Time since the run began.
    fn spent(&self) -> Nanos {
        Nanos(self.begun.elapsed().as_nanos() as u64)
    }

    /// Saves what was found out about a workload, unless the profile knows more.
    fn keep(&mut self, tuned: Tuned, spent: Duration) -> anyhow::Result<()> {
        let Tuned { entry, allowed } = tuned;
        let spent_tuning = Nanos::from_secs_f64(entry.seconds);
        let is_cut = self
            .allowance
            .cuts_short(&entry.stop, allowed, spent_tuning);
        self.profile
            .keep(entry.clone(), is_cut, &self.order, spent.as_secs_f64());
        if is_cut {
            self.cut_short.push(entry.name.clone());
        }
        self.fresh.push(entry);
        self.save()
    }

    /// Nothing is left of the run's time for these.
    fn never_begun(&mut self, left: &[Workload]) -> anyhow::Result<()> {
        for workload in left {
            self.profile
                .set_cut_short(&workload.name, true, &self.order);
            self.cut_short.push(workload.name.clone());
        }
        self.save()
    }

    fn save(&mut self) -> anyhow::Result<()> {
        Ok(save_now(&self.path, &mut self.profile)?)
    }

    /// A slow kernel is a fault of ours, or of the build; its counts must not be taken for those of fast ones.
    fn warn_of_slow_kernels(&self) {
        let slow = self.fresh.iter().filter(|entry| entry.is_slow());
        let names: Vec<&str> = slow.map(|entry| entry.name.as_str()).collect();
        match names[..] {
            [] => {}
            [name] => log::warn!(
                "{name}: its kernel is slow on this processor; such counts come out too high (`threadtune show {name}` \
                 tells how slow)"
            ),
            _ => log::warn!(
                "{}: their kernels are slow on this processor; such counts come out too high (`threadtune show WORKLOAD` \
                 tells how slow)",
                names.join(", ")
            ),
        }
    }

    /// Prints what was measured, in the catalogue's order, and what was not.
    pub fn report(
        mut self,
        finished: bool,
        wanted: usize,
        stop: &StopRequest,
    ) -> anyhow::Result<ExitCode> {
        let order = &self.order;
        self.fresh
            .sort_by_key(|entry| order.iter().position(|name| *name == entry.name));
        let mut text = String::new();
        if !self.fresh.is_empty() {
            text += &profile_table(&self.fresh.iter().collect::<Vec<_>>());
            let _ = writeln!(text, "\nProfile: {}", self.path.display());
        }
        super::super::output::print(text.as_bytes())?;
        self.warn_of_slow_kernels();
        if let Some(run) = self.allowance.run
            && !self.cut_short.is_empty()
        {
            log::warn!(
                "the budget of {} was too short for {}; `{}` measures what is left",
                humantime::format_duration(Duration::from_nanos(run.0)),
                self.cut_short.join(", "),
                self.to_go_on
            );
        }
        if !finished {
            log::warn!(
                "stopped; {} of {wanted} workloads are in {}",
                self.fresh.len(),
                self.path.display()
            );
            return Ok(stop.exit_code());
        }
        let failed = self
            .fresh
            .iter()
            .any(|entry| matches!(entry.stop, StopReason::Failed(_)));
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
