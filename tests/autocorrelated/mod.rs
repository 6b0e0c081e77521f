//! Six arms of known times whose noise has a memory, on a virtual clock: for the errors of the rules alone.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use threadtune::tune::{Arm, Bench, BenchError, Interference, Sample};
use threadtune::units::{Calls, Nanos};

pub const ARMS: usize = 6;

/// One to six threads. The logarithm of each arm's times is a first-order autoregressive series of its own.
pub struct Autocorrelated {
    pub rng: Pcg64,
    phi: f64,
    noise: [f64; ARMS],
    /// Each arm's true seconds a call, and the standard deviation of their logarithm.
    arms: [(f64, f64); ARMS],
    clock: Nanos,
}

impl Autocorrelated {
    pub fn new(seed: u64, phi: f64, arms: [(f64, f64); ARMS]) -> Self {
        Self {
            rng: Pcg64::seed_from_u64(seed),
            phi,
            noise: [0.0; ARMS],
            arms,
            clock: Nanos::ZERO,
        }
    }

    /// Seconds of a call with this many threads.
    pub fn sample(&mut self, threads: usize) -> f64 {
        // A normal deviate after Box and Muller.
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.rng.random::<f64>()).cos();
        let noise = &mut self.noise[threads - 1];
        *noise = self.phi * *noise + (1.0 - self.phi * self.phi).sqrt() * normal;
        let (seconds, spread) = self.arms[threads - 1];
        let seconds = seconds * (spread * *noise).exp();
        self.clock += Nanos::from_secs_f64(seconds);
        seconds
    }
}

impl Bench for Autocorrelated {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        Ok(plan
            .iter()
            .map(|(arm, calls)| Sample {
                seconds_per_call: self.sample(arm.threads.as_usize()),
                calls: *calls,
                interference: Interference::None,
                first_call: None,
            })
            .collect())
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.clock += time;
        Ok(())
    }

    fn now(&self) -> Nanos {
        self.clock
    }
}
