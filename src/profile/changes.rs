//! Which circumstances changed since a profile was measured, so that its verdicts deserve a check. Pure.

use super::schema::Conditions;
use crate::machine::UNKNOWN;
use std::fmt;

/// One circumstance that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionChange {
    /// Its name, as a person writes it.
    pub what: &'static str,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

impl fmt::Display for ConditionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} → {}", self.what, self.old, self.new)
    }
}

impl Conditions {
    /// What changed since the older conditions, in the order of the file. What either side does not know did not change.
    /// The CPU budget is not among them: counts are chosen for each anew; nor is the clock, whose cost is kept out.
    pub fn changes_since(&self, older: &Self) -> Vec<ConditionChange> {
        // Named one by one, so that a new field cannot be forgotten.
        let Self {
            id: _,
            kernel,
            microcode,
            bios,
            governor,
            budget: _,
            backend: _,
            team,
            library,
            wait,
            level,
            clock: _,
        } = self;
        let pairs = [
            ("kernel", Some(&older.kernel), Some(kernel)),
            ("microcode", older.microcode.as_ref(), microcode.as_ref()),
            ("BIOS", older.bios.as_ref(), bios.as_ref()),
            ("governor", Some(&older.governor), Some(governor)),
            ("team", Some(&older.team), Some(team)),
            ("library", older.library.as_ref(), library.as_ref()),
            ("wait policy", older.wait.as_ref(), wait.as_ref()),
            ("level", older.level.as_ref(), level.as_ref()),
        ];
        let is_known = |text: &&String| !text.is_empty() && *text != UNKNOWN;
        pairs
            .into_iter()
            .filter_map(|(what, old, new)| {
                let (old, new) = (old.filter(is_known)?, new.filter(is_known)?);
                (old != new).then(|| ConditionChange {
                    what,
                    old: old.clone(),
                    new: new.clone(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use crate::units::ThreadCount;
    use std::path::Path;

    fn conditions() -> Conditions {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        Conditions {
            microcode: Some("0x1".to_owned()),
            bios: Some("Made Up 1".to_owned()),
            library: Some("libgomp.so.1.0.0 00000001".to_owned()),
            level: Some("avx2".to_owned()),
            ..profile.conditions[0].clone()
        }
    }

    /// What is said after an edit of today's conditions.
    fn said(edit: impl FnOnce(&mut Conditions)) -> Vec<String> {
        let mut today = conditions();
        edit(&mut today);
        let changes = today.changes_since(&conditions());
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_change_is_told_in_the_order_of_the_file() {
        let all = said(|c| {
            c.kernel = "6.12".to_owned();
            c.microcode = Some("0x2".to_owned());
            c.bios = Some("Made Up 2".to_owned());
            c.governor = "powersave".to_owned();
            c.team = "rayon".to_owned();
            c.library = Some("libgomp.so.1.0.0 00000002".to_owned());
            c.level = Some("avx512".to_owned());
        });
        let expected = [
            "kernel 6.1.0 → 6.12",
            "microcode 0x1 → 0x2",
            "BIOS Made Up 1 → Made Up 2",
            "governor performance → powersave",
            "team libgomp 4.5 → rayon",
            "library libgomp.so.1.0.0 00000001 → libgomp.so.1.0.0 00000002",
            "level avx2 → avx512",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_unknown_on_either_side_did_not_change() {
        let unknown = |c: &mut Conditions| {
            c.kernel = UNKNOWN.to_owned();
            c.microcode = None;
            c.bios = None;
            c.governor = UNKNOWN.to_owned();
            c.team = String::new();
            c.library = None;
            c.level = None;
        };
        assert_eq!(said(unknown), [""; 0]);
        let mut older = conditions();
        unknown(&mut older);
        assert_eq!(conditions().changes_since(&older), []);
    }

    #[test]
    fn the_budget_and_nothing_at_all_are_no_change() {
        assert_eq!(said(|c| c.budget.limit = ThreadCount::ONE), [""; 0]);
        assert_eq!(said(|c| c.backend = "other".to_owned()), [""; 0]);
        assert_eq!(said(|_| {}), [""; 0]);
    }
}
