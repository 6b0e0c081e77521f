//! Replacing this process by another program: no child, no shell.

use crate::environment::Assignment;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No such program, or no such interpreter as its first line names.
    #[error("{}: not found: {cause}", .program.to_string_lossy())]
    NotFound {
        /// The program.
        program: OsString,
        /// The system's answer.
        cause: io::Error,
    },
    /// It is there and cannot be run.
    #[error("{}: cannot be run: {cause}", .program.to_string_lossy())]
    NotExecutable {
        /// The program.
        program: OsString,
        /// The system's answer.
        cause: io::Error,
    },
}

impl ExecError {
    /// The exit code by which shells and `env` tell the two apart.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
        }
    }
}

/// Becomes the program, looked up in `PATH`, in this environment with some variables set; returns only if that fails.
///
/// Rust ignores SIGPIPE from its start; the standard library's `exec` puts it back to its default, and unblocks
/// signals, so that the program starts as from a shell.
pub fn exec(program: OsString, arguments: &[OsString], assignments: &[Assignment]) -> ExecError {
    let cause = Command::new(&program)
        .args(arguments)
        .envs(assignments.iter().map(|a| (a.variable, &a.value)))
        .exec();
    if cause.kind() == io::ErrorKind::NotFound {
        ExecError::NotFound { program, cause }
    } else {
        ExecError::NotExecutable { program, cause }
    }
}
