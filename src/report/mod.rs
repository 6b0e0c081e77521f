//! Profiles, replays and machines as people and other programs read them: table, curve, picture, CSV, JSON. Returns
//! text, prints nothing.

mod checks;
mod columns;
mod comparison;
mod curve;
mod export;
mod machine;
mod nesting;
mod picture;
mod regimes;
mod regions;
mod repeat;
mod replay;
mod table;
mod units;

pub use checks::{CheckedWorkload, Held, checks_json, checks_table};
pub use comparison::{comparison_json, comparison_table};
pub use curve::curve;
pub use export::{entry_json, profile_csv, profile_json};
pub use machine::{MachineReport, machine_json};
pub use picture::machine_picture;
pub use regions::{region_json, region_table};
pub use repeat::{repeated_json, repeated_text};
pub use replay::{ReplaySummary, replay_json, replay_table};
pub use table::{cut_short_line, plain, profile_table};
pub use units::{counted, rough, time};
