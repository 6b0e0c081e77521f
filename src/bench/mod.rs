//! Who gives samples: the implementations of `tune`'s trait `Bench`.

mod apart;
mod interference;
mod line_reader;
mod measurer;
mod recorded;
mod recorder;
mod recording;
mod regions;
mod repeated;
mod replay;
pub mod simulated;
mod surroundings;
mod unfinished;
mod visitor;
mod worker;
mod worker_bench;
mod worker_regions;

pub use measurer::{Checked, Measurer, Site, Stopped, Tuned};
pub use recorded::LEAST_BLOCKS;
pub use recorder::{Recorded, Recorder};
pub use recording::{
    RecordedMachine, RecordedWorkload, Recording, RecordingError, Repetition, Times,
};
pub use regions::{
    QUICK_REGIONS_LIMIT, REGIONS_LIMIT, RegionRequest, RegionTimer, Unmeasured, walk,
};
pub use repeated::{Answer, Repeated, Visits};
pub use replay::{ReplayOptions, Replayed, Score, replay};
pub use surroundings::{Surroundings, SurroundingsError, clock_record};
pub use unfinished::{Again, Unfinished};
pub use visitor::Visitor;
pub use worker::{MayGoOn, WorkerError, WorkerProcess, WorkerSettings};
pub use worker_bench::WorkerBench;
pub use worker_regions::WorkerRegions;
