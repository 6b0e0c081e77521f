//! What there is to do for the profile: machine, catalogue and profile compared.

use super::{BACKEND, GivenUp, Kept};
use crate::bench::Surroundings;
use crate::configuration::Configuration;
use crate::daemon::schedule::Task;
use crate::daemon::settings::Scope;
use crate::daemon::state::{StateDirectory, UnfinishedTunings};
use crate::document::read::read_text;
use crate::machine::BootTime;
use crate::profile::{
    BudgetRecord, Conditions, Entry, Profile, StopReason, check_writable, load_to_continue,
};
use crate::units::Nanos;
use crate::worker::kernel::isa::Isa;
use crate::worker::protocol::Greeting;
use crate::worker::team::{TeamChoice, expected};
use crate::workload::{Catalog, Workload};
use anyhow::anyhow;
use std::collections::BTreeSet;
use std::path::Path;

/// No catalogue is larger.
const CATALOGUE_BYTES: u64 = 1 << 20;

/// What a survey is to take into account.
pub struct Request<'a> {
    /// What is configured.
    pub configuration: &'a Configuration,
    /// What is measured.
    pub scope: &'a Scope,
    /// Sentinels are due, and what failed is tried again.
    pub check: bool,
    /// Otherwise these workloads are left out.
    pub given_up: &'a GivenUp,
    /// What was begun; what of it is to be looked at again at another time is left out until then.
    pub unfinished: &'a UnfinishedTunings,
    /// The workloads whose count lost at another time and is to be checked once more.
    pub suspects: Vec<String>,
    /// Was the profile before kept when these tasks began to be done?
    pub has_previous: bool,
}

/// What a survey found.
pub struct Surveyed {
    /// What is kept.
    pub kept: Kept,
    /// What is to be done now.
    pub tasks: Vec<Task>,
    /// The workloads whose tuning was begun and goes on, now or when it is time.
    pub go_on: BTreeSet<String>,
}

/// What is to be done for the count of a workload.
enum Due {
    /// Nothing.
    Nothing,
    /// It is chosen from the beginning.
    Anew,
    /// What was begun goes on, in so long.
    GoesOn(Nanos),
}

impl Kept {
    /// Compares machine, catalogue and profile. An error says what must be mended first.
    pub fn survey(state: &StateDirectory, request: &Request<'_>) -> anyhow::Result<Surveyed> {
        let catalog = catalog(request.scope.catalogue.as_deref())?;
        let around = Surroundings::read(request.configuration, TeamChoice::Auto)?;
        let path = state.profile(&around.fingerprint.id, BACKEND)?;
        check_writable(&path)?;
        // What an earlier version left is read like what it replaces: through no link.
        state.profile(&around.fingerprint.earlier_id(), BACKEND)?;
        let old = load_to_continue(&path, &around.fingerprint)?;
        // A worker that runs tells more. Where the dynamic linker would decide, nothing is expected.
        let expected = expected(TeamChoice::Auto, true);
        let team = expected.team.unwrap_or_else(|| {
            let last = old.as_ref().and_then(|old| old.conditions.last());
            last.map(|last| last.team.clone()).unwrap_or_default()
        });
        let greeting = Greeting {
            team,
            library: expected.library,
            wait: around.wait_policy(),
            ..Greeting::default()
        };
        let conditions = Conditions {
            level: Some(Isa::best(None).level().to_string()),
            ..around.conditions(BACKEND, &greeting)
        };
        let profile = Profile::renewed(old, around.fingerprint.clone());
        tell_of_more_cpus(&profile, &conditions.budget);
        let mut kept = Self {
            on_disk: profile.clone(),
            profile,
            lacking: Vec::new(),
            around,
            catalog,
            path,
            conditions,
            settled: BTreeSet::new(),
            checked: Vec::new(),
            has_failed_check: false,
            has_previous: request.has_previous,
            previous: None,
        };
        let (mut tunes, mut go_on) = (Vec::new(), BTreeSet::new());
        for workload in kept.catalog.select(&[], false).unwrap_or_default() {
            let due = kept.due(&workload, request);
            if let Due::GoesOn(_) = due {
                go_on.insert(workload.name.clone());
            }
            if let Due::Anew | Due::GoesOn(Nanos::ZERO) = due {
                tunes.push(workload.name);
            }
        }
        kept.settled.extend(tunes.iter().cloned());
        let mut checks = kept.stale_sentinels(&tunes);
        let scheduled = if request.check {
            kept.sentinels(&tunes, |_| true)
        } else {
            Vec::new()
        };
        for check in scheduled.iter().chain(&request.suspects) {
            if kept.is_checkable(check) && !checks.contains(check) && !tunes.contains(check) {
                checks.push(check.clone());
            }
        }
        // Until they are made, nothing tells that they are due but the conditions of old.
        let tasks: Vec<Task> = checks
            .into_iter()
            .map(Task::Check)
            .chain(tunes.into_iter().map(Task::Tune))
            .collect();
        Ok(Surveyed { kept, tasks, go_on })
    }

