//! From the text of a configuration file to values; errors name file, line and key. Pure.

use super::{Configuration, ConfigurationError};
use crate::document::locate::Step::{self, Key};
use crate::document::locate::{dotted, key_at, line_of, line_of_path};
use crate::machine::Reserve;
use crate::units::MAX_CPUS;
use crate::workload::closest;
use serde::Deserialize;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Every key there is, in the order of the example. Keys are looked for here before values are looked at, so that an
/// unknown one gets an answer that helps.
const KEYS: [&str; 1] = ["budget.reserve"];

const RESERVE: [Step; 2] = [Key("budget"), Key("reserve")];

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    budget: BudgetTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BudgetTable {
    /// Wider than what is allowed, so that the error about a number out of range can say what is.
    reserve: Option<i64>,
}

/// Parses the text of a configuration; `path` is for the errors, and for what names its source.
pub fn parse(path: &Path, text: &str) -> Result<Configuration, ConfigurationError> {
    let malformed = |line, key, message| ConfigurationError::Malformed {
        path: path.to_owned(),
        line,
        key,
        message,
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
    let reserve = match file.budget.reserve {
        None => None,
        Some(cpus) if (0..=i64::from(MAX_CPUS)).contains(&cpus) => Some(Reserve {
            cpus: cpus as usize,
            source: format!("{}: {}", path.display(), dotted(&RESERVE)),
        }),
        Some(cpus) => {
            return Err(malformed(
                line_of_path(text, &RESERVE),
                Some(dotted(&RESERVE)),
                format!("{cpus} is no number of CPUs to leave free: 0 to {MAX_CPUS} were expected"),
            ));
        }
    };
    Ok(Configuration { reserve })
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
                _ => "a table was expected".to_owned(),
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
    let meant = closest(name, KEYS.into_iter())
        .first()
        .map(|best| format!(" (did you mean `{best}`?)"))
        .unwrap_or_default();
    format!("no such key{meant}; the keys are `{}`", KEYS.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<usize>, String> {
        parse(Path::new("/c/threadtune.toml"), text)
            .map(|configuration| configuration.reserve.map(|reserve| reserve.cpus))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_reserve_is_a_number_of_cpus() {
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("# budget\n[budget]\n"), Ok(None));
        assert_eq!(of("[budget]\nreserve = 0\n"), Ok(Some(0)));
        assert_eq!(of("budget.reserve = 4096"), Ok(Some(4096)));
        assert_eq!(of("budget = { reserve = 2 }"), Ok(Some(2)));
    }

    #[test]
    fn errors_name_file_line_and_key_and_say_what_is_expected() {
        for (text, place, says) in [
            (
                "[budget]\nreserve = -1\n",
                "line 2, key `budget.reserve`",
                "-1 is no number of CPUs to leave free: 0 to 4096",
            ),
            (
                "\n\n[budget]\nreserve = 4097\n",
                "line 4, key `budget.reserve`",
                "0 to 4096",
            ),
            (
                "[budget]\nreserve = \"2\"\n",
                "line 2, key `budget.reserve`",
                "invalid type: string",
            ),
            (
                "[budget]\nreserve = 1.5\n",
                "line 2, key `budget.reserve`",
                "invalid type",
            ),
            (
                "[budget]\nreserve = 99999999999999999999\n",
                "line 2, key `budget.reserve`",
                "",
            ),
            (
                "[budget.reserve]\nn = 1\n",
                "line 1, key `budget.reserve`",
                "invalid type: map",
            ),
            (
                "budget = 2\n",
                "line 1, key `budget`",
                "a table was expected",
            ),
            (
                "[[budget]]\n",
                "line 1, key `budget`",
                "a table was expected",
            ),
            (
                "budget = [2]\n",
                "line 1, key `budget`",
                "a table was expected",
            ),
            (
                "[budget]\nreserv = 1\n",
                "line 2, key `budget.reserv`",
                "did you mean `budget.reserve`?); the keys are `budget.reserve`",
            ),
            (
                "[budget]\nreserve = 1\n[launch]\n",
                "line 3, key `launch`",
                "no such key; the keys are `budget.reserve`",
            ),
            ("\"\\n\" = 1\n", "line 1, key ``", "no such key; the keys"),
            (
                "[budget]\nreserve = 1\nreserve = 2\n",
                "line 3, key `reserve`",
                "duplicate key",
            ),
            ("[budget]\nreserve =\n", "line 2", ""),
        ] {
            let error = of(text).unwrap_err();
            let begins = format!("/c/threadtune.toml, {place}");
            assert!(error.starts_with(&begins), "{text}: {error}");
            assert!(error.contains(says), "{text}: {error}");
            assert!(
                error.ends_with("; correct it, or remove the line"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_first_unknown_key_of_the_text_is_named() {
        let error = of("[budget]\nz = 1\na = 1\n[a]\nb = 1\n").unwrap_err();
        assert!(error.contains("line 2, key `budget.z`"), "{error}");
    }

    /// The example is what users copy: it must hold as it is, and with every setting in force.
    #[test]
    fn the_example_holds_every_key_and_only_what_is_understood() {
        let example = include_str!("../../systemd/threadtune.toml");
        assert_eq!(
            parse(Path::new("example"), example).unwrap(),
            Configuration::default()
        );
        // A setting is a comment without a space after its mark.
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
                _ => line,
            })
            .map(|line| line.to_owned() + "\n")
            .collect();
        let configuration = parse(Path::new("example"), &uncommented).unwrap();
        assert_eq!(configuration.reserve.map(|r| r.cpus), Some(2));
        let table: toml::Table = uncommented.parse().unwrap();
        for known in KEYS {
            let mut keys = known.split('.');
            let first = table.get(keys.next().unwrap());
            let found = keys.try_fold(first.unwrap(), |value, key| value.get(key));
            assert!(found.is_some(), "the example lacks `{known}`");
        }
    }
}
