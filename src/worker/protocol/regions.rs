//! What is said about empty parallel regions.

use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};

/// Empty parallel regions to time on a team whose threads are bound, each after a pause. No workload need be open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionOrder {
    /// Threads of the team.
    pub threads: ThreadCount,
    /// The CPU of each thread in order.
    pub cpus: Vec<u32>,
    /// For how long the first thread sleeps before each timing, microseconds; 0: regions follow one another.
    pub pause_us: u32,
    /// How many timings.
    pub repetitions: u32,
    /// No timing but the first begins after this time, microseconds.
    pub limit_us: u64,
}

/// Timed regions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionTimes {
    /// Wall time of each timing without the pause, nanoseconds.
    pub durations_ns: Vec<u64>,
    /// Back-to-back regions of each timing: more than one where they follow one another, so that reading the clock does
    /// not show.
    pub regions_each: u32,
    /// How many threads really ran.
    pub threads_ran: u32,
}

impl RegionTimes {
    /// The time of one region in each timing, microseconds.
    pub fn each_us(&self) -> Vec<f64> {
        let us = |ns: &u64| *ns as f64 / f64::from(self.regions_each) / 1e3;
        self.durations_ns.iter().map(us).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_were_timed_together_share_their_duration() {
        let text = r#"{"durations_ns":[150000,90000],"regions_each":100,"threads_ran":2}"#;
        let times: RegionTimes = serde_json::from_str(text).unwrap();
        assert_eq!(times.each_us(), [1.5, 0.9]);
        assert_eq!(serde_json::to_string(&times).unwrap(), text);
    }
}
