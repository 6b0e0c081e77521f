//! One run: measures one workload after another, looks again at each, then measures what regions cost; saves after each, and
//! says how it ended.

use super::progress::Display;
use crate::bench::{Again, Measurer, Stopped, Tuned};
use crate::cli::logging::PROGRESS;
use crate::cli::signals::StopRequest;
use crate::profile::{
    Conditions, Entry, FreshEntry, Judged, Place, Profile, RegionConditions, StopReason,
    reached_now, update,
};
use crate::report::{counted, profile_table};
use crate::tune::{Allowance, Options, Patience};
use crate::units::{Nanos, ThreadCount};
use crate::workload::Workload;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// While nothing is due, signals are looked for this often.
const A_MOMENT: Duration = Duration::from_millis(50);

/// A workload that is looked at again.
struct Later {
    /// Which of those selected.
    index: usize,
    due: Instant,
    again: Again,
}

/// Waits until then; false if the user stopped it.
fn waited_until(due: Instant, stop: &StopRequest) -> bool {
    loop {
        if stop.is_set() {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(A_MOMENT));
    }
}

/// One run: what is measured and where it goes.
pub struct Run<'a> {
    /// As it was on the disk when this run last wrote it.
    profile: Profile,
    /// Under what it measures.
    conditions: Conditions,
    /// Where its verdicts are to serve: here.
    place: Place,
    /// Does a verdict go in even where the profile knows more?
    replaces: bool,
    path: PathBuf,
    order: Vec<&'a str>,
    allowance: Allowance,
    to_go_on: String,
    /// When the first workload began.
    begun: Instant,
    fresh: Vec<Entry>,
    cut_short: Vec<String>,
    /// Of these the profile has a surer verdict as long as they are to be looked at again.
    held_back: BTreeSet<String>,
}

