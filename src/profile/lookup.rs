//! Which count a profile gives for some workloads inside a CPU budget, and for threads that are to be bound also
//! which placement. Pure.
//!
//! A workload's own verdict is used where it fits the budget, not by its number alone: two threads on two cores say nothing
//! of two that share one (`seats`). Where it does not, its curve is asked: the fastest arm (count and placement) among
//! those that fit, which is rarely the verdict cut down to the budget; and only where none fits, it is cut down. Only timings that
//! were taken alike are compared, so they come in pools, and a pool says what a program gets that follows it. A
//! program that is not pinned runs unbound: unbound timings decide where there are any that fit, else bound ones
//! (`close` before `spread`) stand in. For one that is pinned only bound timings tell; where none fits, the answer is
//! that for an unbound program, and its placement says so.
//!
//! One thread more than a CPU quota pays in full is an answer only where it won at this very quota, to a program
//! of one workload that is not pinned and wants the fastest call; at any other quota, or none, the quota rounded down is.
//!
//! A verdict that does not serve here (`standing`) decides nothing: the nearest of its kind stands in, or nobody does.
//!
//! For a mix, the arm with the least weighted mean of time / best time over all its workloads wins. Nothing is
//! interpolated: only arms at which every workload of the mix was timed take part. Unbound timings exist for a few
//! counts only, so they decide a mix only if no fewer counts are common to them than to the bound ones. If no arm is
//! common at all, the workload of the greatest weight (the first of those) decides alone.

use super::doubt::Doubt;
use super::schema::{Entry, Profile};
use super::standing::{Failing, Place, Standing};
use crate::machine::{AboveQuota, Placement};
use crate::units::{CpuSet, ThreadCount};
use crate::workload::{Catalog, Shape};
use std::collections::{BTreeMap, BTreeSet};

/// How much slower than the fastest an efficient count may be.
const EFFICIENT: f64 = 1.05;

/// The backend of our own kernels, which nothing need be said of.
const NATIVE: &str = "native";

/// What the count should be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Objective {
    /// The fastest call.
    #[default]
    Latency,
    /// The fewest threads within 5 % of it.
    Efficient,
}

/// A workload's name and its share of the program's time.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    /// The name.
    pub name: String,
    /// Finite and positive.
    pub weight: f64,
}

/// What a choice has to be good for, and what it has to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms<'a> {
    /// What the count should be good for.
    pub objective: Objective,
    /// The most threads: the CPU budget.
    pub limit: ThreadCount,
    /// The CPUs of the budget, where the threads are to be bound to some of them.
    pub pin: Option<&'a CpuSet>,
    /// The count just above the budget's CPU quota, where it is no whole number.
    pub above_quota: Option<AboveQuota>,
    /// Where the verdicts are to serve.
    pub place: &'a Place,
}

/// Where a count comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A workload's own verdict.
    Verdict,
    /// Its verdict on the count just above the very quota of this budget.
    AboveQuota,
    /// The curve, where the verdict exceeds the budget or stood for other cores.
    Curve,
    /// Its verdict cut down to the cores there are, as nothing was timed on such.
    Cores,
    /// Several workloads together.
    Mix,
    /// The heaviest of a mix whose workloads share no count.
    Heaviest,
}

/// The count that a profile gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Threads, at most the budget; one more where the basis is [`Basis::AboveQuota`].
    pub threads: ThreadCount,
    /// How they are placed; `unbound` although they are to be bound where the profile has no bound timing that fits.
    pub placement: Placement,
    /// The very CPUs on which the verdict was found, where the terms allow all of them.
    pub cpus: Option<CpuSet>,
    /// Where the count comes from.
    pub basis: Basis,
    /// The workloads that decided.
    pub workloads: Vec<String>,
    /// Those of them whose tuning was inconclusive.
    pub inconclusive: Vec<String>,
    /// Those of them that are to be measured again, and why.
    pub doubtful: Vec<(String, Doubt)>,
    /// Those of them that were measured with less than there is now, and did not want all of it.
    pub partial: Vec<String>,
    /// Those of them that were measured on as many cores that share caches or memory in another way.
    pub regrouped: Vec<String>,
    /// Those of them that were measured on another machine with this processor.
    pub elsewhere: Vec<String>,
    /// Those of them that other backends than our kernels have, and which.
    pub other_backends: Vec<(String, String)>,
}

