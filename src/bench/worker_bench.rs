//! Samples from a worker process: real kernels on the real machine.

use super::worker::{WorkerError, WorkerProcess};
use crate::tune::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use crate::worker::protocol::{Open, SampleOrder, Sampled};
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
    /// The period of a CPU quota that may stop the team.
    period: Option<Duration>,
}

impl<'a> WorkerBench<'a> {
    /// The workload that was opened last.
    pub fn new(process: &'a mut WorkerProcess, cpus: &'a dyn Fn(Arm) -> Vec<u32>) -> Self {
        process.watch.forget();
        Self {
            process,
            cpus,
            opened: Instant::now(),
            per_call: HashMap::new(),
            period: None,
        }
    }

    /// The same under a CPU quota of this period, if there is one that may stop a team: what being stopped costs falls on
    /// few calls, which a median would hide, so samples that last longer are means.
    #[must_use]
    pub fn under_quota(self, period: Option<Duration>) -> Self {
        Self { period, ..self }
    }

    /// From now on another worker takes the samples, of the workload that this order describes.
    pub fn renew(&mut self, open: &Open) -> Result<(), BenchError> {
        let settings = self.process.settings.clone();
        let renewed = WorkerProcess::start(&settings).and_then(|mut process| {
            process.open(open)?;
            Ok(process)
        });
        *self.process = renewed.map_err(|error| match error {
            WorkerError::Stopped => BenchError::Interrupted,
            error => BenchError::Failed(error.to_string()),
        })?;
        Ok(())
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
        let seconds_per_call = per_call(&sampled, calls, self.period).ok_or_else(|| {
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

/// Median of five durations or more, else their mean, for one call; the mean also where all of them together last as
/// long as a period of a quota. Nothing if not all calls have a positive duration.
fn per_call(sampled: &Sampled, calls: Calls, period: Option<Duration>) -> Option<f64> {
    let (durations_ns, each) = (&sampled.durations_ns, sampled.calls_each.get());
    let k = calls.get().div_ceil(each.max(1)) as usize;
    if each == 0 || durations_ns.len() != k || durations_ns.contains(&0) {
        return None;
    }
    let seconds = |ns: &u64| *ns as f64 / f64::from(each) / 1e9;
    let mut sorted: Vec<f64> = durations_ns.iter().map(seconds).collect();
    sorted.sort_by(f64::total_cmp);
    let whole = Duration::from_nanos(durations_ns.iter().sum());
    Some(if k < 5 || period.is_some_and(|period| whole >= period) {
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

    fn settle(&mut self) -> Result<(), BenchError> {
        let wait = self.process.watch.until_judged();
        self.idle(Nanos(wait.as_nanos() as u64))
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        let since_opened = |at: Instant| Nanos((at - self.opened).as_nanos() as u64);
        let disturbed = self.process.watch.disturbed();
        disturbed
            .into_iter()
            .map(|stretch| since_opened(stretch.start)..since_opened(stretch.end))
            .collect()
    }

    fn now(&self) -> Nanos {
        Nanos(self.opened.elapsed().as_nanos() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations_ns: &[u64], calls_each: u32, calls: u32) -> Option<f64> {
        under(None, durations_ns, calls_each, calls)
    }

    fn under(
        period: Option<Duration>,
        durations_ns: &[u64],
        calls_each: u32,
        calls: u32,
    ) -> Option<f64> {
        let text = format!(
            r#"{{"durations_ns":{durations_ns:?},"calls_each":{calls_each},"threads_ran":1,"elapsed_ns":1}}"#
        );
        per_call(
            &serde_json::from_str(&text).ok()?,
            Calls::new(calls),
            period,
        )
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
    fn what_a_quota_stops_is_part_of_samples_that_last_longer_than_its_period() {
        let period = Some(Duration::from_nanos(1010));
        let picoseconds = |durations: &[u64], each, calls| {
            under(period, durations, each, calls).map(|seconds| (seconds * 1e12).round())
        };
        assert_eq!(picoseconds(&[1, 2, 3, 4, 1000], 1, 5), Some(202e3));
        assert_eq!(picoseconds(&[1, 2, 3, 4, 999], 1, 5), Some(3e3));
        assert_eq!(picoseconds(&[10, 20, 30, 40, 1000], 10, 50), Some(22e3));
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
