//! A made-up profile of a machine with eight cores, and edits of its text.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::Path;
use threadtune::profile::{Profile, parse};

/// The profile as text, in the layout that is written.
pub const TEXT: &str = include_str!("../profiles/made-up.toml");

/// The profile as a value.
pub fn profile() -> Profile {
    parse(Path::new("made-up.toml"), TEXT).unwrap()
}

/// The text with its only (or first) `from` replaced.
pub fn edited(from: &str, to: &str) -> String {
    assert!(
        TEXT.contains(from),
        "`{from}` is not in the made-up profile"
    );
    TEXT.replacen(from, to, 1)
}

/// What an empty parallel region costs on that machine, in the layout that is written.
pub const REGIONS: &str = r#"[region_conditions]
kernel = "6.1.0"
governor = "performance"
budget = { cpus = "0-7", limit = 8, by = "affinity" }
team = "libgomp 4.5"
library = "libgomp.so.1.0.0 5f3a9c01"

[[region]]
threads = 1
after_us = { 0 = 0.002, 1000 = 0.061, 10000 = 0.34 }

[[region]]
threads = 2
after_us = { 0 = 0.9, 1000 = 4.0, 10000 = 55.0 }

[[region]]
threads = 8
after_us = { 0 = 2.5, 1000 = 7.25, 10000 = 210.0 }

"#;

/// The text of the profile with those regions.
pub fn with_regions() -> String {
    edited("[[workload]]", &format!("{REGIONS}[[workload]]"))
}
