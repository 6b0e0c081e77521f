//! threadtune measures how many threads each kind of work should use on this machine.
//!
//! Data flows `machine → workload → bench → tune → profile → launch`; a folder uses those below it in this list only:
//!
//! - `machine`: what this machine is: topology, CPU budget, fingerprint, load
//! - `bench`: where samples come from
//! - `tune`: how a count is chosen from samples (pure)
//! - `stats`: trimmed means, intervals, autocorrelation (pure)
#![deny(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod machine;
pub mod profile;
pub mod stats;
pub mod tune;
pub mod units;
