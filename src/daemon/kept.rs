//! The profile that the daemon keeps, and putting in what was found out.

mod change;
mod given_up;
mod survey;

pub use given_up::GivenUp;
pub use survey::{Request, Surveyed};

use super::schedule::Task;
use super::state::{Begun, StateDirectory, previous};
use super::status::Workloads;
use crate::bench::{Surroundings, Tuned, clock_record};
use crate::profile::{
    Conditions, Entry, FreshRegions, Profile, RegionConditions, StopReason, load_there,
    reached_now, save, update,
};
use crate::report::time;
use crate::tune::{Drift, Finding, contenders};
use crate::worker::protocol::Greeting;
use crate::workload::{Catalog, Workload};
use change::Change;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whose kernels run.
pub const BACKEND: &str = "native";

/// The profile of one machine and backend while there is work on it.
#[derive(Debug)]
pub struct Kept {
    /// The machine.
    pub around: Surroundings,
    catalog: Catalog,
    path: PathBuf,
    /// What this process knows: what the disk held when it was last looked at, changed by what it lacks.
    profile: Profile,
    /// What the disk held then.
    on_disk: Profile,
    /// What it lacks.
    lacking: Vec<Change>,
    /// Today's. The verdicts take them over when they are known to hold under them.
    conditions: Conditions,
    /// Workloads that need no check any more: theirs was made since the survey, or they are tuned anyway.
    settled: BTreeSet<String>,
    /// The conditions under which those were found that were checked since the survey.
    checked: Vec<Conditions>,
    /// Did a check fail since the survey?
    has_failed_check: bool,
    /// Is the profile kept, or about to be, as it was before the first verdict was replaced or given up?
    has_previous: bool,
    /// The profile as it was then, until it lies beside the new one.
    previous: Option<Profile>,
}

impl Kept {
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

    /// Does the profile say of this workload what another visit may change?
    fn awaits_visit(&self, workload: &Workload) -> bool {
        let entry = self.profile.entry(&workload.name);
        entry.is_some_and(|entry| {
            entry.stop.may_change() && entry.shape == workload.shape.to_string()
        })
    }

    /// Does the profile state a count for this workload as it is now?
    fn states_count(&self, workload: &Workload) -> bool {
        let entry = self.profile.entry(&workload.name);
        entry.is_some_and(|entry| {
            entry.latency.is_some() && entry.shape == workload.shape.to_string()
        })
    }

