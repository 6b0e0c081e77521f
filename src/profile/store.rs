//! Writing a profile so that a crash leaves the old file or the new one, never a torn one.

use super::directories::{earlier, load_for};
use super::error::StoreError;
use super::extras::Extras;
use super::layout::to_text;
use super::merge::FreshEntry;
use super::read::{parse, read_text};
use super::schema::{Conditions, Entry, Profile};
use crate::document::Fault;
use crate::document::read::regular;
use crate::document::write::{check_replaceable, replace};
use crate::machine::Fingerprint;
use rustix::fs::{AtFlags, CWD, FileType};
use std::path::Path;
use std::time::SystemTime;
use toml::value::Datetime;

/// Writes a profile in the place of the one at `path`, keeping keys of that one which this version does not know.
///
/// Missing directories are created. A file that cannot be understood is replaced; one of a newer schema is not.
pub fn save(path: &Path, profile: &Profile) -> Result<(), StoreError> {
    let extras = extras_of_existing(path)?;
    let text = to_text(profile, &extras).map_err(|error| StoreError::Unwritable {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    // Nothing is written that could not be read again.
    parse(path, &text)?;
    Ok(replace(path, text.as_bytes())?)
}

/// The same, dated now.
pub fn save_now(path: &Path, profile: &mut Profile) -> Result<(), StoreError> {
    profile.created = now().map_err(|message| StoreError::Unwritable {
        path: path.to_owned(),
        message,
    })?;
    save(path, profile)
}

/// A verdict that was reached now, under these conditions. It is undated where the clock shows no date: nor will it be written.
pub fn reached_now(entry: Entry, conditions: &Conditions) -> FreshEntry {
    FreshEntry::new(entry, conditions.clone(), now().ok())
}

fn now() -> Result<Datetime, String> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.parse()
        .map_err(|_| format!("the system's clock shows {now}, which no profile can hold; set it"))
}

/// The profile of this machine that is there to be continued, be it where threadtune 0.1.0 wrote it. One that is broken is moved aside and named in the log; an
/// error where it cannot, or must not (one of a newer version).
pub fn load_to_continue(path: &Path, machine: &Fingerprint) -> Result<Option<Profile>, StoreError> {
    match load_for(path, machine, &[]) {
        Ok(profile) => Ok(Some(profile)),
        Err(error) if error.is_absent() => {
            let before = earlier(path, machine).map(|path| load_for(&path, machine, &[]));
            Ok(before.and_then(Result::ok))
        }
        Err(
            error @ (StoreError::NewerSchema { .. }
            | StoreError::File(Fault::NotRegular { .. } | Fault::Io { .. })),
        ) => Err(error),
        Err(error) => {
            let aside = path.with_extension("toml.broken");
            std::fs::rename(path, &aside).map_err(Fault::io("move aside", path))?;
            log::warn!(
                "{error}; it was moved to {} and a new profile begins",
                aside.display()
            );
            Ok(None)
        }
    }
}

/// Would [`save`] succeed? Creates the directories and, for a moment, the temporary file. Ask before measuring.
pub fn check_writable(path: &Path) -> Result<(), StoreError> {
    extras_of_existing(path)?;
    Ok(check_replaceable(path)?)
}

/// What the file at `path` holds beyond the schema; an error only where writing would lose more than it should.
fn extras_of_existing(path: &Path) -> Result<Extras, StoreError> {
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => regular(path, FileType::from_raw_mode(stat.st_mode))?,
        Err(_) => return Ok(Extras::default()),
    }
    let Ok(text) = read_text(path) else {
        return Ok(Extras::default());
    };
    match parse(path, &text) {
        Ok(old) => Ok(text
            .parse::<toml::Table>()
            .map_or_else(|_| Extras::default(), |raw| Extras::of(&raw, &old))),
        Err(error @ StoreError::NewerSchema { .. }) => Err(error),
        Err(_) => Ok(Extras::default()),
    }
}
