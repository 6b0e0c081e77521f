//! A table of comma-separated values whose every cell knows its place.

use super::{Origin, RecordingError};
use crate::units::{MAX_CPUS, ThreadCount};
use csv::{ByteRecord, ReaderBuilder, Trim};
use std::fs;
use std::path::{Path, PathBuf};

/// A whole table: every row has as many cells as the header.
#[derive(Debug)]
pub(super) struct Sheet {
    path: PathBuf,
    header_line: u64,
    header: Vec<String>,
    rows: Vec<(u64, Vec<String>)>,
}

/// One cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    sheet: &'a Sheet,
    line: u64,
    /// From 0.
    pub column: usize,
    pub text: &'a str,
}

/// One row below the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    sheet: &'a Sheet,
    line: u64,
    cells: &'a [String],
}

impl<'a> Row<'a> {
    /// The cell in this column, from 0.
    pub fn cell(&self, column: usize) -> Cell<'a> {
        Cell {
            sheet: self.sheet,
            line: self.line,
            column,
            text: self.cells.get(column).map_or("", String::as_str),
        }
    }
}

impl Sheet {
    /// Reads a file whole: a header and at least one row, nothing ragged.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let bytes = fs::read(path).map_err(|cause| RecordingError::Io {
            path: path.to_owned(),
            cause,
        })?;
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(bytes.as_slice());
        let mut sheet = Self {
            path: path.to_owned(),
            header_line: 1,
            header: Vec::new(),
            rows: Vec::new(),
        };
        let mut lines = Lines::of(&bytes);
        // Of bytes in memory and rows of any length every record is readable.
        for record in reader.byte_records().map_while(Result::ok) {
            let begin = record.position().map_or(0, csv::Position::byte);
            let line = lines.of_record(begin as usize);
            let cells = sheet.cells(line, &record)?;
            if sheet.header.is_empty() {
                sheet.header_line = line;
                sheet.header = cells;
            } else {
                sheet.rows.push((line, cells));
            }
        }
        sheet.check()?;
        Ok(sheet)
    }

    fn cells(&self, line: u64, record: &ByteRecord) -> Result<Vec<String>, RecordingError> {
        record
            .iter()
            .enumerate()
            .map(|(i, cell)| match std::str::from_utf8(cell) {
                Ok(text) if text.chars().any(char::is_control) => {
                    Err(self.error(line, i, "this cell holds a control character".to_owned()))
                }
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(self.error(line, i, "this cell is not UTF-8 text".to_owned())),
            })
            .collect()
    }

    fn check(&self) -> Result<(), RecordingError> {
        if self.header.is_empty() {
            return Err(self.header_error(
                1,
                "the file is empty; a recording begins with a header, `workload,threads,seconds` or `m,k,n` and counts",
            ));
        }
        for (i, name) in self.header.iter().enumerate() {
            if self.header[..i].contains(name) {
                return Err(self.header_error(i + 1, &format!("a second column `{name}`")));
            }
        }
        let columns = self.header.len();
        if self.rows.is_empty() {
            return Err(self.error(
                self.header_line + 1,
                0,
                "no row follows the header; nothing was recorded".to_owned(),
            ));
        }
        match self.rows.iter().find(|(_, cells)| cells.len() != columns) {
            Some((line, cells)) => Err(self.error(
                *line,
                cells.len().min(columns),
                format!(
                    "the row has {} cells and the header {columns}; each row has one for each column",
                    cells.len()
                ),
            )),
            None => Ok(()),
        }
    }

    /// The place of a column, from 0.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// The place of a column that must be there.
    pub fn required(&self, name: &str) -> Result<usize, RecordingError> {
        self.column(name).ok_or_else(|| {
            let problem = format!("the column `{name}` is missing");
            self.header_error(self.header.len() + 1, &problem)
        })
    }

    /// The cells of the header.
    pub fn header(&self) -> impl Iterator<Item = Cell<'_>> {
        self.header.iter().enumerate().map(|(column, text)| Cell {
            sheet: self,
            line: self.header_line,
            column,
            text,
        })
    }

    /// The rows below the header.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, cells)| Row {
            sheet: self,
            line: *line,
            cells,
        })
    }

    /// An error about the header, at this cell from 1.
    pub fn header_error(&self, column: usize, problem: &str) -> RecordingError {
        RecordingError::Text {
            path: self.path.clone(),
            line: self.header_line,
            column,
            problem: problem.to_owned(),
        }
    }

    fn error(&self, line: u64, column: usize, problem: String) -> RecordingError {
        let (path, column) = (self.path.clone(), column + 1);
        match self.header.get(column - 1) {
            Some(name) => RecordingError::Cell {
                path,
                line,
                column,
                name: name.clone(),
                problem,
            },
            None => RecordingError::Text {
                path,
                line,
                column,
                problem,
            },
        }
    }
}

