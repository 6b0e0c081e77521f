//! Whose turn it is to measure: two that measure on one machine at a time falsify what both see.
//!
//! The turn is a lock (`flock`) on a directory that every machine has and that everybody may open. Nothing is made for it, so
//! nothing can be left behind, or be removed or owned by the wrong user, and it ends with the process that has it, whatever
//! ends that. Anybody may take it, of course; but who keeps others from measuring could also just be busy.

use super::load::printable;
use super::tree::Tree;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, major, minor, openat};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::path::Path;

/// The directory whose lock is the turn.
pub const TURN_DIRECTORY: &str = "/dev/shm";

/// The subcommands that take a turn.
const MEASURING: [&str; 3] = ["tune", "check", "repeat"];

/// The turn, until this value or the process ends. Children do not inherit it.
#[derive(Debug)]
pub struct Turn {
    _directory: OwnedFd,
}

impl Turn {
    /// Takes the turn if nobody has it; nothing where somebody has. An error where nobody can: there is no such directory, or
    /// its file system knows no locks.
    pub fn take(directory: &Path) -> io::Result<Option<Self>> {
        let directory = open(directory)?;
        let is_ours = lock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        Ok(is_ours.then_some(Self {
            _directory: directory,
        }))
    }
}

/// Who has the turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnHolder {
    /// Its command name, with the subcommand of a threadtune; absent where another PID namespace, say, hides it.
    command: Option<String>,
    /// ` (process 12 of root)`, as far as that is known.
    whose: String,
}

impl TurnHolder {
    /// Who has the turn now, if anybody has. Whoever asks must not have it.
    pub fn of(directory: &Path) -> Option<Self> {
        let directory = open(directory).ok()?;
        // For as long as it takes to ask, nobody else can take it: whoever wants to tries more than once.
        let is_free = lock(&directory, FlockOperation::NonBlockingLockShared).unwrap_or(true);
        (!is_free).then(|| Self::find(&Tree::new(Path::new("/")), &directory))
    }

    fn find(tree: &Tree, directory: &OwnedFd) -> Self {
        let process = fstat(directory).ok().and_then(|stat| {
            let file = File {
                major: major(stat.st_dev),
                minor: minor(stat.st_dev),
                inode: stat.st_ino,
            };
            locker(&tree.text("proc/locks")?, file)
        });
        process.map_or_else(Self::unknown, |pid| Self::read(tree, pid))
    }

    /// Its command name, or what it is in any case.
    pub fn into_command(self) -> String {
        self.command.unwrap_or_else(|| "threadtune".to_owned())
    }

    fn unknown() -> Self {
        Self {
            command: None,
            whose: String::new(),
        }
    }

    fn read(tree: &Tree, pid: u32) -> Self {
        let comm = tree.text(&format!("proc/{pid}/comm"));
        let Some(name) = comm.filter(|name| !name.is_empty()) else {
            // It has just ended.
            return Self::unknown();
        };
        // Arguments may hold secrets, but for the one that is a word of ours.
        let arguments = tree.text(&format!("proc/{pid}/cmdline"));
        let subcommand = arguments
            .as_deref()
            .filter(|_| name == "threadtune")
            .and_then(subcommand);
        let status = tree.text(&format!("proc/{pid}/status"));
        let user = status.as_deref().and_then(user_id).map(|id| {
            let name = tree.text("etc/passwd").and_then(|all| user_name(&all, id));
            name.unwrap_or_else(|| format!("user {id}"))
        });
        Self {
            command: Some(match subcommand {
                Some(word) => format!("{} {word}", printable(&name)),
                None => printable(&name),
            }),
            whose: match user {
                Some(user) => format!(" (process {pid} of {})", printable(&user)),
                None => format!(" (process {pid})"),
            },
        }
    }
}

/// `` `threadtune tune` (process 1234 of root) ``.
impl fmt::Display for TurnHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "`{command}`{}", self.whose),
            None => f.write_str("another threadtune"),
        }
    }
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat(CWD, directory, flags, Mode::empty())?)
}

/// Locks it without waiting; false where somebody else's lock forbids that.
fn lock(directory: &OwnedFd, how: FlockOperation) -> io::Result<bool> {
    match flock(directory, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file, as the kernel's list of locks names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct File {
    major: u32,
    minor: u32,
    inode: u64,
}

impl File {
    /// From `00:1b:1`, the first two hexadecimal.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        Some(Self {
            major: u32::from_str_radix(parts.next()?, 16).ok()?,
            minor: u32::from_str_radix(parts.next()?, 16).ok()?,
            inode: parts.next()?.parse().ok()?,
        })
    }
}

