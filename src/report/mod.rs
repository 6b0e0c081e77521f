//! Profiles as people and other programs read them: table, curve, CSV, JSON. Returns text, prints nothing.

mod curve;
mod export;
mod table;
mod units;

pub use curve::curve;
pub use export::{entry_json, profile_csv, profile_json};
pub use table::{cut_short_line, profile_table};
pub use units::time;
