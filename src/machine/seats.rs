//! What a number of threads stands for on a set of CPUs: two threads are two cores here and one core there.

use super::topology::Topology;
use crate::units::{CpuSet, ThreadCount};

/// The cores that a team finds on a set of CPUs.
///
/// As the kernel spreads unbound threads, and `tune` places bound ones, each core gets a thread before any gets a second,
/// the cores of stronger kinds first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seats {
    /// Cores of each kind of the machine, strongest first; zero of a kind that has none among the CPUs. One number where
    /// kinds are unknown.
    cores_of_kinds: Vec<usize>,
}

impl Seats {
    /// Those of these CPUs.
    pub fn of(topology: &Topology, cpus: &CpuSet) -> Self {
        let cores = |kind: &CpuSet| topology.cores_within(&kind.intersection(cpus));
        Self {
            cores_of_kinds: topology
                .kinds
                .iter()
                .map(|kind| cores(&kind.cpus))
                .collect(),
        }
    }

    /// So many cores of kinds that are unknown.
    pub fn of_cores(cores: ThreadCount) -> Self {
        Self {
            cores_of_kinds: vec![cores.as_usize()],
        }
    }

    /// Are so many threads the same on both: as many cores of each kind, and as many threads that share one? Where only one
    /// side knows of kinds, and has cores of several, nothing tells which the other had.
    pub fn are_like(&self, other: &Self, threads: ThreadCount) -> bool {
        let (ours, theirs) = (self.taken(threads), other.taken(threads));
        if ours.len() == theirs.len() {
            ours == theirs
        } else {
            let are_mixed =
                |seats: &Self| seats.cores_of_kinds.iter().filter(|n| **n > 0).count() > 1;
            !are_mixed(self)
                && !are_mixed(other)
                && ours.iter().sum::<usize>() == theirs.iter().sum::<usize>()
        }
    }

    /// The cores of each kind that so many threads take; those that remain share one.
    fn taken(&self, threads: ThreadCount) -> Vec<usize> {
        let mut left = threads.as_usize();
        let take = |cores: &usize| {
            let taken = left.min(*cores);
            left -= taken;
            taken
        };
        self.cores_of_kinds.iter().map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::CoreKind;

    /// Eight strong cores of two hardware threads each, CPUs N and N + 1, then four weak ones.
    fn hybrid() -> Topology {
        let mut topology = Topology::flat((0..20).collect());
        let set = |list: &str| CpuSet::parse_list(list).unwrap();
        topology.cores = (0..8).map(|n| (2 * n..2 * n + 2).collect()).collect();
        topology
            .cores
            .extend((16..20).map(|cpu| CpuSet::from_iter([cpu])));
        let kind = |name: &str, cpus, cores| CoreKind {
            name: name.to_owned(),
            cpus: set(cpus),
            cores,
        };
        topology.kinds = vec![
            kind("performance", "0-15", 8),
            kind("efficiency", "16-19", 4),
        ];
        topology
    }

    fn are_like(ours: &str, theirs: &str) -> Vec<usize> {
        let seats = |list| Seats::of(&hybrid(), &CpuSet::parse_list(list).unwrap());
        let (ours, theirs) = (seats(ours), seats(theirs));
        let is_like = |n: &usize| ours.are_like(&theirs, ThreadCount::clamped(*n));
        (1..=20).filter(is_like).collect()
    }

    #[test]
    fn counts_are_alike_as_far_as_they_take_the_same_cores() {
        let all: Vec<usize> = (1..=20).collect();
        assert_eq!(are_like("0-19", "0-19"), all);
        // The same cores by other hardware threads.
        assert_eq!(are_like("0,2,4,6", "1,3,5,7"), all);
        // Two siblings are one core.
        assert_eq!(are_like("0-1", "0,2"), [1]);
        // Four of eight strong cores.
        assert_eq!(are_like("0-7,16-19", "0-19"), [1, 2, 3, 4]);
        assert_eq!(are_like("0-7", "0-15"), [1, 2, 3, 4]);
        // Weak cores are no strong ones.
        assert_eq!(are_like("16-19", "0-19"), [0; 0]);
        assert_eq!(are_like("16-17", "16-19"), [1, 2]);
    }

    #[test]
    fn where_kinds_are_unknown_cores_are_counted() {
        let four = Seats::of_cores(ThreadCount::clamped(4));
        let strong = Seats::of(&hybrid(), &(0..8).collect());
        let two = Seats::of(&hybrid(), &(0..4).collect());
        let alike = |other: &Seats, n| four.are_like(other, ThreadCount::clamped(n));
        assert!((1..=9).all(|n| alike(&strong, n)));
        assert!(alike(&two, 2) && !alike(&two, 3));
        let mixed = Seats::of(&hybrid(), &(0..20).collect());
        assert!(!alike(&mixed, 1));
    }
}
