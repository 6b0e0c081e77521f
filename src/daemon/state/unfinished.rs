//! Tunings that were put aside, kept so that they go on where they were, after a restart too.

use super::{StateDirectory, StateError};
use crate::bench::Unfinished;
use crate::profile::Conditions;
use crate::workload::{KERNEL_REVISION, Workload};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hasher};

const FILE: &str = "unfinished.json";

/// A tuning of many arms and blocks is some hundred kilobytes.
const MAX_BYTES: u64 = 16 << 20;

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

/// All of them: one as a rule, more where something else had to be measured first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UnfinishedTunings {
    begun: Option<Begun>,
    tunings: Vec<(String, String, Unfinished)>,
}

impl UnfinishedTunings {
    /// Those that the last daemon left. What is no use is forgotten.
    pub fn read(state: &StateDirectory) -> Self {
        let path = state.file(FILE);
        match state.read(FILE, MAX_BYTES) {
            Err(fault) if fault.is_absent() => Self::default(),
            Ok(text) if let Some(tunings) = Self::parse(&text) => tunings,
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

    /// Forgets what was begun under other circumstances, and those of workloads that are not to be tuned any more.
    pub fn retain(&mut self, begun: &Begun, is_due: impl Fn(&str) -> bool) {
        if self.begun.as_ref() != Some(begun) {
            self.tunings.clear();
            self.begun = Some(begun.clone());
        }
        self.tunings.retain(|(name, _, _)| is_due(name));
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

    /// Forgets the one of this name.
    pub fn remove(&mut self, workload: &str) {
        self.tunings.retain(|(name, _, _)| name != workload);
    }

    /// Puts in one, in the place of an earlier one of the same workload.
    pub fn put(&mut self, workload: &Workload, unfinished: Unfinished) {
        self.remove(&workload.name);
        let shape = workload.shape.to_string();
        self.tunings
            .push((workload.name.clone(), shape, unfinished));
    }

    /// Keeps them on the disk; where that fails they are kept by this process only.
    pub fn keep(&self, state: &StateDirectory) -> Result<(), StateError> {
        if self.tunings.is_empty() {
            return state.remove(FILE);
        }
        let json = serde_json::to_string(self).unwrap_or_default();
        state.write(FILE, &(checksum(&json) + "\n" + &json))
    }
}

/// Of these bytes: it finds damage, not malice. Only the same version reads it again, so that the algorithm may change.
fn checksum(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    format!("{:016x}", hasher.finish())
}
