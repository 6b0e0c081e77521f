//! The profile that the daemon keeps: what there is to do for it, and putting in what was found out.

use super::schedule::Task;
use super::settings::Scope;
use super::state::{Begun, StateDirectory};
use super::status::Workloads;
use crate::bench::{Surroundings, Tuned};
use crate::configuration::Configuration;
use crate::document::read::read_text;
use crate::profile::{
    BudgetRecord, Conditions, Entry, Profile, StopReason, check_writable, load_to_continue, save,
    save_now,
};
use crate::report::time;
use crate::tune::{Drift, Finding, contenders};
use crate::worker::team::{TeamChoice, expected};
use crate::workload::{Catalog, Workload};
use anyhow::anyhow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whose kernels run.
const BACKEND: &str = "native";

/// No catalogue is larger.
const CATALOGUE_BYTES: u64 = 1 << 20;

/// The profile of one machine and backend while there is work on it.
#[derive(Debug)]
pub struct Kept {
    /// The machine.
    pub around: Surroundings,
    catalog: Catalog,
    path: PathBuf,
    profile: Profile,
    /// Today's. The profile takes them over when it is known to hold under them.
    conditions: Conditions,
    /// Workloads whose count was checked since the survey.
    checked: BTreeSet<String>,
    /// Does the disk hold what this process knows?
    is_saved: bool,
    /// Did a check fail since the survey?
    has_failed_check: bool,
    /// Is the profile kept, or about to be, as it was before the first verdict was replaced or given up?
    has_previous: bool,
    /// The profile as it was then, until it lies beside the new one.
    previous: Option<Profile>,
}

/// What a survey is to take into account.
pub struct Request<'a> {
    /// What is configured.
    pub configuration: &'a Configuration,
    /// What is measured.
    pub scope: &'a Scope,
    /// Sentinels are due, and what failed is tried again.
    pub check: bool,
    /// Otherwise these workloads are left out.
    pub given_up: &'a BTreeSet<String>,
    /// Was the profile before kept when these tasks began to be done?
    pub has_previous: bool,
}

impl Kept {
    /// Compares machine, catalogue and profile: what is kept, and what is to be done. An error says what must be mended
    /// first.
    pub fn survey(
        state: &StateDirectory,
        request: &Request<'_>,
    ) -> anyhow::Result<(Self, Vec<Task>)> {
        let catalog = catalog(request.scope.catalogue.as_deref())?;
        let around = Surroundings::read(request.configuration, TeamChoice::Auto)?;
        let path = state.profile(&around.fingerprint.id, BACKEND)?;
        check_writable(&path)?;
        let old = load_to_continue(&path, &around.fingerprint.id)?;
        // Where the dynamic linker would decide, nothing is expected, and the team is known once a worker runs.
        let team = expected(TeamChoice::Auto, true).team.unwrap_or_else(|| {
            let known = old.as_ref().map(|old| old.conditions.team.clone());
            known.unwrap_or_default()
        });
        let conditions = around.conditions(BACKEND, &team);
        let before = old
            .as_ref()
            .map_or_else(|| conditions.clone(), |old| old.conditions.clone());
        let has_grown = has_grown(&before.budget, &conditions.budget);
        if has_grown {
            log::info!(
                "{} CPUs may be used where the profile knows {}: everything is tuned again",
                conditions.budget.limit,
                before.budget.limit
            );
        }
        let changes = conditions.changes_since(&before);
        for change in &changes {
            log::info!("{change}: the profile is checked");
        }
        let mut kept = Self {
            profile: Profile::renewed(old, around.fingerprint.clone(), before),
            around,
            catalog,
            path,
            conditions,
            checked: BTreeSet::new(),
            is_saved: true,
            has_failed_check: false,
            has_previous: request.has_previous,
            previous: None,
        };
        if has_grown {
            kept.outgrow(state)?;
        }
        let tunes = kept.to_tune(request.check, request.given_up);
        let checks = if request.check || !changes.is_empty() {
            kept.sentinels(&tunes)
        } else {
            Vec::new()
        };
        // Until they are made, nothing tells that they are due but the conditions of old.
        let tasks: Vec<Task> = checks
            .into_iter()
            .map(Task::Check)
            .chain(tunes.into_iter().map(Task::Tune))
            .collect();
        if !changes.is_empty() && !tasks.iter().any(Task::is_check) {
            kept.settle(state)?;
        }
        Ok((kept, tasks))
    }

