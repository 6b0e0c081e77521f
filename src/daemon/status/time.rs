//! A moment by the clock of the day, as files and people read it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second that is written with four digits for the year.
const LAST: u64 = 253_402_300_799;

/// Whole seconds since 1970 (UTC), written as `2026-11-22T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WallTime(u64);

/// A text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time; expected one like 2026-11-22T10:00:00Z")]
pub struct InvalidWallTime;

impl WallTime {
    /// Seconds since 1970; at most the end of the year 9999.
    pub fn from_unix_s(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    /// Seconds since 1970.
    pub fn unix_s(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for WallTime {
    /// A clock before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self::from_unix_s(time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }
}

impl TryFrom<String> for WallTime {
    type Error = InvalidWallTime;
    fn try_from(text: String) -> Result<Self, InvalidWallTime> {
        humantime::parse_rfc3339(&text)
            .map(Self::from)
            .map_err(|_| InvalidWallTime)
    }
}

impl From<WallTime> for String {
    fn from(time: WallTime) -> Self {
        time.to_string()
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.0)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_and_read_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_341_600, "2026-11-22T10:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            let time = WallTime::from_unix_s(seconds);
            assert_eq!(time.to_string(), text);
            assert_eq!(WallTime::try_from(text.to_owned()), Ok(time));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "1795341600",
        ] {
            assert_eq!(
                WallTime::try_from(text.to_owned()),
                Err(InvalidWallTime),
                "{text}"
            );
        }
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(WallTime::from(before_1970), WallTime::from_unix_s(0));
    }
}
