//! What can be wrong with a recording or a machine file; each text names file, line, column and what to do next.

use std::io;
use std::path::PathBuf;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused.
    #[error("cannot read {}: {cause}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// A cell of a table is wrong or missing.
    #[error("{}, line {line}, column {column} (`{name}`): {problem}", .path.display())]
    Cell {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The cell's place in its row, from 1.
        column: usize,
        /// The column's name.
        name: String,
        /// What is wrong and would be right.
        problem: String,
    },
    /// A place in a text is wrong.
    #[error("{}, line {line}, column {column}: {problem}", .path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// From 1: a cell of a table, a character of other texts.
        column: usize,
        /// What is wrong and would be right.
        problem: String,
    },
}