    /// Every verdict was reached with fewer CPUs than there are: each had too little, and is noted so in the profile until
    /// it is tuned again, whatever happens to this process.
    fn outgrow(&mut self, state: &StateDirectory) -> anyhow::Result<()> {
        self.keep_previous();
        let order = self.catalog.names();
        for name in &order {
            if self.profile.entry(name).is_some() {
                self.profile.set_cut_short(name, true, &order);
            }
        }
        self.profile
            .conditions
            .budget
            .clone_from(&self.conditions.budget);
        self.is_saved = self.profile.workloads.is_empty();
        self.save(state)
    }

    /// The workloads whose count is to be chosen, by priority.
    fn to_tune(&self, check: bool, given_up: &BTreeSet<String>) -> Vec<String> {
        let is_due = |workload: &Workload| {
            let entry = self.profile.entry(&workload.name);
            let was_disturbed = entry.is_some_and(|entry| entry.stop == StopReason::Contaminated);
            if self.profile.lacks(workload) {
                check || !given_up.contains(&workload.name)
            } else {
                check && was_disturbed
            }
        };
        let workloads = self.catalog.select(&[], false).unwrap_or_default();
        workloads
            .into_iter()
            .filter(is_due)
            .map(|workload| workload.name)
            .collect()
    }

    /// A few workloads from the shortest call to the longest, of those whose count can be checked.
    fn sentinels(&self, tunes: &[String]) -> Vec<String> {
        let mut entries: Vec<(&Entry, f64)> = self
            .checkable()
            .filter(|entry| !tunes.contains(&entry.name))
            .filter_map(|entry| Some((entry, entry.latency.as_ref()?.median_us)))
            .collect();
        entries.sort_by(|a, b| a.1.total_cmp(&b.1));
        let last = entries.len().saturating_sub(1);
        let places = BTreeSet::from([0, last / 2, last]);
        places
            .into_iter()
            .filter_map(|place| Some(entries.get(place)?.0.name.clone()))
            .collect()
    }

    fn checkable(&self) -> impl Iterator<Item = &Entry> {
        let most = self.around.layout.logical;
        self.profile.workloads.iter().filter(move |entry| {
            let known = self.catalog.get(&entry.name).ok();
            known.is_some_and(|workload| workload.shape.to_string() == entry.shape)
                && contenders(entry, most).is_some()
        })
    }

