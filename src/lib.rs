//! threadtune measures how many threads each kind of work should use on this machine.
//!
//! Data flows `machine → workload → bench → tune → profile → launch`. A folder uses only those below it in this list:
//!
//! - `cli`: one file per subcommand: arguments in, text out
//! - `daemon`: the service: when it measures and when it stands back (`schedule`, pure), the loop, the measuring thread,
//!   what it waits for and what it says
//! - `launch`: from profile, CPU budget and environment to assignments and CPUs (`plan`, pure), then `exec`
//! - `report`: profiles, replays and machines as tables, curves, pictures, JSON and CSV
//! - `bench`: who gives samples: a worker process, a simulated machine, a recording; who records them, and whether
//!   something disturbed them (`interference`)
//! - `worker`: the disposable measuring process: protocol, timing, counters
//!   - `worker::team`: who runs a parallel region: OpenMP or rayon
//!   - `worker::kernel`: what is computed; `isa`: the instruction sets that it is compiled for
//! - `tune`: how a count is chosen from samples (pure)
//! - `profile`: schema, atomic files that one process changes after the other, how far a verdict serves here (`standing`,
//!   pure), the best of all directories (`gathered`, pure), and which count that gives (`lookup`, pure)
//! - `configuration`: what the user and the administrator asked for, in `threadtune.toml`
//! - `environment`: which variables each runtime obeys; from a count to assignments and arguments (pure)
//! - `machine`: what this machine is: topology, CPU budget, fingerprint, load; whose `turn` it is to measure; every reader
//!   takes a root path
//! - `workload`: shapes, the catalogue, what everybody must know of our kernels, and how fast they could be (pure)
//! - `document`: files that somebody else may have written: read without hanging, told by line and key; and ours,
//!   replaced whole
//! - `stats`: trimmed means, intervals, autocorrelation, components of variance (pure)
//! - `units`: times, thread counts, CPU sets
//!
//! Pure means: no file, environment, thread, clock or entropy; a test looks for them.
#![deny(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod configuration;
pub mod daemon;
pub mod document;
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
