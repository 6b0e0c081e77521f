//! Profiles whose CPUs have other numbers now, or that are of other CPUs of the same processor. Pure.
//!
//! A container is dealt CPUs anew at each start. Its verdicts hold as long as the form of the machine is the same, but
//! the lists of CPUs beside them mean other places: which ones, nothing recorded tells, so they are left out, and a pinned
//! program gets CPUs in the order in which `tune` would take them now.

use super::schema::Profile;
use crate::machine::Fingerprint;
use crate::units::{CpuSet, ThreadCount};

impl Profile {
    /// This profile of the machine at hand, without the lists of CPUs that mean others here.
    pub(super) fn renumbered(mut self, here: &Fingerprint) -> Self {
        if !self.machine.is_numbered_like(here) {
            let whole = self.machine.cpus.clone();
            // All CPUs are still all CPUs.
            self.forget_cpus(|cpus| {
                if *cpus == whole {
                    here.cpus.clone()
                } else {
                    CpuSet::new()
                }
            });
        }
        self.machine.clone_from(here);
        self
    }

    /// This profile of another machine with the same processor, told as that.
    pub(super) fn of_elsewhere(mut self) -> Self {
        for conditions in &mut self.conditions {
            let budget = &mut conditions.budget;
            if budget.cores.is_none() && budget.cpus == self.machine.cpus {
                budget.cores = Some(ThreadCount::clamped(self.machine.cores as usize));
            }
        }
        self.forget_cpus(|_| CpuSet::new());
        // These are none of the machine at hand.
        self.regions.clear();
        self.region_conditions = None;
        self.cut_short.clear();
        let id = self.machine.id.clone();
        for entry in &mut self.workloads {
            entry.elsewhere = Some(id.clone());
        }
        self
    }

    /// Leaves out all lists of CPUs; those of budgets are translated.
    fn forget_cpus(&mut self, translated: impl Fn(&CpuSet) -> CpuSet) {
        let of_regions = self.region_conditions.iter_mut().map(|c| &mut c.budget);
        let of_entries = self.conditions.iter_mut().map(|c| &mut c.budget);
        for budget in of_entries.chain(of_regions) {
            budget.cpus = translated(&budget.cpus);
        }
        for entry in &mut self.workloads {
            entry.node = None;
            if let Some(pinned) = &mut entry.pinned {
                pinned.cpus = CpuSet::new();
            }
            for point in &mut entry.curve {
                point.cpus = CpuSet::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::extras::Extras;
    use crate::profile::layout::to_text;
    use crate::profile::parse;
    use std::path::Path;

    /// Measured on CPUs 0 to 7, which are all; one verdict on half of them.
    fn made_up() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        let mut half = profile.conditions[0].clone();
        half.budget.cpus = (0..4).collect();
        profile.workloads[1].conditions = profile.number_of(&half);
        profile
    }

    #[test]
    fn the_same_numbers_leave_all_lists_as_they_are() {
        let profile = made_up();
        let here = Fingerprint {
            id: "new-1".to_owned(),
            ..profile.machine.clone()
        };
        let renumbered = profile.clone().renumbered(&here);
        assert_eq!(renumbered.machine.id, "new-1");
        assert_eq!(renumbered.workloads, profile.workloads);
        assert_eq!(renumbered.conditions, profile.conditions);
    }

    #[test]
    fn other_numbers_leave_no_list_that_means_other_cpus() {
        let profile = made_up();
        assert!(profile.workloads[0].pinned.is_some());
        let here = Fingerprint {
            cpus: (20..28).collect(),
            ..profile.machine.clone()
        };
        let renumbered = profile.clone().renumbered(&here);
        let budget = |i: usize| renumbered.conditions[i].budget.cpus.to_string();
        assert_eq!((budget(0).as_str(), budget(1).as_str()), ("20-27", ""));
        let entry = &renumbered.workloads[0];
        assert!(entry.pinned.as_ref().unwrap().cpus.is_empty() && entry.node.is_none());
        assert!(entry.curve.iter().all(|point| point.cpus.is_empty()));
        assert_eq!(entry.latency, profile.workloads[0].latency);
        // It is written and read like any other.
        let text = to_text(&renumbered, &Extras::default()).unwrap();
        assert_eq!(parse(Path::new("p"), &text).unwrap(), renumbered);
    }

    #[test]
    fn what_is_of_elsewhere_says_so() {
        let profile = made_up().of_elsewhere();
        let of = |i: usize| profile.workloads[i].elsewhere.as_deref();
        assert_eq!(of(0), Some("made-up-1s8c8t-000000"));
        assert!(profile.conditions.iter().all(|c| c.budget.cpus.is_empty()));
        let cores = |i: usize| profile.conditions[i].budget.cores.map(ThreadCount::get);
        assert_eq!((cores(0), cores(1)), (Some(8), None));
    }
}
