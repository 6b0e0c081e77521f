//! What goes wrong around a daemon that runs for real, and what it must survive: full and read-only disks, files that
//! vanish or are something else, workers that die, storms of signals, damaged files, and power cuts.

#[path = "../daemon_home/mod.rs"]
mod daemon_home;
mod mounted;

mod damaged;
mod disks;
mod manager;
mod places;
mod power_cuts;
mod storms;
mod workers;
