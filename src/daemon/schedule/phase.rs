//! What the daemon is doing, and why it does nothing.

use super::message::Task;

/// What the daemon is doing, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase<'s> {
    /// Nothing, as there is nothing to do.
    Idle,
    /// Nothing, although there are tasks, for this reason.
    Waiting(&'s Reason),
    /// This task.
    Measuring(&'s Task),
    /// It puts this task aside, for this reason.
    StandingBack(&'s Task, &'s Reason),
    /// It has ended.
    Stopped,
}

/// Why nothing is measured although there are tasks.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The machine is watched for as long as the settings ask.
    Quiet,
    /// Other processes use so many CPUs.
    Busy {
        /// CPUs of all of them.
        cpus: f64,
        /// The one that uses most.
        busiest: Option<(String, f64)>,
    },
    /// It is the turn of another threadtune, this command, to measure.
    Measured(String),
    /// Threads wait for CPUs: percent of the time.
    Pressure(f64),
    /// It runs on its battery.
    Battery,
    /// It is not the hour for it.
    Hours,
    /// The CPU time of this day is spent.
    DailyLimit,
    /// What is known of the machine is looked at again first.
    Changed,
    /// It is about to end.
    Stopping,
    /// Something is wrong that must be mended first.
    Stuck(String),
}
