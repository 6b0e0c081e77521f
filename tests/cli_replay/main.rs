//! `threadtune replay` as a process.

mod decisions;
mod files;
mod unusable;