    /// The workload of this name.
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.catalog.get(name).ok()
    }

    /// What the profile says of it.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.profile.entry(name)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Under what tunings are begun now.
    pub fn begun(&self) -> Begun {
        Begun::now(&self.around.fingerprint.id, &self.conditions)
    }

    /// How many workloads have which verdict.
    pub fn workloads(&self) -> Workloads {
        let count = |is: &dyn Fn(&Entry) -> bool| {
            self.profile.workloads.iter().filter(|e| is(e)).count() as u32
        };
        Workloads {
            conclusive: count(&|entry| entry.stop.is_conclusive()),
            inconclusive: count(&|entry| {
                matches!(entry.stop, StopReason::Budget | StopReason::Contaminated)
            }),
            failed: count(&|entry| matches!(entry.stop, StopReason::Failed(_))),
            left: 0,
        }
    }

    /// Puts in a verdict and saves. An error is one of writing; the verdict is kept for another try by [`Self::save`].
    pub fn put(
        &mut self,
        state: &StateDirectory,
        tuned: Tuned,
        team: &str,
        spent: Duration,
    ) -> anyhow::Result<()> {
        self.refresh(state);
        let entry = tuned.entry;
        let old = self.profile.entry(&entry.name);
        if let (Some(before), Some(after)) =
            (old.and_then(|old| old.latency.as_ref()), &entry.latency)
        {
            log::info!(
                "{}: a call took {} with a count of {} before, and takes {} with {}",
                entry.name,
                time(before.median_us),
                before.threads,
                time(after.median_us),
                after.threads
            );
        }
        // What was marked to be tuned again was kept as it was then.
        let replaces = old.is_some_and(|old| old.latency.is_some())
            && !self.profile.says_more(&entry, false)
            && !self.profile.is_cut_short(&entry.name);
        if replaces {
            self.keep_previous();
        }
        team.clone_into(&mut self.conditions.team);
        self.profile
            .conditions
            .team
            .clone_from(&self.conditions.team);
        self.profile
            .conditions
            .budget
            .clone_from(&self.conditions.budget);
        let order = self.catalog.names();
        self.profile.keep(entry, false, &order, spent.as_secs_f64());
        self.is_saved = false;
        self.save(state)
    }

    /// The profile as it is now, if it is the one before all changes, will be kept beside the one that follows.
    fn keep_previous(&mut self) {
        if !std::mem::replace(&mut self.has_previous, true) {
            self.previous = Some(self.profile.clone());
        }
    }

    /// Was the profile before kept already?
    pub fn has_previous(&self) -> bool {
        self.has_previous
    }

    /// Notes that a count could not be checked: nothing is known of today's conditions.
    pub fn check_failed(&mut self) {
        self.has_failed_check = true;
    }

    /// Notes that a count was checked; what follows from it. One that lost is noted in the profile, too, until it is tuned
    /// again, whatever happens to this process.
    pub fn checked(
        &mut self,
        state: &StateDirectory,
        name: &str,
        finding: &Finding,
    ) -> anyhow::Result<Vec<Task>> {
        self.checked.insert(name.to_owned());
        let numbers = format!(
            "{name}: a call takes {} with a count of {}, as in the profile, and {} with {}",
            time(1e6 * finding.chosen_seconds),
            finding.chosen,
            time(1e6 * finding.best_seconds),
            finding.best
        );
        match &finding.verdict {
            Drift::Holds => {
                log::info!("{numbers}: the count holds");
                Ok(Vec::new())
            }
            Drift::Unknown(stop) => {
                log::info!("{numbers}: that proves nothing ({stop}), and the count stays");
                Ok(Vec::new())
            }
            Drift::Lost => {
                log::warn!(
                    "{numbers}: {:.1} % are lost, which is proven to be more than 5 %; it is tuned again and the others are \
                     checked",
                    100.0 * finding.loss
                );
                self.keep_previous();
                let order = self.catalog.names();
                self.profile.set_cut_short(name, true, &order);
                self.is_saved = false;
                self.save(state)?;
                let others = self
                    .checkable()
                    .filter(|entry| !self.checked.contains(&entry.name))
                    .map(|entry| Task::Check(entry.name.clone()));
                Ok(std::iter::once(Task::Tune(name.to_owned()))
                    .chain(others)
                    .collect())
            }
        }
    }

    /// No check is left to be made: from now on the profile is one of today's conditions, unless a check failed.
    pub fn settle(&mut self, state: &StateDirectory) -> anyhow::Result<bool> {
        let settled = Conditions {
            budget: self.profile.conditions.budget.clone(),
            ..self.conditions.clone()
        };
        if !self.has_failed_check && self.profile.conditions != settled {
            self.refresh(state);
            self.profile.conditions = settled;
            self.is_saved = self.profile.workloads.is_empty();
        }
        self.save(state)?;
        Ok(!self.has_failed_check)
    }

    /// Writes what the disk lacks.
    pub fn save(&mut self, state: &StateDirectory) -> anyhow::Result<()> {
        if !self.is_saved {
            state.profile(&self.profile.machine.id, BACKEND)?;
            if let Some(previous) = &self.previous {
                save(&self.path.with_extension("previous.toml"), previous)?;
                self.previous = None;
            }
            save_now(&self.path, &mut self.profile)?;
            self.is_saved = true;
        }
        Ok(())
    }

    /// Takes over what somebody else (`tune --system`) did to the profile meanwhile; what is gone, broken, or cannot be
    /// reached, is left to [`Self::save`]: nothing that this process knows is lost by it.
    fn refresh(&mut self, state: &StateDirectory) {
        if self.is_saved
            && state.profile(&self.profile.machine.id, BACKEND).is_ok()
            && let Ok(Some(there)) = load_to_continue(&self.path, &self.profile.machine.id)
        {
            let conditions = self.profile.conditions.clone();
            self.profile = Profile::renewed(Some(there), self.profile.machine.clone(), conditions);
        }
    }
}

/// May more be used now than was looked at then?
fn has_grown(then: &BudgetRecord, now: &BudgetRecord) -> bool {
    now.limit > then.limit || now.cpus.iter().any(|cpu| !then.cpus.contains(cpu))
}

/// The catalogue of this file, or the one built in.
fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let Some(path) = file else {
        return Ok(Catalog::embedded());
    };
    let wrong = |what: String| {
        anyhow!("{what}; mend this catalogue, or daemon.catalogue in the configuration")
    };
    let text = read_text(path, CATALOGUE_BYTES).map_err(|fault| wrong(fault.to_string()))?;
    Catalog::parse(&text).map_err(|error| wrong(format!("{}: {error}", path.display())))
}
