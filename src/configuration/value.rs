//! Kinds of values that several keys have, each with an error that says what was expected. Pure.

use crate::units::Nanos;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Text; `expected` says what kind of text in the error about anything else.
pub(super) fn text<'de, D: Deserializer<'de>>(
    value: D,
    expected: &str,
) -> Result<String, D::Error> {
    struct Text<'e>(&'e str);
    impl Visitor<'_> for Text<'_> {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    value.deserialize_str(Text(expected))
}

/// A duration with its unit, such as `"90s"` or `"1h 30m"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(
    value: D,
    allowed: RangeInclusive<Duration>,
) -> Result<Nanos, D::Error> {
    let text = text(value, "a duration such as \"90s\" or \"5m\"")?;
    duration_text(&text, allowed).map_err(D::Error::custom)
}

/// The same of a text that was already found to be one.
pub(super) fn duration_text(
    text: &str,
    allowed: RangeInclusive<Duration>,
) -> Result<Nanos, String> {
    match humantime::parse_duration(text) {
        // What does not fit is longer than any limit.
        Ok(time) if allowed.contains(&time) => {
            Ok(Nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
        }
        parsed => {
            let is = if parsed.is_ok() {
                "not allowed"
            } else {
                "not a duration"
            };
            let [least, most] = [allowed.start(), allowed.end()].map(|end| plain(*end));
            Err(format!(
                "`{}` is {is}; expected \"{least}\" to \"{most}\"",
                shown(text)
            ))
        }
    }
}

/// A duration in the largest unit that divides it.
fn plain(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(of, _)| seconds > 0 && seconds.is_multiple_of(*of));
    unit.map_or_else(
        || format!("{seconds}s"),
        |(of, name)| format!("{}{name}", seconds / of),
    )
}

/// A number within bounds; `what` it is a number of.
pub(super) fn number<'de, D: Deserializer<'de>>(
    value: D,
    allowed: RangeInclusive<f64>,
    what: &str,
) -> Result<f64, D::Error> {
    let number = f64::deserialize(value)?;
    if allowed.contains(&number) {
        return Ok(number);
    }
    Err(D::Error::custom(format!(
        "{number} is not a {what}; expected {} to {}",
        allowed.start(),
        allowed.end()
    )))
}

/// The path of a file from the root directory: the daemon's own directory says nothing.
pub(super) fn absolute_path<'de, D: Deserializer<'de>>(value: D) -> Result<PathBuf, D::Error> {
    let text = text(value, "a path that begins with `/`")?;
    if Path::new(&text).is_absolute() {
        return Ok(PathBuf::from(text));
    }
    Err(D::Error::custom(format!(
        "`{}` does not begin with `/`; expected an absolute path",
        shown(&text)
    )))
}

/// The begin of a text, for an error.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