/// A workload asked for whose own verdict decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The name asked for.
    pub name: String,
    /// Why its verdict does not serve; absent where there is none.
    pub why: Option<Failing>,
    /// The workload of the same kind that stands in for it, the nearest in size, if there is one.
    pub stand_in: Option<String>,
}

/// What a profile says to some workloads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answered {
    /// The count; absent where no verdict serves, neither one asked for nor one that could stand in.
    pub choice: Option<Choice>,
    /// Of the workloads asked for those whose own verdict decides nothing.
    pub missed: Vec<Missed>,
}

/// The choice for some workloads, or for the default mix (every f32 workload whose verdict serves, equal weights) if none is
/// named. Where the verdict on a workload does not serve, one of the same kind stands in.
pub fn choose(profile: &Profile, wanted: &[Weighted], terms: &Terms) -> Answered {
    let serves = |entry: &Entry| match profile.standing(entry, terms.place) {
        Standing::Fails(why) => Err(why),
        _ => Ok(()),
    };
    let mut missed = Vec::new();
    let mut mix: Vec<(&Entry, f64)> = Vec::new();
    for Weighted { name, weight } in wanted {
        let entries = &profile.workloads;
        let entry = entries.iter().find(|e| e.name == *name || e.shape == *name);
        let why = match entry.map(serves) {
            Some(Ok(())) => {
                mix.extend(entry.map(|entry| (entry, *weight)));
                continue;
            }
            Some(Err(why)) => Some(why),
            None => None,
        };
        let stand_in = shape_of(profile, name).and_then(|shape| {
            let entries = profile.workloads.iter();
            nearest(&shape, entries.filter(|entry| serves(entry).is_ok()))
        });
        mix.extend(stand_in.map(|entry| (entry, *weight)));
        missed.push(Missed {
            name: name.clone(),
            why,
            stand_in: stand_in.map(|entry| entry.name.clone()),
        });
    }
    if wanted.is_empty() {
        mix = default_mix(profile);
        mix.retain(|(entry, _)| serves(entry).is_ok());
    }
    // Counts that were never tried with fewer CPUs would be out of reach for all.
    let is_whole = |entry: &Entry| profile.standing(entry, terms.place) != Standing::ServesPartly;
    if mix.iter().any(|(entry, _)| is_whole(entry)) {
        for (entry, _) in mix.extract_if(.., |(entry, _)| !is_whole(entry)) {
            if !wanted.is_empty() {
                missed.push(Missed {
                    name: entry.name.clone(),
                    why: Some(Failing::LessThanOthers),
                    stand_in: None,
                });
            }
        }
    }
    let mut choice = choice_of(profile, &mix, terms);
    if choice.is_none() && !wanted.is_empty() {
        let is_timed = |entry: &&Entry| {
            serves(entry).is_ok() && choice_of(profile, &[(*entry, 1.0)], terms).is_some()
        };
        let stand_in = |entry: &Entry| {
            let shape = entry.shape.parse().ok()?;
            nearest(&shape, profile.workloads.iter().filter(is_timed))
        };
        let mut others = Vec::new();
        for (entry, weight) in mix {
            let other = stand_in(entry);
            others.extend(other.map(|other| (other, weight)));
            missed.push(Missed {
                name: entry.name.clone(),
                why: Some(Failing::NothingFits),
                stand_in: other.map(|other| other.name.clone()),
            });
        }
        choice = choice_of(profile, &others, terms);
    }
    Answered { choice, missed }
}

