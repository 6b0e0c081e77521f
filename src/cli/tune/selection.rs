//! Which workloads of which catalogue.

use crate::profile::{Entry, Profile};
use crate::workload::{Catalog, UnknownWorkload, Workload};
use anyhow::Context as _;
use std::fs;
use std::path::Path;

/// The catalogue of this file, or the one built in.
pub fn catalog(file: Option<&Path>) -> anyhow::Result<Catalog> {
    let Some(path) = file else {
        return Ok(Catalog::embedded());
    };
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the catalogue {}", path.display()))?;
    Catalog::parse(&text)
        .with_context(|| format!("the catalogue {} cannot be used", path.display()))
}

/// The workloads of these names, each once, or all of them where none is named, by priority: when a run's time is short,
/// the first ones get what they need. Quick ones come first, then the others, each in the catalogue's order.
pub fn select(
    catalog: &Catalog,
    names: &[String],
    quick: bool,
) -> Result<Vec<Workload>, UnknownWorkload> {
    for name in names {
        catalog.get(name)?;
    }
    let wanted =
        |w: &&Workload| (names.is_empty() || names.contains(&w.name)) && (!quick || w.quick);
    let mut selected: Vec<Workload> = catalog.workloads().iter().filter(wanted).cloned().collect();
    // The sort is stable.
    selected.sort_by_key(|workload| !workload.quick);
    Ok(selected)
}

/// Does the profile say nothing useful about this workload, or that it had too little time?
pub fn is_missing(workload: &Workload, profile: Option<&Profile>) -> bool {
    if profile.is_some_and(|profile| profile.is_cut_short(&workload.name)) {
        return true;
    }
    let entry = profile.and_then(|profile| profile.entry(&workload.name));
    entry.is_none_or(|entry| entry.shape != workload.shape.to_string() || entry.latency.is_none())
}

/// Would a fresh entry take the place of one that says more about the same shape?
///
/// One without a count says less than one with a count. One that was cut short says less than a conclusive one, and
/// less than an inconclusive one that was surer.
pub fn says_less(fresh: &Entry, is_cut: bool, old: Option<&Entry>) -> bool {
    old.is_some_and(|old| {
        let surer = old.stop.is_conclusive() || old.p_within > fresh.p_within;
        old.shape == fresh.shape
            && old.latency.is_some()
            && (fresh.latency.is_none() || is_cut && surer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{StopReason, parse};

    fn made_up() -> Profile {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    fn names(selected: &[Workload]) -> Vec<&str> {
        selected.iter().map(|w| w.name.as_str()).collect()
    }

    #[test]
    fn a_verdict_is_not_replaced_by_none() {
        let profile = made_up();
        let stated = profile.entry("matmul-256").unwrap();
        let nothing = Entry {
            latency: None,
            ..stated.clone()
        };
        assert!(says_less(&nothing, false, Some(stated)));
        assert!(!says_less(stated, false, Some(&nothing)));
        assert!(!says_less(&nothing, false, Some(&nothing)));
        assert!(!says_less(&nothing, false, None));
        let other = Entry {
            shape: "triad:1:f32".to_owned(),
            ..stated.clone()
        };
        assert!(!says_less(&nothing, false, Some(&other)));
    }

    #[test]
    fn what_was_cut_short_replaces_nothing_surer() {
        let profile = made_up();
        let conclusive = profile.entry("matmul-256").unwrap();
        let undecided = |p_within| Entry {
            stop: StopReason::Budget,
            p_within,
            ..conclusive.clone()
        };
        let cut = undecided(0.5);
        assert!(says_less(&cut, true, Some(conclusive)));
        assert!(says_less(&cut, true, Some(&undecided(0.6))));
        assert!(!says_less(&cut, true, Some(&undecided(0.5))));
        assert!(!says_less(&cut, true, None));
        let other = Entry {
            shape: "triad:1:f32".to_owned(),
            ..conclusive.clone()
        };
        assert!(!says_less(&cut, true, Some(&other)));
        // With all the time that it may have, what is found today counts.
        assert!(!says_less(&cut, false, Some(conclusive)));
    }

    #[test]
    fn what_was_cut_short_is_missing() {
        let catalog = Catalog::embedded();
        let workload = catalog.get("matmul-256").unwrap();
        let mut profile = made_up();
        assert!(!is_missing(workload, Some(&profile)));
        profile.set_cut_short("matmul-256", true, &[]);
        assert!(is_missing(workload, Some(&profile)));
        assert!(is_missing(workload, None));
    }

    #[test]
    fn names_are_taken_once_and_quick_ones_first() {
        let catalog = Catalog::embedded();
        let asked = [
            "triad-4m",
            "softmax-512x512",
            "matmul-128",
            "matmul-64",
            "triad-4m",
        ];
        let selected = select(&catalog, &asked.map(str::to_owned), false).unwrap();
        assert_eq!(
            names(&selected),
            ["matmul-64", "softmax-512x512", "matmul-128", "triad-4m"]
        );
        let quick = select(&catalog, &[], true).unwrap();
        let all = select(&catalog, &[], false).unwrap();
        assert_eq!((quick.len(), all.len()), (8, 18));
        assert_eq!(all[..8], quick);
        assert_eq!(
            select(&catalog, &["matmul-63".to_owned()], false)
                .unwrap_err()
                .name,
            "matmul-63"
        );
    }
}
