//! The state directory: one daemon at a time, where profiles lie, and what must outlive the process.

mod memory;
mod unfinished;

pub use memory::Memory;
pub use unfinished::{Begun, UnfinishedTunings};

use crate::document::Fault;
use crate::document::read::read_text_of_no_link;
use crate::document::write::{replace, sweep};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, fcntl_lock, openat};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Whoever has locked this file has the directory.
const LOCK: &str = "daemon.lock";

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon has it.
    #[error(
        "another threadtune daemon{by} works in {directory}; stop it first (`systemctl stop threadtune`), or give this one \
         a directory of its own by --state",
        directory = .directory.display()
    )]
    Taken {
        /// The directory.
        directory: PathBuf,
        /// ` (process 12)` where the other one says so.
        by: String,
    },
    /// The system refused.
    #[error("{0}")]
    Refused(Fault),
    /// A link lies where a directory of ours belongs.
    #[error("{path} is a symbolic link, which is not followed; remove it", path = .path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
}

// No `#[from]`: its text tells all of the fault, which would be told twice as the error's source.
impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

/// The directory in which this daemon, and no other, keeps what it knows.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// Locked as long as it is open, whatever ends the process.
    lock: RefCell<File>,
}

impl StateDirectory {
    /// Takes the directory, which is made where it is missing, and removes what a daemon that died was writing.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let lock = RefCell::new(lock(path)?);
        sweep(path);
        let profiles = path.join("profiles");
        if !is_link(&profiles) {
            let entries = fs::read_dir(profiles).into_iter().flatten().flatten();
            // Links are none of them.
            let directories =
                entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            directories.for_each(|machine| sweep(&machine.path()));
        }
        Ok(Self {
            path: path.to_owned(),
            lock,
        })
    }

    /// Takes the directory again if it, or the lock in it, was removed: another daemon may have come meanwhile.
    fn hold(&self) -> Result<(), StateError> {
        let there = self.file(LOCK).symlink_metadata().ok();
        let held = self.lock.borrow().metadata().ok();
        let identity = |file: Metadata| (file.dev(), file.ino());
        if there.map(identity) != held.map(identity) {
            self.lock.replace(lock(&self.path)?);
        }
        Ok(())
    }

    /// The profile of this machine and backend. A link in its place, or in that of [`previous`], is removed, and one above
    /// them is an error: nothing is read or written outside of the state directory.
    pub fn profile(&self, machine: &str, backend: &str) -> Result<PathBuf, StateError> {
        self.hold()?;
        let profiles = self.path.join("profiles");
        let directory = profiles.join(machine);
        for path in [profiles, directory.clone()] {
            if is_link(&path) {
                return Err(StateError::Link { path });
            }
        }
        let file = directory.join(format!("{backend}.toml"));
        for path in [&file, &previous(&file)] {
            if is_link(path) {
                fs::remove_file(path).map_err(Fault::io("remove the link", path))?;
                log::warn!(
                    "{} was a symbolic link, which is not followed; it was removed",
                    path.display()
                );
            }
        }
        Ok(file)
    }

    /// The text of a file of ours.
    fn read(&self, name: &str, limit: u64) -> Result<String, Fault> {
        read_text_of_no_link(&self.file(name), limit)
    }

    /// Removes a file of ours; it need not be there.
    fn remove(&self, name: &str) -> Result<(), StateError> {
        self.hold()?;
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Fault::io("remove", &path)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// Replaces a file of ours, or a link in its place.
    fn write(&self, name: &str, text: &str) -> Result<(), StateError> {
        self.hold()?;
        Ok(replace(&self.file(name), text.as_bytes())?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Where the profile before this one is kept.
pub fn previous(profile: &Path) -> PathBuf {
    profile.with_extension("previous.toml")
}

/// Makes the directory where it is missing, and takes the lock in it.
fn lock(path: &Path) -> Result<File, StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(Fault::io("create the directory", path))?;
    let name = path.join(LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd =
        openat(CWD, &name, flags, Mode::from_raw_mode(0o644)).map_err(Fault::io("open", &name))?;
    let mut lock = File::from(fd);
    // A lock of the process, not of the open file: a worker that was forked, and has yet to begin, has no part in it.
    match fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::AGAIN | Errno::ACCESS) => {
            return Err(StateError::Taken {
                directory: path.to_owned(),
                by: holder(&mut lock),
            });
        }
        Err(errno) => return Err(Fault::io("lock", &name)(errno).into()),
    }
    // For the message of a second daemon, no more: a full disk is no reason not to work.
    let _ = lock
        .set_len(0)
        .and_then(|()| write!(lock, "{}", std::process::id()));
    Ok(lock)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
}

/// Who has the lock, as far as its file tells.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(20).read_to_string(&mut text);
    match (read, text.parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!(" (process {pid})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_lead_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let outside = elsewhere.path().join("outside");
        fs::write(&outside, "mine").unwrap();
        let state = StateDirectory::take(directory.path()).unwrap();
        let machine = directory.path().join("profiles/m-1");
        fs::create_dir_all(&machine).unwrap();
        let path = state.profile("m-1", "native").unwrap();
        assert_eq!(path, machine.join("native.toml"));
        for link in [&path, &previous(&path)] {
            symlink(&outside, link).unwrap();
            assert_eq!(state.profile("m-1", "native").unwrap(), path);
            assert!(link.symlink_metadata().is_err(), "the link is gone");
        }
        symlink(&outside, state.file("x")).unwrap();
        let error = state.read("x", 100).unwrap_err().to_string();
        assert!(error.contains("x is a symbolic link"), "{error}");
        state.write("x", "ours").unwrap();
        assert_eq!(state.read("x", 100).unwrap(), "ours");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "mine");
        fs::remove_dir(&machine).unwrap();
        symlink(elsewhere.path(), &machine).unwrap();
        let error = state.profile("m-1", "native").unwrap_err().to_string();
        assert!(error.contains("m-1 is a symbolic link"), "{error}");
    }

    #[test]
    fn what_the_dead_were_writing_is_looked_for_in_no_linked_directory() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let profiles = directory.path().join("profiles");
        let own = profiles.join("m-1");
        fs::create_dir_all(&own).unwrap();
        symlink(elsewhere.path(), profiles.join("m-2")).unwrap();
        // No process has such a number.
        let name = format!(".native.toml.{}-0.tmp", i32::MAX);
        let (ours, theirs) = (own.join(&name), elsewhere.path().join(&name));
        fs::write(&ours, "").unwrap();
        fs::write(&theirs, "").unwrap();
        drop(StateDirectory::take(directory.path()).unwrap());
        assert_eq!((ours.exists(), theirs.exists()), (false, true));
        fs::remove_dir_all(&profiles).unwrap();
        fs::create_dir(elsewhere.path().join("m-3")).unwrap();
        let theirs = elsewhere.path().join("m-3").join(&name);
        fs::write(&theirs, "").unwrap();
        symlink(elsewhere.path(), &profiles).unwrap();
        drop(StateDirectory::take(directory.path()).unwrap());
        assert!(theirs.exists());
    }
}
