//! The long format: one row a repetition.
//!
//! `workload,threads,seconds` must be there. `placement`, `flagged`, `calls`, `block`, `visit` and `time_s` are understood where
//! they are; other columns are ignored.

use super::sheet::{Cell, Sheet};
use super::{RecordedWorkload, RecordingError, Repetition, Times};
use crate::machine::Placement;
use crate::tune::Arm;
use std::collections::{BTreeMap, HashMap};

/// The workloads of a table, in the order of their first rows.
pub(super) fn workloads(sheet: &Sheet) -> Result<Vec<RecordedWorkload>, RecordingError> {
    let [name, threads, seconds] = [
        sheet.required("workload")?,
        sheet.required("threads")?,
        sheet.required("seconds")?,
    ];
    let [placement, flagged, calls, block, visit, time_s] =
        ["placement", "flagged", "calls", "block", "visit", "time_s"]
            .map(|name| sheet.column(name));
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut workloads: Vec<RecordedWorkload> = Vec::new();
    for row in sheet.rows() {
        let name = row.cell(name);
        let threads = row.cell(threads);
        let arm = Arm {
            threads: threads.count()?,
            placement: placement
                .map_or(Ok(Placement::Close), |column| placed(&row.cell(column)))?,
        };
        let repetition = Repetition {
            seconds: row.cell(seconds).time()?,
            calls: calls.map_or(Ok(1), |column| row.cell(column).positive())?,
            flagged: flagged.map_or(Ok(false), |column| row.cell(column).truth())?,
            block: block
                .map(|column| row.cell(column).filled().map(str::to_owned))
                .transpose()?,
            visit: visit.map_or(Ok(1), |column| row.cell(column).positive())?,
            time_s: time_s.map(|column| row.cell(column).moment()).transpose()?,
        };
        let place = *places
            .entry(name.filled()?.to_owned())
            .or_insert(workloads.len());
        if place == workloads.len() {
            workloads.push(RecordedWorkload {
                name: name.text.to_owned(),
                times: Times::Repeated(BTreeMap::new()),
                origin: name.origin(),
                largest: (arm.threads, threads.origin()),
            });
        }
        let workload = &mut workloads[place];
        if arm.threads > workload.largest.0 {
            workload.largest = (arm.threads, threads.origin());
        }
        if let Times::Repeated(arms) = &mut workload.times {
            arms.entry(arm).or_default().push(repetition);
        }
    }
    Ok(workloads)
}

fn placed(cell: &Cell) -> Result<Placement, RecordingError> {
    match cell.filled()? {
        "unbound" => Ok(Placement::Unbound),
        "close" => Ok(Placement::Close),
        "spread" => Ok(Placement::Spread),
        other => Err(cell.error(format!(
            "`{other}` is not a placement; expected unbound, close or spread"
        ))),
    }
}
