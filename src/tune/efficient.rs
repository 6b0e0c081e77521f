//! The search for the fewest threads that lose little: duels of smaller counts with the winner, smallest first.

use super::blocks::{Blocks, Racer};
use super::comparison::Comparison;
use super::constants::{
    EFFICIENT_BLOCKS, EFFICIENT_COUNTS, EFFICIENT_HOPELESS, EFFICIENT_LOSS, LOOKS,
};
use super::request::{Answer, Request};
use super::{Arm, Patience};
use crate::units::Nanos;
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Indices of the two in a duel.
const CHALLENGER: usize = 0;
const WINNER: usize = 1;

/// The search and the duel at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Efficient {
    /// Counts to try, ascending.
    challengers: Vec<Racer>,
    winner: Racer,
    /// Index of the one in the duel.
    at: usize,
    blocks: Blocks,
    looks: u32,
    /// Error probability of a single duel.
    delta: f64,
    deadline: Nanos,
    /// Log times of the challengers of all duels that ended.
    pub past: Vec<(Racer, Vec<f64>)>,
    rejected: u64,
    /// The one that was taken, with its loss in log time.
    pub taken: Option<(Racer, f64)>,
}

impl Efficient {
    /// Whom all of them were tried against.
    pub fn winner(&self) -> Arm {
        self.winner.arm
    }

    /// Tries these counts (ascending, the first eight) against the winner; `None` where there are none.
    pub fn new(
        mut challengers: Vec<Racer>,
        winner: Racer,
        delta: f64,
        deadline: Nanos,
        rng: &mut Pcg32,
    ) -> Option<Self> {
        challengers.truncate(EFFICIENT_COUNTS);
        if challengers.is_empty() {
            return None;
        }
        Some(Self {
            delta: delta / challengers.len() as f64,
            challengers,
            winner,
            at: 0,
            blocks: Blocks::new(&[CHALLENGER, WINNER], Patience::Long, rng),
            looks: 0,
            deadline,
            past: Vec::new(),
            rejected: 0,
            taken: None,
        })
    }

    /// The two of the duel at hand.
    pub fn pair(&self) -> [Racer; 2] {
        let challenger = self.challengers.get(self.at).copied();
        [challenger.unwrap_or(self.winner), self.winner]
    }

    /// What to ask the bench for.
    pub fn request(&self) -> Request {
        self.blocks.request(&self.pair())
    }

    /// Another bench takes the place of this one, of which this became known at last.
    pub fn change_bench(&mut self, disturbed: &[Range<Nanos>]) {
        self.blocks.change_bench(disturbed);
    }

    /// Takes the answer; true when the search has ended.
    pub fn absorb(&mut self, answer: Answer, spent: Nanos, rng: &mut Pcg32) -> bool {
        let over = spent >= self.deadline;
        if !self.blocks.absorb(answer, 2, over, rng) {
            return false;
        }
        if self.blocks.is_judged() {
            // The look that called for it is taken again.
            self.looks = self.looks.saturating_sub(1);
        }
        let due = LOOKS[(self.looks as usize).min(LOOKS.len() - 1)];
        let next = match self.blocks.len() {
            n if n >= due || over => self.look(over),
            _ => Duel::GoesOn,
        };
        match next {
            Duel::GoesOn => {
                self.blocks.begin(&[CHALLENGER, WINNER], rng);
                false
            }
            Duel::Taken(_) if self.blocks.must_be_judged() => false,
            Duel::Taken(loss) => {
                self.taken = Some((self.pair()[CHALLENGER], loss));
                self.close();
                true
            }
            Duel::PassedOver => {
                self.close();
                self.at += 1;
                self.looks = 0;
                self.blocks = Blocks::new(&[CHALLENGER, WINNER], Patience::Long, rng);
                over || self.at >= self.challengers.len()
            }
        }
    }

    fn look(&mut self, over: bool) -> Duel {
        self.looks = self.looks.saturating_add(1);
        let look = f64::from(self.looks);
        let alpha = self.delta / (look * (look + 1.0));
        let loss = Comparison::of(self.blocks.differences(CHALLENGER, WINNER).concat());
        let blocks = self.blocks.len();
        let dirty = self.blocks.are_dirty();
        if loss.upper(alpha) <= EFFICIENT_LOSS.ln_1p() && !dirty {
            Duel::Taken(loss.mean)
        } else if loss.lower(alpha) > EFFICIENT_HOPELESS || blocks >= EFFICIENT_BLOCKS || over {
            Duel::PassedOver
        } else {
            Duel::GoesOn
        }
    }

    /// The duel is over: its times are kept.
    fn close(&mut self) {
        let challenger = self.pair()[CHALLENGER];
        self.past
            .push((challenger, self.blocks.logs(CHALLENGER).concat()));
        self.rejected += self.blocks.rejected();
    }

    /// Samples thrown away in the duels that ended.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// How far the search has come, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.at as f64 / self.challengers.len() as f64
    }
}

/// What a look at a duel says.
enum Duel {
    GoesOn,
    /// Its loss in log time is proven small.
    Taken(f64),
    PassedOver,
}
