//! The disposable measuring process: everything heavy runs here, in a child of the supervisor.
//!
//! It speaks JSON lines ([`protocol`]) over its standard streams, runs one workload at a time on a [`team`], and
//! may be killed at any moment: nothing it holds is worth keeping.

mod clock;
mod counters;
mod idling;
pub mod kernel;
pub mod protocol;
mod serve;
pub mod station;
pub mod team;
pub mod timing;

pub use serve::{ServeError, Terms, serve};
