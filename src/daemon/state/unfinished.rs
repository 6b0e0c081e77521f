//! Tunings that were put aside, kept so that they go on where they were, after a restart too.

use super::{StateDirectory, StateError};
use crate::bench::Unfinished;
use crate::machine::{BootAnchor, BootTime};
use crate::profile::{BudgetRecord, Conditions};
use crate::tune::VisitPlan;
use crate::units::{CpuSet, Nanos};
use crate::workload::{KERNEL_REVISION, Workload};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

const FILE: &str = "unfinished.json";

/// A tuning of many arms and blocks is some hundred kilobytes, and all workloads of a catalogue may rest at once.
const MAX_BYTES: u64 = 128 << 20;

/// What was begun under other circumstances than those at hand is kept for so long.
const OTHERS_KEPT: Nanos = Nanos(7 * 86_400_000_000_000);

/// Under what a tuning was begun: it goes on only where all of it is still so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The program: another version may decide otherwise.
    version: String,
    /// The revision of our kernels: samples of others are no samples of these.
    #[serde(default)]
    kernels: u32,
    /// The machine's id.
    machine: String,
    /// Kernel, budget and the like.
    conditions: Conditions,
}

impl Begun {
    /// Now, on this machine.
    pub fn now(machine: &str, conditions: &Conditions) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: KERNEL_REVISION,
            machine: machine.to_owned(),
            // The team is known only once a worker runs; its library stands for it. Which CPUs they are does not matter
            // where their form is known: a container is dealt others at each start.
            conditions: Conditions {
                team: String::new(),
                budget: BudgetRecord {
                    cpus: match conditions.budget.grouping {
                        Some(_) => CpuSet::new(),
                        None => conditions.budget.cpus.clone(),
                    },
                    ..conditions.budget.clone()
                },
                ..conditions.clone()
            },
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stored {
    begun: Begun,
    workload: String,
    shape: String,
    unfinished: Unfinished,
}

impl Stored {
    fn is_of(&self, begun: &Begun, workload: &Workload) -> bool {
        self.begun == *begun
            && self.workload == workload.name
            && self.shape == workload.shape.to_string()
    }
}

/// All of them: those that rest until they are looked at again, and what had to stand back. Where circumstances alternate,
/// such as a governor that follows the mains, those of each wait for theirs to come back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UnfinishedTunings {
    /// The circumstances at hand.
    begun: Option<Begun>,
    tunings: Vec<Stored>,
    /// When they are to be looked at again, and for how long they are measured.
    planned: Option<(VisitPlan, Nanos)>,
    /// Of the boot whose clock told their moments.
    anchor: Option<BootAnchor>,
    /// Is this what lies on the disk?
    #[serde(skip)]
    is_kept: bool,
}

impl UnfinishedTunings {
    /// Those that the last daemon left. What is no use is forgotten.
    pub fn read(state: &StateDirectory, now: &BootAnchor) -> Self {
        let path = state.file(FILE);
        match state.read(FILE, MAX_BYTES) {
            Err(fault) if fault.is_absent() => Self::default(),
            Ok(text) if let Some(mut tunings) = Self::parse(&text) => {
                tunings.carry_to(now);
                tunings
            }
            _ => {
                log::warn!(
                    "{} cannot be used: what was put aside begins anew",
                    path.display()
                );
                Self::default()
            }
        }
    }

    /// A single number that is not what it was could make a tuning endless or its verdict wrong: all of it is right, or
    /// none is used.
    fn parse(text: &str) -> Option<Self> {
        let (sum, json) = text.split_once('\n')?;
        (sum == checksum(json)).then_some(())?;
        serde_json::from_str(json).ok()
    }

    /// What was written in an earlier boot is told by the clock of this one.
    fn carry_to(&mut self, now: &BootAnchor) {
        if let Some(anchor) = self.anchor.take() {
            for stored in &mut self.tunings {
                stored.unfinished.carry(|moment| anchor.carry(moment, now));
            }
        }
    }

