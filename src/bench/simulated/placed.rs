//! What placement changes in the truth of a simulated workload: threads that are spread, and threads that are not bound.

use super::scaling::{Hands, Scaling};
use super::topology::Topology;
use super::variate::{normal, ten_to, uniform};
use crate::machine::Placement;
use rand_pcg::Pcg64;

/// Seconds a call from one thread to all logical CPUs, beside those of threads placed close.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    spread: Vec<f64>,
    unbound: Vec<f64>,
    /// Log spread that each sample of unbound threads has from where the kernel put them.
    luck: f64,
}

impl Placed {
    /// Of a workload that takes `close` seconds on threads placed close, by count.
    ///
    /// Spread threads have the memory of all packages and more cache each; they pay for it where they meet (fork and
    /// join, shared data), and reach remote memory from the second thread on. Unbound ones are somewhere between the
    /// two, and a little slower than that for wandering.
    pub fn draw(topology: &Topology, scaling: &Scaling, close: &[f64], rng: &mut Pcg64) -> Self {
        let meeting = uniform(0.2, 1.5, rng);
        let cache_gain = uniform(-0.15, 0.15, rng);
        let (balance, wandering) = (uniform(0.0, 0.5, rng), uniform(0.0, 0.05, rng));
        let counts = 1..=topology.logical();
        let spread: Vec<f64> = counts
            .zip(close)
            .map(|(n, close)| {
                // From all cores on both hold the same cores.
                if n == 1 || n >= topology.performance_cores() {
                    return *close;
                }
                let filled = scaling.seconds(topology, n, Hands::Filled);
                let mut even = scaling.seconds(topology, n, Hands::Even);
                if topology.packages > 1 && n <= topology.cores_per_package {
                    even += meeting * scaling.fork_seconds(n);
                }
                let groups = topology
                    .performance_cores()
                    .div_ceil(topology.cores_per_llc);
                let (few, many) = (n.div_ceil(topology.cores_per_llc), n.min(groups));
                let more_cache = 1.0 - f64::from(few) / f64::from(many.max(few));
                let rough = (scaling.roughness() * normal(rng)).exp();
                close * even / filled * (1.0 - cache_gain * more_cache) * rough
            })
            .collect();
        let unbound = close
            .iter()
            .zip(&spread)
            .map(|(close, spread)| {
                let between = close.powf(balance) * spread.powf(1.0 - balance);
                between * (1.0 + wandering)
            })
            .collect();
        Self {
            spread,
            unbound,
            luck: ten_to(-2.7, -1.3, rng),
        }
    }

    /// What luck makes of one sample's time, as a factor.
    pub fn luck(&self, placement: Placement, rng: &mut Pcg64) -> f64 {
        match placement {
            Placement::Unbound => (self.luck * normal(rng)).exp(),
            _ => 1.0,
        }
    }

    /// The curve of a placement; `None` where it is that of threads placed close.
    pub fn curve(&self, placement: Placement) -> Option<&[f64]> {
        match placement {
            Placement::Close => None,
            Placement::Spread => Some(&self.spread),
            Placement::Unbound => Some(&self.unbound),
        }
    }
}
