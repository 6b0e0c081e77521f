//! Choosing a count from samples, by the procedure of screening and racing. Pure: no clock, file, thread or entropy.

mod bench;

pub use bench::{Arm, Bench, BenchError, Interference, Sample};
