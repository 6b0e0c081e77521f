//! Writing a profile so that a crash leaves the old file or the new one, never a torn one, and so that of two who write one
//! at a time neither loses what the other wrote.

use super::directories::{earlier, load_for};
use super::error::StoreError;
use super::extras::Extras;
use super::layout::to_text;
use super::merge::FreshEntry;
use super::read::{parse, read_text};
use super::schema::{Conditions, Entry, Profile};
use crate::document::Fault;
use crate::document::read::regular;
use crate::document::write::{check_replaceable, open_directory, replace};
use crate::machine::Fingerprint;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, flock};
use rustix::io::Errno;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use toml::value::Datetime;

/// For so long whoever writes waits for another one. A profile is written within milliseconds, but everybody who may read
/// its directory can hold the lock, and must not be able to stop anything by that.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often is looked whether the lock is free.
const A_MOMENT: Duration = Duration::from_millis(10);

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

/// Changes the profile at `path`, be it written by another one meanwhile, and dates it now; what is there then. Where nothing
/// sound is there any more, the `last` that is known of it is changed, so that nothing is lost.
///
/// Two who do so at the same time do it one after the other.
pub fn update(
    path: &Path,
    last: &Profile,
    change: impl FnOnce(&mut Profile),
) -> Result<Profile, StoreError> {
    let _lock = lock(path, PATIENCE);
    let there = load_there(path, &last.machine)?;
    let there = there.unwrap_or_else(|| last.clone());
    let mut profile = Profile::renewed(Some(there), last.machine.clone());
    change(&mut profile);
    profile.created = now().map_err(|message| StoreError::Unwritable {
        path: path.to_owned(),
        message,
    })?;
    save(path, &profile)?;
    Ok(profile)
}

/// The directory of the profile at `path`, locked as long as it is open, or nothing where it cannot be: some file systems
/// lock no directories. Whatever else is wrong with it, writing will tell.
///
/// It is the directory because the file is another one after each write, and a file beside it would have to be made by
/// somebody who may, and could be removed.
fn lock(path: &Path, patience: Duration) -> Option<OwnedFd> {
    let (directory, _) = open_directory(path).ok()?;
    let begin = Instant::now();
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK) if begin.elapsed() < patience => thread::sleep(A_MOMENT),
            Err(Errno::WOULDBLOCK) => {
                log::warn!(
                    "{}: another process has locked its directory for {} s (`lslocks` names it); it is written all the same",
                    path.display(),
                    patience.as_secs()
                );
                return None;
            }
            Err(Errno::INTR) => {}
            Err(error) => {
                log::debug!(
                    "{}: its directory cannot be locked: {error}",
                    path.display()
                );
                return None;
            }
        }
    }
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

/// The profile of this machine that is to be continued: the one at `path`, else the one that threadtune 0.1.0 left under the
/// id that it gave this machine. Errors as for [`load_there`].
pub fn load_to_continue(path: &Path, machine: &Fingerprint) -> Result<Option<Profile>, StoreError> {
    if let Some(there) = load_there(path, machine)? {
        return Ok(Some(there));
    }
    let Some(before) = earlier(path, machine) else {
        return Ok(None);
    };
    match load_for(&before, machine, &[]) {
        Ok(profile) => Ok(Some(profile)),
        Err(error) => {
            if !error.is_absent() {
                log::warn!("{error}; a new profile begins at {}", path.display());
            }
            Ok(None)
        }
    }
}

/// The profile of this machine at `path`, if there is one. One that is broken is moved aside and named in the log; an error
/// where it cannot, or must not (one of a newer version).
pub fn load_there(path: &Path, machine: &Fingerprint) -> Result<Option<Profile>, StoreError> {
    match load_for(path, machine, &[]) {
        Ok(profile) => Ok(Some(profile)),
        Err(error) if error.is_absent() => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::load;
    use rustix::fs::{Mode, OFlags, openat};
    use std::fs;

    const TEXT: &str = include_str!("../../tests/profiles/made-up.toml");

    fn made_up() -> Profile {
        parse(Path::new("made-up.toml"), TEXT).unwrap()
    }

    #[test]
    fn a_change_is_made_to_what_another_one_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("m/native.toml");
        let last = made_up();
        let first = update(&path, &last, |profile| profile.spend(1.0)).unwrap();
        assert_eq!(first.spent_s, last.spent_s + 1.0);
        assert_eq!(load(&path).unwrap(), first);
        // Whoever knows only what was there before them loses nothing of that.
        let mark = |profile: &mut Profile| profile.set_cut_short("matmul-256", true, &[]);
        let second = update(&path, &last, mark).unwrap();
        assert!(second.is_cut_short("matmul-256"));
        assert_eq!(second.spent_s, first.spent_s);
        assert_eq!(load(&path).unwrap(), second);
    }

    #[test]
    fn what_is_gone_or_broken_is_written_anew_from_what_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("native.toml");
        let last = made_up();
        for broken in [None, Some("schema = ")] {
            let _ = fs::remove_file(&path);
            if let Some(text) = broken {
                fs::write(&path, text).unwrap();
            }
            let written = update(&path, &last, |_| {}).unwrap();
            assert_eq!(written.workloads, last.workloads);
            assert_eq!(load(&path).unwrap(), written);
        }
        fs::write(&path, "schema = 99\n").unwrap();
        let error = update(&path, &last, |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "schema = 99\n");
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("native.toml");
        let last = made_up();
        save(&path, &last).unwrap();
        let names: Vec<String> = (0..24).map(|number| format!("cut-{number:02}")).collect();
        let mark = |name: &String| {
            let mark = |profile: &mut Profile| profile.set_cut_short(name, true, &[]);
            update(&path, &last, mark).unwrap();
        };
        thread::scope(|scope| {
            for names in names.chunks(6) {
                scope.spawn(move || names.iter().for_each(mark));
            }
        });
        let mut cut = load(&path).unwrap().cut_short;
        cut.retain(|name| name.starts_with("cut-"));
        cut.sort();
        assert_eq!(cut, names);
    }

    #[test]
    fn whoever_holds_the_lock_for_ever_stops_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("native.toml");
        assert!(lock(&path, Duration::ZERO).is_some());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let other = openat(CWD, directory.path(), flags, Mode::empty()).unwrap();
        flock(&other, FlockOperation::LockShared).unwrap();
        assert!(lock(&path, Duration::ZERO).is_none());
        drop(other);
        assert!(lock(&path, Duration::ZERO).is_some());
        // A directory that cannot be made is none to wait for: writing tells.
        fs::write(directory.path().join("file"), "").unwrap();
        let below_file = directory.path().join("file/native.toml");
        assert!(lock(&below_file, Duration::ZERO).is_none());
    }
}
