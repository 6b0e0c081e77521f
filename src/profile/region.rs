//! What an empty parallel region costs on a machine, as its profile records it.
//!
//! The tables `[[region]]` of a file were measured together, under what `[region_conditions]` says: a run need not measure
//! regions, and `[[conditions]]` are those of the workloads.

use super::schema::{BudgetRecord, Conditions, Profile};
use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The longest pause before a region: a second.
const MOST_PAUSE_US: u32 = 1_000_000;

/// No region takes longer than a minute.
const MOST_REGION_US: f64 = 60e6;

/// For how long the first thread of a team sleeps before it forks a region: whole microseconds, up to a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pause(u32);

impl Pause {
    /// Not at all: one region follows the other.
    pub const NONE: Self = Self(0);

    /// So many milliseconds; a second where that is more.
    pub const fn from_ms(ms: u16) -> Self {
        let us = ms as u32 * 1000;
        Self(if us < MOST_PAUSE_US {
            us
        } else {
            MOST_PAUSE_US
        })
    }

    /// In microseconds.
    pub const fn as_us(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Pause {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let us = text.parse().ok().filter(|us| *us <= MOST_PAUSE_US);
        us.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a pause; expected whole microseconds from 0 to {MOST_PAUSE_US}"
            )
        })
    }
}

impl From<Pause> for String {
    fn from(pause: Pause) -> Self {
        pause.0.to_string()
    }
}

/// `hot`, `after 500 µs`, `after 10 ms`.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("hot"),
            us if us % 1000 == 0 => write!(f, "after {} ms", us / 1000),
            us => write!(f, "after {us} µs"),
        }
    }
}

/// The cost of an empty parallel region on one team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Threads of the team, bound as those of the arm `close` are.
    pub threads: ThreadCount,
    /// Median time from fork to join, microseconds, by the pause before the region.
    pub after_us: BTreeMap<Pause, f64>,
}

/// What the cost of a region depends on, as it was when the regions of a profile were measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionConditions {
    /// Kernel release.
    pub kernel: String,
    /// CPU frequency governor.
    pub governor: String,
    /// The CPU budget under which was measured.
    pub budget: BudgetRecord,
    /// Which runtime forked the threads, with its version where it tells.
    pub team: String,
    /// The file of that runtime with a hash of its bytes; absent where there is none or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// How its threads waited for work, as far as variables said; absent where they said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
}

impl From<&Conditions> for RegionConditions {
    fn from(conditions: &Conditions) -> Self {
        Self {
            kernel: conditions.kernel.clone(),
            governor: conditions.governor.clone(),
            budget: conditions.budget.clone(),
            team: conditions.team.clone(),
            library: conditions.library.clone(),
            wait: conditions.wait.clone(),
        }
    }
}

/// Regions that were measured together.
#[derive(Debug, Clone, PartialEq)]
pub struct FreshRegions {
    /// Under which conditions.
    pub conditions: RegionConditions,
    /// One a count, ascending.
    pub regions: Vec<Region>,
    /// Wall time that it took, seconds.
    pub spent_s: f64,
}

/// Can a region have taken so long, in microseconds?
pub fn is_region_time(us: f64) -> bool {
    us > 0.0 && us <= MOST_REGION_US
}

/// What is expected of a time, for an error.
pub(super) fn expected_region_time() -> String {
    format!("expected more than 0 and at most {MOST_REGION_US} microseconds")
}

impl Profile {
    /// Does it hold regions that were measured under these conditions?
    pub fn has_regions(&self, conditions: &RegionConditions) -> bool {
        self.region_conditions.as_ref() == Some(conditions)
    }