    /// From now on this is the plan: what follows another one is forgotten.
    pub fn plan(&mut self, visits: VisitPlan, workload_budget: Nanos) {
        let planned = Some((visits, workload_budget));
        if self.planned != planned {
            self.planned = planned;
            self.tunings.clear();
            self.is_kept = false;
        }
    }

    /// What lies on the disk dates from before the clock was set, by which the next boot would find its moments again.
    pub fn clock_was_set(&mut self) {
        self.is_kept = false;
    }

    /// Another visit to the workload of this name could not be made: is it tried again, later? Else it is forgotten.
    pub fn postpone(&mut self, workload: &str, now: BootTime) -> bool {
        let begun = self.begun.as_ref();
        let its = self.tunings.iter_mut().find(|stored| {
            Some(&stored.begun) == begun && stored.workload == workload && stored.unfinished.rests()
        });
        let is_postponed = its.is_some_and(|stored| stored.unfinished.postpone(now));
        self.is_kept = false;
        if !is_postponed {
            self.remove(workload);
        }
        is_postponed
    }

    /// From now on these are the circumstances. Forgets what was begun under them of other workloads than these, which go on,
    /// and what has waited too long for other circumstances.
    pub fn settle(&mut self, begun: &Begun, go_on: &BTreeSet<String>, now: BootTime) {
        self.is_kept &= self.begun.as_ref() == Some(begun);
        self.begun = Some(begun.clone());
        let before = self.tunings.len();
        self.tunings.retain(|stored| {
            if stored.begun == *begun {
                go_on.contains(&stored.workload)
            } else {
                stored.unfinished.idle_for(now) < OTHERS_KEPT
            }
        });
        self.is_kept &= self.tunings.len() == before;
    }

    /// The one of this workload that was begun under these circumstances.
    pub fn under(&self, begun: &Begun, workload: &Workload) -> Option<&Unfinished> {
        let mut tunings = self.tunings.iter();
        let its = tunings.find(|stored| stored.is_of(begun, workload));
        its.map(|stored| &stored.unfinished)
    }

    /// The one of this workload under the circumstances at hand.
    pub fn of(&self, workload: &Workload) -> Option<&Unfinished> {
        self.under(self.begun.as_ref()?, workload)
    }

    /// Those under the circumstances at hand.
    fn present(&self) -> impl Iterator<Item = &Unfinished> {
        let begun = self.begun.as_ref();
        let tunings = self.tunings.iter();
        tunings
            .filter(move |stored| Some(&stored.begun) == begun)
            .map(|stored| &stored.unfinished)
    }

    /// In how long the first of all is to be looked at again, if one is.
    pub fn next_visit_in(&self, now: BootTime) -> Option<Nanos> {
        self.present()
            .filter_map(|unfinished| unfinished.next_visit_in(now))
            .min()
    }

    /// How many are to be looked at again.
    pub fn resting(&self) -> usize {
        self.present()
            .filter(|unfinished| unfinished.rests())
            .count()
    }

    /// Forgets the one of this name under the circumstances at hand.
    pub fn remove(&mut self, workload: &str) {
        let begun = self.begun.as_ref();
        self.tunings
            .retain(|stored| Some(&stored.begun) != begun || stored.workload != workload);
        self.is_kept = false;
    }

    /// Puts in one, in the place of an earlier one of the same workload.
    pub fn put(&mut self, workload: &Workload, unfinished: Unfinished) {
        self.remove(&workload.name);
        // Nothing is measured before it was looked at what the circumstances are.
        if let Some(begun) = self.begun.clone() {
            self.tunings.push(Stored {
                begun,
                workload: workload.name.clone(),
                shape: workload.shape.to_string(),
                unfinished,
            });
        }
    }

    /// Keeps them on the disk; where that fails they are kept by this process only.
    pub fn keep(&mut self, state: &StateDirectory, now: &BootAnchor) -> Result<(), StateError> {
        if self.is_kept {
            return Ok(());
        }
        if self.tunings.is_empty() {
            state.remove(FILE)?;
        } else {
            self.anchor = Some(now.clone());
            let json = serde_json::to_string(self).unwrap_or_default();
            state.write(FILE, &(checksum(&json) + "\n" + &json))?;
        }
        self.is_kept = true;
        Ok(())
    }
}

