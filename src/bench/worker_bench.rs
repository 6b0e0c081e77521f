//! Samples from a worker process: real kernels on the real machine.

use super::worker::WorkerProcess;
use crate::tune::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use crate::worker::protocol::{SampleOrder, Sampled};
use std::collections::HashMap;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

/// A sample may take this many times what the last one of its arm lets expect.
const DEADLINE_FACTOR: u32 = 20;

/// One workload on a worker.
pub struct WorkerBench<'a> {
    process: &'a mut WorkerProcess,
    /// The CPUs of an arm: one a thread in order where bound, all that may be used where not.
    cpus: &'a dyn Fn(Arm) -> Vec<u32>,
    opened: Instant,
    /// What a call on an arm took last.
    per_call: HashMap<Arm, f64>,
}

impl<'a> WorkerBench<'a> {
    /// The workload that was opened last.
    pub fn new(process: &'a mut WorkerProcess, cpus: &'a dyn Fn(Arm) -> Vec<u32>) -> Self {
        Self {
            process,
            cpus,
            opened: Instant::now(),
            per_call: HashMap::new(),
        }
    }

    fn sample(&mut self, arm: Arm, calls: Calls) -> Result<Sample, BenchError> {
        let known = self
            .per_call
            .get(&arm)
            .or_else(|| self.per_call.values().max_by(|a, b| a.total_cmp(b)));
        let expected = known.map_or(Duration::ZERO, |s| {
            Duration::from_secs_f64((s * f64::from(calls.get())).min(1e6))
        });
        let patience = self
            .process
            .settings
            .deadline
            .max(expected * DEADLINE_FACTOR);
        let order = SampleOrder {
            threads: arm.threads,
            placement: arm.placement,
            cpus: (self.cpus)(arm),
            calls,
        };
        let cpus = order.cpu_set();
        let begun = self.process.watch.begin(&cpus);
        let sampled = self
            .process
            .sample(order, patience)
            .map_err(|e| BenchError::Failed(format!("{arm} threads: {e}")))?;
        if sampled.threads_ran != arm.threads.get() {
            return Err(BenchError::Failed(format!(
                "{} threads were asked for and {} ran; is there a limit on threads?",
                arm.threads, sampled.threads_ran
            )));
        }
        let watch = &mut self.process.watch;
        let interference = watch.end(&begun, &cpus, arm.placement, &sampled);
        log::trace!("{arm} × {}: {interference:?}", calls.get());
        let seconds_per_call = per_call(&sampled, calls).ok_or_else(|| {
            BenchError::Nonsense(format!(
                "{} durations of {} calls each for {} calls",
                sampled.durations_ns.len(),
                sampled.calls_each.get(),
                calls.get()
            ))
        })?;
        self.per_call.insert(arm, seconds_per_call);
        Ok(Sample {
            seconds_per_call,
            calls,
            interference,
            first_call: sampled
                .first_call_ns
                .filter(|ns| *ns > 0)
                .map(|ns| Nanos(ns).as_secs_f64()),
        })
    }
}

/// Median of five durations or more, else their mean, for one call; nothing if not all calls have a positive duration.
fn per_call(sampled: &Sampled, calls: Calls) -> Option<f64> {
    let (durations_ns, each) = (&sampled.durations_ns, sampled.calls_each.get());
    let k = calls.get().div_ceil(each.max(1)) as usize;
    if each == 0 || durations_ns.len() != k || durations_ns.contains(&0) {
        return None;
    }
    let seconds = |ns: &u64| *ns as f64 / f64::from(each) / 1e9;
    let mut sorted: Vec<f64> = durations_ns.iter().map(seconds).collect();
    sorted.sort_by(f64::total_cmp);
    Some(if k < 5 {
        sorted.iter().sum::<f64>() / k as f64
    } else {
        f64::midpoint(sorted[(k - 1) / 2], sorted[k / 2])
    })
}

impl Bench for WorkerBench<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let mut samples = Vec::with_capacity(plan.len());
        for &(arm, calls) in plan {
            samples.push(self.sample(arm, calls)?);
            self.process.settings.may_go_on.ask()?;
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        let end = Instant::now() + Duration::from_nanos(time.0);
        loop {
            self.process.settings.may_go_on.ask()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // `sleep` goes on after a signal, whose flag should be seen soon.
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    fn disturbed(&mut self) -> Result<Vec<Range<Nanos>>, BenchError> {
        let wait = self.process.watch.until_judged();
        self.idle(Nanos(wait.as_nanos() as u64))?;
        let since_opened = |at: Instant| Nanos((at - self.opened).as_nanos() as u64);
        let disturbed = self.process.watch.disturbed();
        Ok(disturbed
            .into_iter()
            .map(|stretch| since_opened(stretch.start)..since_opened(stretch.end))
            .collect())
    }

    fn now(&self) -> Nanos {
        Nanos(self.opened.elapsed().as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations_ns: &[u64], calls_each: u32, calls: u32) -> Option<f64> {
        let text = format!(
            r#"{{"durations_ns":{durations_ns:?},"calls_each":{calls_each},"threads_ran":1,"elapsed_ns":1}}"#
        );
        per_call(&serde_json::from_str(&text).ok()?, Calls::new(calls))
    }

    #[test]
    fn five_calls_give_their_median_and_fewer_their_mean() {
        let one = |durations: &[u64], calls| of(durations, 1, calls);
        assert_eq!(one(&[1, 2, 3, 4, 1000], 5), Some(3e-9));
        assert_eq!(one(&[4, 2, 3, 1, 1000, 5], 6), Some(3.5e-9));
        assert_eq!(one(&[1, 2, 3, 1000], 4), Some(251.5e-9));
        assert_eq!(one(&[1, 2], 3), None);
        assert_eq!(one(&[0], 1), None);
    }

    #[test]
    fn calls_that_were_timed_together_share_their_duration() {
        assert_eq!(of(&[10, 20, 30, 40, 5000], 10, 50), Some(3e-9));
        // The last ten were timed although two were left.
        assert_eq!(of(&[10, 20, 30, 40, 5000], 10, 42), Some(3e-9));
        assert_eq!(of(&[10, 30], 10, 20), Some(2e-9));
        assert_eq!(of(&[10, 20, 30, 40, 50], 10, 40), None);
        assert_eq!(of(&[10, 20, 30], 10, 40), None);
        assert_eq!(of(&[10], 0, 1), None);
    }
}
