//! Times calls of one workload: warm-up, calls, counters.

use super::clock::{Bracketed, Cadence};
use super::counters::TeamCounters;
use super::kernel::Prepared;
use super::protocol::{Clock, SampleOrder, Sampled};
use super::station::{Station, on_each};
use super::team::Fork;
use crate::units::Calls;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A call shorter than this is discarded once to warm the team up; a longer one would cost too much, so the team is
/// woken by an empty region instead.
const SHORT_CALL: Duration = Duration::from_millis(10);

/// One workload being timed.
pub struct Stopwatch {
    work: Prepared,
    first_call: Option<Duration>,
    first_call_told: bool,
    /// The least time of a call seen, by number of threads.
    best: BTreeMap<u32, Duration>,
}

impl Stopwatch {
    /// Nothing timed yet.
    pub fn new(work: Prepared) -> Self {
        Self {
            work,
            first_call: None,
            first_call_told: false,
            best: BTreeMap::new(),
        }
    }

    /// One sample; the reason if it cannot be taken.
    pub fn sample(
        &mut self,
        station: &mut Station,
        order: &SampleOrder,
    ) -> Result<Sampled, String> {
        let clock = station.clock().clone();
        let (sampled, shares_cpu) = station.with_team(order, |fork| {
            self.reserve(fork, order.threads.get())?;
            Ok(self.timed(fork, order, &clock))
        })?;
        Ok(Sampled {
            shares_cpu,
            ..sampled
        })
    }

    fn timed(&mut self, fork: &dyn Fork, order: &SampleOrder, clock: &Clock) -> Sampled {
        let best = self.warm_up(fork, order.threads.get());
        let counters = TeamCounters::new(order.threads.as_usize());
        let ran = AtomicU32::new(0);
        fork.region(&|thread, of| {
            counters.begin(thread);
            ran.fetch_add(1, Relaxed);
            debug_assert!(thread < of);
        });
        let cadence = Cadence::of(order.calls.get(), best, self.work.regions(), clock);
        let bracket = (cadence.bracketed == Bracketed::Timed).then_some(&counters);
        let mut durations_ns = Vec::with_capacity(cadence.batches as usize);
        let start = Instant::now();
        for batch in 0..cadence.batches {
            for _ in 0..cadence.due_before(batch) {
                self.call(fork, Some(&counters));
            }
            let from = Instant::now();
            for _ in 0..cadence.batch {
                self.call(fork, bracket);
            }
            durations_ns.push(from.elapsed().as_nanos() as u64);
        }
        let elapsed_ns = start.elapsed().as_nanos() as u64;
        fork.region(&|thread, _| counters.end(thread));
        if let Some(least) = durations_ns.iter().min() {
            let call = Duration::from_nanos(*least) / cadence.batch;
            self.saw(order.threads.get(), call);
        }
        let first_call_ns = if self.first_call_told {
            None
        } else {
            self.first_call.map(|first| first.as_nanos() as u64)
        };
        self.first_call_told = true;
        Sampled {
            durations_ns,
            calls_each: Calls::new(cadence.batch),
            threads_ran: ran.into_inner(),
            first_call_ns,
            elapsed_ns,
            threads: counters.seen(),
            shares_cpu: false,
        }
    }

    /// Gives each thread of a team that is new to the workload the memory that it needs for itself.
    fn reserve(&self, fork: &dyn Fork, threads: u32) -> Result<(), String> {
        if self.best.contains_key(&threads) {
            return Ok(());
        }
        on_each(fork, &|_, _| {
            self.work.reserve().map_err(|why| why.to_string())
        })
    }

    /// A call of a team of so many threads took so long.
    fn saw(&mut self, threads: u32, call: Duration) {
        let best = self.best.entry(threads).or_insert(call);
        *best = call.min(*best);
    }

    /// Wakes the team and brings code and data where they are between back-to-back calls; the least time of a call seen.
    /// The very first call of the workload is timed by itself.
    fn warm_up(&mut self, fork: &dyn Fork, threads: u32) -> Duration {
        if self.first_call.is_none() {
            let start = Instant::now();
            self.call(fork, None);
            let first = start.elapsed();
            self.first_call = Some(first);
            self.saw(threads, first);
            if first >= SHORT_CALL {
                return first;
            }
        }
        let known = self.best.get(&threads).or_else(|| self.best.values().min());
        match known.copied() {
            Some(best) if best >= SHORT_CALL => {
                fork.region(&|_, _| {});
                best
            }
            _ => {
                let start = Instant::now();
                self.call(fork, None);
                self.saw(threads, start.elapsed());
                self.best[&threads]
            }
        }
    }

    /// One call, each thread's share of it between clock readings where there are counters.
    fn call(&mut self, fork: &dyn Fork, bracket: Option<&TeamCounters>) {
        match bracket {
            Some(counters) => self
                .work
                .call(fork, &|thread, share| counters.bracket(thread, share)),
            None => self.work.call(fork, &|_, share| share()),
        }
    }
}