impl Cell<'_> {
    /// Where it stands.
    pub fn origin(&self) -> Origin {
        Origin {
            path: self.sheet.path.clone(),
            line: self.line,
            column: self.column + 1,
            name: self
                .sheet
                .header
                .get(self.column)
                .cloned()
                .unwrap_or_default(),
        }
    }

    /// An error about it.
    pub fn error(&self, problem: String) -> RecordingError {
        self.sheet.error(self.line, self.column, problem)
    }

    /// Its text, which may not be empty.
    pub fn filled(&self) -> Result<&str, RecordingError> {
        if self.text.is_empty() {
            return Err(self.error("the cell is empty".to_owned()));
        }
        Ok(self.text)
    }

    /// A positive time.
    pub fn time(&self) -> Result<f64, RecordingError> {
        let text = self.filled()?;
        let time: Option<f64> = text.parse().ok();
        // Beyond these no clock measures, and arithmetic with them overflows.
        time.filter(|time| (1e-12..=1e8).contains(time))
            .ok_or_else(|| {
                self.error(format!(
                    "`{text}` is not a time; expected a positive number"
                ))
            })
    }

    /// Seconds since a beginning.
    pub fn moment(&self) -> Result<f64, RecordingError> {
        let text = self.filled()?;
        let moment: Option<f64> = text.parse().ok();
        moment.filter(|at| (0.0..=1e9).contains(at)).ok_or_else(|| {
            self.error(format!(
                "`{text}` is not a time since the beginning; expected seconds, 0 or more"
            ))
        })
    }

    /// A count of threads.
    pub fn count(&self) -> Result<ThreadCount, RecordingError> {
        let text = self.filled()?;
        let count = text.parse::<i64>().ok().map(ThreadCount::try_from);
        count.and_then(Result::ok).ok_or_else(|| {
            self.error(format!(
                "`{text}` is not a number of threads; expected a whole number from 1 to {MAX_CPUS}"
            ))
        })
    }

    /// A whole number from 1 on.
    pub fn positive(&self) -> Result<u32, RecordingError> {
        let text = self.filled()?;
        let number = text.parse().ok().filter(|n| *n > 0);
        number.ok_or_else(|| {
            self.error(format!(
                "`{text}` is out of place; a whole number from 1 on is expected"
            ))
        })
    }

    /// 0 or 1, as numbers or words.
    pub fn truth(&self) -> Result<bool, RecordingError> {
        match self.filled()?.to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            other => Err(self.error(format!("`{other}` is neither 0 nor 1"))),
        }
    }
}

/// Counts lines from the beginning of a file on; they end in LF, CR LF or CR.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            line: 1,
        }
    }

    /// The line of the record that begins at this byte or after the blank lines there; later than the last one asked.
    fn of_record(&mut self, begin: usize) -> u64 {
        while let Some(byte) = self.bytes.get(self.at) {
            let ends = match byte {
                b'\n' => true,
                b'\r' => self.bytes.get(self.at + 1) != Some(&b'\n'),
                _ if self.at >= begin => break,
                _ => false,
            };
            self.line += u64::from(ends);
            self.at += 1;
        }
        self.line
    }
}