    /// Replaces all regions, whatever they were measured under: those of two measurements are never mixed. Nothing
    /// changes where none were measured.
    pub fn keep_regions(&mut self, fresh: FreshRegions) {
        if !fresh.regions.is_empty() {
            self.region_conditions = Some(fresh.conditions);
            self.regions = fresh.regions;
            self.spend(fresh.spent_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use std::path::Path;

    fn profile() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    fn fresh(conditions: RegionConditions, threads: &[usize], us: f64) -> FreshRegions {
        let regions = threads.iter().map(|n| Region {
            threads: ThreadCount::clamped(*n),
            after_us: BTreeMap::from([(Pause::NONE, us)]),
        });
        FreshRegions {
            conditions,
            regions: regions.collect(),
            spent_s: 1.5,
        }
    }

    #[test]
    fn pauses_are_whole_microseconds_up_to_a_second() {
        let pause = |text: &str| Pause::try_from(text.to_owned()).map(Pause::as_us);
        assert_eq!(pause("0"), Ok(0));
        assert_eq!(pause("1000000"), Ok(1_000_000));
        for text in ["1000001", "-1", "1.5", "soon", "", "99999999999"] {
            assert_eq!(
                pause(text),
                Err(format!(
                    "`{text}` is not a pause; expected whole microseconds from 0 to 1000000"
                ))
            );
        }
        assert_eq!(Pause::from_ms(10).as_us(), 10_000);
        assert_eq!(Pause::from_ms(u16::MAX).as_us(), 1_000_000);
        let names = [Pause::NONE, Pause(500), Pause(1500), Pause(10_000)].map(|p| p.to_string());
        assert_eq!(
            names,
            ["hot", "after 500 µs", "after 1500 µs", "after 10 ms"]
        );
    }

    #[test]
    fn a_newer_measurement_replaces_all_regions_of_the_older() {
        let mut profile = profile();
        let libgomp = RegionConditions::from(&profile.conditions[0]);
        profile.keep_regions(fresh(libgomp.clone(), &[1, 2, 8], 2.0));
        assert!(profile.has_regions(&libgomp));
        // Fewer counts of the same conditions: no older one stays between them.
        let again = fresh(libgomp.clone(), &[1, 8], 3.0);
        profile.keep_regions(again.clone());
        assert_eq!(profile.regions, again.regions);
        // Another team, and nothing of the one before.
        let rayon = RegionConditions {
            team: "rayon".to_owned(),
            library: None,
            ..libgomp.clone()
        };
        let other = fresh(rayon.clone(), &[4], 9.0);
        profile.keep_regions(other.clone());
        assert_eq!(profile.regions, other.regions);
        assert!(profile.has_regions(&rayon) && !profile.has_regions(&libgomp));
        assert!((profile.spent_s - (41.2 + 4.5)).abs() < 1e-9);
        // What was not measured replaces nothing.
        profile.keep_regions(fresh(libgomp, &[], 0.0));
        assert_eq!(profile.regions, other.regions);
        assert!(profile.has_regions(&rayon));
    }

    #[test]
    fn each_condition_matters_and_a_renewed_profile_keeps_what_was_measured() {
        let mut profile = profile();
        let then = RegionConditions::from(&profile.conditions[0]);
        profile.keep_regions(fresh(then.clone(), &[2], 2.0));
        let (machine, mut today) = (profile.machine.clone(), profile.conditions[0].clone());
        today.team = "libomp 5".to_owned();
        let profile = Profile::renewed(Some(profile), machine);
        assert!(profile.has_regions(&then));
        assert!(!profile.has_regions(&RegionConditions::from(&today)));
        let changed = |change: &dyn Fn(&mut RegionConditions)| {
            let mut other = then.clone();
            change(&mut other);
            !profile.has_regions(&other)
        };
        assert!(changed(&|c| c.kernel = "6.12".to_owned()));
        assert!(changed(&|c| c.governor = "powersave".to_owned()));
        assert!(changed(&|c| c.budget.limit = ThreadCount::ONE));
        assert!(changed(&|c| c.budget.cpus = "0-3".parse().unwrap()));
        assert!(changed(&|c| c.team = "rayon".to_owned()));
        assert!(changed(&|c| c.library = Some("libgomp.so 1".to_owned())));
        assert!(changed(
            &|c| c.wait = Some("OMP_WAIT_POLICY=passive".to_owned())
        ));
        assert!(!changed(&|_| {}));
    }
}