    /// Can the count of this workload be checked?
    pub fn is_checkable(&self, name: &str) -> bool {
        self.checkable().any(|entry| entry.name == name)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Under what tunings are begun now.
    pub fn begun(&self) -> Begun {
        Begun::now(&self.around.fingerprint.id, &self.conditions)
    }

    /// Does the profile lack a verdict on this workload that serves here?
    pub fn lacks(&self, workload: &Workload) -> bool {
        let budget = &self.conditions.budget;
        self.profile.lacks(workload, Some(budget))
    }

    /// How many workloads have which verdict.
    pub fn workloads(&self) -> Workloads {
        let is_failed = |entry: &Entry| matches!(entry.stop, StopReason::Failed(_));
        let count = |is: &dyn Fn(&Entry) -> bool| {
            self.profile.workloads.iter().filter(|e| is(e)).count() as u32
        };
        Workloads {
            conclusive: count(&|entry| entry.stop.is_conclusive()),
            inconclusive: count(&|entry| !entry.stop.is_conclusive() && !is_failed(entry)),
            failed: count(&is_failed),
            left: 0,
        }
    }

    /// Puts in a verdict and saves. An error is one of writing; the verdict is kept for another try by [`Self::save`].
    pub fn put(
        &mut self,
        state: &StateDirectory,
        tuned: Tuned,
        greeting: &Greeting,
        spent: Duration,
    ) -> anyhow::Result<()> {
        self.refresh(state);
        greeting.team.clone_into(&mut self.conditions.team);
        self.conditions.library.clone_from(&greeting.library);
        self.conditions.wait.clone_from(&greeting.wait);
        let now = Conditions {
            clock: clock_record(greeting),
            ..self.conditions.clone()
        };
        let fresh = reached_now(tuned.entry, &now);
        let entry = &fresh.entry;
        // What another visit was to follow is the beginning of this verdict, and replaced by nothing.
        let old = self.profile.entry(&entry.name);
        let old = old.filter(|old| !old.stop.may_change());
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
        let replaces =
            old.is_some_and(|old| old.latency.is_some()) && !self.profile.says_more(&fresh, false);
        if replaces {
            self.keep_previous();
        }
        let name = fresh.entry.name.clone();
        if let Some(why) = self.know(Change::Verdict(Box::new(fresh), spent)) {
            log::warn!("{name}: the earlier verdict stays, as this time {why}");
        }
        self.save(state)
    }

    /// Under what the regions of the profile were measured, if it holds any.
    pub fn region_conditions(&self) -> Option<&RegionConditions> {
        self.profile.region_conditions.as_ref()
    }

    /// Puts in what empty regions cost and saves. Where something else could not be saved they wait with it.
    pub fn put_regions(
        &mut self,
        state: &StateDirectory,
        regions: FreshRegions,
    ) -> anyhow::Result<()> {
        self.refresh(state);
        let has_to_wait = !self.lacking.is_empty();
        self.know(Change::Regions(regions));
        if has_to_wait {
            Ok(())
        } else {
            self.save(state)
        }
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

    /// Notes that a count was checked; what follows from it. One that lost, and `is_confirmed` to have lost at another time
    /// before, is noted in the profile, too, until it is tuned again, whatever happens to this process.
    pub fn checked(
        &mut self,
        state: &StateDirectory,
        name: &str,
        finding: &Finding,
        is_confirmed: bool,
    ) -> anyhow::Result<Vec<Task>> {
        self.settled.insert(name.to_owned());
        let entry = self.profile.entry(name).cloned();
        let conditions = entry.as_ref().and_then(|e| self.profile.conditions_of(e));
        let new = conditions.filter(|conditions| !self.checked.contains(conditions));
        let new = new.cloned();
        self.checked.extend(new);
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
            Drift::Lost if !is_confirmed => {
                log::warn!(
                    "{numbers}: {:.1} % are lost, which is proven to be more than 5 % now; it is checked once more at another \
                     time",
                    100.0 * finding.loss
                );
                Ok(Vec::new())
            }
            Drift::Lost => {
                log::warn!(
                    "{numbers}: {:.1} % are lost, which is proven to be more than 5 % for the second time; it is tuned again \
                     and the others are checked",
                    100.0 * finding.loss
                );
                self.keep_previous();
                if let Some(entry) = entry {
                    self.know(Change::Refuted(Box::new(entry)));
                }
                self.save(state)?;
                // Unless somebody else has tuned it meanwhile.
                let again = self.profile.is_cut_short(name);
                let again = again.then(|| Task::Tune(name.to_owned()));
                let others = self
                    .checkable()
                    .filter(|entry| !self.settled.contains(&entry.name))
                    .map(|entry| Task::Check(entry.name.clone()));
                Ok(again.into_iter().chain(others).collect())
            }
        }
    }

    /// No check is left to be made: from now on the verdicts that were found under the same conditions as one that was checked
    /// are those of today's, unless a check failed.
    pub fn settle(&mut self, state: &StateDirectory) -> anyhow::Result<bool> {
        if !self.has_failed_check {
            self.refresh(state);
            let checked = std::mem::take(&mut self.checked);
            let today = Box::new(self.conditions.clone());
            if self.profile.hold_today(&today, &checked) {
                self.lacking.push(Change::Holds { today, checked });
            }
        }
        self.save(state)?;
        Ok(!self.has_failed_check)
    }

    /// From now on this is known, and lacks on the disk; why an earlier verdict stays, where one does.
    fn know(&mut self, change: Change) -> Option<String> {
        let stays = change.apply(&mut self.profile, &self.catalog.names());
        self.lacking.push(change);
        stays
    }

    /// Writes what the disk lacks, beside what somebody else (`tune --system`) wrote meanwhile.
    pub fn save(&mut self, state: &StateDirectory) -> anyhow::Result<()> {
        if !self.lacking.is_empty() {
            state.profile(&self.profile.machine.id, BACKEND)?;
            if let Some(profile) = &self.previous {
                save(&previous(&self.path), profile)?;
                self.previous = None;
            }
            let written = update(&self.path, &self.on_disk, |profile| {
                self.make_up_for(profile);
            })?;
            self.profile = written.clone();
            self.on_disk = written;
            self.lacking.clear();
        }
        Ok(())
    }

    /// Changes what the disk holds by what it lacks.
    fn make_up_for(&self, profile: &mut Profile) {
        let order = self.catalog.names();
        for change in &self.lacking {
            change.apply(profile, &order);
        }
    }

    /// Looks at what somebody else did to the profile meanwhile. What is gone, broken, or cannot be reached is left to
    /// [`Self::save`].
    fn refresh(&mut self, state: &StateDirectory) {
        if state.profile(&self.profile.machine.id, BACKEND).is_ok()
            && let Ok(Some(there)) = load_there(&self.path, &self.profile.machine)
        {
            self.on_disk = Profile::renewed(Some(there), self.profile.machine.clone());
            let mut profile = self.on_disk.clone();
            self.make_up_for(&mut profile);
            self.profile = profile;
        }
    }
}
