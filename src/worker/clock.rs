//! What reading the time costs, and how the calls of a sample are timed so that it does not show.

use super::counters::TeamCounters;
use super::protocol::Clock;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Reading the clock may cost this share of the calls between two readings.
const READ_SHARE: f64 = 0.01;
/// Calls of which bracketing takes a larger share are bracketed beside those that are timed.
const BRACKET_SHARE: f64 = 0.001;
/// Calls beside those that are timed, as a share of these.
const BESIDE_SHARE: f64 = 0.05;
/// A cost is the least of so many rounds: what disturbs a round makes it longer.
const ROUNDS: u32 = 20;
/// Readings in a round.
const READINGS: u32 = 50;

/// Measures the clock of this machine, a fraction of a millisecond for most.
pub fn measure() -> Clock {
    let threads = TeamCounters::new(1);
    let source =
        fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    Clock {
        source: source.ok().map(|name| name.trim().to_owned()),
        read_ns: cost_ns(|| {
            black_box(Instant::now());
        }),
        bracket_ns: cost_ns(|| threads.bracket(0, || {})),
    }
}

fn cost_ns(mut what: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..READINGS {
            what();
        }
        start.elapsed().as_nanos() as f64 / f64::from(READINGS)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

/// How the calls of a sample are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// Calls between two readings of the clock.
    pub batch: u32,
    /// So many batches are timed.
    pub batches: u32,
    /// Which calls are bracketed, each thread's share of them.
    pub bracketed: Bracketed,
}

/// Which calls are bracketed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracketed {
    /// Those that are timed, which are so long that it makes no difference.
    Timed,
    /// So many others, spread among them, which do not count.
    Beside(u32),
}

impl Cadence {
    /// For so many calls of so many parallel regions, the fastest of which took `best`.
    pub fn of(calls: u32, best: Duration, regions: usize, clock: &Clock) -> Self {
        let best_ns = best.as_secs_f64().max(1e-9) * 1e9;
        let batch = (clock.read_ns / (READ_SHARE * best_ns)).ceil();
        let batch = (batch as u32).clamp(1, calls.max(1));
        let bracketed = if clock.bracket_ns * regions as f64 <= BRACKET_SHARE * best_ns {
            Bracketed::Timed
        } else {
            let share = (BESIDE_SHARE * f64::from(calls)).round() as u32;
            Bracketed::Beside(share.max(1))
        };
        Self {
            batch,
            batches: calls.div_ceil(batch),
            bracketed,
        }
    }

    /// Of the calls beside, how many are due before the batch with this number, which counts from 0.
    pub fn due_before(self, batch: u32) -> u32 {
        match self.bracketed {
            Bracketed::Timed => 0,
            Bracketed::Beside(calls) => {
                let before = |batch: u32| {
                    u64::from(calls) * u64::from(batch) / u64::from(self.batches.max(1))
                };
                (before(batch + 1) - before(batch)) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TSC: Clock = Clock {
        source: None,
        read_ns: 25.0,
        bracket_ns: 400.0,
    };

    fn of(calls: u32, best_us: f64, clock: &Clock) -> Cadence {
        Cadence::of(calls, Duration::from_secs_f64(best_us * 1e-6), 1, clock)
    }

    #[test]
    fn calls_are_timed_together_where_reading_the_clock_costs_more_than_a_hundredth() {
        let batches = |calls, best_us, clock: &Clock| {
            let cadence = of(calls, best_us, clock);
            (cadence.batch, cadence.batches)
        };
        assert_eq!(batches(400, 2.5, &TSC), (1, 400));
        assert_eq!(batches(400, 1.0, &TSC), (3, 134));
        assert_eq!(batches(1, 0.001, &TSC), (1, 1));
        // A machine whose time counters do not agree asks a chip on the board.
        let hpet = Clock {
            read_ns: 1000.0,
            ..TSC
        };
        assert_eq!(batches(80, 12.0, &hpet), (9, 9));
        assert_eq!(batches(1, 2e6, &hpet), (1, 1));
    }

    #[test]
    fn calls_that_bracketing_would_lengthen_are_bracketed_beside_those_that_count() {
        let bracketed = |calls, best_us| of(calls, best_us, &TSC).bracketed;
        assert_eq!(bracketed(1, 400.0), Bracketed::Timed);
        assert_eq!(bracketed(3, 399.0), Bracketed::Beside(1));
        assert_eq!(bracketed(83, 12.0), Bracketed::Beside(4));
        assert_eq!(bracketed(1000, 1.0), Bracketed::Beside(50));
        let layer = Cadence::of(1, Duration::from_millis(1), 10, &TSC);
        assert_eq!(layer.bracketed, Bracketed::Beside(1));
    }

    #[test]
    fn all_calls_beside_come_spread_among_the_batches() {
        for (calls, best_us) in [(1, 390.0), (2, 390.0), (83, 12.0), (1000, 1.0), (7, 0.1)] {
            let cadence = of(calls, best_us, &TSC);
            let Bracketed::Beside(beside) = cadence.bracketed else {
                panic!("{cadence:?}");
            };
            let due: Vec<u32> = (0..cadence.batches)
                .map(|i| cadence.due_before(i))
                .collect();
            assert_eq!(due.iter().sum::<u32>(), beside, "{cadence:?}");
            let (least, most) = (due.iter().min().unwrap(), due.iter().max().unwrap());
            assert!(most - least <= 1, "{due:?}");
        }
    }

    #[test]
    fn a_clock_costs_something_and_a_bracket_more() {
        let clock = measure();
        assert!(
            clock.read_ns > 0.0 && clock.bracket_ns > clock.read_ns,
            "{clock:?}"
        );
    }
}
