//! Who gives samples: the implementations of `tune`'s trait `Bench`.

mod line_reader;
mod measurer;
pub mod simulated;
mod worker;

pub use measurer::{Measurer, Site, Stopped, Tuned};
pub use worker::{WorkerBench, WorkerError, WorkerProcess, WorkerSettings};
