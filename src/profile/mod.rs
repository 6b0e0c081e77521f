//! Profiles: all verdicts of one machine and backend in one TOML file.

mod schema;

pub use schema::{
    BudgetRecord, Conditions, CurvePoint, DefaultChoice, Efficient, Entry, Latency, Pinned,
    Profile, Residency, SCHEMA, StopReason, Throughput,
};
