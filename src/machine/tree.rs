//! Reads small files of sysfs and procfs under a root directory.
//!
//! Nothing here knows what the files mean. A file that is absent, unreadable or malformed is `None`; what is
//! malformed leaves a note, what is absent does not (most machines lack most files).

use super::host::is_live;
use crate::units::CpuSet;
use rustix::fs::{Mode, OFlags};
use std::cell::OnceCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Relative to the root.
const CPU_DIRECTORY: &str = "sys/devices/system/cpu/";

/// No file read here is longer, except `/proc/cpuinfo` of a large Arm machine.
const LONGEST_FILE: usize = 1 << 20;
/// More notes than a person reads; a tree whose every file is torn would give thousands.
const MOST_NOTES: usize = 24;

/// A root directory with the notes on what was odd beneath it.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    /// The directory that holds most files, opened once: half of what it costs to open one is the way to it.
    cpu_directory: OnceCell<Option<OwnedFd>>,
    notes: Vec<String>,
    unwritten: usize,
}

impl Tree {
    /// The tree under `root`; `/` is the live system.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            cpu_directory: OnceCell::new(),
            notes: Vec::new(),
            unwritten: 0,
        }
    }

    /// Remembers what was odd.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(text.into());
        } else {
            self.unwritten += 1;
        }
    }

    /// All notes, the last of them telling how many were left out.
    pub(crate) fn into_notes(mut self) -> Vec<String> {
        if self.unwritten > 0 {
            self.notes
                .push(format!("and {} notes more of this kind", self.unwritten));
        }
        self.notes
    }

    /// The text of a file without white space and NULs at its ends; `path` is relative to the root.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.head(path, LONGEST_FILE)
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn head(&self, path: &str, limit: usize) -> Option<String> {
        let file = self.open(path).ok()?;
        let bytes = read_at_most(&file, limit, path.starts_with("sys/devices/")).ok()?;
        // Some kernels close masks and lists with a NUL.
        let text = String::from_utf8_lossy(&bytes);
        Some(
            text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
                .to_owned(),
        )
    }

    /// Opens without ever waiting: it may be a pipe in a tree that somebody else made.
    fn open(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let directory = || {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(self.root.join(CPU_DIRECTORY), flags, Mode::empty()).ok()
        };
        match path.strip_prefix(CPU_DIRECTORY) {
            Some(inside) => match self.cpu_directory.get_or_init(directory) {
                Some(directory) => rustix::fs::openat(directory, inside, flags, Mode::empty()),
                None => Err(rustix::io::Errno::NOENT),
            },
            None => rustix::fs::open(self.root.join(path), flags, Mode::empty()),
        }
    }

    /// Is it the live system?
    pub(crate) fn is_live(&self) -> bool {
        is_live(&self.root)
    }

    /// Where a symbolic link points.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.root.join(path)).ok()?;
        Some(target.to_string_lossy().into_owned())
    }

    /// The names of the directories in a directory, sorted.
    pub(crate) fn directories(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join(path)) else {
            return Vec::new();
        };
        let directories = entries.flatten().filter(|entry| {
            let kind = entry.file_type();
            kind.is_ok_and(|kind| kind.is_dir())
        });
        let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// Does this file or directory exist?
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The leading whole number of a file; a unit after it (`512K`) is ignored.
    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        leading_number(&self.text(path)?)
    }

    /// The number in a file that counts something: zero and less are as good as absent.
    pub(crate) fn quantity(&self, path: &str) -> Option<u64> {
        self.number(path)
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| *n > 0)
    }

    /// Bytes from a cache's `size` file (`48K`, `32M`).
    pub(crate) fn bytes(&self, path: &str) -> Option<u64> {
        let text = self.text(path)?;
        let number = u64::try_from(leading_number(&text)?).ok()?;
        let unit = match text.chars().last() {
            Some('K' | 'k') => 1 << 10,
            Some('M' | 'm') => 1 << 20,
            Some('G' | 'g') => 1 << 30,
            _ => 1,
        };
        number.checked_mul(unit).filter(|n| *n > 0)
    }

    /// A CPU set in the kernel's list format.
    pub(crate) fn list(&mut self, path: &str) -> Option<CpuSet> {
        let text = self.text(path)?;
        CpuSet::parse_list(&text)
            .map_err(|error| self.note(format!("{path}: {error}; left out")))
            .ok()
    }

    /// A CPU set from a list file, else from a mask file.
    pub(crate) fn list_or_mask(&mut self, list: &str, mask: &str) -> Option<CpuSet> {
        if let Some(set) = self.list(list) {
            return Some(set);
        }
        let text = self.text(mask)?;
        CpuSet::parse_mask(&text)
            .map_err(|error| self.note(format!("{mask}: {error}; left out")))
            .ok()
    }

    /// The numbers N of the entries `prefixN` in a directory, lowest first.
    pub(crate) fn numbered(&self, directory: &str, prefix: &str) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(self.root.join(directory)) else {
            return Vec::new();
        };
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                entry
                    .ok()?
                    .file_name()
                    .to_str()?
                    .strip_prefix(prefix)?
                    .parse()
                    .ok()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

/// `whole_at_once`: the file gives all it has to one read, so that a short one is the end.
fn read_at_most(file: &OwnedFd, limit: usize, whole_at_once: bool) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0u8; 4096];
    while bytes.len() < limit {
        let wanted = chunk.len().min(limit - bytes.len());
        match rustix::io::read(file, &mut chunk[..wanted]) {
            Ok(0) => break,
            Ok(n) => {
                bytes.extend_from_slice(&chunk[..n]);
                if whole_at_once && n < wanted {
                    break;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

fn leading_number(text: &str) -> Option<i64> {
    let digits = text
        .char_indices()
        .find(|(i, c)| !(c.is_ascii_digit() || (*i == 0 && *c == '-')))
        .map_or(text.len(), |(i, _)| i);
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stop_at_their_unit_and_garbage_is_none() {
        assert_eq!(leading_number("512K"), Some(512));
        assert_eq!(leading_number("-1"), Some(-1));
        assert_eq!(leading_number("3.5"), Some(3));
        for text in ["", "-", "x1", "99999999999999999999"] {
            assert_eq!(leading_number(text), None, "{text}");
        }
    }
}
