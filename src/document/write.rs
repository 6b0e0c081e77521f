//! Writing a file so that a crash leaves the old one or the new one, never a torn one.

use super::Fault;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Everyone may read what is written here: it holds numbers and names only.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Names tried for the temporary file; a process that died may have left one of its own.
const TEMPORARY_NAMES: u32 = 100;

/// Puts a file with these bytes in the place of the file or link at `path`, or in none's; missing directories are made.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let (directory, name) = open_directory(path)?;
    let temporary = Temporary::create(&directory, name, path)?;
    temporary.write(bytes, path)?;
    temporary.rename_to(name, path)?;
    rustix::fs::fsync(&directory).map_err(Fault::io("flush the directory of", path))
}

/// Would [`replace`] succeed? Makes the directories and, for a moment, the temporary file.
pub(crate) fn check_replaceable(path: &Path) -> Result<(), Fault> {
    let (directory, name) = open_directory(path)?;
    Temporary::create(&directory, name, path)?.write(b"#\n", path)
}

/// Removes the temporary files in this directory whose writers have died. What cannot be removed is harmless: nobody
/// reads it.
pub(crate) fn sweep(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let writer = entry.file_name().to_str().and_then(writer);
        if writer.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The process that a temporary file's name states, as [`Temporary::create`] makes it.
fn writer(name: &str) -> Option<Pid> {
    let (head, attempt) = name.strip_suffix(".tmp")?.rsplit_once('-')?;
    let (target, pid) = head.strip_prefix('.')?.rsplit_once('.')?;
    attempt.parse::<u32>().ok().filter(|_| !target.is_empty())?;
    Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)
}

/// The directory that holds a file, made where it is missing, and the file's name in it.
pub(crate) fn open_directory(path: &Path) -> Result<(OwnedFd, &OsStr), Fault> {
    let name = path
        .file_name()
        .ok_or(Errno::ISDIR)
        .map_err(Fault::io("write", path))?;
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(Fault::io("create the directory", directory))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, directory, flags, Mode::empty())
        .map_err(Fault::io("open the directory", directory))?;
    Ok((fd, name))
}

/// A file that vanishes unless it is renamed.
struct Temporary<'d> {
    directory: &'d OwnedFd,
    name: OsString,
    file: Option<File>,
}

impl<'d> Temporary<'d> {
    fn create(directory: &'d OwnedFd, target: &OsStr, path: &Path) -> Result<Self, Fault> {
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
        Err(Fault::io("create a file beside", path)(failure))
    }

    /// Writes everything and waits until it is on the disk.
    fn write(&self, bytes: &[u8], path: &Path) -> Result<(), Fault> {
        let mut file = self
            .file
            .as_ref()
            .ok_or(Errno::BADF)
            .map_err(Fault::io("write", path))?;
        // The mode given to `openat` is cut by the umask; what a service writes must be readable by its users.
        rustix::fs::fchmod(file.as_fd(), FILE_MODE).map_err(Fault::io("set the mode of", path))?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(Fault::io("write", path))
    }

    fn rename_to(mut self, target: &OsStr, path: &Path) -> Result<(), Fault> {
        rustix::fs::renameat(self.directory, &self.name, self.directory, target)
            .map_err(Fault::io("replace", path))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_the_dead_were_writing_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let own = std::process::id();
        // No process has such a number: the kernel's largest is 2^22.
        let dead = i32::MAX;
        let kept = [
            format!(".native.toml.{own}-0.tmp"),
            format!(".{dead}-0.tmp"),
            format!("native.toml.{dead}-0.tmp"),
            format!(".native.toml.{dead}-x.tmp"),
            format!(".native.toml.-{dead}-0.tmp"),
            format!(".native.toml.{dead}-0"),
            ".native.toml.0-0.tmp".to_owned(),
            "native.toml".to_owned(),
        ];
        let removed = [
            format!(".native.toml.{dead}-0.tmp"),
            format!(".a.{dead}-99.tmp"),
        ];
        for name in kept.iter().chain(&removed) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        sweep(directory.path());
        for name in &kept {
            assert!(directory.path().join(name).exists(), "{name}");
        }
        for name in &removed {
            assert!(!directory.path().join(name).exists(), "{name}");
        }
    }
}
