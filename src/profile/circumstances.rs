//! Under what the verdicts of a profile were found: each names its own circumstances, which many share. Pure.

use super::schema::{ClockRecord, Conditions, Entry, Profile};
use crate::units::{CpuSet, ThreadCount};
use std::collections::BTreeSet;

impl Conditions {
    /// Are these the same, whatever their number in a file, and by whatever nanoseconds the cost of one and the same clock
    /// varies from worker to worker?
    fn is_like(&self, other: &Self) -> bool {
        // Named one by one, so that a new field cannot be forgotten.
        let Self {
            id: _,
            kernel,
            microcode,
            bios,
            governor,
            budget,
            backend,
            team,
            library,
            wait,
            level,
            clock,
        } = self;
        let source = |clock: &Option<ClockRecord>| clock.as_ref().map(|c| c.source.clone());
        *kernel == other.kernel
            && *microcode == other.microcode
            && *bios == other.bios
            && *governor == other.governor
            && *budget == other.budget
            && *backend == other.backend
            && *team == other.team
            && *library == other.library
            && *wait == other.wait
            && *level == other.level
            && source(clock) == source(&other.clock)
    }
}

impl Profile {
    /// Under what this entry was measured; nothing for one that is not of this profile.
    pub fn conditions_of(&self, entry: &Entry) -> Option<&Conditions> {
        let mut all = self.conditions.iter();
        all.find(|conditions| conditions.id == entry.conditions)
    }

    /// The most threads that any of its entries was measured with room for.
    pub fn widest_limit(&self) -> ThreadCount {
        let limits = self.conditions.iter().map(|c| c.budget.limit);
        limits.max().unwrap_or(ThreadCount::ONE)
    }

    /// The CPUs within reach when these entries were measured (all where none is named), if they were the same for all.
    pub fn common_cpus(&self, names: &[String]) -> Option<&CpuSet> {
        let entries = self.workloads.iter();
        let mut cpus = entries
            .filter(|entry| names.is_empty() || names.contains(&entry.name))
            .filter_map(|entry| Some(&self.conditions_of(entry)?.budget.cpus));
        let first = cpus.next()?;
        cpus.all(|others| others == first).then_some(first)
    }

    /// The number of such conditions, which are put in where the profile has none like them.
    pub(super) fn number_of(&mut self, conditions: &Conditions) -> u32 {
        if let Some(known) = self.conditions.iter().find(|c| c.is_like(conditions)) {
            return known.id;
        }
        // The others keep theirs: what a later version wrote beside them stays with them.
        let used: BTreeSet<u32> = self.conditions.iter().map(|c| c.id).collect();
        let id = (1..u32::MAX)
            .find(|id| !used.contains(id))
            .unwrap_or(u32::MAX);
        self.conditions.push(Conditions {
            id,
            ..conditions.clone()
        });
        id
    }

    /// Forgets conditions that no entry names.
    pub(super) fn drop_unused_conditions(&mut self) {
        let used: BTreeSet<u32> = self.workloads.iter().map(|e| e.conditions).collect();
        self.conditions.retain(|c| used.contains(&c.id));
    }

