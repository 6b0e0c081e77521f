//! Large machines on which neighbouring counts differ: a library that lays its threads out as a grid wants counts that
//! factor well, a partition wants counts that divide.

use super::scaling::{Hands, Scaling};
use super::topology::{Topology, WIDE};
use super::variate::{normal, ten_to, uniform};
use rand::RngExt;
use rand_pcg::Pcg64;

/// What makes a count slower than its neighbours.
#[derive(Debug, Clone, Copy)]
enum Teeth {
    /// Threads are laid out as rows times columns, best so many times as many rows as columns.
    Grid(f64),
    /// Work goes to groups of so many threads, and the last group may be short.
    Groups(u32),
}

impl Teeth {
    fn draw(rng: &mut Pcg64) -> Self {
        if rng.random() {
            Self::Grid(ten_to(-1.0, 1.0, rng))
        } else {
            Self::Groups([4, 6, 8, 12, 16][rng.random_range(0..5)])
        }
    }

    /// How ill so many threads fit, 0 to 1.
    fn misfit(self, n: u32) -> f64 {
        match self {
            // Primes are a single row; within a factor of two of the wanted shape there is something to gain.
            Self::Grid(wanted) => (1..=n)
                .filter(|rows| n.is_multiple_of(*rows))
                .map(|rows| {
                    let shape = f64::from(rows * rows) / f64::from(n);
                    ((shape / wanted).ln().abs() / 2_f64.ln()).min(1.0)
                })
                .fold(1.0, f64::min),
            Self::Groups(of) => match n % of {
                0 => 0.0,
                threads => 1.0 - f64::from(threads) / f64::from(of),
            },
        }
    }
}

/// A machine of 64 to 256 logical CPUs, and the seconds of a call from one thread to all of them: a scaling law on which
/// ill-fitting counts are slower by up to 25 %. The best takes 1 to 100 ms.
pub(super) fn draw(rng: &mut Pcg64) -> (Topology, Vec<f64>) {
    let topology = WIDE[rng.random_range(0..WIDE.len())];
    let scaling = Scaling::draw(&topology, rng).of_calls(ten_to(-1.5, 0.7, rng));
    let teeth = Teeth::draw(rng);
    let depth = uniform(0.05, 0.25, rng);
    let mut times: Vec<f64> = (1..=topology.logical())
        .map(|n| {
            let rough = (scaling.roughness() * normal(rng)).exp();
            let seconds = scaling.seconds(&topology, n, Hands::Filled);
            seconds * (1.0 + depth * teeth.misfit(n)) * rough
        })
        .collect();
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    let call = ten_to(-3.0, -1.0, rng);
    for seconds in &mut times {
        *seconds *= call / best;
    }
    (topology, times)
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use super::*;
    use crate::stats::quantile;
    use crate::units::ThreadCount;

    #[test]
    fn a_grid_wants_counts_that_factor_and_groups_counts_that_divide() {
        let square = Teeth::Grid(1.0);
        assert_eq!(square.misfit(64), 0.0);
        assert_eq!(square.misfit(61), 1.0, "a prime is a single row");
        // Seven times nine: ln(9/7) / ln 2.
        assert!((square.misfit(63) - 0.3626).abs() < 1e-4);
        let eights = Teeth::Groups(8);
        assert_eq!([64, 65, 71].map(|n| eights.misfit(n)), [0.0, 0.875, 0.125]);
    }

    #[test]
    fn neighbours_differ_on_64_to_256_cpus() {
        for seed in 0..200 {
            let machine = Machine::generate_sawtooth(seed);
            let logical = machine.topology.logical();
            assert!((64..=256).contains(&logical));
            let best = machine.true_seconds(machine.best());
            assert!((0.99e-3..0.101).contains(&best), "{best}");
            let seconds = |n: u32| machine.true_seconds(ThreadCount::clamped(n as usize));
            // Small counts differ by what one thread more does.
            let steps: Vec<f64> = (32..logical)
                .map(|n| (seconds(n + 1) / seconds(n)).ln().abs())
                .collect();
            let large = quantile(&steps, 0.95).unwrap();
            assert!((0.03..0.3).contains(&large), "{seed}: {large}");
        }
    }
}
