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
