//! What supervisor and worker say to each other: one JSON object a line.
//!
//! The worker greets first. Each request carries an id, which its reply repeats; one request is one sample, so a
//! supervisor that wants to stop waits for one sample at most. A worker times and counts; what that means, the supervisor
//! judges, so that a worker in another language needs no judge of its own. `docs/worker-protocol.md` is written for those
//! who write one.

mod regions;

pub use regions::{RegionOrder, RegionTimes};

use crate::machine::Placement;
use crate::units::{Calls, CpuSet, ThreadCount};
use crate::workload::{CoreRates, Level, Residency, Shape};
use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u32 = 2;

/// The worker's first line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Greeting {
    /// [`VERSION`] of the worker.
    pub threadtune_worker: u32,
    /// The runtime that forks its threads.
    pub team: String,
    /// The file of that runtime with a hash of its bytes: `libgomp.so.1.0.0 5f3a9c01`; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// How its threads wait for work, as far as the environment says: `OMP_WAIT_POLICY=passive`; absent where the runtime
    /// does as it always does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// Why threads cannot be bound to CPUs; absent where they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbindable: Option<String>,
    /// Why it is not the runtime that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What times the calls; absent for a worker that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// Its kernels; absent for a worker whose kernels are not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<Kernels>,
}

/// The clock that calls are timed with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    /// The kernel's source of time, such as `tsc`; absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What one reading costs, nanoseconds.
    pub read_ns: f64,
    /// What it costs to read wall clock and CPU time before and after a thread's share of a region, nanoseconds.
    pub bracket_ns: f64,
}

/// Kernels of ours, and the core that they run on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kernels {
    /// [`KERNEL_REVISION`](crate::workload::KERNEL_REVISION) of the worker.
    pub revision: u32,
    /// The instruction set that they are compiled for.
    pub level: Level,
    /// The highest one that the processor has.
    pub highest: Level,
    /// What one core can do at that level.
    pub core: CoreRates,
}

/// A line from the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Repeated by the reply.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub order: Order,
}

/// What the supervisor asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Prepare a workload; the one before is dropped.
    Open(Open),
    /// Time some calls of it.
    Sample(SampleOrder),
    /// Time empty parallel regions. A worker may refuse that, as one does that knows nothing of it.
    Regions(RegionOrder),
}

/// A workload to prepare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// What a call computes.
    pub shape: Shape,
    /// Where its data should lie.
    pub residency: Residency,
    /// Calls rotate over copies that together exceed this many bytes (twice the last-level cache), if in memory.
    pub pool_bytes: u64,
    /// Never take more memory than this for the data, bytes.
    pub memory_limit_bytes: u64,
    /// The CPU on which the data is first touched, as by a program's first thread.
    pub first_cpu: u32,
}

/// Calls to time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleOrder {
    /// Threads of the team.
    pub threads: ThreadCount,
    /// Bound or not.
    pub placement: Placement,
    /// Bound: the CPU of each thread in order. Unbound: the CPUs that any thread may use.
    pub cpus: Vec<u32>,
    /// Back-to-back calls.
    pub calls: Calls,
}

impl SampleOrder {
    /// The CPUs as a set.
    pub fn cpu_set(&self) -> CpuSet {
        self.cpus.iter().copied().collect()
    }
}

/// A line from the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's id.
    pub id: u64,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The workload is ready.
    Opened(Opened),
    /// The calls were timed.
    Sampled(Sampled),
    /// Empty regions were timed.
    Regions(RegionTimes),
    /// It could not be done; the worker goes on.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A prepared workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Where the data really lies: in cache if memory did not suffice to rotate.
    pub residency: Residency,
    /// Bytes that the rotating copies take.
    pub pool_bytes: u64,
    /// The CPU on which the data was really first touched; absent where threads cannot be bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_cpu: Option<u32>,
}

/// Timed calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Wall time of so many calls at a time, nanoseconds.
    pub durations_ns: Vec<u64>,
    /// Calls of each duration: more than one where reading the clock would cost too much of a call. The last duration may
    /// go beyond the calls that were ordered.
    #[serde(default = "one_call")]
    pub calls_each: Calls,
    /// How many threads really ran.
    pub threads_ran: u32,
    /// The very first call of this workload, which came before those that are timed, nanoseconds; with the first sample
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_call_ns: Option<u64>,
    /// Wall time from the first of these calls to the end of the last, those that are not timed among them, nanoseconds.
    pub elapsed_ns: u64,
    /// What each thread of the team saw; empty for a worker that does not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadCounters>,
    /// Did two threads of a team that is not bound begin on one CPU, however often they were started?
    #[serde(default, skip_serializing_if = "is_false")]
    pub shares_cpu: bool,
}

/// What one thread saw of its CPU during a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ThreadCounters {
    /// Wall time of its own shares of the work that were looked at, without waiting for others, nanoseconds.
    pub wall_ns: u64,
    /// CPU time that it had meanwhile, nanoseconds.
    pub cpu_ns: u64,
    /// For how long it waited for a CPU while it could have run, over the whole sample, nanoseconds.
    pub run_delay_ns: u64,
}

fn one_call() -> Calls {
    Calls::ONE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_way_there_and_back() {
        let request = Request {
            id: 7,
            order: Order::Sample(SampleOrder {
                threads: ThreadCount::ONE,
                placement: Placement::Close,
                cpus: vec![1],
                calls: Calls::new(9),
            }),
        };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(
            line,
            r#"{"id":7,"order":"sample","threads":1,"placement":"close","cpus":[1],"calls":9}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        let sampled = Reply {
            id: 8,
            outcome: Outcome::Sampled(Sampled {
                durations_ns: vec![5],
                calls_each: Calls::ONE,
                threads_ran: 1,
                first_call_ns: None,
                elapsed_ns: 6,
                threads: vec![ThreadCounters {
                    wall_ns: 1,
                    cpu_ns: 2,
                    run_delay_ns: 3,
                }],
                shares_cpu: false,
            }),
        };
        let line = serde_json::to_string(&sampled).unwrap();
        assert_eq!(
            line,
            r#"{"id":8,"outcome":"sampled","durations_ns":[5],"calls_each":1,"threads_ran":1,"elapsed_ns":6,"threads":[{"wall_ns":1,"cpu_ns":2,"run_delay_ns":3}]}"#
        );
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), sampled);
        // What a worker may leave out.
        let least =
            r#"{"id":8,"outcome":"sampled","durations_ns":[5],"threads_ran":1,"elapsed_ns":6}"#;
        let reply: Reply = serde_json::from_str(least).unwrap();
        let Outcome::Sampled(sampled) = reply.outcome else {
            panic!("{reply:?}");
        };
        assert_eq!((sampled.threads.len(), sampled.shares_cpu), (0, false));
        let reply = Reply {
            id: 7,
            outcome: Outcome::Refused {
                reason: "no".to_owned(),
            },
        };
        let line = serde_json::to_string(&reply).unwrap();
        assert_eq!(line, r#"{"id":7,"outcome":"refused","reason":"no"}"#);
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
    }
}
