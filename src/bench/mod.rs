//! Who gives samples: the implementations of `tune`'s trait `Bench`.

mod line_reader;
mod worker;

pub use worker::{WorkerBench, WorkerError, WorkerProcess, WorkerSettings};
