//! Profiles: all verdicts of one machine and backend in one TOML file.

mod changes;
mod check;
mod circumstances;
mod compare;
mod directories;
mod doubt;
mod error;
mod excerpt;
mod extras;
mod gathered;
mod layout;
pub mod lookup;
mod merge;
mod read;
mod region;
mod renumbered;
mod schema;
mod standing;
pub mod store;

pub use changes::ConditionChange;
pub use compare::{Change, Comparison, Here, Matters, Only};
pub use directories::{Directories, Found, Search, load_for, load_named};
pub use doubt::Doubt;
pub use error::StoreError;
pub use gathered::{Gathered, Occasion};
pub use merge::FreshEntry;
pub use read::{MAX_BYTES, load, parse};
pub use region::{FreshRegions, Pause, Region, RegionConditions, is_region_time};
pub use schema::{
    AboveQuotaChoice, BudgetRecord, ClockRecord, Conditions, CurvePoint, DefaultChoice, Efficient,
    Entry, Latency, Pinned, Profile, Rate, Regimes, Residency, SCHEMA, StopReason, Throughput,
};
pub use standing::{Failing, Judged, Place, Standing};
pub use store::{check_writable, load_there, load_to_continue, reached_now, save, update};
