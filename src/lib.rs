//! threadtune measures how many threads each kind of work should use on this machine.
//!
//! Data flows `machine → workload → bench → tune → profile → launch`; a folder uses those below it in this list only:
//!
//! - `launch`: starts a program with the right number of threads
//! - `report`: profiles as people and other programs read them
//! - `profile`: schema, atomic files, and which count a profile gives
//! - `environment`: which variables each runtime obeys; from a count to assignments and arguments
//! - `machine`: what this machine is: topology, CPU budget, fingerprint, load
//! - `bench`: where samples come from
//! - `tune`: how a count is chosen from samples (pure)
//! - `stats`: trimmed means, intervals, autocorrelation (pure)
#![deny(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod environment;
pub mod launch;
pub mod machine;
pub mod profile;
pub mod report;
pub mod stats;
pub mod tune;
pub mod units;
pub mod worker;
pub mod workload;
