//! How long a call truly takes on so many threads.

use super::topology::Topology;
use super::variate::{normal, ten_to, uniform};
use rand::RngExt;
use rand_pcg::Pcg64;

/// Numbers of tiles that kernels cut their work into.
const TILES: [f64; 14] = [
    8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0, 4096.0,
];

/// The scaling law of one workload on one machine.
#[derive(Debug, Clone)]
pub(super) struct Scaling {
    /// Speed of an efficiency core against a performance core.
    efficiency_speed: f64,
    /// What a second hardware thread adds to its core.
    smt_gain: f64,
    /// Clock lost when all cores work.
    turbo_loss: f64,
    /// Cost of the second package.
    numa: f64,
    /// Seconds on one thread.
    alone: f64,
    /// Share that does not scale.
    serial: f64,
    memory_bound: bool,
    /// Share of the time that waits for memory on one thread.
    memory: f64,
    /// Cores of a package that saturate its memory.
    saturating: f64,
    /// Fork and join: once, per doubling, per thread; seconds.
    fork: [f64; 3],
    /// Tiles of equal size, if the work is cut so.
    tiles: Option<f64>,
    /// Does each thread get an equal share, whatever its core?
    equal_shares: bool,
    /// Roughness of the curve, in log time.
    rough: f64,
}

impl Scaling {
    pub fn draw(topology: &Topology, rng: &mut Pcg64) -> Self {
        let memory_bound = rng.random::<f64>() < 0.5;
        let far = uniform(0.0, 0.35, rng);
        Self {
            efficiency_speed: uniform(0.4, 0.7, rng),
            smt_gain: uniform(-0.12, 0.35, rng),
            turbo_loss: uniform(0.0, 0.25, rng),
            numa: if rng.random::<bool>() { far } else { 0.0 },
            alone: ten_to(8e-6_f64.log10(), 2.5_f64.log10(), rng),
            serial: ten_to(-4.0, -1.2, rng),
            memory_bound,
            memory: if memory_bound {
                uniform(0.3, 0.97, rng)
            } else {
                uniform(0.0, 0.3, rng)
            },
            saturating: uniform(
                1.5,
                (0.7 * f64::from(topology.cores_per_package)).max(2.0),
                rng,
            ),
            fork: [
                uniform(0.5, 5.0, rng) * 1e-6,
                uniform(0.1, 3.0, rng) * 1e-6,
                ten_to(-2.0, -0.2, rng) * 1e-6,
            ],
            tiles: (rng.random::<f64>() >= 0.35).then(|| TILES[rng.random_range(0..TILES.len())]),
            equal_shares: rng.random(),
            rough: if rng.random::<f64>() < 0.8 {
                0.004
            } else {
                0.012
            },
        }
    }

    /// The same law where a call takes so many seconds on one thread.
    pub fn of_calls(self, alone: f64) -> Self {
        Self { alone, ..self }
    }

    pub fn is_static(&self) -> bool {
        self.equal_shares
    }

    /// Seconds a call on `n` threads: performance cores first, then efficiency cores, then siblings; `hands` deals
    /// the performance cores to the packages.
    pub fn seconds(&self, topology: &Topology, n: u32, hands: Hands) -> f64 {
        let threads = f64::from(n);
        let on_performance = n.min(topology.performance_cores());
        let on_efficiency = (n - on_performance).min(topology.efficiency_cores);
        let siblings = f64::from(n - on_performance - on_efficiency);
        let (strong, weak) = (f64::from(on_performance), f64::from(on_efficiency));
        let clock = 1.0 - self.turbo_loss * (strong + weak) / f64::from(topology.physical());
        let imbalance = self
            .tiles
            .map_or(1.0, |tiles| (tiles / threads).ceil() * threads / tiles);
        let compute = if self.equal_shares {
            let slowest = if siblings > 0.0 {
                f64::midpoint(1.0, self.smt_gain)
            } else if weak > 0.0 {
                self.efficiency_speed
            } else {
                1.0
            };
            imbalance / (threads * slowest)
        } else {
            let together = (strong - siblings)
                + siblings * (1.0 + self.smt_gain)
                + weak * self.efficiency_speed;
            let one_tile = self.tiles.map_or(0.0, f64::recip);
            ((1.0 + 0.5 * (imbalance - 1.0)) / together).max(one_tile)
        } / clock;
        let in_packages = hands.deal(topology, on_performance);
        let memory = self.memory / self.bandwidth(topology, &in_packages, siblings);
        let parallel = (compute.powi(4) + memory.powi(4)).sqrt().sqrt();
        let mut seconds = self.alone * (self.serial / clock + (1.0 - self.serial) * parallel);
        if in_packages.len() > 1 {
            let cores = f64::from(topology.cores_per_package);
            let outside = strong - f64::from(in_packages[0]);
            let reach = 1.0 - (-outside / (0.2 * cores)).exp();
            let share = if self.memory_bound { 1.0 } else { 0.3 };
            seconds *= 1.0 + self.numa * reach * share;
        }
        seconds + self.fork_seconds(n)
    }