/// What a run begins with.
pub struct Setup<'a> {
    /// The profile as it was before.
    pub profile: Profile,
    /// Where it lies.
    pub path: PathBuf,
    /// Under what is measured now.
    pub conditions: Conditions,
    /// What a program gets here without any verdict.
    pub fallback: ThreadCount,
    /// Does a verdict go in even where the profile knows more?
    pub replaces: bool,
    /// The names of the catalogue in its order.
    pub order: Vec<&'a str>,
    /// How much time there is.
    pub allowance: Allowance,
    /// The command that measures what this run leaves out.
    pub to_go_on: String,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub fn new(setup: Setup<'a>) -> Self {
        let place = Place {
            budget: Some(setup.conditions.budget.clone()),
            fallback: Some(setup.fallback),
            is_pinned: false,
            topology: None,
        };
        Self {
            profile: setup.profile,
            conditions: setup.conditions,
            place,
            replaces: setup.replaces,
            path: setup.path,
            order: setup.order,
            allowance: setup.allowance,
            to_go_on: setup.to_go_on,
            begun: Instant::now(),
            fresh: Vec::new(),
            cut_short: Vec::new(),
            held_back: BTreeSet::new(),
        }
    }

    /// Measures and saves one workload after another, as long as there is time, then goes round those that are to be looked
    /// at again; false if the user stopped it.
    pub fn measure(
        &mut self,
        measurer: &mut Measurer,
        selected: &[Workload],
        options: &Options,
        stop: &StopRequest,
    ) -> anyhow::Result<bool> {
        let display = Display::new(selected.len());
        self.begun = Instant::now();
        let Some(later) = self.first_round(measurer, selected, options, stop, &display)? else {
            return Ok(false);
        };
        let finished = self.further_rounds(measurer, selected, later, stop, &display)?;
        display.end();
        Ok(finished)
    }

    /// The moment after which no workload is measured, where the run has a limit.
    fn until(&self) -> Option<Instant> {
        let run = self.allowance.run?;
        let tuning = run.saturating_sub(self.allowance.sustained);
        self.begun.checked_add(Duration::from_nanos(tuning.0))
    }

    /// What is to be looked at again of all that there was time for; `None` if the user stopped it.
    fn first_round(
        &mut self,
        measurer: &mut Measurer,
        selected: &[Workload],
        options: &Options,
        stop: &StopRequest,
        display: &Display,
    ) -> anyhow::Result<Option<Vec<Later>>> {
        let until = self.until();
        let mut patience = Patience::Long;
        let mut later = Vec::new();
        for (i, workload) in selected.iter().enumerate() {
            if stop.is_set() {
                return Ok(None);
            }
            let Some(time_budget) = self.allowance.of_next(self.spent()) else {
                let names = selected[i..].iter().map(|workload| workload.name.as_str());
                self.cut_off(names)?;
                break;
            };
            let begin = Instant::now();
            display.begin(&workload.name);
            let options = Options {
                time_budget,
                patience,
                ..options.clone()
            };
            let tuned = measurer.tune(workload, options, until, None, &mut |progress| {
                display.progress(progress);
            });
            let Ok(tuned) = tuned else {
                return Ok(None);
            };
            display.measured(&tuned);
            // Whoever stayed through all of that is likely to stay.
            patience = match tuned.entry.stop {
                StopReason::Contaminated => Patience::Short,
                _ => Patience::Long,
            };
            later.extend(self.keep(i, tuned, begin.elapsed())?);
        }
        Ok(Some(later))
    }

    /// Looks again at these, round after round, until nothing is left of them or of the time: between visits to one the
    /// others are measured, so that a long run waits for nothing. False if the user stopped it.
    fn further_rounds(
        &mut self,
        measurer: &mut Measurer,
        selected: &[Workload],
        mut later: Vec<Later>,
        stop: &StopRequest,
        display: &Display,
    ) -> anyhow::Result<bool> {
        let until = self.until();
        // Waiting takes no longer than a workload may.
        let mut patience = Duration::from_nanos(self.allowance.workload.0);
        while !later.is_empty() {
            measurer.renew_worker();
            display.another_round(later.len());
            let mut round = std::mem::take(&mut later);
            round.sort_by_key(|later| later.due);
            for Later { index, due, again } in round {
                let Some(workload) = selected.get(index) else {
                    continue;
                };
                let now = Instant::now();
                if until.is_some_and(|until| until <= due.max(now)) {
                    self.cut_off([workload.name.as_str()].into_iter())?;
                    continue;
                }
                let wait = due.saturating_duration_since(now);
                if wait > patience {
                    continue;
                }
                patience -= wait;
                display.waiting();
                if !waited_until(due, stop) {
                    return Ok(false);
                }
                let begin = Instant::now();
                display.begin(&workload.name);
                let seen = measurer.revisit(workload, again.unfinished, &mut |progress| {
                    display.progress(progress);
                });
                match seen {
                    Err(Stopped(_)) => return Ok(false),
                    Ok(None) => {}
                    Ok(Some(tuned)) => {
                        display.measured(&tuned);
                        later.extend(self.keep(index, tuned, begin.elapsed())?);
                    }
                }
            }
        }
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
        let conditions = RegionConditions::from(&self.conditions);
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
                let keep = |profile: &mut Profile| profile.keep_regions(fresh);
                self.profile = update(&self.path, &self.profile, keep)?;
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

    /// Saves what was found out about the workload of this number, unless the profile knows more; what is to be looked at
    /// again.
    fn keep(
        &mut self,
        index: usize,
        tuned: Tuned,
        spent: Duration,
    ) -> anyhow::Result<Option<Later>> {
        let Tuned {
            entry,
            allowed,
            again,
        } = tuned;
        let fresh = reached_now(entry, &self.conditions);
        let entry = fresh.entry.clone();
        let spent_tuning = Nanos::from_secs_f64(entry.seconds);
        // What is looked at again is not over, and replaces nothing surer.
        let is_cut = again.is_none()
            && self
                .allowance
                .cuts_short(&entry.stop, allowed, spent_tuning);
        let spent_s = spent.as_secs_f64();
        let mut is_held_back = false;
        self.profile = update(&self.path, &self.profile, |profile| {
            is_held_back = again.is_some() && !self.replaces && profile.says_more(&fresh, true);
            if is_held_back {
                profile.merge([], &self.order, spent_s);
            } else {
                self.put(profile, fresh, is_cut, spent_s);
            }
        })?;
        if is_held_back {
            self.held_back.insert(entry.name.clone());
        } else {
            self.held_back.remove(&entry.name);
        }
        if is_cut {
            self.cut_short.push(entry.name.clone());
        }
        self.fresh.retain(|fresh| fresh.name != entry.name);
        self.fresh.push(entry);
        Ok(again.map(|again| Later {
            index,
            due: Instant::now() + Duration::from_nanos(again.wait.0),
            again,
        }))
    }

    /// Puts a verdict into the profile, unless that knows more, which is said.
    fn put(&self, profile: &mut Profile, fresh: FreshEntry, is_cut: bool, spent_s: f64) {
        let order = &self.order;
        if self.replaces {
            return profile.replace(fresh, is_cut, order, spent_s);
        }
        let name = fresh.entry.name.clone();
        let hint = if fresh.entry.latency.is_some() {
            "; `--replace` puts this one in its place"
        } else {
            ""
        };
        if let Some(why) = profile.keep(fresh, is_cut, order, spent_s) {
            log::warn!("{name}: the earlier verdict stays, as this time {why}{hint}");
        }
    }

    /// Nothing is left of the run's time for these, or for looking at them again.
    fn cut_off<'n>(&mut self, left: impl Iterator<Item = &'n str>) -> anyhow::Result<()> {
        let left: Vec<&str> = left.collect();
        self.profile = update(&self.path, &self.profile, |profile| {
            for name in &left {
                profile.set_cut_short(name, true, &self.order);
            }
        })?;
        self.cut_short.extend(left.into_iter().map(str::to_owned));
        Ok(())
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
            let judged = |entry| Judged {
                entry,
                standing: self.profile.standing(entry, &self.place),
            };
            text += &profile_table(&self.fresh.iter().map(judged).collect::<Vec<_>>());
            let _ = writeln!(text, "\nProfile: {}", self.path.display());
        }
        super::super::output::print(text.as_bytes())?;
        for name in &self.held_back {
            log::warn!(
                "{name}: the earlier verdict stays, as this time it was not looked at to the end"
            );
        }
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
