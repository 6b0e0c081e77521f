//! Notices when a quota or a cpuset of the own control group or of an ancestor is written.

use super::Occurrence;
use crate::machine::cpu_limit_files;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::{self, Errno, read};
use std::path::{Path, PathBuf};

/// Notices read at one go: 16 bytes each.
const BUFFER: usize = 4096;

/// Watches on the files that hold the limits.
#[derive(Debug)]
pub(super) struct LimitWatch {
    inotify: OwnedFd,
    root: PathBuf,
}

impl LimitWatch {
    /// Watches the control groups that the process is in now.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let root = root.to_owned();
        let watch = Self { inotify, root };
        watch.add_files();
        Ok(watch)
    }

    /// Readable when a file was written.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Was one written since the last call?
    pub(super) fn take(&mut self) -> io::Result<Vec<Occurrence>> {
        let mut happened = Vec::new();
        loop {
            match read(&self.inotify, &mut [0; BUFFER]) {
                // Which file it was does not matter: the CPU budget is the least of all of them.
                Ok(_) => happened = vec![Occurrence::LimitsChanged],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        if !happened.is_empty() {
            self.add_files();
        }
        Ok(happened)
    }

    /// Watches the files there are. Some come into being only when a controller is switched on, which is itself
    /// noticed; watching a file twice is watching it once.
    fn add_files(&self) {
        for file in cpu_limit_files(&self.root) {
            // The kernel's own notices and other processes' writes are both modifications.
            if let Err(errno) = add_watch(&self.inotify, &file, WatchFlags::MODIFY) {
                log::warn!(
                    "changes of {} are not noticed: {errno}; SIGHUP makes the daemon look",
                    file.display()
                );
            }
        }
    }
}
