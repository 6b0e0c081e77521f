//! A profile for other programs: JSON with the profile's own keys, CSV with one line a point of a curve.

use crate::machine::Placement;
use crate::profile::{Entry, Profile};
use serde::Serialize;
use serde_json::Value;

/// How a date of TOML goes through serde: a table with this key alone.
const DATE: &str = "$__toml_private_datetime";

/// The whole profile as one JSON object, its keys those of the file, ended by a newline.
pub fn profile_json(profile: &Profile) -> Result<String, serde_json::Error> {
    json(profile)
}

/// One entry as a JSON object, ended by a newline.
pub fn entry_json(entry: &Entry) -> Result<String, serde_json::Error> {
    json(entry)
}

fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    dates_to_texts(&mut value);
    serde_json::to_string_pretty(&value).map(|text| text + "\n")
}

/// JSON has no dates: each becomes a text.
fn dates_to_texts(value: &mut Value) {
    match value {
        Value::Object(table) => match table.get_mut(DATE).map(Value::take) {
            Some(date) => *value = date,
            None => table.values_mut().for_each(dates_to_texts),
        },
        Value::Array(array) => array.iter_mut().for_each(dates_to_texts),
        _ => {}
    }
}

/// What is told of each point of a curve.
const COLUMNS: [&str; 13] = [
    "workload",
    "shape",
    "placement",
    "threads",
    "median_us",
    "ci95_low_us",
    "ci95_high_us",
    "samples",
    "raced",
    "chosen",
    "tie",
    "conclusive",
    "stop",
];

/// One line for each point of each curve, below a line of names.
pub fn profile_csv(entries: &[&Entry]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for entry in entries {
        for point in &entry.curve {
            let chosen = match point.placement {
                Placement::Unbound => {
                    entry.latency.as_ref().map(|l| l.threads) == Some(point.threads)
                }
                placement => entry
                    .pinned
                    .as_ref()
                    .is_some_and(|p| (p.threads, p.placement) == (point.threads, placement)),
            };
            let end = |i: usize| point.ci95_us.map(|ends| ends[i].to_string());
            writer.write_record([
                entry.name.clone(),
                entry.shape.clone(),
                point.placement.to_string(),
                point.threads.to_string(),
                point.median_us.to_string(),
                end(0).unwrap_or_default(),
                end(1).unwrap_or_default(),
                point.samples.to_string(),
                point.raced.to_string(),
                chosen.to_string(),
                entry.ties.contains(&point.threads).to_string(),
                entry.stop.is_conclusive().to_string(),
                entry.stop.to_string(),
            ])?;
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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

    #[test]
    fn json_has_the_files_keys_and_a_plain_date() {
        let json: Value = serde_json::from_str(&profile_json(&made_up()).unwrap()).unwrap();
        assert_eq!(json["created"], "2026-11-22T10:00:00Z");
        assert_eq!(json["workload"][0]["latency"]["threads"], 6);
        assert_eq!(json["machine"]["cpus"], "0-7");
    }

    #[test]
    fn csv_has_a_line_for_each_point() {
        let profile = made_up();
        let text = profile_csv(&[&profile.workloads[4]]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(
            lines[1],
            "gemm-bf16-64,gemm:64x64x64:bf16,close,1,3,2.97,3.03,40,true,true,true,true,separated"
        );
        assert_eq!(
            lines[2],
            "gemm-bf16-64,gemm:64x64x64:bf16,close,2,5,,,2,false,false,false,true,separated"
        );
    }

    #[test]
    fn placements_of_one_count_are_told_apart() {
        let profile = made_up();
        let text = profile_csv(&[&profile.workloads[1]]).unwrap();
        let of_four: Vec<&str> = text.lines().filter(|line| line.contains(",4,")).collect();
        assert_eq!(
            of_four,
            [
                "gemv-2048x2048,gemv:2048x2048:f32,close,4,510,504.9,515.1,40,true,false,true,true,eps",
                "gemv-2048x2048,gemv:2048x2048:f32,unbound,4,515,509.85,520.15,40,true,false,true,true,eps",
                "gemv-2048x2048,gemv:2048x2048:f32,spread,4,450,445.5,454.5,40,true,true,true,true,eps",
            ]
        );
        let json: Value =
            serde_json::from_str(&entry_json(&profile.workloads[1]).unwrap()).unwrap();
        assert_eq!(json["pinned"]["placement"], "spread");
        assert_eq!(json["curve"][13]["placement"], "spread");
        assert_eq!(json["curve"][13]["cpus"], "0,2,4,6");
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut entry = made_up().workloads[4].clone();
        entry.name = "a,\"b\"".to_owned();
        let text = profile_csv(&[&entry]).unwrap();
        assert!(
            text.lines()
                .nth(1)
                .unwrap()
                .starts_with("\"a,\"\"b\"\"\",gemm:")
        );
    }
}