    fn due(&self, workload: &Workload, request: &Request<'_>) -> Due {
        let begun = self.begun();
        let name = &workload.name;
        let was_disturbed = || {
            let entry = self.profile.entry(name);
            entry.is_some_and(|entry| entry.stop == StopReason::Contaminated)
        };
        let is_wanted = if self.lacks(workload) {
            request.check || !request.given_up.holds(&begun, name)
        } else {
            request.check && was_disturbed()
        };
        match request.unfinished.under(&begun, workload) {
            // What rests goes with a verdict of the profile, be it its beginning: without one there is nothing to go on from.
            Some(tuning)
                if self.awaits_visit(workload)
                    || is_wanted && (!tuning.rests() || self.states_count(workload)) =>
            {
                let wait = tuning.next_visit_in(BootTime::now());
                Due::GoesOn(wait.unwrap_or_default())
            }
            _ if is_wanted => Due::Anew,
            _ => Due::Nothing,
        }
    }

    /// Sentinels of the verdicts that were found under other conditions than today's, a few for each of these.
    fn stale_sentinels(&self, tunes: &[String]) -> Vec<String> {
        let mut checks = Vec::new();
        let mut told = Vec::new();
        for then in &self.profile.conditions {
            let changes = self.conditions.changes_since(then);
            let sentinels = self.sentinels(tunes, |entry| entry.conditions == then.id);
            if changes.is_empty() || sentinels.is_empty() {
                continue;
            }
            for change in changes.into_iter().map(|change| change.to_string()) {
                if !told.contains(&change) {
                    log::info!("{change}: the profile is checked");
                    told.push(change);
                }
            }
            checks.extend(sentinels);
        }
        checks
    }

    /// A few workloads from the shortest call to the longest, of those of a kind whose count can be checked.
    fn sentinels(&self, tunes: &[String], is_of_kind: impl Fn(&Entry) -> bool) -> Vec<String> {
        let mut entries: Vec<(&Entry, f64)> = self
            .checkable()
            .filter(|entry| is_of_kind(entry) && !tunes.contains(&entry.name))
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
}

/// What was found with less than there is now is looked for again.
fn tell_of_more_cpus(profile: &Profile, now: &BudgetRecord) {
    let entries = profile.workloads.iter();
    let partial: Vec<&str> = entries
        .filter(|entry| profile.is_partial(entry, now))
        .map(|entry| entry.name.as_str())
        .collect();
    if !partial.is_empty() {
        log::info!(
            "{} CPUs may be used, more than when these were measured, which are tuned again: {}",
            now.limit,
            partial.join(", ")
        );
    }
}

/// The catalogue of this file, or the one built in.
fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let Some(path) = file else {
        return Ok(Catalog::embedded());
    };
    let wrong = |what: String| {
        anyhow!(
            "{what}; mend or create this catalogue, or mend daemon.catalogue in the configuration"
        )
    };
    let text = read_text(path, CATALOGUE_BYTES).map_err(|fault| wrong(fault.to_string()))?;
    Catalog::parse(&text).map_err(|error| wrong(format!("{}: {error}", path.display())))
}