    /// From now on the entries that were found under one of `checked` count as found under today's circumstances, as a check
    /// has shown that they hold there. On which CPUs they were found, and what their clock cost, stays as it was. Did anything
    /// change?
    pub fn hold_today(&mut self, today: &Conditions, checked: &[Conditions]) -> bool {
        let before: Vec<u32> = self.workloads.iter().map(|e| e.conditions).collect();
        for place in 0..self.workloads.len() {
            let entry = &self.workloads[place];
            let old = self.conditions_of(entry);
            if let Some(old) = old.filter(|old| checked.contains(old)) {
                let now = Conditions {
                    budget: old.budget.clone(),
                    clock: old.clock.clone(),
                    ..today.clone()
                };
                self.workloads[place].conditions = self.number_of(&now);
            }
        }
        self.drop_unused_conditions();
        let after = self.workloads.iter().map(|e| e.conditions);
        !after.eq(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use std::path::Path;

    fn made_up() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    fn kernel(profile: &Profile, place: usize) -> &str {
        let conditions = profile.conditions_of(&profile.workloads[place]);
        &conditions.unwrap().kernel
    }

    #[test]
    fn like_conditions_are_one_and_unused_ones_go() {
        let mut profile = made_up();
        let then = profile.conditions[0].clone();
        let today = Conditions {
            id: 77,
            kernel: "6.12".to_owned(),
            ..then.clone()
        };
        assert_eq!(profile.number_of(&then), then.id);
        let number = profile.number_of(&today);
        assert_eq!(number, then.id + 1);
        assert_eq!(profile.number_of(&today), number);
        let clock = |source: &str, read_ns| {
            let source = source.to_owned();
            Some(ClockRecord {
                source,
                read_ns,
                bracket_ns: 400,
            })
        };
        let timed = |clock| Conditions {
            clock,
            ..then.clone()
        };
        let mut other = profile.clone();
        let by_tsc = other.number_of(&timed(clock("tsc", 17)));
        assert_eq!(other.number_of(&timed(clock("tsc", 18))), by_tsc);
        assert_ne!(other.number_of(&timed(clock("hpet", 17))), by_tsc);
        assert_ne!(by_tsc, then.id);
        profile.workloads[1].conditions = number;
        assert_eq!(
            (kernel(&profile, 0), kernel(&profile, 1)),
            ("6.1.0", "6.12")
        );
        profile.drop_unused_conditions();
        assert_eq!(profile.conditions.len(), 2);
        profile.workloads.remove(1);
        profile.drop_unused_conditions();
        assert_eq!(profile.conditions, [then]);
        let mut stranger = profile.workloads[0].clone();
        stranger.conditions = 9;
        assert_eq!(profile.conditions_of(&stranger), None);
    }

    #[test]
    fn cpus_are_common_where_all_that_are_named_had_the_same() {
        let mut profile = made_up();
        let mut others = profile.conditions[0].clone();
        others.budget.cpus = "0-3".parse().unwrap();
        others.budget.limit = ThreadCount::clamped(9);
        profile.workloads[1].conditions = profile.number_of(&others);
        let common = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            profile.common_cpus(&names).map(ToString::to_string)
        };
        assert_eq!(common(&["gemv-2048x2048"]).as_deref(), Some("0-3"));
        assert_eq!(
            common(&["matmul-256", "unheard-of"]).as_deref(),
            Some("0-7")
        );
        assert_eq!(common(&["matmul-256", "gemv-2048x2048"]), None);
        assert_eq!((common(&[]), common(&["unheard-of"])), (None, None));
        assert_eq!(profile.widest_limit().get(), 9);
    }

    #[test]
    fn what_holds_today_keeps_the_budget_it_was_found_in() {
        let mut profile = made_up();
        let then = profile.conditions[0].clone();
        let mut today = Conditions {
            kernel: "6.12".to_owned(),
            ..then.clone()
        };
        today.budget.limit = ThreadCount::ONE;
        let other = Conditions {
            governor: "powersave".to_owned(),
            ..then.clone()
        };
        profile.workloads[1].conditions = profile.number_of(&other);
        let other = profile.conditions[1].clone();
        assert!(profile.hold_today(&today, std::slice::from_ref(&then)));
        assert_eq!(
            (kernel(&profile, 0), kernel(&profile, 1)),
            ("6.12", "6.1.0")
        );
        let found = profile.conditions_of(&profile.workloads[0]).unwrap();
        assert_eq!(found.budget, then.budget);
        assert!(!profile.hold_today(&today, &[then]));
        // Others of that number are others.
        let renumbered = Conditions {
            id: other.id,
            ..today.clone()
        };
        assert!(!profile.hold_today(&today, &[renumbered]));
        assert!(profile.hold_today(&today, &[other]));
        assert_eq!(profile.conditions.len(), 1);
    }
}
