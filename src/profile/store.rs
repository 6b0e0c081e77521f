//! Writing a profile so that a crash leaves the old file or the new one, never a torn one.

use super::error::StoreError;
use super::extras::Extras;
use super::layout::to_text;
use super::read::{parse, read_text};
use super::schema::Profile;
use crate::document::read::regular;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Everyone may read a profile: it holds numbers and names only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Names tried for the temporary file; a process that died may have left one of its own.
const TEMPORARY_NAMES: u32 = 100;

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
    let (directory, name) = open_directory(path)?;
    let temporary = Temporary::create(&directory, name, path)?;
    temporary.write(text.as_bytes(), path)?;
    temporary.rename_to(name, path)?;
    rustix::fs::fsync(&directory).map_err(StoreError::io("flush the directory of", path))
}

/// Would [`save`] succeed? Creates the directories and, for a moment, the temporary file. Ask before measuring.
pub fn check_writable(path: &Path) -> Result<(), StoreError> {
    extras_of_existing(path)?;
    let (directory, name) = open_directory(path)?;
    Temporary::create(&directory, name, path)?.write(b"#\n", path)
}

/// What the file at `path` holds beyond the schema; an error only where writing would lose more than it should.
fn extras_of_existing(path: &Path) -> Result<Extras, StoreError> {
    match rustix::fs::statat(CWD, path, AtFlags::empty()) {
        Ok(stat) => regular(FileType::from_raw_mode(stat.st_mode))
            .map_err(|error| StoreError::reading(path, error))?,
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

/// The directory that holds a file, made where it is missing, and the file's name in it.
fn open_directory(path: &Path) -> Result<(OwnedFd, &OsStr), StoreError> {
    let name = path.file_name().ok_or_else(|| StoreError::Io {
        action: "write",
        path: path.to_owned(),
        source: Errno::ISDIR.into(),
    })?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|source| StoreError::Io {
            action: "create the directory",
            path: directory.to_owned(),
            source,
        })?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, directory, flags, Mode::empty())
        .map_err(StoreError::io("open the directory", directory))?;
    Ok((fd, name))
}

/// A file that vanishes unless it is renamed.
struct Temporary<'d> {
    directory: &'d OwnedFd,
    name: OsString,
    file: Option<File>,
}

impl<'d> Temporary<'d> {
    fn create(directory: &'d OwnedFd, target: &OsStr, path: &Path) -> Result<Self, StoreError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut failure = Errno::EXIST;
        for attempt in 0..TEMPORARY_NAMES {
            let mut name = OsString::from(".");
            name.push(target);
            name.push(format!(".{}-{attempt}.tmp", std::process::id()));
            match rustix::fs::openat(directory, &name, flags, FILE_MODE) {
                Ok(fd) => {
                    return Ok(Self {
                        directory,
                        name,
                        file: Some(File::from(fd)),
                    });
                }
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    failure = errno;
                    break;
                }
            }
        }
        Err(StoreError::io("create a file beside", path)(failure))
    }

    /// Writes everything and waits until it is on the disk.
    fn write(&self, bytes: &[u8], path: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        };
        let Some(mut file) = self.file.as_ref() else {
            return Err(failed(Errno::BADF.into()));
        };
        // The mode given to `openat` is cut by the umask; the profile of a service must be readable by its users.
        rustix::fs::fchmod(file.as_fd(), FILE_MODE)
            .map_err(StoreError::io("set the mode of", path))?;
        file.write_all(bytes).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    fn rename_to(mut self, target: &OsStr, path: &Path) -> Result<(), StoreError> {
        rustix::fs::renameat(self.directory, &self.name, self.directory, target)
            .map_err(StoreError::io("replace", path))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Renamed files have no handle left. A file that cannot be removed is harmless: nobody reads it.
        if self.file.take().is_some() {
            let _ = rustix::fs::unlinkat(self.directory, &self.name, AtFlags::empty());
        }
    }
}
