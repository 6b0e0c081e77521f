//! Where configuration lies, and whose word counts.

use super::{Configuration, ConfigurationError, parse};
use crate::document::Fault;
use crate::document::read::read_text;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The largest file that is read as a configuration.
pub const MAX_BYTES: u64 = 1 << 20;

/// The administrator's file, and the only one that the daemon reads.
pub const SYSTEM_FILE: &str = "/etc/threadtune/threadtune.toml";

/// The configuration files. None of them need exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The user's own, absent where neither `XDG_CONFIG_HOME` nor `HOME` tells.
    pub user: Option<PathBuf>,
    /// The machine's.
    pub system: PathBuf,
}

impl Files {
    /// The usual places, given the environment (`XDG_CONFIG_HOME` counts only if absolute, as its specification says).
    pub fn from_environment(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute = |name: &str| {
            environment(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let directory = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")));
        Self {
            user: directory.map(|directory| directory.join("threadtune/threadtune.toml")),
            system: PathBuf::from(SYSTEM_FILE),
        }
    }

    /// Reads both; a key of the user's file wins over the machine's. A file that cannot be used counts as empty, and
    /// what is wrong with it comes along.
    pub fn read(&self) -> (Configuration, Vec<ConfigurationError>) {
        let mut configuration = Configuration::default();
        let mut problems = Vec::new();
        for path in self.user.iter().chain([&self.system]) {
            match read_if_visible(path) {
                Ok(found) => configuration = configuration.or(found),
                Err(problem) => problems.push(problem),
            }
        }
        (configuration, problems)
    }
}

/// The configuration of one file that somebody named or that decides alone; an absent one is empty.
pub fn read_file(path: &Path) -> Result<Configuration, ConfigurationError> {
    match read_text(path, MAX_BYTES) {
        Ok(text) => parse(path, &text),
        Err(fault) => empty_if_absent(fault),
    }
}

/// The same, and one that this user cannot even see (another user's home, say) is empty too: whoever may not look into
/// a directory has configured nothing there.
fn read_if_visible(path: &Path) -> Result<Configuration, ConfigurationError> {
    match read_text(path, MAX_BYTES) {
        Ok(text) => parse(path, &text),
        Err(fault) => match unreachable(path) {
            Some(why) => {
                log::info!(
                    "{} cannot be reached and counts as absent: {why}",
                    path.display()
                );
                Ok(Configuration::default())
            }
            None => empty_if_absent(fault),
        },
    }
}

fn empty_if_absent(fault: Fault) -> Result<Configuration, ConfigurationError> {
    if fault.is_absent() {
        Ok(Configuration::default())
    } else {
        Err(fault.into())
    }
}

/// Why a directory above this file bars the way to it, if one does.
fn unreachable(path: &Path) -> Option<io::Error> {
    let barred = [ErrorKind::PermissionDenied, ErrorKind::NotADirectory];
    let error = path.symlink_metadata().err()?;
    barred.contains(&error.kind()).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn user(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let files = Files::from_environment(|name| {
            let (_, value) = variables.iter().find(|(n, _)| *n == name)?;
            Some(OsString::from(value))
        });
        assert_eq!(files.system, Path::new("/etc/threadtune/threadtune.toml"));
        files.user
    }

    #[test]
    fn the_users_file_follows_the_xdg_rules() {
        let xdg = ("XDG_CONFIG_HOME", "/c");
        let home = ("HOME", "/h");
        let at = |text: &str| Some(PathBuf::from(text));
        assert_eq!(user(&[xdg, home]), at("/c/threadtune/threadtune.toml"));
        let fallback = at("/h/.config/threadtune/threadtune.toml");
        assert_eq!(user(&[home]), fallback);
        assert_eq!(user(&[("XDG_CONFIG_HOME", "relative"), home]), fallback);
        assert_eq!(user(&[("XDG_CONFIG_HOME", ""), home]), fallback);
        assert_eq!(user(&[("HOME", "here")]), None);
    }

    #[test]
    fn a_key_of_the_user_wins_and_a_broken_file_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files {
            user: Some(directory.path().join("user.toml")),
            system: directory.path().join("system.toml"),
        };
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let reserve = || {
            let (configuration, problems) = files.read();
            let reserve = configuration.reserve.map(|r| (r.cpus, r.source));
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            (reserve, problems)
        };
        let by = |name: &str, cpus: usize| {
            let source = format!("{}: budget.reserve", directory.path().join(name).display());
            Some((cpus, source))
        };
        assert_eq!(reserve(), (None, vec![]));
        write("system.toml", "[budget]\nreserve = 3\n");
        assert_eq!(reserve(), (by("system.toml", 3), vec![]));
        write("user.toml", "[budget]\n");
        assert_eq!(reserve(), (by("system.toml", 3), vec![]));
        write("user.toml", "[budget]\nreserve = 0\n");
        assert_eq!(reserve(), (by("user.toml", 0), vec![]));
        write("user.toml", "budget = 1\n");
        let (found, problems) = reserve();
        assert_eq!((found, problems.len()), (by("system.toml", 3), 1));
        assert!(problems[0].contains("user.toml, line 1"), "{problems:?}");
        write("system.toml", "[budget");
        let (found, problems) = reserve();
        assert_eq!((found, problems.len()), (None, 2));
        assert!(problems[1].contains("system.toml, line 1"), "{problems:?}");
    }

    #[test]
    fn a_file_that_decides_alone_may_be_absent_but_not_broken_or_out_of_reach() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("threadtune.toml");
        assert_eq!(read_file(&path).unwrap(), Configuration::default());
        fs::write(&path, "[daemon]\nmains_only = false\n").unwrap();
        assert_eq!(read_file(&path).unwrap().daemon.mains_only, Some(false));
        let error = read_file(directory.path()).unwrap_err();
        assert!(matches!(error.0, Fault::NotRegular { .. }));
        fs::write(&path, "[daemon]\nmains = false\n").unwrap();
        let error = read_file(&path).unwrap_err().to_string();
        assert!(error.contains("line 2, key `daemon.mains`"), "{error}");
    }

    #[test]
    fn files_of_more_than_a_mebibyte_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large.toml");
        let files = Files {
            user: None,
            system: path.clone(),
        };
        let comment = |bytes: u64| "#".repeat(usize::try_from(bytes).unwrap());
        fs::write(&path, comment(MAX_BYTES)).unwrap();
        assert_eq!(files.read().1.len(), 0);
        fs::write(&path, comment(MAX_BYTES + 1)).unwrap();
        let problem = files.read().1.remove(0).to_string();
        assert!(problem.contains("has 1048577 bytes"), "{problem}");
    }
}
