//! A CPU quota, which stops a team that has used it up until the next period.

/// What the kernel gives a control group in each period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quota {
    /// CPUs, on average.
    pub cpus: f64,
    /// Length of a period, seconds.
    pub period: f64,
}

/// How much of the present period's quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Used {
    /// The number of the period.
    period: u64,
    /// CPU seconds.
    seconds: f64,
}

impl Used {
    /// For how long threads that work for so many seconds, all at once, are stopped meanwhile, if they begin now.
    pub fn stop(&mut self, quota: &Quota, now: f64, threads: f64, seconds: f64) -> f64 {
        let period = (now / quota.period) as u64;
        if period > self.period {
            *self = Self {
                period,
                seconds: 0.0,
            };
        }
        let mut at = (now - self.period as f64 * quota.period).clamp(0.0, quota.period);
        let (mut left, mut stopped) = (seconds, 0.0);
        loop {
            let paid = ((quota.cpus * quota.period - self.seconds) / threads).max(0.0);
            let runs = paid.min(quota.period - at);
            if left <= runs {
                self.seconds += left * threads;
                return stopped;
            }
            left -= runs;
            stopped += quota.period - at - runs;
            *self = Self {
                period: self.period + 1,
                seconds: 0.0,
            };
            at = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_above_the_quota_are_stopped_for_their_share_of_every_period() {
        let quota = Quota {
            cpus: 1.5,
            period: 0.1,
        };
        let stop = |threads, seconds| Used::default().stop(&quota, 0.0, threads, seconds);
        assert_eq!(stop(1.0, 10.0), 0.0);
        // Two threads use up 150 ms of CPU in 75 ms, and wait for 25.
        assert_eq!(stop(2.0, 0.07), 0.0);
        assert!((stop(2.0, 0.08) - 0.025).abs() < 1e-12);
        let long = stop(2.0, 7.5);
        assert!((long - 99.0 * 0.025).abs() < 1e-9, "{long}");
        // What one arm used up the next one lacks.
        let mut used = Used::default();
        assert_eq!(used.stop(&quota, 0.0, 2.0, 0.075), 0.0);
        let rest = used.stop(&quota, 0.075, 1.0, 0.01);
        assert!((rest - 0.025).abs() < 1e-12, "{rest}");
        assert_eq!(used.stop(&quota, 0.25, 2.0, 0.05), 0.0);
    }
}