fn choice_of(profile: &Profile, mix: &[(&Entry, f64)], terms: &Terms) -> Option<Choice> {
    if mix.is_empty() {
        return None;
    }
    let unbound = Terms {
        pin: None,
        above_quota: None,
        ..*terms
    };
    let answer = |terms| {
        let question = Question {
            profile,
            mix,
            terms,
        };
        question.answer()
    };
    let Answer { arm, cpus, basis } = answer(terms).or_else(|| answer(&unbound))?;
    let names = |which: &dyn Fn(&Entry) -> bool| {
        let entries = mix.iter().filter(|(entry, _)| which(entry));
        entries.map(|(entry, _)| entry.name.clone()).collect()
    };
    let stand = |standing| names(&|entry| profile.standing(entry, terms.place) == standing);
    Some(Choice {
        threads: arm.threads,
        placement: arm.placement,
        cpus,
        basis,
        workloads: names(&|_| true),
        inconclusive: names(&|entry| !entry.stop.is_conclusive()),
        doubtful: mix
            .iter()
            .filter_map(|(entry, _)| Some((entry.name.clone(), entry.doubt()?)))
            .collect(),
        other_backends: mix
            .iter()
            .filter(|(entry, _)| !["", NATIVE].contains(&entry.backend.as_str()))
            .map(|(entry, _)| (entry.name.clone(), entry.backend.clone()))
            .collect(),
        elsewhere: names(&|entry| entry.elsewhere.is_some()),
        regrouped: stand(Standing::ServesRegrouped),
        partial: stand(Standing::ServesPartly),
    })
}

/// The shape of a workload, which its entry tells, or the catalogue, or its name, which may be a shape itself.
fn shape_of(profile: &Profile, name: &str) -> Option<Shape> {
    let told = profile.entry(name).map(|entry| entry.shape.as_str());
    let known = told.unwrap_or(name).parse().ok();
    known.or_else(|| Some(Catalog::embedded().get(name).ok()?.shape))
}

/// The workload of this kind and type whose calls take the most similar number of operations, the smaller one of two.
fn nearest<'e>(shape: &Shape, entries: impl Iterator<Item = &'e Entry>) -> Option<&'e Entry> {
    let size = |shape: &Shape| (shape.flops().max(1) as f64).ln();
    let alike = entries.filter_map(|entry| {
        let other: Shape = entry.shape.parse().ok()?;
        let is_alike = other.is_of_kind_of(shape);
        is_alike.then(|| (entry, (size(&other) - size(shape)).abs(), other.flops()))
    });
    let nearest = alike.min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
    nearest.map(|(entry, ..)| entry)
}

fn default_mix(profile: &Profile) -> Vec<(&Entry, f64)> {
    profile
        .workloads
        .iter()
        .filter(|entry| entry.shape.split(':').any(|part| part == "f32"))
        .map(|entry| (entry, 1.0))
        .collect()
}

/// A count with the way its threads are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Arm {
    threads: ThreadCount,
    placement: Placement,
}

/// What was found among the timings that the terms let take part.
struct Answer {
    arm: Arm,
    cpus: Option<CpuSet>,
    basis: Basis,
}

/// Timings that are compared with each other: the placement under which they were taken, and the one that a program
/// gets which follows them. Where two give the same arm the later one counts.
type Pool = &'static [(Placement, Placement)];

const UNBOUND: Pool = &[(Placement::Unbound, Placement::Unbound)];
const STAND_INS: Pool = &[
    (Placement::Spread, Placement::Unbound),
    (Placement::Close, Placement::Unbound),
];
const CLOSE: Pool = &[(Placement::Close, Placement::Close)];
const SPREAD: Pool = &[(Placement::Spread, Placement::Spread)];
const BOUND: Pool = &[
    (Placement::Close, Placement::Close),
    (Placement::Spread, Placement::Spread),
];

impl Terms<'_> {
    /// The pools that may decide, the better one first.
    fn pools(&self) -> &'static [Pool] {
        match self.pin {
            None => &[UNBOUND, STAND_INS],
            Some(_) => &[BOUND],
        }
    }
}

/// Some entries of a profile, and what a choice among their counts has to keep to.
struct Question<'q> {
    profile: &'q Profile,
    mix: &'q [(&'q Entry, f64)],
    terms: &'q Terms<'q>,
}

