//! The machines that are simulated.

use crate::machine::Layout;
use crate::units::ThreadCount;

/// How the CPUs of a simulated machine are built up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Packages.
    pub packages: u32,
    /// Performance cores of each package.
    pub cores_per_package: u32,
    /// Hardware threads of a performance core.
    pub threads_per_core: u32,
    /// Efficiency cores of the whole machine.
    pub efficiency_cores: u32,
    /// Cores that share one last-level cache.
    pub cores_per_llc: u32,
}

/// From two to 192 cores; with and without SMT, two packages, two kinds of cores.
pub const TOPOLOGIES: [Topology; 24] = [
    of(1, 2, 1, 0, 2),
    of(1, 2, 2, 0, 2),
    of(1, 4, 1, 0, 4),
    of(1, 4, 2, 0, 4),
    of(1, 6, 2, 0, 6),
    of(1, 8, 1, 0, 8),
    of(1, 8, 2, 0, 8),
    of(1, 12, 2, 0, 6),
    of(1, 16, 2, 0, 8),
    of(1, 24, 2, 0, 8),
    of(1, 32, 2, 0, 8),
    of(1, 64, 2, 0, 8),
    of(2, 8, 2, 0, 8),
    of(2, 16, 2, 0, 16),
    of(2, 24, 2, 0, 24),
    of(2, 32, 2, 0, 8),
    of(2, 48, 2, 0, 8),
    of(1, 96, 2, 0, 8),
    of(2, 96, 1, 0, 8),
    of(1, 4, 1, 4, 4),
    of(1, 6, 2, 8, 6),
    of(1, 8, 2, 16, 8),
    of(1, 8, 1, 4, 8),
    of(1, 6, 2, 4, 6),
];

/// From 64 to 256 logical CPUs.
pub(super) const WIDE: [Topology; 11] = [
    of(1, 64, 1, 0, 8),
    of(2, 32, 2, 0, 8),
    of(2, 64, 1, 0, 8),
    of(1, 64, 2, 0, 8),
    of(2, 48, 1, 0, 8),
    of(2, 48, 2, 0, 24),
    of(1, 96, 2, 0, 8),
    of(2, 96, 1, 0, 8),
    of(2, 64, 2, 0, 16),
    of(1, 128, 2, 0, 8),
    of(2, 128, 1, 0, 16),
];

const fn of(packages: u32, cores: u32, smt: u32, efficiency: u32, llc: u32) -> Topology {
    Topology {
        packages,
        cores_per_package: cores,
        threads_per_core: smt,
        efficiency_cores: efficiency,
        cores_per_llc: llc,
    }
}

impl Topology {
    /// Performance cores of all packages.
    pub fn performance_cores(&self) -> u32 {
        self.packages * self.cores_per_package
    }

    /// Cores of both kinds.
    pub fn physical(&self) -> u32 {
        self.performance_cores() + self.efficiency_cores
    }

    /// Logical CPUs: the largest count.
    pub fn logical(&self) -> u32 {
        self.performance_cores() * self.threads_per_core + self.efficiency_cores
    }

    /// The numbers from which candidates follow.
    pub fn layout(&self) -> Layout {
        Layout {
            logical: ThreadCount::clamped(self.logical() as usize),
            physical: ThreadCount::clamped(self.physical() as usize),
            cores_of_kinds: [self.performance_cores(), self.efficiency_cores]
                .into_iter()
                .filter(|cores| *cores > 0)
                .collect(),
            cores_per_package: self.cores_per_package,
            threads_per_core: self.threads_per_core,
            cores_per_llc: self.cores_per_llc,
        }
    }
}
