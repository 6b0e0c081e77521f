//! Where profiles lie, and the order in which they are looked through.

use super::check::is_machine_id;
use super::error::StoreError;
use super::read::load_entries;
use super::schema::Profile;
use crate::machine::Fingerprint;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Machine-wide directories, in the order of the search: an administrator's, the service's, the distribution's.
const SYSTEM: [&str; 3] = [
    "/etc/threadtune/profiles",
    "/var/lib/threadtune/profiles",
    "/usr/share/threadtune/profiles",
];

/// Where the service writes, and `tune --system`.
const SYSTEM_STATE: &str = "/var/lib/threadtune/profiles";

/// So many other machines of a directory are looked at, at most: a home directory may be shared by all of a cluster, and a
/// launch must not wait.
const MOST_ELSEWHERE: usize = 16;

/// The directories of profiles; below each lies `<machine>/<backend>.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// The user's own, absent where neither `XDG_STATE_HOME` nor `HOME` tells.
    pub user: Option<PathBuf>,
    /// Machine-wide ones, in order.
    pub system: Vec<PathBuf>,
}

/// A profile and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub profile: Profile,
}

/// What a search came to: profiles, and the files that were passed over because something is wrong with them.
#[derive(Debug, Default)]
pub struct Search {
    /// Those that are sound, in the order of the directories.
    pub found: Vec<Found>,
    /// What is wrong with others; files that are absent do not count.
    pub problems: Vec<StoreError>,
}

