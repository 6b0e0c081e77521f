//! From the text of a configuration file to values; errors name file, line and key. Pure.

use super::value::{absolute_path, shown};
use super::{Configuration, ConfigurationError, DaemonTable};
use crate::document::Fault;
use crate::document::locate::{key_at, line_of};
use crate::machine::Reserve;
use crate::units::MAX_CPUS;
use crate::workload::closest;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Every key there is, in the order of the example. Keys are looked for here before values are looked at, so that an
/// unknown one gets an answer that helps.
const KEYS: [&str; 13] = [
    "budget.reserve",
    "daemon.quiet",
    "daemon.idle_cpus",
    "daemon.idle_pressure_percent",
    "daemon.mains_only",
    "daemon.hours",
    "daemon.daily_cpu_seconds",
    "daemon.catalogue",
    "daemon.backends",
    "daemon.drift_interval",
    "daemon.visit_interval",
    "daemon.workload_budget",
    "metrics.textfile",
];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    budget: BudgetTable,
    daemon: DaemonTable,
    metrics: MetricsTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BudgetTable {
    #[serde(deserialize_with = "reserve")]
    reserve: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct MetricsTable {
    #[serde(deserialize_with = "textfile")]
    textfile: Option<PathBuf>,
}

/// Read as a number of any size, so that the error about one out of range can say what is allowed.
fn reserve<'de, D: Deserializer<'de>>(value: D) -> Result<Option<usize>, D::Error> {
    match i64::deserialize(value)? {
        cpus if (0..=i64::from(MAX_CPUS)).contains(&cpus) => Ok(Some(cpus as usize)),
        cpus => Err(D::Error::custom(format!(
            "{cpus} is not a number of CPUs to leave free; expected 0 to {MAX_CPUS}"
        ))),
    }
}

/// The collector of the node exporter passes over files of any other ending.
fn textfile<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    let path = absolute_path(value)?;
    if path.extension().is_some_and(|ending| ending == "prom") {
        return Ok(Some(path));
    }
    Err(D::Error::custom(format!(
        "`{}` is not read by the node exporter; expected the name of a file that ends in `.prom`",
        shown(&path.to_string_lossy())
    )))
}

/// Parses the text of a configuration; `path` is for the errors, and for what names its source.
pub fn parse(path: &Path, text: &str) -> Result<Configuration, ConfigurationError> {
    let malformed = |line, key, message| {
        ConfigurationError(Fault::Malformed {
            path: path.to_owned(),
            line,
            key,
            message,
        })
    };
    let fail = |error: &toml::de::Error| {
        // Limits of the parser itself have no place in the text.
        let (line, key) = error.span().map_or((1, None), |span| {
            (line_of(text, span.start), key_at(text, &span))
        });
        malformed(line, key, error.message().replace('\n', " "))
    };
    let root = DeTable::parse(text).map_err(|error| fail(&error))?;
    if let Some(stray) = stray(root.get_ref(), "") {
        // Quoted keys may hold anything.
        let name = stray.name.chars().filter(|c| !c.is_control()).take(60);
        let line = line_of(text, stray.byte);
        return Err(malformed(line, Some(name.collect()), stray.message));
    }
    let file =
        File::deserialize(toml::de::Deserializer::from(root)).map_err(|error| fail(&error))?;
    Ok(Configuration {
        reserve: file.budget.reserve.map(|cpus| Reserve {
            cpus,
            source: format!("{}: budget.reserve", path.display()),
        }),
        daemon: file.daemon,
        textfile: file.metrics.textfile,
    })
}

/// A key that has no place where it stands.
struct Stray {
    name: String,
    byte: usize,
    message: String,
}

/// The first one in the order of the text. What leads to a key is a table: a sequence of values would be taken for one.
fn stray(table: &DeTable<'_>, above: &str) -> Option<Stray> {
    table
        .iter()
        .filter_map(|(key, value)| {
            let name = format!("{above}{}", key.get_ref());
            let inside = name.clone() + ".";
            let message = match value.get_ref() {
                _ if KEYS.contains(&name.as_str()) => return None,
                _ if !KEYS.iter().any(|known| known.starts_with(&inside)) => not_a_key(&name),
                DeValue::Table(inner) => return stray(inner, &inside),
                _ => "expected a table".to_owned(),
            };
            let byte = key.span().start;
            Some(Stray {
                name,
                byte,
                message,
            })
        })
        .min_by_key(|stray| stray.byte)
}

fn not_a_key(name: &str) -> String {
    let tables = KEYS
        .iter()
        .filter_map(|key| Some(key.split_once('.')?.0))
        .collect::<BTreeSet<&str>>();
    let meant = closest(name, tables.into_iter().chain(KEYS))
        .first()
        .map(|best| format!(" (did you mean `{best}`?)"))
        .unwrap_or_default();
    format!("no such key{meant}; the keys are `{}`", KEYS.join("`, `"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
