//! The daemon's life as its users see it: real processes, real signals.

#[path = "../daemon_home/mod.rs"]
mod daemon_home;

mod configuration;
mod life;
mod turns;
mod verdicts;
