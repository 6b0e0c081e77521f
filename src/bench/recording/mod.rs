//! Recorded measurements: files in two formats, and what they hold.
//!
//! The header of a file tells its format:
//!
//! - long: `workload,threads,seconds` and more columns, one row a repetition;
//! - wide: `m,k,n` and then counts, one row a shape, microseconds.

mod error;
mod long;
mod machine;
mod sheet;
mod wide;

pub use error::RecordingError;
pub use machine::RecordedMachine;

use crate::tune::Arm;
use crate::units::ThreadCount;
use crate::workload::UnknownWorkload;
use sheet::Sheet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The workloads of some files, each name once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recording {
    /// In the order of the files.
    pub workloads: Vec<RecordedWorkload>,
}

/// What was recorded of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedWorkload {
    /// Its name.
    pub name: String,
    /// Its times.
    pub times: Times,
    /// Where it stands.
    origin: Origin,
    /// Where its largest count stands.
    largest: (ThreadCount, Origin),
}

/// Times of one workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Times {
    /// One value a count, seconds a call: it is spread when it is replayed.
    Single(BTreeMap<ThreadCount, f64>),
    /// Several timings an arm, in the order recorded.
    Repeated(BTreeMap<Arm, Vec<Repetition>>),
}

/// One timing.
#[derive(Debug, Clone, PartialEq)]
pub struct Repetition {
    /// Seconds a call.
    pub seconds: f64,
    /// Calls behind it.
    pub calls: u32,
    /// Was something seen that disturbed it?
    pub flagged: bool,
    /// The block that it belongs to, where blocks were recorded.
    pub block: Option<String>,
    /// The visit that it belongs to, from 1 on; 1 where visits were not recorded.
    pub visit: u32,
    /// When it ended, seconds since the recording of its workload began, where that was recorded.
    pub time_s: Option<f64>,
}

/// A cell of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    path: PathBuf,
    line: u64,
    /// From 1.
    column: usize,
    /// The column's name.
    name: String,
}

impl RecordedWorkload {
    /// Was it recorded at several times?
    pub fn holds_visits(&self) -> bool {
        let Times::Repeated(arms) = &self.times else {
            return false;
        };
        arms.values()
            .flatten()
            .any(|repetition| repetition.visit > 1)
    }

    /// How many blocks were recorded.
    pub fn blocks(&self) -> usize {
        let Times::Repeated(arms) = &self.times else {
            return 0;
        };
        let blocks: BTreeSet<&String> = arms
            .values()
            .flatten()
            .filter_map(|repetition| repetition.block.as_ref())
            .collect();
        blocks.len()
    }
}

impl Recording {
    /// Reads files of both formats. The first thing wrong in any of them is the error, and nothing is returned.
    pub fn read(paths: &[PathBuf]) -> Result<Self, RecordingError> {
        let mut recording = Self::default();
        let mut origins = BTreeMap::new();
        for path in paths {
            for workload in read(path)? {
                let name = workload.name.clone();
                if let Some(first) = origins.insert(name.clone(), workload.origin.clone()) {
                    return Err(workload.origin.error(format!(
                        "`{name}` stands also in {}, line {}; leave out one of them",
                        first.path.display(),
                        first.line
                    )));
                }
                recording.workloads.push(workload);
            }
        }
        Ok(recording)
    }

    /// The workload of this name.
    pub fn get(&self, name: &str) -> Result<&RecordedWorkload, UnknownWorkload> {
        self.workloads
            .iter()
            .find(|workload| workload.name == name)
            .ok_or_else(|| {
                UnknownWorkload::among(name, self.workloads.iter().map(|w| w.name.as_str()))
            })
    }

    /// Is no count beyond the logical CPUs of the machine?
    pub fn check_against(&self, machine: &RecordedMachine) -> Result<(), RecordingError> {
        let all = machine.layout().logical;
        let beyond = self.workloads.iter().find(|w| w.largest.0 > all);
        beyond.map_or(Ok(()), |workload| {
            let (count, origin) = &workload.largest;
            Err(origin.error(format!("{count} threads were recorded and the machine file gives {all} logical CPUs; correct one of them"),
            ))
        })
    }
}

fn read(path: &Path) -> Result<Vec<RecordedWorkload>, RecordingError> {
    let sheet = Sheet::read(path)?;
    if sheet.column("workload").is_some() {
        long::workloads(&sheet)
    } else if ["m", "k", "n"]
        .iter()
        .all(|name| sheet.column(name).is_some())
    {
        wide::workloads(&sheet)
    } else {
        Err(sheet.header_error(
            1,
            "this is the header of no recording: one has `workload,threads,seconds`, the other `m,k,n` and then counts",
        ))
    }
}

impl Origin {
    fn error(&self, problem: String) -> RecordingError {
        RecordingError::Cell {
            path: self.path.clone(),
            line: self.line,
            column: self.column,
            name: self.name.clone(),
            problem,
        }
    }
}
