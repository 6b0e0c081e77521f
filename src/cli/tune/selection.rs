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

/// The workloads of these names, each once and in the catalogue's order; all of them where none is named.
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
    Ok(catalog.workloads().iter().filter(wanted).cloned().collect())
}

/// Does the profile say nothing useful about this workload?
pub fn is_missing(workload: &Workload, profile: Option<&Profile>) -> bool {
    let entry = profile.and_then(|profile| profile.entry(&workload.name));
    entry.is_none_or(|entry| entry.shape != workload.shape.to_string() || entry.latency.is_none())
}

/// Would a fresh entry without a count take the place of one that states a count for the same shape?
pub fn says_less(fresh: &Entry, old: Option<&Entry>) -> bool {
    fresh.latency.is_none()
        && old.is_some_and(|old| old.latency.is_some() && old.shape == fresh.shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;

    #[test]
    fn a_verdict_is_not_replaced_by_none() {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        let stated = profile
            .workloads
            .iter()
            .find(|e| e.latency.is_some())
            .unwrap();
        let nothing = Entry {
            latency: None,
            ..stated.clone()
        };
        assert!(says_less(&nothing, Some(stated)));
        assert!(!says_less(stated, Some(&nothing)));
        assert!(!says_less(&nothing, Some(&nothing)));
        assert!(!says_less(&nothing, None));
        let other = Entry {
            shape: "triad:1:f32".to_owned(),
            ..stated.clone()
        };
        assert!(!says_less(&nothing, Some(&other)));
    }

    #[test]
    fn names_are_taken_once_and_in_the_catalogues_order() {
        let catalog = Catalog::embedded();
        let names = ["triad-4m", "matmul-64", "triad-4m"].map(str::to_owned);
        let selected = select(&catalog, &names, false).unwrap();
        let selected: Vec<&str> = selected.iter().map(|w| w.name.as_str()).collect();
        assert_eq!(selected, ["matmul-64", "triad-4m"]);
        assert_eq!(select(&catalog, &[], true).unwrap().len(), 8);
        assert_eq!(select(&catalog, &[], false).unwrap().len(), 18);
        assert_eq!(
            select(&catalog, &["matmul-63".to_owned()], false)
                .unwrap_err()
                .name,
            "matmul-63"
        );
    }
}