    /// Seconds to fork and join so many threads.
    pub fn fork_seconds(&self, n: u32) -> f64 {
        if n < 2 {
            return 0.0;
        }
        let threads = f64::from(n);
        let [once, doubling, each] = self.fork;
        once + doubling * threads.log2() + each * threads
    }

    /// Roughness of the curve, in log time.
    pub fn roughness(&self) -> f64 {
        self.rough
    }

    /// Memory bandwidth against that of one core.
    fn bandwidth(&self, topology: &Topology, in_packages: &[u32], siblings: f64) -> f64 {
        let of_cores = |n: f64| 1.0 - (-n / self.saturating).exp();
        let total: f64 = in_packages
            .iter()
            .map(|cores| of_cores(f64::from(*cores)))
            .sum();
        let performance = f64::from(topology.performance_cores().max(1));
        total / of_cores(1.0) * (1.0 - 0.03 * siblings / performance)
    }
}

/// How performance cores are dealt to packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hands {
    /// One package after another.
    Filled,
    /// In turn.
    Even,
}

impl Hands {
    /// The cores in use of each package that has any in use; at least one package.
    fn deal(self, topology: &Topology, cores: u32) -> Vec<u32> {
        let (each, packages) = (topology.cores_per_package, topology.packages);
        match self {
            Self::Filled => (0..cores.div_ceil(each).clamp(1, packages))
                .map(|i| cores.saturating_sub(i * each).min(each))
                .collect(),
            Self::Even => (0..cores.clamp(1, packages))
                .map(|i| cores / packages + u32::from(i < cores % packages))
                .collect(),
        }
    }
}

/// Seconds a call from one thread to all logical CPUs; the best is brought to between 5 µs and 0.2 s.
pub(super) fn true_curve(topology: &Topology, scaling: &Scaling, rng: &mut Pcg64) -> Vec<f64> {
    let all = topology.logical();
    let mut times: Vec<f64> = (1..=all)
        .map(|n| {
            let mut seconds = scaling.seconds(topology, n, Hands::Filled);
            if n == all && all > 2 {
                // The last CPU is shared with the rest of the system.
                seconds *= 1.0 + (0.01 * normal(rng)).abs();
            }
            seconds * (scaling.rough * normal(rng)).exp()
        })
        .collect();
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    let target = if best > 0.2 {
        0.2 * uniform(0.3, 1.0, rng)
    } else {
        best.max(5e-6)
    };
    for seconds in &mut times {
        *seconds *= target / best;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use crate::units::ThreadCount;

    #[test]
    fn curves_are_finite_positive_and_differ_in_their_best_count() {
        let machines: Vec<Machine> = (0..300).map(Machine::generate).collect();
        for machine in &machines {
            let best = machine.true_seconds(machine.best());
            assert!((4.9e-6..=0.2).contains(&best), "{best}");
            for n in 1..=machine.topology.logical() {
                let t = machine.true_seconds(ThreadCount::clamped(n as usize));
                assert!(t.is_finite() && t >= best);
            }
        }
        let share = |is: &dyn Fn(&Machine) -> bool| {
            machines.iter().filter(|m| is(m)).count() as f64 / machines.len() as f64
        };
        let all = share(&|m| m.best().get() == m.topology.logical());
        let one = share(&|m| m.best().get() == 1);
        assert!((0.05..0.6).contains(&all), "all logical CPUs best: {all}");
        assert!((0.005..0.3).contains(&one), "one thread best: {one}");
    }
}
