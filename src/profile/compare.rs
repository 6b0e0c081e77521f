//! What sets a profile's machine and conditions apart from those at hand, and whether that matters (pure).

use super::schema::{BudgetRecord, Conditions, Profile};
use crate::machine::{Fingerprint, UNKNOWN};
use crate::units::CpuSet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The machine and the conditions to compare a profile with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The machine.
    pub machine: Fingerprint,
    /// Kernel release.
    pub kernel: String,
    /// Version of the processor's microcode, where known.
    pub microcode: Option<String>,
    /// The firmware's version, where known.
    pub bios: Option<String>,
    /// CPU frequency governor.
    pub governor: String,
    /// What a program may use.
    pub budget: BudgetRecord,
}

/// Does a change make the counts of a profile wrong?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Matters {
    /// The profile does not serve, or not everything that is possible was measured.
    Yes,
    /// The best counts may have moved.
    Maybe,
    /// The counts hold.
    No,
}

impl fmt::Display for Matters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "yes",
            Self::Maybe => "maybe",
            Self::No => "no",
        })
    }
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its key in the profile's `[machine]` or `[conditions]`.
    pub field: &'static str,
    /// Its value in the profile.
    pub profile: String,
    /// Its value here.
    pub here: String,
    /// For fields that are lists: what of it only the profile has, and what only this machine has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Does it matter?
    pub matters: Matters,
    /// Why.
    pub why: String,
}

/// The parts of two lists that are not in both; empty texts where there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Only {
    /// In the profile only.
    pub profile: String,
    /// Here only.
    pub here: String,
}

/// A profile beside a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Is it of this machine? The ids decide. One of another machine with this processor serves where there is none.
    pub same_machine: bool,
    /// The profile's machine.
    pub profile_machine: String,
    /// This machine.
    pub machine: String,
    /// The fields that differ, in the order of the file.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Compares field by field. The backend, its team and its level are not looked at: only a tuning loads them.
    pub fn of(profile: &Profile, here: &Here) -> Self {
        let mut changes = Changes(Vec::new());
        changes.machine(&profile.machine, &here.machine);
        let same_machine = here.machine.is_known_as(&profile.machine.id);
        let is_other = changes
            .0
            .iter()
            .any(|change| change.matters == Matters::Yes);
        if same_machine == is_other {
            let why = if same_machine {
                "the same id for other fields: the profile was edited"
            } else {
                "no field differs: the id was made by another version of threadtune"
            };
            changes.0.insert(
                0,
                Change {
                    field: "id",
                    profile: profile.machine.id.clone(),
                    here: here.machine.id.clone(),
                    only: None,
                    matters: Matters::Yes,
                    why: why.to_owned(),
                },
            );
        }
        if same_machine {
            let renumbered = profile.clone().renumbered(&here.machine);
            changes.of_entries(&renumbered, here);
        } else {
            changes.of_entries(profile, here);
        }
        Self {
            same_machine,
            profile_machine: profile.machine.id.clone(),
            machine: here.machine.id.clone(),
            changes: changes.0,
        }
    }
}

/// Collects what differs.
struct Changes(Vec<Change>);

impl Changes {
    fn value(
        &mut self,
        field: &'static str,
        profile: &impl ToString,
        here: &impl ToString,
        matters: Matters,
        why: &str,
    ) {
        self.list(field, profile, here, None, matters, why);
    }

    fn list(
        &mut self,
        field: &'static str,
        profile: &impl ToString,
        here: &impl ToString,
        only: Option<Only>,
        matters: Matters,
        why: &str,
    ) {
        let (profile, here) = (profile.to_string(), here.to_string());
        if profile != here {
            self.0.push(Change {
                field,
                profile,
                here,
                only,
                matters,
                why: why.to_owned(),
            });
        }
    }

    /// Every field but the id, which is made of them. Each makes another machine of it.
    fn machine(&mut self, profile: &Fingerprint, here: &Fingerprint) {
        // Named one by one, so that a new field cannot be forgotten.
        let Fingerprint {
            id: _,
            cpu_model,
            packages,
            cores,
            cpus,
            smt,
            numa_nodes,
            core_kinds,
            llc_bytes,
            grouping,
            structure,
            isa,
        } = profile;
        let yes = Matters::Yes;
        // What numbers CPUs tells another machine only where its id, which is of all else, does.
        let is_known = here.is_known_as(&profile.id);
        let numbered = |why| {
            if is_known {
                let why = "CPUs are numbered anew: lists of them are left out";
                (Matters::No, why)
            } else {
                (yes, why)
            }
        };
        let why = "another processor has best counts of its own";
        self.value("cpu_model", cpu_model, &here.cpu_model, yes, why);
        let why = "threads meet across more or fewer packages";
        self.value("packages", packages, &here.packages, yes, why);
        let why = "the best counts follow the number of cores";
        self.value("cores", cores, &here.cores, yes, why);
        let (matters, why) = numbered("other CPUs are there to run on");
        let only = Some(only_sets(cpus, &here.cpus));
        self.list("cpus", cpus, &here.cpus, only, matters, why);
        let why = "threads share cores in another way";
        self.value("smt", smt, &here.smt, yes, why);
        let why = "memory is near to other cores";
        self.value("numa_nodes", numa_nodes, &here.numa_nodes, yes, why);
        let (matters, why) = numbered("strong and weak cores are others");
        let only = Some(only_kinds(core_kinds, &here.core_kinds));
        let kinds = (kinds_text(core_kinds), kinds_text(&here.core_kinds));
        self.list("core_kinds", &kinds.0, &kinds.1, only, matters, why);
        let why = "how much data stays in cache changes";
        self.value("llc_bytes", llc_bytes, &here.llc_bytes, yes, why);
        let (matters, why) = numbered("other CPUs share cores, caches, memory or packages");
        self.value("grouping", grouping, &here.grouping, matters, why);
        if !structure.is_empty() && !here.structure.is_empty() {
            let why = "cores share caches, memory or packages in another way";
            self.value("structure", structure, &here.structure, yes, why);
        }
        let why = "other kernels run";
        let only = Some(Only {
            profile: words_missing(isa, &here.isa),
            here: words_missing(&here.isa, isa),
        });
        self.list("isa", &isa.join(" "), &here.isa.join(" "), only, yes, why);
    }