/// The process that has locked this file, by the text of `/proc/locks`; one that has it alone goes before others.
fn locker(locks: &str, file: File) -> Option<u32> {
    let lockers = locks.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // `1: -> FLOCK …` only waits.
        let [_, "FLOCK", _, how, pid, place, ..] = words[..] else {
            return None;
        };
        // 0 is a process that this namespace does not show, and -1 none.
        let pid = pid.parse::<u32>().ok().filter(|pid| *pid > 0)?;
        (File::parse(place)? == file).then_some((how != "WRITE", pid))
    });
    lockers.min().map(|(_, pid)| pid)
}

/// Which of the words that take a turn a command line has, NULs between its words.
fn subcommand(arguments: &str) -> Option<&'static str> {
    let mut words = arguments.split('\0').skip(1);
    let first = words.find(|word| !word.starts_with('-'))?;
    MEASURING.into_iter().find(|known| *known == first)
}

/// The effective user, from the text of `/proc/PID/status`.
fn user_id(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The name of this user, from the text of `/etc/passwd`.
fn user_name(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let is_it = fields.nth(1)?.parse() == Ok(id);
        is_it.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FILE: File = File {
        major: 0,
        minor: 0x1b,
        inode: 1,
    };

    #[test]
    fn the_list_of_locks_tells_who_has_one() {
        let locks = "1: FLOCK  ADVISORY  WRITE 9530 00:1b:1 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 9507 fe:00:10428435 0 EOF\n";
        assert_eq!(locker(locks, FILE), Some(9530));
        let other = File {
            major: 0xfe,
            minor: 0,
            inode: 10_428_435,
        };
        assert_eq!(locker(locks, other), Some(9507));
        assert_eq!(locker(locks, File { inode: 2, ..FILE }), None);
        // Whoever only reads, or waits, goes behind, and is none.
        let locks = "1: FLOCK  ADVISORY  READ 7 00:1b:1 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 8 00:1b:1 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 9 00:1b:1 0 EOF\n";
        assert_eq!(locker(locks, FILE), Some(9));
        for nobody in [
            "",
            "1: FLOCK  ADVISORY  WRITE",
            "1: FLOCK  ADVISORY  WRITE 9530 00:1b",
            "1: FLOCK  ADVISORY  WRITE 9530 00:1b: 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 0 00:1b:1 0 EOF",
            "1: FLOCK  ADVISORY  WRITE -1 00:1b:1 0 EOF",
            "1: FLOCK  ADVISORY  WRITE many 00:1b:1 0 EOF",
            "1: POSIX  ADVISORY  WRITE 9530 00:1b:1 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 8 00:1b:1 0 EOF",
            "FLOCK FLOCK FLOCK",
        ] {
            assert_eq!(locker(nobody, FILE), None, "{nobody}");
        }
    }

    #[test]
    fn a_holder_is_named_by_what_everybody_may_know_of_it() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let read = |pid| TurnHolder::read(&Tree::new(root.path()), pid).to_string();
        assert_eq!(read(12), "another threadtune");
        write("proc/12/comm", "threadtune\n");
        assert_eq!(read(12), "`threadtune` (process 12)");
        write("proc/12/status", "Name:\tx\nUid:\t0\t1000\t0\t0\n");
        assert_eq!(read(12), "`threadtune` (process 12 of user 1000)");
        write(
            "etc/passwd",
            "torn\nroot:x:0:0:::\nus\u{1b}er:x:1000:0:::\n",
        );
        let arguments = "/usr/bin/threadtune\0-v\0tune\0--catalog\0secret\0";
        write("proc/12/cmdline", arguments);
        assert_eq!(read(12), "`threadtune tune` (process 12 of us\u{fffd}er)");
        // Words of others may be secrets.
        write("proc/12/comm", "sleep\n");
        assert_eq!(read(12), "`sleep` (process 12 of us\u{fffd}er)");
        for words in [
            "",
            "threadtune",
            "threadtune\0-v",
            "threadtune\0secret\0tune",
        ] {
            assert_eq!(subcommand(words), None, "{words:?}");
        }
    }

    #[test]
    fn one_at_a_time_has_the_turn_and_can_be_seen_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(TurnHolder::of(path), None);
        let turn = Turn::take(path).unwrap().expect("nobody has it");
        assert!(Turn::take(path).unwrap().is_none());
        let holder = TurnHolder::of(path).expect("this process has it");
        let told = holder.to_string();
        assert!(told == "another threadtune" || told.contains(&std::process::id().to_string()));
        drop(turn);
        assert_eq!(TurnHolder::of(path), None);
        assert!(Turn::take(path).unwrap().is_some());
        // Where it cannot be taken nobody has it, and a link is no directory.
        assert!(Turn::take(&path.join("absent")).is_err());
        assert_eq!(TurnHolder::of(&path.join("absent")), None);
        std::os::unix::fs::symlink(path, path.join("link")).unwrap();
        assert!(Turn::take(&path.join("link")).is_err());
    }
}
