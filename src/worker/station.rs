//! The team and its CPUs: what one arm leaves is gone before the next is timed.

mod regions;

use super::clock;
use super::idling;
use super::protocol::{Clock, SampleOrder};
use super::team::{Fork, Team};
use crate::machine::{Placement, affinity};
use crate::units::{CpuSet, ThreadCount};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// Threads without work spin for so long at most, libomp's, before they sleep.
const LONGEST_SPIN: Duration = Duration::from_millis(250);
/// So often an unbound team is started before its threads are left on the CPUs that they have.
const MOST_STARTS: u32 = 3;

/// The team and what the process may use.
pub struct Station {
    team: Box<dyn Team>,
    clock: Clock,
    /// The CPUs that the process had at its start.
    all_cpus: CpuSet,
    /// Why threads cannot be bound, if they cannot.
    unbindable: Option<String>,
    /// Threads and CPUs that the team is set to.
    arm: Option<(u32, Placement, Vec<u32>)>,
}

impl Station {
    /// A team on the CPUs this process may use.
    pub fn new(team: Box<dyn Team>, all_cpus: CpuSet) -> Self {
        Self {
            team,
            clock: clock::measure(),
            unbindable: affinity::set_current(&all_cpus)
                .err()
                .map(|error| error.to_string()),
            all_cpus,
            arm: None,
        }
    }

    /// What times the calls.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Why threads cannot be bound; nothing where they can.
    pub fn unbindable(&self) -> Option<&str> {
        self.unbindable.as_deref()
    }

    /// Runs this on a CPU, and says which it was: the one asked for, where the system lets it. Whatever team stood is to be
    /// formed anew.
    pub fn on_cpu<T>(&mut self, cpu: Option<u32>, work: impl FnOnce() -> T) -> (T, Option<u32>) {
        self.arm = None;
        let only: CpuSet = cpu.into_iter().collect();
        let is_bound = affinity::set_current(&only).is_ok();
        let outcome = work();
        if is_bound && let Err(error) = affinity::set_current(&self.all_cpus) {
            log::warn!("the CPU mask cannot be widened again: {error}");
        }
        (outcome, cpu.filter(|_| is_bound))
    }

    /// Refuses what this process cannot do.
    fn check(&self, order: &SampleOrder) -> Result<(), String> {
        let cpus = order.cpu_set();
        if !cpus.is_subset(&self.all_cpus) || cpus.is_empty() {
            return Err(format!(
                "CPUs {cpus} are not among those of this process ({})",
                self.all_cpus
            ));
        }
        if order.placement == Placement::Unbound {
            return Ok(());
        }
        if order.cpus.len() != order.threads.as_usize() {
            return Err(format!(
                "{} threads cannot be bound to {} CPUs",
                order.threads,
                order.cpus.len()
            ));
        }
        match &self.unbindable {
            Some(why) => Err(format!("threads cannot be bound to CPUs: {why}")),
            None => Ok(()),
        }
    }

    /// Has the team stand as ordered, unless it does. Says whether two of its threads share a CPU that should not.
    ///
    /// What the arm before leaves is gone by then: threads beyond the new team's would spin beside it, and threads that
    /// were bound would start an unbound team where a program's would not.
    fn form(&mut self, order: &SampleOrder) -> Result<bool, String> {
        let arm = Some((order.threads.get(), order.placement, order.cpus.clone()));
        if self.arm == arm {
            return Ok(false);
        }
        let before = self.arm.take();
        let leaves_threads = before.is_none_or(|(threads, placement, _)| {
            let were_bound = placement != Placement::Unbound;
            threads > order.threads.get() || were_bound && order.placement == Placement::Unbound
        });
        if leaves_threads {
            self.disband();
        }
        if self.unbindable.is_none() {
            // Threads that a runtime starts now inherit this thread's mask, which the arm before may have narrowed.
            affinity::set_current(&self.all_cpus)
                .map_err(|e| format!("the CPU mask cannot be reset: {e}"))?;
        }
        let shares_cpu = if order.placement == Placement::Unbound {
            !self.starts_apart(order)?
        } else {
            let mut placed = Ok(());
            self.with(order.threads, &mut |fork| placed = place(fork, order))?;
            placed?;
            false
        };
        // Threads that share a CPU are started anew the next time.
        self.arm = arm.filter(|_| !shares_cpu);
        Ok(shares_cpu)
    }

    /// Ends the team's threads, or waits until they sleep.
    fn disband(&mut self) {
        self.team.disband();
        idling::until_others_sleep(LONGEST_SPIN);
    }

    /// Starts threads as the kernel starts a program's, on the idlest CPUs, until no two begin on the same one: by luck
    /// two share one for a while, and are half as fast. Says whether that came about.
    fn starts_apart(&mut self, order: &SampleOrder) -> Result<bool, String> {
        for attempt in 1.. {
            let begun_on = Mutex::new(BTreeSet::new());
            let mut counted = Ok(());
            self.with(order.threads, &mut |fork| {
                counted = on_each(fork, &|_, of| {
                    is_whole(of, order)?;
                    if let Ok(mut begun_on) = begun_on.lock() {
                        begun_on.insert(rustix::thread::sched_getcpu());
                    }
                    Ok(())
                });
            })?;
            counted?;
            let distinct = begun_on.into_inner().map_or(0, |begun_on| begun_on.len());
            if distinct == order.threads.as_usize().min(self.all_cpus.len()) {
                return Ok(true);
            }
            if attempt == MOST_STARTS {
                break;
            }
            self.disband();
        }
        Ok(false)
    }

    /// Has the team of an order stand and runs `body` on the first of its threads: what that gives, and whether two threads
    /// share a CPU that should not.
    pub fn with_team<T: Send>(
        &mut self,
        order: &SampleOrder,
        mut body: impl FnMut(&dyn Fork) -> Result<T, String> + Send,
    ) -> Result<(T, bool), String> {
        self.check(order)?;
        let shares_cpu = self.form(order)?;
        let mut given = Err("the team did not run".to_owned());
        self.with(order.threads, &mut |fork| given = body(fork))?;
        Ok((given?, shares_cpu))
    }

    fn with(
        &mut self,
        threads: ThreadCount,
        body: &mut (dyn FnMut(&dyn Fork) + Send),
    ) -> Result<(), String> {
        self.team.with(threads, body).map_err(|e| e.to_string())
    }
}

/// Runs `work` on each thread of the team, given its number and how many there are; what the first one that fails says.
pub fn on_each(
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

/// Gives each thread of the team its CPU, and checks that it runs there.
fn place(fork: &dyn Fork, order: &SampleOrder) -> Result<(), String> {
    on_each(fork, &|thread, of| {
        is_whole(of, order)?;
        let id = order.cpus[thread];
        affinity::set_current(&CpuSet::from_iter([id]))
            .map_err(|e| format!("thread {thread} cannot be bound to CPU {id}: {e}"))?;
        let on = rustix::thread::sched_getcpu();
        if on != id as usize {
            return Err(format!(
                "thread {thread} was to be bound to CPU {id} and runs on CPU {on}"
            ));
        }
        Ok(())
    })
}

/// Refuses a team that is not as large as ordered.
fn is_whole(of: usize, order: &SampleOrder) -> Result<(), String> {
    if of == order.threads.as_usize() {
        return Ok(());
    }
    Err(format!(
        "the runtime gave {of} threads instead of {}",
        order.threads
    ))
}
