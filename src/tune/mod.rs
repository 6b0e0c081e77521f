//! Choosing a count from samples, by screening and racing.
//!
//! Pure: no clock, file, thread or entropy; a [`Bench`] takes the samples and tells the time, the options hold the
//! seed. [`Tuning`] is the whole procedure as a value that advances one request at a time, [`DriftCheck`] the later question whether its answer still
//! holds.

mod allowance;
mod bench;
mod blocks;
mod calibration;
mod candidates;
mod comparison;
mod conclusion;
mod constants;
mod contenders;
mod drift;
mod efficient;
mod entry;
mod expectation;
mod finding;
mod full_load;
mod ladder;
mod lineup;
mod options;
mod progress;
mod quota_race;
mod race;
mod request;
mod screen;
mod screened;
mod spacing;
mod sustained;
mod tuning;
mod verdict;
mod visit;
mod visiting;
mod warm_up;

pub use allowance::Allowance;
pub use bench::{Arm, Bench, BenchError, Interference, Sample};
pub use blocks::Racer;
pub use candidates::grid;
pub use contenders::{Contenders, contenders};
pub use drift::{DriftCheck, DriftStep};
pub use entry::{Subject, failed_entry};
pub use expectation::{
    expected_quota_race_seconds, expected_seconds, nominal_call_seconds, nominal_opening_seconds,
};
pub use finding::{Drift, Finding};
pub use options::{After, Options, Patience, Placements};
pub use progress::{Progress, Stage};
pub use race::{Race, RaceOutcome};
pub use tuning::{Step, Tuning};
pub use verdict::{Baseline, Choice, FewestThreads, OneAbove, Timed, Timing, Verdict};
pub use visit::visit;
pub use visiting::VisitPlan;
pub use warm_up::Warmed;
