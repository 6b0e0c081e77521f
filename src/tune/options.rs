//! What a caller decides about a tuning.

use super::constants::{
    BURST_SHARE, DROPS_IN_A_ROW, FEW_DROPS_IN_A_ROW, FEW_FLAGGED_WAITED_THROUGH, FIRST_RACE_SHARE,
    FLAGGED_WAITED_THROUGH,
};
use super::{Arm, VisitPlan};
use crate::machine::{AboveQuota, CpuOrder, Placement};
use crate::units::{Nanos, ThreadCount};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a caller decides about a tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Seed of every shuffle: the same seed and the same samples give the same verdict.
    pub seed: u64,
    /// The most time the workload may take; one block may exceed it.
    pub time_budget: Nanos,
    /// Error probability of all races together.
    pub delta: f64,
    /// Indifference zone, in log time: differences up to this do not matter.
    pub eps: f64,
    /// Aimed duration of one sample.
    pub sample: Nanos,
    /// Which placements compete in the first race.
    pub placements: Placements,
    /// What follows the first race.
    pub then: After,
    /// The best counts race once more after so long of full load, which comes on top of the time budget.
    #[serde(default)]
    pub sustained: Option<Nanos>,
    /// The count just above a CPU quota, which races against the winner at last.
    #[serde(default)]
    pub above_quota: Option<AboveQuota>,
    /// For how long disturbances are waited through.
    #[serde(default)]
    pub patience: Patience,
    /// When the workload is visited again; measured in one go where absent.
    #[serde(default)]
    pub visit_plan: Option<VisitPlan>,
    /// Is the fewest threads within 5 % looked for?
    pub efficient: bool,
    /// The only arms that may be tried (a recording may lack some); every arm of the budget where absent.
    pub only: Option<BTreeSet<Arm>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            time_budget: Nanos(60_000_000_000),
            delta: 0.05,
            eps: 0.02,
            sample: Nanos(1_000_000),
            placements: Placements::default(),
            then: After::UnboundRace,
            sustained: None,
            above_quota: None,
            patience: Patience::Long,
            visit_plan: None,
            efficient: true,
            only: None,
        }
    }
}

impl Options {
    /// One race over counts alone, with the whole error probability and no search for the efficient count: for
    /// recordings and simulated machines, which know no placements.
    pub fn counts_only() -> Self {
        Self {
            then: After::Nothing,
            efficient: false,
            ..Self::default()
        }
    }

    /// One race over unbound arms: for a bench that runs a user's program and cannot bind its threads.
    pub fn unbound_only() -> Self {
        let mut options = Self::default();
        options.time_unbound_only();
        options
    }

    /// From now on there is one race, over unbound arms.
    pub fn time_unbound_only(&mut self) {
        self.then = After::Nothing;
        self.placements = Placements {
            usual: vec![Placement::Unbound],
            at: BTreeMap::new(),
        };
    }

    /// For a drift check: 15 seconds, of which most need a fraction of one.
    pub fn drift_check() -> Self {
        Self {
            time_budget: Nanos(15_000_000_000),
            ..Self::unbound_only()
        }
    }

    /// May this arm be tried?
    pub(super) fn allows(&self, arm: Arm) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&arm))
    }

    /// The count nearest to this one, the smaller of two, that the first race may try.
    pub(super) fn nearest(&self, count: ThreadCount) -> Option<ThreadCount> {
        let Some(only) = &self.only else {
            return Some(count);
        };
        only.iter()
            .filter(|arm| self.placements.of(arm.threads).contains(&arm.placement))
            .map(|arm| arm.threads)
            .min_by_key(|threads| threads.get().abs_diff(count.get()))
    }

    /// The arms that compete at a count in the first race.
    pub(super) fn arms_at(&self, threads: ThreadCount) -> impl Iterator<Item = Arm> {
        let placements = self.placements.of(threads).iter();
        placements
            .map(move |placement| Arm {
                threads,
                placement: *placement,
            })
            .filter(|arm| self.allows(*arm))
    }

    /// Does no race of the same counts follow the first one?
    pub(super) fn is_one_race(&self) -> bool {
        self.then == After::Nothing && self.sustained.is_none()
    }

    /// The error probability of one race.
    pub(super) fn delta_of_a_race(&self) -> f64 {
        let after_the_first = match self.then {
            After::UnboundRace => 1,
            After::Nothing => 0,
        };
        let more = [self.sustained.is_some(), self.above_quota.is_some()];
        let more: u8 = more.into_iter().map(u8::from).sum();
        self.delta / f64::from(1 + after_the_first + more)
    }

    /// The moment at which this share of the time for races of bursts is spent.
    pub(super) fn share_of_bursts(&self, share: f64) -> Nanos {
        let bursts = self.sustained.map_or(1.0, |_| BURST_SHARE);
        self.share(bursts * share)
    }

    /// The moment at which the first race must have ended.
    pub(super) fn first_race_end(&self) -> Nanos {
        self.share_of_bursts(match self.then {
            After::UnboundRace => FIRST_RACE_SHARE,
            After::Nothing => 1.0,
        })
    }

    /// The moment at which this share of the time budget is spent.
    pub(super) fn share(&self, share: f64) -> Nanos {
        Nanos::from_secs_f64(self.time_budget.as_secs_f64() * share)
    }
}

/// What follows the first race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// The best counts race again as programs run that bind no threads; each race has half the error probability.
    UnboundRace,
    /// Nothing: the winner of the only race is the answer.
    Nothing,
}

/// For how long disturbances are waited through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// For seconds: most neighbours that come go again.
    #[default]
    Long,
    /// For tenths of a second: they have just stayed through the tuning of another workload.
    Short,
}

impl Patience {
    /// So many disturbed blocks in a row are thrown away before one is taken as it is.
    pub(super) fn drops_in_a_row(self) -> u32 {
        match self {
            Self::Long => DROPS_IN_A_ROW,
            Self::Short => FEW_DROPS_IN_A_ROW,
        }
    }

    /// So many flagged samples of an arm that is nearly always disturbed are waited through before a race is given up.
    pub(super) fn flagged(self) -> u32 {
        match self {
            Self::Long => FLAGGED_WAITED_THROUGH,
            Self::Short => FEW_FLAGGED_WAITED_THROUGH,
        }
    }
}

/// Which placements compete at a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placements {
    /// Where nothing else is said.
    pub usual: Vec<Placement>,
    /// At these counts.
    pub at: BTreeMap<ThreadCount, Vec<Placement>>,
}

impl Default for Placements {
    fn default() -> Self {
        Self {
            usual: vec![Placement::Close],
            at: BTreeMap::new(),
        }
    }
}

impl Placements {
    /// `close` and `spread` at the counts at which they are different CPUs, `close` at the others.
    pub fn of_order(order: &CpuOrder) -> Self {
        let both = vec![Placement::Close, Placement::Spread];
        Self {
            at: order
                .differing()
                .into_iter()
                .map(|count| (count, both.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// The placements of this count; `close` where the lists hold none.
    fn of(&self, count: ThreadCount) -> &[Placement] {
        match self.at.get(&count).unwrap_or(&self.usual).as_slice() {
            [] => &[Placement::Close],
            some => some,
        }
    }
}
