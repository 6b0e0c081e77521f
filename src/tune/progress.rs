//! How far a tuning has come, for whoever waits for it.

use super::Arm;
use super::request::Request;
use super::screen::ScreenStage;
use super::tuning::{Phase, Tuning};
use crate::units::Nanos;
use serde::{Deserialize, Serialize};

/// How far a tuning has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// The arms that the next step measures, in order; none while it waits for a disturbance to pass.
    pub arms: Vec<Arm>,
    /// Samples so far.
    pub samples: u64,
    /// Time spent so far.
    pub spent: Nanos,
    /// About how much is done, 0 to 1.
    pub fraction: f64,
}

/// The parts of a tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Screening a grid of counts.
    Ladder,
    /// Screening every count in the promising range.
    Dense,
    /// Repeating the good ones.
    Narrowing,
    /// The race of the screened arms.
    Race,
    /// Screening of the counts near the best with unbound threads.
    UnboundScreening,
    /// The race of the best of them.
    UnboundRace,
    /// All CPUs are kept busy before what follows.
    FullLoad,
    /// Screening under that load.
    LoadedScreening,
    /// The race under that load.
    SustainedRace,
    /// The search for the fewest threads within 5 %.
    Efficient,
    /// The race of the winner with the count just above a CPU quota.
    AboveQuota,
    /// Those that raced, at another time.
    Visit,
    /// Not of a tuning: the chosen count is timed again beside others.
    DriftCheck,
    /// Nothing is left to do.
    Done,
}

impl Tuning {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let due = self.load.as_ref().filter(|load| load.is_due());
        let arms = match (due, self.wanted()) {
            (Some(load), _) => vec![load.arm],
            (None, Some(Request::Block(plan))) => plan.into_iter().map(|(arm, _)| arm).collect(),
            _ => Vec::new(),
        };
        let (stage, fraction) = match &self.phase {
            Phase::Screening => (
                match self.screen.stage {
                    ScreenStage::Down(_) | ScreenStage::Up | ScreenStage::Small(_) => Stage::Ladder,
                    ScreenStage::Search => Stage::Dense,
                    ScreenStage::Again | ScreenStage::Narrow(_) | ScreenStage::Finished => {
                        Stage::Narrowing
                    }
                },
                0.4 * self.screen.fraction(),
            ),
            Phase::FirstRace(race) => (Stage::Race, 0.4 + 0.3 * race.fraction()),
            Phase::UnboundScreening(_) => (Stage::UnboundScreening, 0.7),
            Phase::SecondRace(race) => (Stage::UnboundRace, 0.7 + 0.2 * race.fraction()),
            Phase::LoadedScreening(_) => (Stage::LoadedScreening, 0.9),
            Phase::SustainedRace(_) => (Stage::SustainedRace, 0.9),
            Phase::Efficient(efficient) => (Stage::Efficient, 0.9 + 0.05 * efficient.fraction()),
            Phase::QuotaRace(race) => (Stage::AboveQuota, 0.95 + 0.05 * race.0.fraction()),
            Phase::Visiting(_) => (Stage::Visit, 0.97),
            Phase::Resting | Phase::Done => (Stage::Done, 1.0),
        };
        Progress {
            stage: due.map_or(stage, |_| Stage::FullLoad),
            arms,
            samples: self.samples,
            spent: self.spent,
            fraction,
        }
    }
}
