//! The wide format: `m,k,n` and then counts, one row a matrix product, microseconds.

use super::sheet::{Cell, Sheet};
use super::{RecordedWorkload, RecordingError, Times};
use crate::units::ThreadCount;
use crate::workload::{DataType, Shape};
use std::collections::BTreeMap;

/// The shapes of a table, named as the catalogue writes them.
pub(super) fn workloads(sheet: &Sheet) -> Result<Vec<RecordedWorkload>, RecordingError> {
    let [m, k, n] = [
        sheet.required("m")?,
        sheet.required("k")?,
        sheet.required("n")?,
    ];
    let counts: Vec<(ThreadCount, Cell)> = sheet
        .header()
        .filter(|cell| !["m", "k", "n"].contains(&cell.text))
        .map(|cell| Ok((cell.count()?, cell)))
        .collect::<Result<_, RecordingError>>()?;
    let Some((most, cell)) = counts.iter().max_by_key(|(count, _)| *count) else {
        return Err(sheet.header_error(4, "no count of threads follows `m,k,n`"));
    };
    let mut columns = BTreeMap::new();
    for (i, (count, cell)) in counts.iter().enumerate() {
        if columns.insert(*count, i).is_some() {
            return Err(cell.error(format!("a second column for {count} threads")));
        }
    }
    let mut workloads = Vec::new();
    for row in sheet.rows() {
        let shape = Shape::Gemm {
            m: row.cell(m).positive()?,
            n: row.cell(n).positive()?,
            k: row.cell(k).positive()?,
            dtype: DataType::F32,
        };
        let times = columns
            .iter()
            .map(|(count, i)| Ok((*count, row.cell(counts[*i].1.column).time()? * 1e-6)))
            .collect::<Result<_, RecordingError>>()?;
        workloads.push(RecordedWorkload {
            name: shape.to_string(),
            times: Times::Single(times),
            origin: row.cell(m).origin(),
            largest: (*most, cell.origin()),
        });
    }
    Ok(workloads)
}
