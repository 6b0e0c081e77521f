//! A limit on power, which a processor may exceed for a while.

/// What a processor may draw on average, and over which time. Full power is that of all CPUs at full clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PowerLimit {
    /// The share of full power, and so of the CPUs at full clock, that it sustains; above zero.
    pub share: f64,
    /// Time constant of the average, seconds.
    pub constant: f64,
}

impl PowerLimit {
    /// The average power after so many seconds with this share of the CPUs busy. It ends at the limit: from there on the
    /// clock is as low as keeps it there.
    pub fn average(&self, before: f64, busy: f64, seconds: f64) -> f64 {
        let kept = (-seconds / self.constant).exp();
        (busy + (before - busy) * kept).min(self.share)
    }

    /// The clock, as a share of its full speed, at this average power and with this share of the CPUs busy: power goes
    /// with the cube of it.
    pub fn clock(&self, average: f64, busy: f64) -> f64 {
        if average < self.share {
            1.0
        } else {
            self.sustained_clock(busy)
        }
    }

    /// The clock that the limit leaves with this share of the CPUs busy for ever.
    pub fn sustained_clock(&self, busy: f64) -> f64 {
        (self.share / busy).cbrt().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_teams_are_slowed_after_seconds_and_narrow_ones_never() {
        let limit = PowerLimit {
            share: 0.5,
            constant: 3.0,
        };
        // The average of full power reaches the half after 3 s · ln 2.
        let average = |seconds| limit.average(0.0, 1.0, seconds);
        assert_eq!(limit.clock(average(2.0), 1.0), 1.0);
        let slowed = limit.clock(average(2.1), 1.0);
        assert!((slowed - 0.5_f64.cbrt()).abs() < 1e-12, "{slowed}");
        assert_eq!(limit.clock(average(60.0), 0.5), 1.0);
        // It recovers when less is busy, by a third in a second or so.
        let rested = limit.average(0.5, 0.0, 1.0);
        assert!((rested - 0.358).abs() < 1e-3, "{rested}");
        assert_eq!(limit.clock(rested, 1.0), 1.0);
    }
}