impl Question<'_> {
    fn answer(&self) -> Option<Answer> {
        match self.mix {
            [(entry, _)] => self.of_one(entry),
            _ => self.of_mix(),
        }
    }

    /// May so many threads run, and do they find what they found when this entry was measured?
    fn fits(&self, entry: &Entry, threads: ThreadCount) -> bool {
        let Terms { limit, place, .. } = self.terms;
        let then = self.profile.conditions_of(entry);
        threads <= *limit && then.is_none_or(|then| place.is_like(&then.budget, threads))
    }

    fn of_one(&self, entry: &Entry) -> Option<Answer> {
        let terms = self.terms;
        let fits = |threads| self.fits(entry, threads);
        let then = self.profile.conditions_of(entry);
        let is_like = |threads| then.is_none_or(|then| terms.place.is_like(&then.budget, threads));
        let above_quota = above_quota(entry, terms);
        if above_quota
            .as_ref()
            .is_some_and(|answer| is_like(answer.arm.threads))
        {
            return above_quota;
        }
        let verdict = verdict(entry, terms);
        // The very CPUs that were timed are the same cores as they were.
        let holds = |verdict: &Answer| match verdict.cpus {
            Some(_) => verdict.arm.threads <= terms.limit,
            None => fits(verdict.arm.threads),
        };
        if verdict.as_ref().is_some_and(holds) {
            return verdict;
        }
        let arm = kind_of_verdict(entry, terms)
            .iter()
            .chain(terms.pools())
            .find_map(|pool| pick(&self.times(entry, pool), terms.objective));
        let (arm, basis) = match arm {
            Some(arm) => (arm, Basis::Curve),
            None => (self.clamped(entry, verdict?.arm)?, Basis::Cores),
        };
        Some(Answer {
            arm,
            cpus: None,
            basis,
        })
    }

    /// No more threads than there are cores, where counts that the budget has room for were timed, but on other cores.
    fn clamped(&self, entry: &Entry, arm: Arm) -> Option<Arm> {
        let Terms { limit, place, .. } = self.terms;
        let cores = place.budget.as_ref()?.cores?;
        let is_timed = entry.curve.iter().any(|point| point.threads <= *limit);
        is_timed.then_some(Arm {
            threads: arm.threads.min(cores).min(*limit),
            ..arm
        })
    }

    fn of_mix(&self) -> Option<Answer> {
        let Self { mix, terms, .. } = self;
        let (pool, arms) = terms
            .pools()
            .iter()
            .map(|pool| (pool, self.common(pool)))
            .reduce(|a, b| if b.1.len() > a.1.len() { b } else { a })?;
        let mut slowness: BTreeMap<Arm, f64> = arms.iter().map(|arm| (*arm, 0.0)).collect();
        // Relative to the largest first: the sum of two huge weights is infinite.
        let largest = mix
            .iter()
            .map(|(_, weight)| *weight)
            .fold(f64::MIN_POSITIVE, f64::max);
        let total: f64 = mix.iter().map(|(_, weight)| weight / largest).sum();
        for (entry, weight) in *mix {
            let times = self.times(entry, pool);
            let best = times.values().copied().fold(f64::INFINITY, f64::min);
            for (arm, sum) in &mut slowness {
                *sum += weight / largest / total * (times[arm] / best);
            }
        }
        if let Some(arm) = pick(&slowness, terms.objective) {
            return Some(Answer {
                arm,
                cpus: None,
                basis: Basis::Mix,
            });
        }
        let (heaviest, _) = mix
            .iter()
            .copied()
            .reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        self.of_one(heaviest).map(|answer| Answer {
            basis: Basis::Heaviest,
            ..answer
        })
    }

    /// Time per call in microseconds by arm, as far as it tells of the budget at hand.
    fn times(&self, entry: &Entry, pool: Pool) -> BTreeMap<Arm, f64> {
        pool.iter()
            .flat_map(|(timed, placement)| {
                let points = entry.curve.iter();
                points
                    .filter(|point| point.placement == *timed && self.fits(entry, point.threads))
                    .map(|point| {
                        let arm = Arm {
                            threads: point.threads,
                            placement: *placement,
                        };
                        (arm, point.median_us)
                    })
            })
            .collect()
    }

    /// The arms that all workloads of a mix were timed at.
    fn common(&self, pool: Pool) -> BTreeSet<Arm> {
        self.mix
            .iter()
            .map(|(entry, _)| self.times(entry, pool).into_keys().collect())
            .reduce(|a: BTreeSet<Arm>, b| a.intersection(&b).copied().collect())
            .unwrap_or_default()
    }
}

