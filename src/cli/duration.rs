//! Lengths of time as users type and read them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest limit that can be asked for: a day.
const LONGEST: Duration = Duration::from_hours(24);

/// A limit of time: whole seconds, or with a unit (`90`, `5m`, `1h 30m`); at most a day.
pub fn limit(text: &str) -> Result<Duration, String> {
    let range = Duration::from_nanos(1)..=LONGEST;
    within(text, &range, "more than 0 and at most 24 hours")
}

/// A time of full load, in the same forms: in less than a second nothing that is sustained shows.
pub fn load(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_hours(1);
    within(text, &range, "1 second to 1 hour")
}

fn within(
    text: &str,
    range: &RangeInclusive<Duration>,
    expected: &str,
) -> Result<Duration, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let duration = if is_plain {
        // What does not fit is too long in any case.
        Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
    } else {
        humantime::parse_duration(text).ok()
    };
    match duration {
        Some(duration) if range.contains(&duration) => Ok(duration),
        Some(_) => Err(format!("`{text}` is not allowed; expected {expected}")),
        None => Err(format!(
            "`{text}` is not a duration; expected whole seconds or a unit, as in `90`, `5m` and `2h`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_plain_seconds_or_have_a_unit() {
        for (text, seconds) in [
            ("1", 1),
            ("90", 90),
            ("5m", 300),
            ("2h", 7200),
            ("1h 30m", 5400),
            ("86400", 86400),
        ] {
            assert_eq!(limit(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(limit("1500ms"), Ok(Duration::from_millis(1500)));
        for (text, says) in [
            ("0", "24 hours"),
            ("86401", "24 hours"),
            ("25h", "24 hours"),
            ("0ms", "24 hours"),
            ("99999999999999999999999999", "24 hours"),
            ("", "`5m`"),
            ("-1", "`5m`"),
            ("1.5", "`5m`"),
            ("five", "`5m`"),
            ("nan", "`5m`"),
        ] {
            assert!(limit(text).unwrap_err().contains(says), "{text}");
        }
    }

    #[test]
    fn full_load_lasts_a_second_to_an_hour() {
        for (text, seconds) in [("1", 1), ("30s", 30), ("1h", 3600)] {
            assert_eq!(load(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, says) in [
            ("0", "1 second to 1 hour"),
            ("999ms", "1 second to 1 hour"),
            ("3601", "1 second to 1 hour"),
            ("soon", "`soon` is not a duration"),
        ] {
            assert!(load(text).unwrap_err().contains(says), "{text}");
        }
    }
}
