//! What empty parallel regions cost, as `show --regions` prints it.

use super::columns::{aligned, hanging};
use super::table::plain;
use super::units::digits;
use crate::profile::{Pause, Profile, Region, RegionConditions};
use serde::Serialize;
use std::collections::BTreeSet;

/// How to read the table.
const ADVICE: &str = "A program that pauses so long between its parallel regions pays this for each of them: it must be \
                      weighed against what the threads save.";

/// One line a count, one column a pause, microseconds; nothing where no regions were measured.
pub fn region_table(profile: &Profile) -> Option<String> {
    let conditions = profile.region_conditions.as_ref()?;
    let pauses: BTreeSet<Pause> = profile
        .regions
        .iter()
        .flat_map(|region| region.after_us.keys().copied())
        .collect();
    let head: Vec<String> = std::iter::once("threads".to_owned())
        .chain(pauses.iter().map(ToString::to_string))
        .collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(profile.regions.iter().map(|region| row(region, &pauses)))
        .collect();
    Some(format!(
        "Median time of an empty parallel region, µs\n\n{}\n{}{}",
        aligned(&rows, &[]),
        hanging("", &measured_with(conditions)),
        hanging("", ADVICE)
    ))
}

fn row(region: &Region, pauses: &BTreeSet<Pause>) -> Vec<String> {
    let times = pauses.iter().map(|pause| {
        let us = region.after_us.get(pause);
        us.map_or_else(|| "–".to_owned(), |us| microseconds(*us))
    });
    std::iter::once(region.threads.to_string())
        .chain(times)
        .collect()
}

/// Three significant digits, but no more than nanoseconds.
fn microseconds(us: f64) -> String {
    if us < 1.0 {
        format!("{us:.3}")
    } else {
        digits(us)
    }
}

/// Runtime, wait policy and CPU budget.
fn measured_with(conditions: &RegionConditions) -> String {
    let runtime = conditions.library.as_ref().unwrap_or(&conditions.team);
    let wait = conditions.wait.as_ref();
    let wait = wait.map_or_else(String::new, |wait| format!(" ({wait})"));
    let budget = &conditions.budget;
    let on_cpus = if budget.cpus.is_empty() {
        String::new()
    } else {
        format!(" on CPUs {}", budget.cpus)
    };
    let text = format!(
        "Measured with threads of {runtime}{wait}{on_cpus}, at most {} at once ({}); kernel {}, governor {}.",
        budget.limit, budget.by, conditions.kernel, conditions.governor
    );
    plain(&text)
}

/// The same as JSON sees it.
#[derive(Serialize)]
struct Json<'p> {
    region_conditions: &'p RegionConditions,
    region: &'p [Region],
}

/// Regions and what they were measured under as one JSON object, its keys those of the file, ended by a newline; nothing
/// where none were measured.
pub fn region_json(profile: &Profile) -> Option<Result<String, serde_json::Error>> {
    let json = Json {
        region_conditions: profile.region_conditions.as_ref()?,
        region: &profile.regions,
    };
    Some(serde_json::to_string_pretty(&json).map(|text| text + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{FreshRegions, parse};
    use crate::units::ThreadCount;
    use std::path::Path;

    fn made_up() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    #[test]
    fn the_table_has_a_column_for_each_pause_and_names_team_and_budget() {
        let mut profile = made_up();
        let region = |threads, after_us: &[(Pause, f64)]| Region {
            threads: ThreadCount::clamped(threads),
            after_us: after_us.iter().copied().collect(),
        };
        let conditions = RegionConditions {
            library: Some("libgomp.so.1.0.0 5f3a9c01".to_owned()),
            wait: Some("OMP_WAIT_POLICY=passive".to_owned()),
            ..RegionConditions::from(&profile.conditions[0])
        };
        profile.keep_regions(FreshRegions {
            conditions,
            regions: vec![
                region(1, &[(Pause::NONE, 0.002), (Pause::from_ms(10), 0.3)]),
                region(
                    8,
                    &[
                        (Pause::NONE, 1.234),
                        (Pause::from_ms(1), 9.0),
                        (Pause::from_ms(10), 1234.5),
                    ],
                ),
            ],
            spent_s: 1.0,
        });
        let expected = "\
Median time of an empty parallel region, µs

threads    hot  after 1 ms  after 10 ms
      1  0.002           –        0.300
      8   1.23        9.00         1234

Measured with threads of libgomp.so.1.0.0 5f3a9c01 (OMP_WAIT_POLICY=passive) on
CPUs 0-7, at most 8 at once (affinity); kernel 6.1.0, governor performance.
A program that pauses so long between its parallel regions pays this for each of
them: it must be weighed against what the threads save.
";
        assert_eq!(region_table(&profile).unwrap(), expected);
        let json = region_json(&profile).unwrap().unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["region"][1]["after_us"]["10000"], 1234.5);
        assert_eq!(json["region_conditions"]["budget"]["limit"], 8);
    }

    #[test]
    fn without_regions_there_is_nothing_to_show() {
        let mut profile = made_up();
        (profile.region_conditions, profile.regions) = (None, Vec::new());
        assert_eq!(region_table(&profile), None);
        assert!(region_json(&profile).is_none());
    }
}
