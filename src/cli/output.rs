//! Results on stdout: a reader that has seen enough is no error, a full disk is one.

use anyhow::Context;
use std::io::{self, ErrorKind, Write};

/// Writes a whole result to stdout. A broken pipe is success: whoever read it wanted no more.
pub fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}