/// Of these bytes: it finds damage, not malice. Only the same version reads it again, so that the algorithm may change.
fn checksum(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::simulated::{Machine, SimulatedBench};
    use crate::profile::parse;
    use crate::tune::{Options, Step, Tuning};
    use crate::workload::Catalog;
    use serde_json::json;
    use std::path::Path;
    use std::time::{Duration, UNIX_EPOCH};

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> BootTime {
        BootTime::after_boot(Nanos(seconds * SECOND))
    }

    /// A boot, how long ago it was, and what the clock of the day tells, seconds.
    fn anchor(boot: &str, seconds: u64, day: u64) -> BootAnchor {
        let day = UNIX_EPOCH + Duration::from_secs(day);
        BootAnchor::of(boot.to_owned(), at(seconds), day)
    }

    /// One that was seen once, an hour before it is to be seen again.
    fn resting(begun: BootTime) -> Unfinished {
        let machine = Machine::generate(3);
        let span = Nanos(2 * HOUR * SECOND);
        let options = Options {
            visit_plan: Some(VisitPlan {
                min_span: span,
                close_span: span,
                ..VisitPlan::default()
            }),
            ..Options::counts_only()
        };
        let mut tuning = Tuning::new(machine.layout(), options);
        let mut bench = SimulatedBench::new(&machine, 3);
        while let Step::Progress(_) = tuning.step(&mut bench).unwrap() {}
        assert!(tuning.rests());
        let whole = json!({
            "tuning": tuning, "residency": "cache", "begun": begun, "ended": begun, "failures": 0
        });
        serde_json::from_value(whole).unwrap()
    }

    fn begun(machine: &str) -> Begun {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        Begun::now(machine, &profile.conditions[0])
    }

    fn names(catalog: &Catalog) -> BTreeSet<String> {
        catalog.names().into_iter().map(str::to_owned).collect()
    }

    /// None yet, under circumstances of this name.
    fn none(begun: &Begun) -> UnfinishedTunings {
        let mut tunings = UnfinishedTunings::default();
        tunings.settle(begun, &BTreeSet::new(), at(0));
        tunings
    }

    #[test]
    fn what_is_to_be_looked_at_again_waits_for_its_time() {
        let catalog = Catalog::embedded();
        let [first, second, other] = [0, 1, 2].map(|i| &catalog.workloads()[i]);
        let here = begun("here");
        let mut tunings = none(&here);
        tunings.put(first, resting(at(1000)));
        tunings.put(second, resting(at(1600)));
        assert_eq!(tunings.resting(), 2);
        let apart = tunings.next_visit_in(at(1000)).unwrap();
        let waits = |workload, seconds| {
            let its = tunings.under(&here, workload)?;
            Some(its.next_visit_in(at(seconds))? > Nanos::ZERO)
        };
        let due = 1000 + apart.0.div_ceil(SECOND);
        assert!(apart.0 >= 1800 * SECOND, "{apart:?}");
        let moments = [1000, due - 1, due];
        assert_eq!(
            moments.map(|moment| waits(first, moment)),
            [Some(true), Some(true), Some(false)]
        );
        // The second one is due ten minutes later.
        assert_eq!(waits(second, due), Some(true));
        assert_eq!(waits(second, due + 600), Some(false));
        assert_eq!(tunings.next_visit_in(at(due + 600)), Some(Nanos::ZERO));
        // What was begun elsewhere, or not at all, has nothing to wait for.
        assert_eq!(tunings.under(&begun("there"), first), None);
        assert_eq!(waits(other, 1000), None);
    }

    #[test]
    fn a_visit_that_fails_is_tried_again_but_not_for_ever() {
        let catalog = Catalog::embedded();
        let first = &catalog.workloads()[0];
        let mut tunings = none(&begun("here"));
        assert!(!tunings.postpone(&first.name, at(1000)), "there is none");
        tunings.put(first, resting(at(1000)));
        let apart = tunings.next_visit_in(at(1000)).unwrap();
        assert!(tunings.postpone(&first.name, at(9000)));
        assert_eq!(tunings.next_visit_in(at(9000)), Some(apart));
        assert!(tunings.postpone(&first.name, at(20_000)));
        assert!(!tunings.postpone(&first.name, at(30_000)));
        assert_eq!(tunings.of(first), None);
    }

    #[test]
    fn another_plan_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::take(directory.path()).unwrap();
        let catalog = Catalog::embedded();
        let (plan, budget) = (VisitPlan::default(), Nanos(60 * SECOND));
        let mut tunings = none(&begun("here"));
        tunings.plan(plan, budget);
        tunings.put(&catalog.workloads()[0], resting(at(1000)));
        tunings.keep(&state, &anchor("a", 1000, 50_000)).unwrap();
        let mut read = UnfinishedTunings::read(&state, &anchor("a", 2000, 51_000));
        read.plan(plan, budget);
        assert_eq!(read.resting(), 1);
        read.plan(plan, Nanos(budget.0 + 1));
        assert_eq!(read.resting(), 0);
    }

    #[test]
    fn the_wait_goes_on_over_a_boot_and_no_clock_that_is_set_changes_it() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::take(directory.path()).unwrap();
        let catalog = Catalog::embedded();
        let mut tunings = none(&begun("here"));
        tunings.put(&catalog.workloads()[0], resting(at(1000)));
        let apart = tunings.next_visit_in(at(1000)).unwrap();
        let left = |seconds: u64| Some(Nanos(apart.0 - seconds * SECOND));
        tunings.keep(&state, &anchor("a", 1200, 50_000)).unwrap();
        // The daemon started again, and the day's clock was set forward by a day.
        let read = UnfinishedTunings::read(&state, &anchor("a", 1300, 136_500));
        assert_eq!(read.next_visit_in(at(1300)), left(300));
        // The machine was off for five minutes.
        let read = UnfinishedTunings::read(&state, &anchor("b", 10, 50_310));
        assert_eq!(read.next_visit_in(at(10)), left(510));
        // What was kept before the clock was set is written once more, with what it tells now.
        let before = state.read(FILE, MAX_BYTES).unwrap();
        tunings.keep(&state, &anchor("a", 1400, 136_400)).unwrap();
        assert_eq!(state.read(FILE, MAX_BYTES).unwrap(), before);
        tunings.clock_was_set();
        tunings.keep(&state, &anchor("a", 1400, 136_400)).unwrap();
        let read = UnfinishedTunings::read(&state, &anchor("b", 10, 136_510));
        assert_eq!(read.next_visit_in(at(10)), left(510));
    }

    #[test]
    fn circumstances_that_come_back_find_what_was_begun_under_them() {
        let catalog = Catalog::embedded();
        let (first, all) = (&catalog.workloads()[0], names(&catalog));
        let (mains, battery) = (begun("on mains"), begun("on battery"));
        let mut tunings = none(&mains);
        tunings.put(first, resting(at(1000)));
        tunings.settle(&battery, &BTreeSet::new(), at(2000));
        assert_eq!((tunings.resting(), tunings.of(first)), (0, None));
        assert_eq!(tunings.next_visit_in(at(2000)), None);
        assert!(!tunings.postpone(&first.name, at(2000)));
        tunings.put(first, resting(at(2000)));
        tunings.remove(&first.name);
        tunings.settle(&mains, &all, at(3000));
        assert_eq!(tunings.of(first), Some(&resting(at(1000))));
        // Not for ever.
        let week = 7 * 24 * HOUR;
        tunings.settle(&battery, &all, at(1000 + week - 1));
        tunings.settle(&mains, &all, at(1000 + week - 1));
        assert_eq!(tunings.resting(), 1);
        tunings.settle(&battery, &all, at(1000 + week));
        tunings.settle(&mains, &all, at(1000 + week));
        assert_eq!(tunings.resting(), 0);
        // What is not to go on under the circumstances at hand is gone at once.
        tunings.put(first, resting(at(1000)));
        tunings.settle(&mains, &BTreeSet::new(), at(2000));
        assert_eq!(tunings.resting(), 0);
    }
}