    /// What differs of the conditions of the entries, the same difference once.
    fn of_entries(&mut self, profile: &Profile, here: &Here) {
        let all = profile.workloads.len();
        for conditions in &profile.conditions {
            let entries = profile.workloads.iter();
            let few = entries.filter(|e| e.conditions == conditions.id).count();
            let mut its = Self(Vec::new());
            its.conditions(conditions, here);
            for mut change in its.0 {
                if few < all {
                    let _ = write!(change.why, " ({few} of {all} workloads)");
                }
                self.0.push(change);
            }
        }
    }

    fn conditions(&mut self, profile: &Conditions, here: &Here) {
        let Conditions {
            id: _,
            kernel,
            microcode,
            bios,
            governor,
            budget,
            backend: _,
            team: _,
            library: _,
            wait: _,
            level: _,
            clock: _,
        } = profile;
        let why = "another scheduler: worth a check";
        self.condition("kernel", kernel, &here.kernel, why);
        let why = "the processor works otherwise: worth a check";
        self.optional(
            "microcode",
            microcode.as_ref(),
            here.microcode.as_ref(),
            why,
        );
        let why = "may have set the processor up otherwise: worth a check";
        self.optional("bios", bios.as_ref(), here.bios.as_ref(), why);
        let why = "times change, counts rarely";
        self.condition("governor", governor, &here.governor, why);
        self.budget(budget, &here.budget);
    }

    /// A condition that may be unknown on either side, which is no sign that it changed.
    fn condition(&mut self, field: &'static str, profile: &str, here: &str, why: &str) {
        let (matters, why) = if [profile, here].contains(&UNKNOWN) {
            (Matters::No, "cannot be compared")
        } else {
            (Matters::Maybe, why)
        };
        self.value(field, &profile, &here, matters, why);
    }

    /// A condition that earlier versions did not record: there is nothing to say where either side lacks it.
    fn optional(
        &mut self,
        field: &'static str,
        profile: Option<&String>,
        here: Option<&String>,
        why: &str,
    ) {
        if let (Some(profile), Some(here)) = (profile, here) {
            self.condition(field, profile, here, why);
        }
    }

    fn budget(&mut self, profile: &BudgetRecord, here: &BudgetRecord) {
        let (matters, why) = if here.cpus.is_subset(&profile.cpus) {
            (Matters::No, "all of them were among those measured")
        } else {
            (Matters::Maybe, "on some of these CPUs nothing was measured")
        };
        // A list with other numbers was left out.
        if !profile.cpus.is_empty() {
            let only = Some(only_sets(&profile.cpus, &here.cpus));
            self.list("budget.cpus", &profile.cpus, &here.cpus, only, matters, why);
        }
        let (matters, why) = if profile.is_less_than(here) {
            let why = "measured with less than there is now: `tune --missing` measures it again";
            (Matters::Yes, why)
        } else if here.limit < profile.limit {
            let why = "launch reads the best count within it off the curves";
            (Matters::No, why)
        } else {
            (Matters::No, "as many threads, by another limit")
        };
        if let (Some(then), Some(now)) = (profile.cores, here.cores) {
            let (then, now) = (then.to_string(), now.to_string());
            self.value("budget.cores", &then, &now, matters, why);
        }
        if let (Some(then), Some(now)) = (&profile.grouping, &here.grouping)
            && profile.cores == here.cores
        {
            let why = "as many cores share caches or memory in another way: worth a check";
            self.value("budget.grouping", then, now, Matters::Maybe, why);
        }
        let text = |budget: &BudgetRecord| format!("{} by {}", budget.limit, budget.by);
        self.value("budget.limit", &text(profile), &text(here), matters, why);
    }
}

fn only_sets(profile: &CpuSet, here: &CpuSet) -> Only {
    Only {
        profile: profile.difference(here).to_string(),
        here: here.difference(profile).to_string(),
    }
}

fn kinds_text(kinds: &BTreeMap<String, CpuSet>) -> String {
    let each: Vec<String> = kinds
        .iter()
        .map(|(name, cpus)| format!("{name} {cpus}"))
        .collect();
    each.join(", ")
}

fn only_kinds(profile: &BTreeMap<String, CpuSet>, here: &BTreeMap<String, CpuSet>) -> Only {
    let missing = |these: &BTreeMap<String, CpuSet>, those: &BTreeMap<String, CpuSet>| {
        let rest: BTreeMap<String, CpuSet> = these
            .iter()
            .map(|(name, cpus)| match those.get(name) {
                Some(others) => (name.clone(), cpus.difference(others)),
                None => (name.clone(), cpus.clone()),
            })
            .filter(|(name, cpus)| !cpus.is_empty() || !those.contains_key(name))
            .collect();
        kinds_text(&rest)
    };
    Only {
        profile: missing(profile, here),
        here: missing(here, profile),
    }
}

fn words_missing(these: &[String], those: &[String]) -> String {
    let words: Vec<&str> = these
        .iter()
        .filter(|word| !those.contains(word))
        .map(String::as_str)
        .collect();
    words.join(" ")
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
