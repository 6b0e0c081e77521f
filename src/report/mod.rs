//! Profiles and replays as people and other programs read them: table, curve, CSV, JSON. Returns text, prints nothing.

mod columns;
mod curve;
mod export;
mod replay;
mod table;
mod units;

pub use curve::curve;
pub use export::{entry_json, profile_csv, profile_json};
pub use replay::{ReplaySummary, replay_json, replay_table};
pub use table::{cut_short_line, profile_table};
pub use units::time;
