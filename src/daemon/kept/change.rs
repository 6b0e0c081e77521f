//! What was found out, as a change to a profile: it can be made again to what somebody else has written meanwhile.

use crate::profile::{Conditions, Entry, FreshEntry, FreshRegions, Profile};
use std::time::Duration;

/// What the disk lacks.
#[derive(Debug, Clone)]
pub enum Change {
    /// This verdict was reached, in so much time.
    Verdict(Box<FreshEntry>, Duration),
    /// What empty regions cost.
    Regions(FreshRegions),
    /// The count of this entry was proven to lose.
    Refuted(Box<Entry>),
    /// What was found under these conditions holds under today's.
    Holds {
        /// Today's.
        today: Box<Conditions>,
        /// Under which those were found that were checked.
        checked: Vec<Conditions>,
    },
}

impl Change {
    /// Makes it. `order`: the names of the catalogue. The answer is why an earlier verdict stays, where one does.
    pub fn apply(&self, profile: &mut Profile, order: &[&str]) -> Option<String> {
        match self {
            Self::Verdict(fresh, spent) => {
                let fresh = fresh.as_ref().clone();
                return profile.keep(fresh, false, order, spent.as_secs_f64());
            }
            Self::Regions(fresh) => profile.keep_regions(fresh.clone()),
            // Another one that was reached meanwhile has not lost.
            Self::Refuted(entry) if profile.entry(&entry.name) == Some(entry) => {
                profile.refute(&entry.name, order);
            }
            Self::Refuted(_) => {}
            Self::Holds { today, checked } => {
                profile.hold_today(today, checked);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{RegionConditions, StopReason, parse};
    use std::path::Path;

    fn made_up() -> Profile {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    /// Of the workload of this name, just reached under the conditions of the profile.
    fn verdict(profile: &Profile, name: &str, change: impl FnOnce(&mut Entry)) -> Change {
        let mut entry = profile.workloads[0].clone();
        name.clone_into(&mut entry.name);
        change(&mut entry);
        let measured = entry.measured;
        let fresh = FreshEntry::new(entry, profile.conditions[0].clone(), measured);
        Change::Verdict(Box::new(fresh), Duration::from_secs(2))
    }

    #[test]
    fn a_change_that_waited_spares_what_another_one_wrote() {
        let then = made_up();
        let regions = FreshRegions {
            conditions: RegionConditions::from(&then.conditions[0]),
            regions: then.regions.clone(),
            spent_s: 0.5,
        };
        let waiting = [verdict(&then, "ours", |_| {}), Change::Regions(regions)];
        let mut now = then.clone();
        verdict(&then, "theirs", |_| {}).apply(&mut now, &[]);
        for change in &waiting {
            assert_eq!(change.apply(&mut now, &["ours"]), None);
        }
        assert!(now.entry("ours").is_some() && now.entry("theirs").is_some());
        assert_eq!(now.workloads[0].name, "ours");
        assert!(now.spent_s >= then.spent_s + 4.0);
    }

    #[test]
    fn the_rules_of_keeping_hold_against_what_is_there_by_then() {
        let mut now = made_up();
        let unsure = |entry: &mut Entry| entry.stop = StopReason::Budget;
        let name = now.workloads[0].name.clone();
        let theirs = now.workloads[0].clone();
        let stays = verdict(&now, &name, unsure).apply(&mut now, &[]);
        assert_eq!(stays.as_deref(), Some("it was inconclusive (budget)"));
        assert!(now.workloads[0] == theirs);
    }

    #[test]
    fn what_lost_is_the_verdict_that_was_checked_and_no_later_one() {
        let then = made_up();
        let lost = Change::Refuted(Box::new(then.workloads[0].clone()));
        let name = &then.workloads[0].name;
        let mut now = then.clone();
        lost.apply(&mut now, &[]);
        assert!(now.is_cut_short(name));
        let mut now = then.clone();
        verdict(&then, name, |entry| entry.p_within = 0.98).apply(&mut now, &[]);
        let theirs = now.clone();
        lost.apply(&mut now, &[]);
        assert!(now == theirs);
    }
}
