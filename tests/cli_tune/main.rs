//! `threadtune tune` as a process: what it prints and writes, and bad input.
//!
//! What is asserted is what was written and how it ended, never how fast anything was.

mod kept;
mod measured;
mod refused;
mod sustained;
#[path = "../tuned_home/mod.rs"]
mod tuned_home;
mod turns;
#[path = "../unbindable/mod.rs"]
mod unbindable;
