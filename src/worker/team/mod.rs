//! Who runs a parallel region: the runtime whose fork and join are measured.
//!
//! The answer of a tuning becomes `OMP_NUM_THREADS`, so the team is OpenMP's where its library loads, else rayon's.

mod library;
mod openmp;
mod rayon;

use crate::units::ThreadCount;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Work of one region: called as `work(thread, of)` on every thread of a team of `of`.
pub type Work<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Forks regions on a team that stands ready.
pub trait Fork: Sync {
    /// Runs `work` on every thread of the team; returns when the last one is done.
    fn region(&self, work: Work<'_>);
}

/// A threading runtime.
pub trait Team {
    /// The runtime and, where it tells, its version.
    fn describe(&self) -> &str;

    /// The file of the runtime with a hash of its bytes, if it has one.
    fn library(&self) -> Option<&str>;

    /// Ends the threads that stand ready, so that none of them spins beside the next team or keeps the mask it has: the
    /// next one begins as a program's does. A runtime that cannot keeps them.
    fn disband(&mut self);

    /// Has a team of this many threads ready and runs `body` on its first thread.
    fn with(
        &mut self,
        threads: ThreadCount,
        body: &mut (dyn FnMut(&dyn Fork) + Send),
    ) -> Result<(), TeamError>;
}

/// Why there is no team.
#[derive(Debug, thiserror::Error)]
pub enum TeamError {
    /// No OpenMP runtime could be loaded.
    #[error("no OpenMP runtime could be loaded ({0}); install libgomp1, or use --team rayon")]
    NoOpenMp(String),
    /// Threads could not be started.
    #[error("a team of {threads} threads could not be started: {reason}")]
    Start {
        /// Threads asked for.
        threads: ThreadCount,
        /// The runtime's reason.
        reason: String,
    },
}

/// Which runtime is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamChoice {
    /// OpenMP where it loads, else rayon.
    Auto,
    /// OpenMP or nothing.
    OpenMp,
    /// rayon.
    Rayon,
}

impl TeamChoice {
    /// How many tasks a worker has beside its team, at most. The main thread is one of an OpenMP team and waits beside
    /// rayon's, which may turn out to be the team where the choice is free.
    pub fn tasks_beside(self) -> usize {
        match self {
            Self::OpenMp => 0,
            Self::Auto | Self::Rayon => 1,
        }
    }
}

impl FromStr for TeamChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "openmp" => Ok(Self::OpenMp),
            "rayon" => Ok(Self::Rayon),
            other => Err(format!("`{other}` is not a team: auto, openmp or rayon")),
        }
    }
}

impl fmt::Display for TeamChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::OpenMp => "openmp",
            Self::Rayon => "rayon",
        })
    }
}

/// What a choice is going to load, as far as that can be told without loading it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The team as it will describe itself.
    pub team: Option<String>,
    /// The file of its runtime with a hash of its bytes: `libgomp.so.1.0.0 5f3a9c01`.
    pub library: Option<String>,
}

/// What [`open`] is going to load; nothing is told where the dynamic linker looks for it.
pub fn expected(choice: TeamChoice, trusted_libraries: bool) -> Expected {
    let rayon = Expected {
        team: Some(rayon::NAME.to_owned()),
        library: None,
    };
    if choice == TeamChoice::Rayon {
        return rayon;
    }
    let trust = library::Trust::of_process(trusted_libraries);
    let directories = library::DIRECTORIES.map(Path::new);
    let mut found = library::NAMES.into_iter().filter_map(|name| {
        let path = library::locate(name, &directories, trust.as_ref()).ok()?;
        Some((name, path))
    });
    match (found.next(), choice) {
        (Some((name, path)), _) if path.is_absolute() => Expected {
            team: Some(library::describe(&path, name)),
            library: library::name_and_hash(&path),
        },
        (None, TeamChoice::Auto) => rayon,
        _ => Expected::default(),
    }
}

/// Variables that say how threads wait for work.
const WAIT_VARIABLES: [&str; 4] = [
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "KMP_LIBRARY",
];

/// How threads wait for work as far as these variables say, `OMP_WAIT_POLICY=passive`; nothing where none is set.
pub fn wait_policy(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| Some(format!("{name}={}", variable(name)?));
    let all: Vec<String> = WAIT_VARIABLES.into_iter().filter_map(set).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// The runtime chosen, and why it is not the first choice. With `trusted_libraries`, and always for root, only a library
/// that root alone can change is loaded.
pub fn open(
    choice: TeamChoice,
    trusted_libraries: bool,
) -> Result<(Box<dyn Team>, Option<String>), TeamError> {
    let load = || openmp::OpenMpTeam::load(library::Trust::of_process(trusted_libraries).as_ref());
    match choice {
        TeamChoice::Rayon => Ok((Box::new(rayon::RayonTeam::new()), None)),
        TeamChoice::OpenMp => Ok((Box::new(load()?), None)),
        TeamChoice::Auto => match load() {
            Ok(team) => Ok((Box::new(team), None)),
            Err(why) => Ok((Box::new(rayon::RayonTeam::new()), Some(why.to_string()))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn threads_seen(team: &mut dyn Team, threads: usize) -> Vec<(usize, usize)> {
        let seen = Mutex::new(Vec::new());
        team.with(ThreadCount::clamped(threads), &mut |fork: &dyn Fork| {
            fork.region(&|thread, of| seen.lock().unwrap().push((thread, of)));
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        seen
    }

    fn a_region_runs_once_on_every_thread(team: &mut dyn Team) {
        for n in [1, 2, 4, 3, 1, 2] {
            let expected: Vec<(usize, usize)> = (0..n).map(|t| (t, n)).collect();
            assert_eq!(threads_seen(team, n), expected);
        }
    }

    #[test]
    fn rayon_runs_a_region_once_on_every_thread() {
        a_region_runs_once_on_every_thread(&mut rayon::RayonTeam::new());
    }

    #[test]
    fn openmp_runs_a_region_once_on_every_thread() {
        match openmp::OpenMpTeam::load(None) {
            Ok(mut team) => a_region_runs_once_on_every_thread(&mut team),
            Err(why) => eprintln!("SKIPPED openmp_runs_a_region_once_on_every_thread: {why}"),
        }
    }

    #[test]
    fn the_wait_policy_is_what_the_environment_says() {
        assert_eq!(wait_policy(|_| None), None);
        let set = |name: &str| match name {
            "OMP_WAIT_POLICY" => Some("passive".to_owned()),
            "GOMP_SPINCOUNT" => Some("0".to_owned()),
            _ => None,
        };
        assert_eq!(
            wait_policy(set).as_deref(),
            Some("OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0")
        );
    }

    #[test]
    fn what_is_expected_is_what_opens() {
        let rayon = expected(TeamChoice::Rayon, true);
        assert_eq!(rayon.team.as_deref(), Some("rayon"));
        assert_eq!(rayon.library, None);
        for trusted in [false, true] {
            let expected = expected(TeamChoice::Auto, trusted);
            let (team, note) = open(TeamChoice::Auto, trusted).unwrap();
            // Nothing is expected where the dynamic linker decides; a file that is there may still be broken.
            match expected.team {
                Some(expected) if note.is_none() => assert_eq!(expected, team.describe()),
                expected => {
                    eprintln!("skipped what_is_expected_is_what_opens: {expected:?}, {note:?}");
                }
            }
            if let Some(library) = expected.library.filter(|_| note.is_none()) {
                assert_eq!(team.library(), Some(library.as_str()));
            }
        }
    }
}