impl Directories {
    /// The usual places, given the environment (`XDG_STATE_HOME` counts only if absolute, as its specification says).
    pub fn from_environment(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute = |name: &str| {
            environment(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        Self {
            user: state.map(|state| state.join("threadtune/profiles")),
            system: SYSTEM.map(PathBuf::from).to_vec(),
        }
    }

    /// The file that `tune` writes for the user.
    pub fn user_profile(&self, machine: &str, backend: &str) -> Option<PathBuf> {
        self.user.as_ref().map(|dir| file(dir, machine, backend))
    }

    /// The file that the service writes, and `tune --system`.
    pub fn system_profile(machine: &str, backend: &str) -> PathBuf {
        file(Path::new(SYSTEM_STATE), machine, backend)
    }

    /// The profiles of this machine; with names, perhaps these entries of them only.
    pub fn search(&self, machine: &Fingerprint, backend: &str, names: &[String]) -> Search {
        let mut search = Search::default();
        for directory in self.user.iter().chain(&self.system) {
            // What lies under the id of threadtune 0.1.0 was taken over by what replaced it.
            for id in ids_of(machine) {
                let path = file(directory, &id, backend);
                match load_for(&path, machine, names) {
                    Ok(profile) => search.found.push(Found { path, profile }),
                    Err(error) if error.is_absent() => continue,
                    Err(error) => search.problems.push(error),
                }
                break;
            }
        }
        search
    }

    /// The sound profiles of this machine that other backends have, in the order of the directories and their names.
    pub fn search_other_backends(
        &self,
        machine: &Fingerprint,
        backend: &str,
        names: &[String],
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for directory in self.user.iter().chain(&self.system) {
            for directory in ids_of(machine).iter().map(|id| directory.join(id)) {
                let is_other = |name: &String| {
                    let stem = name.strip_suffix(".toml");
                    stem.is_some_and(|stem| stem != backend && !stem.ends_with(".previous"))
                };
                for name in sorted_names(&directory, is_other) {
                    let path = directory.join(&name);
                    let Ok(mut profile) = load_for(&path, machine, names) else {
                        continue;
                    };
                    // A copy of our own, say, under another name is none of another backend.
                    let stem = name.strip_suffix(".toml");
                    profile
                        .workloads
                        .retain(|entry| Some(entry.backend.as_str()) == stem);
                    found.push(Found { path, profile });
                }
            }
        }
        found
    }

    /// The sound profiles of other machines with the same processor, in the order of the directories and their ids.
    pub fn search_elsewhere(
        &self,
        machine: &Fingerprint,
        backend: &str,
        names: &[String],
    ) -> Vec<Found> {
        let prefix = machine.processor_prefix();
        let mut found = Vec::new();
        for directory in self.user.iter().chain(&self.system) {
            let is_other = |id: &String| id.starts_with(&prefix) && !machine.is_known_as(id);
            for id in sorted_names(directory, is_other)
                .into_iter()
                .take(MOST_ELSEWHERE)
            {
                let path = file(directory, &id, backend);
                // What is wrong with it is another machine's matter.
                let profile = load_named(&path, machine, names);
                found.extend(profile.ok().map(|profile| Found { path, profile }));
            }
        }
        found
    }
}

/// Reads a profile that must belong to this machine; with names, perhaps these entries of it only.
pub fn load_for(
    path: &Path,
    machine: &Fingerprint,
    names: &[String],
) -> Result<Profile, StoreError> {
    let profile = load_named(path, machine, names)?;
    if machine.is_known_as(&profile.machine.id) {
        Ok(profile)
    } else {
        Err(other_machine(path, &profile, machine))
    }
}

/// The same, but it may be of another machine with the same processor, whose entries say so then.
pub fn load_named(
    path: &Path,
    machine: &Fingerprint,
    names: &[String],
) -> Result<Profile, StoreError> {
    let profile = load_entries(path, names)?;
    if machine.is_known_as(&profile.machine.id) {
        Ok(profile.renumbered(machine))
    } else if machine.is_same_processor(&profile.machine) {
        Ok(profile.of_elsewhere())
    } else {
        Err(other_machine(path, &profile, machine))
    }
}

fn other_machine(path: &Path, profile: &Profile, machine: &Fingerprint) -> StoreError {
    StoreError::OtherMachine {
        path: path.to_owned(),
        found: profile.machine.id.clone(),
        expected: machine.id.clone(),
    }
}

/// Where threadtune 0.1.0 would have written a profile that lies here now.
pub(super) fn earlier(path: &Path, machine: &Fingerprint) -> Option<PathBuf> {
    let name = path.file_name()?;
    let directory = path.parent()?.parent()?;
    Some(directory.join(machine.earlier_id()).join(name))
}

/// The ids under which profiles of a machine lie, those of today's first.
fn ids_of(machine: &Fingerprint) -> Vec<String> {
    let ids = [machine.id.clone(), machine.earlier_id()];
    ids.into_iter().filter(|id| is_machine_id(id)).collect()
}

/// The names in a directory of which this is true, sorted; none where it cannot be read.
fn sorted_names(directory: &Path, is_it: impl Fn(&String) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(is_it).collect();
    names.sort_unstable();
    names
}

fn file(directory: &Path, machine: &str, backend: &str) -> PathBuf {
    directory.join(machine).join(format!("{backend}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directories(variables: &[(&str, &str)]) -> Directories {
        Directories::from_environment(|name| {
            let (_, value) = variables.iter().find(|(n, _)| *n == name)?;
            Some(OsString::from(value))
        })
    }

    #[test]
    fn the_users_directory_follows_the_xdg_rules() {
        let path =
            |variables: &[(&str, &str)]| directories(variables).user_profile("m-1", "native");
        let xdg = ("XDG_STATE_HOME", "/s");
        let home = ("HOME", "/h");
        let at = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            path(&[xdg, home]),
            at("/s/threadtune/profiles/m-1/native.toml")
        );
        let fallback = at("/h/.local/state/threadtune/profiles/m-1/native.toml");
        assert_eq!(path(&[home]), fallback);
        assert_eq!(path(&[("XDG_STATE_HOME", "relative"), home]), fallback);
        assert_eq!(path(&[]), None);
    }

    #[test]
    fn a_machine_id_cannot_leave_the_directory() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = crate::profile::parse(Path::new("made-up.toml"), text).unwrap();
        let machine = Fingerprint {
            id: "../../etc".to_owned(),
            ..profile.machine
        };
        let search = directories(&[("HOME", "/")]).search(&machine, "native", &[]);
        assert!(search.found.is_empty() && search.problems.is_empty());
    }
}
