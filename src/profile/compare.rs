//! What sets a profile's machine and conditions apart from those at hand, and whether that matters (pure).

use super::schema::{BudgetRecord, Conditions, Profile};
use crate::machine::Fingerprint;
use crate::units::CpuSet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The machine and the conditions to compare a profile with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// The machine.
    pub machine: Fingerprint,
    /// Kernel release.
    pub kernel: String,
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
    /// Is the profile used here? That the ids agree decides.
    pub same_machine: bool,
    /// The profile's machine.
    pub profile_machine: String,
    /// This machine.
    pub machine: String,
    /// The fields that differ, in the order of the file.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Compares field by field. The backend and its team are not looked at: only a tuning loads them.
    pub fn of(profile: &Profile, here: &Here) -> Self {
        let mut changes = Changes(Vec::new());
        changes.machine(&profile.machine, &here.machine);
        let same_machine = profile.machine.id == here.machine.id;
        if same_machine != changes.0.is_empty() {
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
        changes.conditions(&profile.conditions, here);
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
            isa,
        } = profile;
        let yes = Matters::Yes;
        let why = "another processor has best counts of its own";
        self.value("cpu_model", cpu_model, &here.cpu_model, yes, why);
        let why = "threads meet across more or fewer packages";
        self.value("packages", packages, &here.packages, yes, why);
        let why = "the best counts follow the number of cores";
        self.value("cores", cores, &here.cores, yes, why);
        let why = "other CPUs are there to run on";
        let only = Some(only_sets(cpus, &here.cpus));
        self.list("cpus", cpus, &here.cpus, only, yes, why);
        let why = "threads share cores in another way";
        self.value("smt", smt, &here.smt, yes, why);
        let why = "memory is near to other cores";
        self.value("numa_nodes", numa_nodes, &here.numa_nodes, yes, why);
        let why = "strong and weak cores are others";
        let only = Some(only_kinds(core_kinds, &here.core_kinds));
        let kinds = (kinds_text(core_kinds), kinds_text(&here.core_kinds));
        self.list("core_kinds", &kinds.0, &kinds.1, only, yes, why);
        let why = "how much data stays in cache changes";
        self.value("llc_bytes", llc_bytes, &here.llc_bytes, yes, why);
        let why = "other kernels run";
        let only = Some(Only {
            profile: words_missing(isa, &here.isa),
            here: words_missing(&here.isa, isa),
        });
        self.list("isa", &isa.join(" "), &here.isa.join(" "), only, yes, why);
    }

    fn conditions(&mut self, profile: &Conditions, here: &Here) {
        let Conditions {
            kernel,
            governor,
            budget,
            backend: _,
            team: _,
        } = profile;
        let maybe = Matters::Maybe;
        let why = "another scheduler: worth a check";
        self.value("kernel", kernel, &here.kernel, maybe, why);
        let why = "times change, counts rarely";
        self.value("governor", governor, &here.governor, maybe, why);
        self.budget(budget, &here.budget);
    }

    fn budget(&mut self, profile: &BudgetRecord, here: &BudgetRecord) {
        let (matters, why) = if here.cpus.is_subset(&profile.cpus) {
            (Matters::No, "all of them were among those measured")
        } else {
            (Matters::Maybe, "on some of these CPUs nothing was measured")
        };
        let only = Some(only_sets(&profile.cpus, &here.cpus));
        self.list("budget.cpus", &profile.cpus, &here.cpus, only, matters, why);
        let (matters, why) = match here.limit.cmp(&profile.limit) {
            std::cmp::Ordering::Less => (
                Matters::No,
                "launch reads the best count within it off the curves".to_owned(),
            ),
            std::cmp::Ordering::Greater => (
                Matters::Yes,
                format!("counts above {} were never measured", profile.limit),
            ),
            std::cmp::Ordering::Equal => {
                (Matters::No, "as many threads, by another limit".to_owned())
            }
        };
        let text = |budget: &BudgetRecord| format!("{} by {}", budget.limit, budget.by);
        self.value("budget.limit", &text(profile), &text(here), matters, &why);
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
mod tests {
    use super::*;
    use crate::profile::parse;
    use crate::units::ThreadCount;
    use std::path::Path;

    fn profile() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    fn here() -> Here {
        let profile = profile();
        Here {
            machine: profile.machine,
            kernel: profile.conditions.kernel,
            governor: profile.conditions.governor,
            budget: profile.conditions.budget,
        }
    }

    fn set(list: &str) -> CpuSet {
        CpuSet::parse_list(list).unwrap()
    }

    /// The changes after an edit of what is here, as `field: profile -> here (matters)`.
    fn changed(edit: impl FnOnce(&mut Here)) -> Vec<String> {
        let mut here = here();
        edit(&mut here);
        let comparison = Comparison::of(&profile(), &here);
        let text = |c: &Change| format!("{}: {} -> {} ({})", c.field, c.profile, c.here, c.matters);
        comparison.changes.iter().map(text).collect()
    }

    #[test]
    fn nothing_differs_from_itself() {
        let comparison = Comparison::of(&profile(), &here());
        assert!(comparison.same_machine);
        assert_eq!(comparison.changes, []);
    }

    #[test]
    fn each_field_of_the_machine_is_named_when_it_differs() {
        type Edit = fn(&mut Fingerprint);
        let edits: [(Edit, &str); 9] = [
            (
                |m| m.cpu_model = "Other".into(),
                "cpu_model: Made Up 8 -> Other (yes)",
            ),
            (|m| m.packages = 2, "packages: 1 -> 2 (yes)"),
            (|m| m.cores = 4, "cores: 8 -> 4 (yes)"),
            (|m| m.cpus = set("0-5"), "cpus: 0-7 -> 0-5 (yes)"),
            (|m| m.smt = 2, "smt: 1 -> 2 (yes)"),
            (|m| m.numa_nodes = 2, "numa_nodes: 1 -> 2 (yes)"),
            (
                |m| m.core_kinds = BTreeMap::from([("efficiency".into(), set("0-7"))]),
                "core_kinds: performance 0-7 -> efficiency 0-7 (yes)",
            ),
            (
                |m| m.llc_bytes = 1 << 20,
                "llc_bytes: 16777216 -> 1048576 (yes)",
            ),
            (
                |m| m.isa = vec!["avx512f".into()],
                "isa: avx2 -> avx512f (yes)",
            ),
        ];
        for (edit, expected) in edits {
            let changes = changed(|here| {
                here.machine.id = "another-1s8c8t-111111".into();
                edit(&mut here.machine);
            });
            assert_eq!(changes, [expected]);
        }
    }

    #[test]
    fn lists_tell_what_came_and_what_went() {
        let mut here = here();
        here.machine.id = "another-1s8c8t-111111".into();
        here.machine.cpus = set("0-5,8-9");
        here.machine.core_kinds = BTreeMap::from([
            ("efficiency".into(), set("8-9")),
            ("performance".into(), set("0-5")),
        ]);
        here.machine.isa = vec!["avx512f".into(), "fma".into()];
        let only: Vec<(String, String)> = Comparison::of(&profile(), &here)
            .changes
            .into_iter()
            .map(|change| change.only.unwrap())
            .map(|only| (only.profile, only.here))
            .collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            only,
            [
                pair("6-7", "8-9"),
                pair("performance 6-7", "efficiency 8-9"),
                pair("avx2", "avx512f fma"),
            ]
        );
    }

    #[test]
    fn an_id_that_disagrees_with_the_fields_is_told() {
        let mut other = here();
        other.machine.id = "another-1s8c8t-111111".into();
        let comparison = Comparison::of(&profile(), &other);
        assert!(!comparison.same_machine);
        assert_eq!(comparison.changes.len(), 1);
        assert_eq!(comparison.changes[0].field, "id");
        assert!(comparison.changes[0].why.contains("another version"));

        let mut edited = here();
        edited.machine.cores = 4;
        let comparison = Comparison::of(&profile(), &edited);
        assert!(comparison.same_machine);
        let fields: Vec<&str> = comparison.changes.iter().map(|c| c.field).collect();
        assert_eq!(fields, ["id", "cores"]);
        assert!(comparison.changes[0].why.contains("edited"));
    }

    #[test]
    fn conditions_leave_the_machine_the_same() {
        let changes = changed(|here| {
            here.kernel = "6.12.1".into();
            here.governor = "powersave".into();
        });
        assert_eq!(
            changes,
            [
                "kernel: 6.1.0 -> 6.12.1 (maybe)",
                "governor: performance -> powersave (maybe)"
            ]
        );
    }

    #[test]
    fn a_smaller_budget_needs_nothing_and_a_larger_one_was_never_measured() {
        let budget = |cpus: &str, limit, by: &str| {
            let (cpus, by) = (set(cpus), by.to_owned());
            let limit = ThreadCount::clamped(limit);
            changed(|here| here.budget = BudgetRecord { cpus, limit, by })
        };
        assert_eq!(
            budget("0-3", 4, "cpuset"),
            [
                "budget.cpus: 0-7 -> 0-3 (no)",
                "budget.limit: 8 by affinity -> 4 by cpuset (no)"
            ]
        );
        assert_eq!(
            budget("0-9", 10, "online"),
            [
                "budget.cpus: 0-7 -> 0-9 (maybe)",
                "budget.limit: 8 by affinity -> 10 by online (yes)"
            ]
        );
        assert_eq!(
            budget("8-15", 8, "affinity"),
            ["budget.cpus: 0-7 -> 8-15 (maybe)"]
        );
        assert_eq!(
            budget("0-7", 8, "quota"),
            ["budget.limit: 8 by affinity -> 8 by quota (no)"]
        );
    }
}
