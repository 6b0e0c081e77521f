//! A part of the day, as `22-6` names it. Pure.

use std::str::FromStr;

const DAY: u32 = 24 * 3600;

/// A part of the day, by local time; all of it unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hours {
    /// Seconds since midnight at which it begins …
    from: u32,
    /// … and ends; before `from` where it spans midnight, equal to it where it is the whole day.
    to: u32,
}

impl Hours {
    /// Is this second of the day inside?
    pub fn contains(self, second: u32) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&second)
        } else {
            second >= self.from || second < self.to
        }
    }

    /// Seconds from this second of the day until it begins; none when inside.
    pub fn begin_in(self, second: u32) -> u32 {
        if self.contains(second) {
            0
        } else {
            (self.from + DAY - second % DAY) % DAY
        }
    }
}

/// A text that is no part of a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a part of a day; expected hours such as `22-6` or `22:30-06:00`")]
pub struct InvalidHours(pub String);

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = |text: &str| -> Option<u32> {
            let (hour, minute) = text.trim().split_once(':').unwrap_or((text.trim(), "0"));
            let number = |digits: &str, most: u32| {
                let plain = digits.len() <= 2 && digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse().ok().filter(|n: &u32| plain && *n <= most)
            };
            let seconds = number(hour, 24)? * 3600 + number(minute, 59)? * 60;
            (seconds <= DAY).then_some(seconds % DAY)
        };
        let parsed = text
            .split_once('-')
            .and_then(|(from, to)| Some((time(from)?, time(to)?)));
        parsed.map_or_else(
            || Err(InvalidHours(text.chars().take(40).collect())),
            |(from, to)| Ok(Self { from, to }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    #[test]
    fn a_part_of_the_day_may_span_midnight() {
        let night = hours("22-6");
        for (hour, inside) in [(21, false), (22, true), (0, true), (5, true), (6, false)] {
            assert_eq!(night.contains(hour * 3600), inside, "{hour}");
        }
        let day = hours("08:30-17:00");
        assert!(!day.contains(8 * 3600) && day.contains(9 * 3600) && !day.contains(17 * 3600));
        let all = [Hours::default(), hours("0-24"), hours("5-5")];
        assert!(all.iter().all(|h| h.contains(0) && h.contains(DAY - 1)));
    }

    #[test]
    fn the_way_to_the_next_beginning_is_less_than_a_day() {
        let night = hours("22-6");
        assert_eq!(night.begin_in(21 * 3600), 3600);
        assert_eq!(night.begin_in(6 * 3600), 16 * 3600);
        assert_eq!(night.begin_in(23 * 3600), 0);
        assert_eq!(Hours::default().begin_in(77), 0);
    }

    #[test]
    fn what_is_no_part_of_a_day_is_an_error() {
        for text in [
            "", "22", "22-", "-6", "25-6", "22-6-8", "x-y", "22:60-6", "24:01-6", "+2-6",
        ] {
            let error = text.parse::<Hours>().unwrap_err();
            assert!(error.to_string().contains("22:30-06:00"), "{text}");
        }
    }
}
