//! Reading a profile as untrusted input: never hangs, never panics, and errors name file, line and key.

use super::check::check;
use super::error::StoreError;
use super::excerpt::excerpt;
use super::locate::{Step, dotted, key_at, last_line, line_of, line_of_bytes, line_of_path};
use super::schema::{Profile, SCHEMA};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// The largest file that is read as a profile.
pub const MAX_BYTES: u64 = 4 << 20;

/// Reads and checks a profile.
pub fn load(path: &Path) -> Result<Profile, StoreError> {
    parse(path, &read_text(path)?)
}

/// Reads and checks the head of a profile and these entries of it, and no more than their number of the others; the
/// whole profile where no names are given, or one of them is not found.
pub fn load_entries(path: &Path, names: &[String]) -> Result<Profile, StoreError> {
    let text = read_text(path)?;
    if !names.is_empty()
        && let Some(excerpt) = excerpt(&text, names)
        && let Ok(profile) = parse_part(path, &excerpt.text, excerpt.left_out)
    {
        return Ok(profile);
    }
    // Read whole, an error names the line in the file.
    parse(path, &text)
}

/// The whole of a regular file of at most [`MAX_BYTES`], opened without blocking (a FIFO would wait for a writer).
pub(super) fn read_text(path: &Path) -> Result<String, StoreError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => StoreError::Absent {
            path: path.to_owned(),
        },
        // What `open` says of a socket.
        rustix::io::Errno::NXIO => StoreError::NotRegular {
            path: path.to_owned(),
            what: "a socket",
        },
        other => StoreError::io("open", path)(other),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(StoreError::io("examine", path))?;
    regular(path, FileType::from_raw_mode(stat.st_mode))?;
    let too_large = |bytes| StoreError::TooLarge {
        path: path.to_owned(),
        bytes,
        limit: MAX_BYTES,
    };
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > MAX_BYTES {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    File::from(fd)
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| StoreError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
    // It may have grown since it was examined.
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = line_of_bytes(error.as_bytes(), valid);
        malformed(path, line, None, "the text is not UTF-8".to_owned())
    })
}

/// Rejects what is no regular file.
pub(super) fn regular(path: &Path, kind: FileType) -> Result<(), StoreError> {
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::Symlink => "a symbolic link",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of an unknown kind",
    };
    Err(StoreError::NotRegular {
        path: path.to_owned(),
        what,
    })
}

/// Parses and checks the text of a profile; `path` is for the errors only.
pub fn parse(path: &Path, text: &str) -> Result<Profile, StoreError> {
    parse_part(path, text, 0)
}

fn parse_part(path: &Path, text: &str, left_out: usize) -> Result<Profile, StoreError> {
    let fail = |error: &toml::de::Error| {
        let message = error.message().replace('\n', " ");
        // Limits of the parser itself have no place in the text.
        let (line, key) = error.span().map_or((1, None), |span| {
            (line_of(text, span.start), key_at(text, &span))
        });
        malformed(path, line, key, message)
    };
    let root = DeTable::parse(text).map_err(|error| fail(&error))?;
    // Before the types: a later schema may have changed them.
    if let Some(DeValue::Integer(schema)) = root.get_ref().get("schema").map(toml::Spanned::get_ref)
        && let Ok(found) = i64::from_str_radix(schema.as_str(), schema.radix())
    {
        let key = Some("schema".to_owned());
        match u32::try_from(found) {
            Ok(0) | Err(_) if found <= 0 => {
                let line = line_of_path(text, &[Step::Key("schema")]);
                let message = format!("{found} is no schema: they count from 1");
                return Err(malformed(path, line, key, message));
            }
            Ok(known) if known <= SCHEMA => {}
            _ => {
                return Err(StoreError::NewerSchema {
                    path: path.to_owned(),
                    found,
                    known: SCHEMA,
                });
            }
        }
    }
    let profile =
        Profile::deserialize(toml::de::Deserializer::from(root)).map_err(|error| fail(&error))?;
    count_entries(path, text, &profile, left_out)?;
    check(&profile).map_err(|violation| {
        let line = line_of_path(text, &violation.path);
        let key = Some(dotted(&violation.path));
        malformed(path, line, key, violation.message)
    })?;
    Ok(profile)
}

fn count_entries(
    path: &Path,
    text: &str,
    profile: &Profile,
    left_out: usize,
) -> Result<(), StoreError> {
    let found = profile.workloads.len() + left_out;
    if found < profile.entries {
        return Err(StoreError::MissingEntries {
            path: path.to_owned(),
            line: last_line(text),
            found,
            promised: profile.entries,
        });
    }
    if found > profile.entries {
        let line = line_of_path(text, &[Step::Key("entries")]);
        let message = format!("{} are announced and {found} follow", profile.entries);
        return Err(malformed(path, line, Some("entries".to_owned()), message));
    }
    Ok(())
}

fn malformed(path: &Path, line: usize, key: Option<String>, message: String) -> StoreError {
    StoreError::Malformed {
        path: path.to_owned(),
        line,
        key,
        message,
    }
}
