//! Reading a file as untrusted input: it never hangs and never takes more memory than the reader allows.

use super::Fault;
use super::locate::line_of_bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The whole of a regular file of at most `limit` bytes, opened without blocking (a FIFO would wait for a writer).
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, Fault> {
    read(path, limit, OFlags::empty())
}

/// The same; a link is none.
pub(crate) fn read_text_of_no_link(path: &Path, limit: u64) -> Result<String, Fault> {
    read(path, limit, OFlags::NOFOLLOW)
}

fn read(path: &Path, limit: u64, more: OFlags) -> Result<String, Fault> {
    let too_large = |bytes| Fault::TooLarge {
        path: path.to_owned(),
        bytes,
        limit,
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Fault::Absent {
            path: path.to_owned(),
        },
        // What `open` says of a socket.
        Errno::NXIO => not_regular(path, "a socket"),
        Errno::LOOP if more.contains(OFlags::NOFOLLOW) => not_regular(path, "a symbolic link"),
        other => Fault::io("open", path)(other),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(Fault::io("examine", path))?;
    regular(path, FileType::from_raw_mode(stat.st_mode))?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    File::from(fd)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::io("read", path))?;
    // It may have grown since it was examined.
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        Fault::Malformed {
            path: path.to_owned(),
            line: line_of_bytes(error.as_bytes(), valid),
            key: None,
            message: "the text is not UTF-8".to_owned(),
        }
    })
}

/// Rejects what is no regular file.
pub(crate) fn regular(path: &Path, kind: FileType) -> Result<(), Fault> {
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    };
    Err(not_regular(path, what))
}

fn not_regular(path: &Path, what: &'static str) -> Fault {
    Fault::NotRegular {
        path: path.to_owned(),
        what,
    }
}
