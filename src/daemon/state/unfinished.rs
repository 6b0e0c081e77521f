//! Tunings that were put aside, kept so that they go on where they were, after a restart too.

use super::{StateDirectory, StateError};
use crate::bench::Unfinished;
use crate::profile::Conditions;
use crate::tune::VisitPlan;
use crate::units::Nanos;
use crate::workload::{KERNEL_REVISION, Workload};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hasher};
use std::time::SystemTime;

const FILE: &str = "unfinished.json";

/// A tuning of many arms and blocks is some hundred kilobytes, and all workloads of a catalogue may rest at once.
const MAX_BYTES: u64 = 128 << 20;

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
            // The team is known only once a worker runs; its library stands for it.
            conditions: Conditions {
                team: String::new(),
                ..conditions.clone()
            },
        }
    }
}

/// All of them: those that rest until they are looked at again, and what had to stand back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UnfinishedTunings {
    begun: Option<Begun>,
    tunings: Vec<(String, String, Unfinished)>,
    /// When they are to be looked at again, and for how long they are measured.
    planned: Option<(VisitPlan, Nanos)>,
    /// Is this what lies on the disk?
    #[serde(skip)]
    is_kept: bool,
}

impl UnfinishedTunings {
    /// Those that the last daemon left. What is no use is forgotten.
    pub fn read(state: &StateDirectory, now: SystemTime) -> Self {
        let path = state.file(FILE);
        match state.read(FILE, MAX_BYTES) {
            Err(fault) if fault.is_absent() => Self::default(),
            Ok(text) if let Some(mut tunings) = Self::parse(&text) => {
                tunings.forget_the_future(now);
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

    /// From now on this is the plan: what follows another one is forgotten.
    pub fn plan(&mut self, visits: VisitPlan, workload_budget: Nanos) {
        let planned = Some((visits, workload_budget));
        if self.planned != planned {
            self.planned = planned;
            self.tunings.clear();
            self.is_kept = false;
        }
    }

    /// A clock that was set back makes nobody wait until it is as late again.
    pub fn forget_the_future(&mut self, now: SystemTime) {
        for (_, _, unfinished) in &mut self.tunings {
            unfinished.forget_the_future(now);
        }
    }

    /// Another visit to the workload of this name could not be made: is it tried again, later? Else it is forgotten.
    pub fn postpone(&mut self, workload: &str, now: SystemTime) -> bool {
        let mut tunings = self.tunings.iter_mut();
        let its = tunings.find(|(name, _, unfinished)| name == workload && unfinished.rests());
        let is_postponed = its.is_some_and(|(_, _, unfinished)| unfinished.postpone(now));
        self.is_kept = false;
        if !is_postponed {
            self.remove(workload);
        }
        is_postponed
    }

    /// Forgets what was begun under other circumstances, and those that are not to go on, by name and by whether they rest.
    pub fn retain(&mut self, begun: &Begun, is_due: impl Fn(&str, bool) -> bool) {
        if self.begun.as_ref() != Some(begun) {
            self.tunings.clear();
            self.begun = Some(begun.clone());
            self.is_kept = false;
        }
        let before = self.tunings.len();
        self.tunings
            .retain(|(name, _, unfinished)| is_due(name, unfinished.rests()));
        self.is_kept &= self.tunings.len() == before;
    }

    /// The one of this workload.
    pub fn of(&self, workload: &Workload) -> Option<&Unfinished> {
        let is_its =
            |name: &str, shape: &str| name == workload.name && shape == workload.shape.to_string();
        let mut tunings = self.tunings.iter();
        tunings
            .find(|(name, shape, _)| is_its(name, shape))
            .map(|(_, _, unfinished)| unfinished)
    }

    /// In how long the one of this workload goes on, at once unless it waits for another visit; absent where none was begun
    /// under these circumstances.
    pub fn wait_of(&self, begun: &Begun, workload: &Workload, now: SystemTime) -> Option<Nanos> {
        let unfinished = self
            .of(workload)
            .filter(|_| self.begun.as_ref() == Some(begun));
        Some(unfinished?.next_visit_in(now).unwrap_or_default())
    }

    /// In how long the first of all is to be looked at again, if one is.
    pub fn next_visit_in(&self, now: SystemTime) -> Option<Nanos> {
        let tunings = self.tunings.iter();
        tunings
            .filter_map(|(_, _, unfinished)| unfinished.next_visit_in(now))
            .min()
    }

    /// How many are to be looked at again.
    pub fn resting(&self) -> usize {
        let tunings = self.tunings.iter();
        tunings
            .filter(|(_, _, unfinished)| unfinished.rests())
            .count()
    }

    /// Forgets the one of this name.
    pub fn remove(&mut self, workload: &str) {
        self.tunings.retain(|(name, _, _)| name != workload);
        self.is_kept = false;
    }

    /// Puts in one, in the place of an earlier one of the same workload.
    pub fn put(&mut self, workload: &Workload, unfinished: Unfinished) {
        self.remove(&workload.name);
        let shape = workload.shape.to_string();
        self.tunings
            .push((workload.name.clone(), shape, unfinished));
    }

    /// Keeps them on the disk; where that fails they are kept by this process only.
    pub fn keep(&mut self, state: &StateDirectory) -> Result<(), StateError> {
        if self.is_kept {
            return Ok(());
        }
        if self.tunings.is_empty() {
            state.remove(FILE)?;
        } else {
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

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// One that was seen once, an hour before it is to be seen again.
    fn resting(begun: SystemTime) -> Unfinished {
        let machine = Machine::generate(3);
        let span = Nanos(2 * HOUR * 1_000_000_000);
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
        let whole = json!({"tuning": tuning, "residency": "cache", "begun": begun, "ended": begun});
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn what_is_to_be_looked_at_again_waits_for_its_time() {
        let catalog = Catalog::embedded();
        let [first, second, other] = [0, 1, 2].map(|i| &catalog.workloads()[i]);
        let text = include_str!("../../../tests/profiles/made-up.toml");
        let conditions = parse(Path::new("made-up.toml"), text).unwrap().conditions;
        let here = Begun::now("here", &conditions);
        let mut tunings = UnfinishedTunings::default();
        tunings.retain(&here, |_, _| true);
        tunings.put(first, resting(at(1000)));
        tunings.put(second, resting(at(1600)));
        assert_eq!(tunings.resting(), 2);
        let apart = tunings.next_visit_in(at(1000)).unwrap();
        let wait_of = |begun, workload, seconds| {
            let wait = tunings.wait_of(begun, workload, at(seconds));
            wait.map(|wait| wait > Nanos::ZERO)
        };
        let waits = |seconds| wait_of(&here, first, seconds);
        let due = 1000 + apart.0.div_ceil(1_000_000_000);
        assert!(apart.0 >= 1800 * 1_000_000_000, "{apart:?}");
        assert_eq!(
            [waits(1000), waits(due - 1), waits(due)],
            [Some(true), Some(true), Some(false)]
        );
        // The second one is due ten minutes later.
        assert_eq!(wait_of(&here, second, due), Some(true));
        assert_eq!(wait_of(&here, second, due + 600), Some(false));
        assert_eq!(tunings.next_visit_in(at(due + 600)), Some(Nanos::ZERO));
        // What was begun elsewhere, or not at all, has nothing to wait for.
        let there = Begun::now("there", &conditions);
        assert_eq!(wait_of(&there, first, 1000), None);
        assert_eq!(wait_of(&here, other, 1000), None);
        // A clock that is set back makes nobody wait until it is as late again.
        tunings.forget_the_future(at(500));
        assert_eq!(tunings.next_visit_in(at(500)), Some(apart));
        assert_eq!(
            tunings.next_visit_in(at(600)),
            Some(Nanos(apart.0 - 100_000_000_000))
        );
    }

    #[test]
    fn a_visit_that_fails_is_tried_again_but_not_for_ever() {
        let catalog = Catalog::embedded();
        let first = &catalog.workloads()[0];
        let mut tunings = UnfinishedTunings::default();
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
        let (plan, budget) = (VisitPlan::default(), Nanos(60_000_000_000));
        let mut tunings = UnfinishedTunings::default();
        tunings.plan(plan, budget);
        tunings.put(&catalog.workloads()[0], resting(at(1000)));
        tunings.keep(&state).unwrap();
        let mut read = UnfinishedTunings::read(&state, at(2000));
        read.plan(plan, budget);
        assert_eq!(read.resting(), 1);
        read.plan(plan, Nanos(budget.0 + 1));
        assert_eq!(read.resting(), 0);
    }
}
