//! The local calendar: which day and which hour it is where this machine stands.
//!
//! The zone is read anew each time: it is one small file, and the administrator may have changed it meanwhile.

use super::schedule::Now;
use crate::machine::BootTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};
use std::time::SystemTime;

/// The system's zone, a link to a file of the zone database or a copy of one. Relative to the root.
const LOCAL: &str = "etc/localtime";
/// The zone database. Relative to the root.
const DATABASE: &str = "usr/share/zoneinfo";
/// The longest file of the database has a few kilobytes.
const LONGEST_ZONE: u64 = 1 << 20;

const DAY_SECONDS: i64 = 24 * 3600;

/// The present moment on both clocks, by the zone of `TZ` or, where that is unset, of the system; by UTC where neither
/// makes sense.
pub fn now() -> Now {
    let zone = zone(Path::new("/"), std::env::var_os("TZ"));
    moment(&zone, SystemTime::now())
}

/// A time of the day's clock as the schedule wants it, at this moment of the boot's.
fn moment(zone: &TimeZone, time: SystemTime) -> Now {
    // A clock that shows no year that there is, is wrong; any day is as good as another.
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = time.as_second() + i64::from(zone.to_offset(time).seconds());
    Now {
        at: BootTime::now().since_boot(),
        day: local.div_euclid(DAY_SECONDS),
        second: local.rem_euclid(DAY_SECONDS) as u32,
    }
}

/// The zone that `tz` names, as `tzset(3)` reads it: a file, by path or by its name in the database, else a rule such
/// as `CET-1CEST,M3.5.0,M10.5.0/3`. Without it, the system's.
fn zone(root: &Path, tz: Option<OsString>) -> TimeZone {
    let found = match &tz {
        None => file(&root.join(LOCAL)),
        Some(text) => named(root, text),
    };
    found.unwrap_or_else(|| {
        let name = tz.map_or_else(|| format!("/{LOCAL}"), |tz| format!("TZ={}", tz.display()));
        log::debug!("{} is not a time zone; UTC it is", name.escape_debug());
        TimeZone::UTC
    })
}

fn named(root: &Path, text: &OsStr) -> Option<TimeZone> {
    let text = text.to_str()?;
    let name = text.strip_prefix(':').unwrap_or(text);
    if name.is_empty() {
        return Some(TimeZone::UTC);
    }
    let path = Path::new(name);
    let inside = |part| matches!(part, Component::Normal(_));
    let of_file = if path.is_absolute() {
        file(path)
    } else if path.components().all(inside) {
        file(&root.join(DATABASE).join(path))
    } else {
        None
    };
    of_file.or_else(|| TimeZone::posix(name).ok())
}

/// The zone of a compiled file.
fn file(path: &Path) -> Option<TimeZone> {
    // Looked at before it is opened: reading a pipe would never end.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(LONGEST_ZONE)
        .read_to_end(&mut bytes)
        .ok()?;
    TimeZone::tzif("", &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// A compiled zone with one offset from UTC for all times.
    fn fixed(seconds_east: i32) -> Vec<u8> {
        let mut bytes = b"TZif".to_vec();
        // the first version of the format, whose header has sixteen bytes for this and later ones
        bytes.extend([0; 16]);
        // no transitions and no leap seconds; one kind of time, whose name has four bytes
        for count in [0u32, 0, 0, 0, 1, 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend(seconds_east.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(b"XST\0");
        bytes
    }

    /// Day and second at a time since 1970, where this is `TZ` and the system's zone is three hours east.
    fn at(tz: Option<&str>, unix_seconds: i64) -> (i64, u32) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write(LOCAL, &fixed(3 * 3600));
        write("usr/share/zoneinfo/Made/Up", &fixed(-5 * 3600));
        write("usr/share/zoneinfo/Broken", b"TZif");
        write("usr/share/outside", &fixed(7 * 3600));
        let size = Duration::from_secs(unix_seconds.unsigned_abs());
        let time = if unix_seconds < 0 {
            SystemTime::UNIX_EPOCH - size
        } else {
            SystemTime::UNIX_EPOCH + size
        };
        let now = moment(&zone(root.path(), tz.map(OsString::from)), time);
        (now.day, now.second)
    }

    #[test]
    fn days_and_seconds_are_those_of_the_zone() {
        let hour = 3600;
        assert_eq!(at(None, 0), (0, 3 * hour));
        assert_eq!(at(None, 21 * 3600 - 1), (0, 24 * hour - 1));
        assert_eq!(at(None, 21 * 3600), (1, 0));
        assert_eq!(at(Some("Made/Up"), 0), (-1, 19 * hour));
        assert_eq!(at(Some(":Made/Up"), 5 * 3600), (0, 0));
        assert_eq!(at(Some("UTC0"), -1), (-1, 24 * hour - 1));
        assert_eq!(at(Some(""), 7), (0, 7));
    }

    #[test]
    fn summer_time_is_an_hour_ahead() {
        let berlin = Some("CET-1CEST,M3.5.0,M10.5.0/3");
        // 2026-03-29 01:00 UTC: two o'clock never comes
        let change = 1_774_746_000;
        let (day, second) = at(berlin, change - 1);
        assert_eq!(second, 2 * 3600 - 1);
        assert_eq!(at(berlin, change), (day, 3 * 3600));
    }

    #[test]
    fn what_names_no_zone_is_utc() {
        for garbage in [
            "Broken",
            "Made/None",
            "../outside",
            "Made/../../outside",
            "/dev/zero",
            "/",
            "CET-99999",
            "\u{1b}[2J",
            ":",
        ] {
            assert_eq!(at(Some(garbage), 5), (0, 5), "{garbage}");
        }
        let nothing = tempfile::tempdir().unwrap();
        assert_eq!(zone(nothing.path(), None), TimeZone::UTC);
    }

    #[test]
    fn the_live_clocks_agree() {
        let (before, now, after) = (BootTime::now(), now(), BootTime::now());
        assert!(before.since_boot() <= now.at && now.at <= after.since_boot());
        assert!(now.second < 86_400);
    }
}
