//! What the blocks of a race prove when it ends.

use super::Race;
use crate::profile::StopReason;
use crate::tune::comparison::Comparison;
use crate::tune::constants::PARSIMONY;
use serde::{Deserialize, Serialize};

/// How a race ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RaceOutcome {
    /// Index of the winner among the racers.
    pub winner: usize,
    /// Why the race stopped.
    pub stop: StopReason,
    /// Complete blocks.
    pub blocks: usize,
    /// Indices of all racers that could not be told from the winner, the winner included.
    pub ties: Vec<usize>,
    /// Lower bound of the probability that the winner is within eps of every racer that was in a block.
    pub p_within: f64,
}

impl Race {
    /// The fewest threads that tie with the incumbent take its place.
    pub(super) fn conclude(
        &self,
        incumbent: usize,
        against: &[(usize, Comparison)],
        stop: StopReason,
        alpha: f64,
    ) -> RaceOutcome {
        let smaller = self.fewer_threads(incumbent, against, alpha);
        self.outcome(smaller.unwrap_or(incumbent), stop, alpha)
    }

    /// The fewest threads below the incumbent's that tie with it, and are proven within eps of all that are in the race.
    pub(super) fn fewer_threads(
        &self,
        incumbent: usize,
        against: &[(usize, Comparison)],
        alpha: f64,
    ) -> Option<usize> {
        let is_proven = |i: usize| {
            let mut others = self.alive.iter().filter(|j| **j != i);
            others.all(|j| self.compare(i, *j).upper(alpha) <= self.eps)
        };
        against
            .iter()
            .filter(|(i, c)| {
                self.threads(*i) < self.threads(incumbent) && c.mean <= PARSIMONY && is_proven(*i)
            })
            .map(|(i, _)| *i)
            .min_by_key(|i| self.threads(*i))
    }

    pub(super) fn outcome(&self, winner: usize, stop: StopReason, alpha: f64) -> RaceOutcome {
        let others: Vec<(usize, Comparison)> = (0..self.entered())
            .filter(|i| *i != winner)
            .map(|i| (i, self.compare(i, winner)))
            .collect();
        let mut ties: Vec<usize> = others
            .iter()
            .filter(|(_, c)| c.lower(alpha) <= 0.0)
            .map(|(i, _)| *i)
            .collect();
        let blocks = self.blocks.len();
        let stop = if self.is_dirty() {
            StopReason::Contaminated
        } else if stop == StopReason::Eps && ties.is_empty() {
            StopReason::Separated
        } else {
            stop
        };
        ties.push(winner);
        ties.sort_unstable();
        // The winner misses if it is slower than any other by more than eps.
        let missed: f64 = others
            .iter()
            .map(|(i, _)| self.compare(winner, *i).probability_above(self.eps))
            .sum();
        RaceOutcome {
            winner,
            stop,
            blocks,
            ties,
            p_within: (1.0 - missed).max(0.0),
        }
    }
}
