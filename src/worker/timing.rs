//! Times calls of one workload: team, masks, warm-up, calls, counters.

use super::clock::{self, Bracketed, Cadence};
use super::interference::{MachineCounters, TeamCounters};
use super::kernel::Prepared;
use super::protocol::{Clock, SampleOrder, Sampled};
use super::team::{Fork, Team};
use crate::machine::{Placement, affinity};
use crate::units::{Calls, CpuSet};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
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

/// The team and what the process may use.
pub struct Station {
    team: Box<dyn Team>,
    clock: Clock,
    /// The CPUs that the process had at its start.
    all_cpus: CpuSet,
    machine: MachineCounters,
    /// Threads and CPUs that the team is set to.
    arm: Option<(u32, Placement, Vec<u32>)>,
}

impl Station {
    /// A team on the CPUs this process may use.
    pub fn new(team: Box<dyn Team>, all_cpus: CpuSet, cpu_stat: Vec<PathBuf>) -> Self {
        Self {
            team,
            clock: clock::measure(),
            machine: MachineCounters::new(cpu_stat, all_cpus.clone()),
            all_cpus,
            arm: None,
        }
    }

    /// What times the calls.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
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
        let cpus = order.cpu_set();
        if !cpus.is_subset(&station.all_cpus) || cpus.is_empty() {
            return Err(format!(
                "CPUs {cpus} are not among those of this process ({})",
                station.all_cpus
            ));
        }
        if order.placement != Placement::Unbound && order.cpus.len() != order.threads.as_usize() {
            return Err(format!(
                "{} threads cannot be bound to {} CPUs",
                order.threads,
                order.cpus.len()
            ));
        }
        if order.placement == Placement::Unbound {
            station.machine.settle();
        }
        let arm = Some((order.threads.get(), order.placement, order.cpus.clone()));
        let changed = station.arm != arm;
        if changed {
            // Threads that a runtime starts now inherit this thread's mask, which the last arm may have narrowed.
            affinity::set_current(&station.all_cpus)
                .map_err(|e| format!("the CPU mask cannot be reset: {e}"))?;
        }
        station.arm = None;
        let (clock, machine) = (&station.clock, &mut station.machine);
        let mut outcome = Err("the team did not run".to_owned());
        station
            .team
            .with(order.threads, &mut |fork: &dyn Fork| {
                outcome = if changed {
                    place(fork, order, &cpus)
                } else {
                    Ok(())
                }
                .and_then(|()| self.reserve(fork, order.threads.get()))
                .map(|()| self.timed(fork, order, &cpus, clock, machine));
            })
            .map_err(|e| e.to_string())?;
        let sampled = outcome?;
        station.arm = arm;
        Ok(sampled)
    }

    fn timed(
        &mut self,
        fork: &dyn Fork,
        order: &SampleOrder,
        cpus: &CpuSet,
        clock: &Clock,
        machine: &mut MachineCounters,
    ) -> Sampled {
        let best = self.warm_up(fork, order.threads.get());
        let counters = TeamCounters::new(order.threads.as_usize());
        let begun = machine.begin(cpus);
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
        let whole = start.elapsed();
        fork.region(&|thread, _| counters.end(thread));
        let (interference, counters) = machine.end(&begun, cpus, &counters, whole, order.placement);
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
            interference,
            counters,
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

/// Runs `work` on each thread of the team, given its number and how many there are; what the first one that fails says.
fn on_each(
    fork: &dyn Fork,
    work: &(dyn Fn(usize, usize) -> Result<(), String> + Sync),
) -> Result<(), String> {
    let refused = Mutex::new(None);
    fork.region(&|thread, of| {
        if let (Err(why), Ok(mut refused)) = (work(thread, of), refused.lock()) {
            refused.get_or_insert(why);
        }
    });
    refused.into_inner().unwrap_or(None).map_or(Ok(()), Err)
}

/// Gives each thread of the team its mask, and checks that it holds.
fn place(fork: &dyn Fork, order: &SampleOrder, cpus: &CpuSet) -> Result<(), String> {
    on_each(fork, &|thread, of| {
        if of != order.threads.as_usize() {
            return Err(format!(
                "the runtime gave {of} threads instead of {}",
                order.threads
            ));
        }
        place_thread(thread, order, cpus)
    })
}

/// Binds the calling thread to its CPU; one that is not to be bound starts there and may then go where it likes.
///
/// The kernel starts a program's new threads on the idlest CPUs. A team whose threads were bound a moment ago must
/// start as well spread, or two of them share a CPU for a whole race, by luck and half as fast.
fn place_thread(thread: usize, order: &SampleOrder, cpus: &CpuSet) -> Result<(), String> {
    let id = order.cpus[thread % order.cpus.len()];
    affinity::set_current(&CpuSet::from_iter([id]))
        .map_err(|e| format!("thread {thread} cannot be bound to CPU {id}: {e}"))?;
    let on = rustix::thread::sched_getcpu();
    if on != id as usize {
        return Err(format!(
            "thread {thread} was to be bound to CPU {id} and runs on CPU {on}"
        ));
    }
    if order.placement == Placement::Unbound {
        affinity::set_current(cpus)
            .map_err(|e| format!("thread {thread} cannot use CPUs {cpus}: {e}"))?;
    }
    Ok(())
}