/// One thread more than the quota pays, for an unbound program, where that won at this very quota.
fn above_quota(entry: &Entry, terms: &Terms) -> Option<Answer> {
    let known = entry.above_quota.as_ref().filter(|known| known.won)?;
    let here = terms.above_quota?;
    let is_same = here.threads == known.threads && here.is_at(known.quota);
    let is_asked = terms.pin.is_none() && terms.objective == Objective::Latency;
    (is_same && is_asked).then_some(Answer {
        arm: Arm {
            threads: known.threads,
            placement: Placement::Unbound,
        },
        cpus: None,
        basis: Basis::AboveQuota,
    })
}

fn verdict(entry: &Entry, terms: &Terms) -> Option<Answer> {
    let (threads, placement, cpus) = match (terms.pin, terms.objective) {
        (None, Objective::Latency) => (entry.latency.as_ref()?.threads, Placement::Unbound, None),
        (None, Objective::Efficient) => {
            (entry.efficient.as_ref()?.threads, Placement::Unbound, None)
        }
        (Some(allowed), Objective::Latency) => {
            let pinned = entry.pinned.as_ref()?;
            // The list that was timed is taken whole or not at all: what a smaller budget leaves of it holds fewer CPUs
            // than threads, and they are no longer near or far in the way that was timed.
            let cpus =
                Some(&pinned.cpus).filter(|cpus| !cpus.is_empty() && cpus.is_subset(allowed));
            (pinned.threads, pinned.placement, cpus.cloned())
        }
        // Few threads were proven to be enough where they are unbound; what binding does to them is on the curve.
        (Some(_), Objective::Efficient) => return None,
    };
    Some(Answer {
        arm: Arm { threads, placement },
        cpus,
        basis: Basis::Verdict,
    })
}

/// The pool of the verdict's kind of placement, where its CPUs are not all allowed.
///
/// Whether neighbours or distant CPUs serve it better is a trait of the work, which other CPUs of the machine leave as
/// it is; so it goes before a count of the other kind that was a little faster on CPUs that are out of reach.
fn kind_of_verdict(entry: &Entry, terms: &Terms) -> Option<Pool> {
    let pinned = entry.pinned.as_ref()?;
    if !pinned.cpus.is_empty() && pinned.cpus.is_subset(terms.pin?) {
        return None;
    }
    terms.pin?;
    match pinned.placement {
        Placement::Unbound => None,
        Placement::Close => Some(CLOSE),
        Placement::Spread => Some(SPREAD),
    }
}

/// The arm that an objective prefers, given something that should be small.
fn pick(times: &BTreeMap<Arm, f64>, objective: Objective) -> Option<Arm> {
    let fastest = |times: &mut dyn Iterator<Item = (&Arm, &f64)>| {
        times
            .map(|(arm, time)| (*arm, *time))
            .reduce(|a, b| if b.1 < a.1 { b } else { a })
    };
    let (best, least) = fastest(&mut times.iter())?;
    match objective {
        Objective::Latency => Some(best),
        Objective::Efficient => {
            let enough = |time: f64| time <= least * EFFICIENT;
            let (few, _) = times.iter().find(|(_, time)| enough(**time))?;
            let mut alike = times.iter().filter(|(arm, _)| arm.threads == few.threads);
            fastest(&mut alike).map(|(arm, _)| arm)
        }
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
