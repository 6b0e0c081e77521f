//! Reading a file as untrusted input: it never hangs and never takes more memory than the reader allows.

use super::locate::line_of_bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why a file was not read. It does not name the file, which the caller knows.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// There is no such file.
    Absent,
    /// The system refused.
    Io {
        /// What was attempted.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else lies in the file's place.
    NotRegular {
        /// What it is.
        what: &'static str,
    },
    /// Larger than the reader allows.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// Not UTF-8.
    NotText {
        /// The line of the first byte that is none, from 1.
        line: usize,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such file"),
            Self::Io { action, source } => write!(f, "cannot {action} it: {source}"),
            Self::NotRegular { what } => write!(f, "it is {what}, not a regular file"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "it has {bytes} bytes, and at most {limit} are read")
            }
            Self::NotText { line } => write!(f, "line {line}: the text is not UTF-8"),
        }
    }
}

/// The whole of a regular file of at most `limit` bytes, opened without blocking (a FIFO would wait for a writer).
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => ReadError::Absent,
        // What `open` says of a socket.
        Errno::NXIO => ReadError::NotRegular { what: "a socket" },
        other => refused("open")(other),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(refused("examine"))?;
    regular(FileType::from_raw_mode(stat.st_mode))?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(ReadError::TooLarge { bytes: size, limit });
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    File::from(fd)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadError::Io {
            action: "read",
            source,
        })?;
    // It may have grown since it was examined.
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge {
            bytes: bytes.len() as u64,
            limit,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = line_of_bytes(error.as_bytes(), valid);
        ReadError::NotText { line }
    })
}

/// Rejects what is no regular file.
pub(crate) fn regular(kind: FileType) -> Result<(), ReadError> {
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    };
    Err(ReadError::NotRegular { what })
}

fn refused(action: &'static str) -> impl FnOnce(Errno) -> ReadError {
    move |errno| ReadError::Io {
        action,
        source: errno.into(),
    }
}
