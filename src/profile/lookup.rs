//! Which count a profile gives for some workloads inside a CPU budget. Pure.
//!
//! A workload's own verdict is used where it fits the budget. Where it does not, its curve is asked: the fastest
//! count among those that fit, which is rarely the verdict cut down to the budget. A program that is not pinned runs
//! unbound, so unbound timings decide where there are any that fit; else bound ones (`close` before `spread`) do.
//!
//! For a mix, the count with the least weighted mean of time / best time over all its workloads wins. Nothing is
//! interpolated: only counts at which every workload of the mix was timed take part. Unbound timings exist for a few
//! counts only, so they decide a mix only if no fewer counts are common to them than to the bound ones. If no count
//! is common at all, the workload of the greatest weight (the first of those) decides alone.

use super::schema::{CurvePoint, Entry, Profile};
use crate::machine::Placement;
use crate::units::ThreadCount;
use std::collections::{BTreeMap, BTreeSet};

/// How much slower than the fastest an efficient count may be.
const EFFICIENT: f64 = 1.05;

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

/// Where a count comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A workload's own verdict.
    Verdict,
    /// The curve below a budget that the verdict exceeds.
    Curve,
    /// Several workloads together.
    Mix,
    /// The heaviest of a mix whose workloads share no count.
    Heaviest,
    /// Nothing was timed within the budget: the whole budget.
    WholeBudget,
}

/// The count that a profile gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Threads, at most the budget.
    pub threads: ThreadCount,
    /// Where the count comes from.
    pub basis: Basis,
    /// The workloads that decided.
    pub workloads: Vec<String>,
    /// Those of them whose tuning was inconclusive.
    pub inconclusive: Vec<String>,
    /// Names asked for that the profile does not hold, or holds without a timing.
    pub unknown: Vec<String>,
}

/// The count for some workloads, or for the default mix (every f32 workload, equal weights) if none is named or known.
/// Nothing comes back from a profile that has timed nothing of the kind.
pub fn choose(
    profile: &Profile,
    wanted: &[Weighted],
    objective: Objective,
    budget: ThreadCount,
) -> Option<Choice> {
    let mut unknown = Vec::new();
    let mut mix: Vec<(&Entry, f64)> = Vec::new();
    for Weighted { name, weight } in wanted {
        match profile.entry(name).filter(|entry| is_timed(entry)) {
            Some(entry) => mix.push((entry, *weight)),
            None => unknown.push(name.clone()),
        }
    }
    if mix.is_empty() {
        mix = default_mix(profile);
    }
    let (threads, basis) = match mix.as_slice() {
        [] => return None,
        [(entry, _)] => of_one(entry, objective, budget),
        _ => of_mix(&mix, objective, budget),
    };
    let name = |entry: &Entry| entry.name.clone();
    Some(Choice {
        threads,
        basis,
        workloads: mix.iter().map(|(entry, _)| name(entry)).collect(),
        inconclusive: mix
            .iter()
            .filter(|(entry, _)| !entry.stop.is_conclusive())
            .map(|(entry, _)| name(entry))
            .collect(),
        unknown,
    })
}

fn is_timed(entry: &Entry) -> bool {
    entry.latency.is_some() || !entry.curve.is_empty()
}

fn default_mix(profile: &Profile) -> Vec<(&Entry, f64)> {
    profile
        .workloads
        .iter()
        .filter(|entry| is_timed(entry) && entry.shape.split(':').any(|part| part == "f32"))
        .map(|entry| (entry, 1.0))
        .collect()
}

fn of_one(entry: &Entry, objective: Objective, budget: ThreadCount) -> (ThreadCount, Basis) {
    let verdict = match objective {
        Objective::Latency => entry.latency.as_ref().map(|l| l.threads),
        Objective::Efficient => entry.efficient.as_ref().map(|e| e.threads),
    };
    if let Some(threads) = verdict.filter(|threads| *threads <= budget) {
        return (threads, Basis::Verdict);
    }
    let times = Some(times(entry, Class::Unbound, budget))
        .filter(|times| !times.is_empty())
        .unwrap_or_else(|| times(entry, Class::Bound, budget));
    pick(&times, objective).map_or((budget, Basis::WholeBudget), |threads| {
        (threads, Basis::Curve)
    })
}

fn of_mix(
    mix: &[(&Entry, f64)],
    objective: Objective,
    budget: ThreadCount,
) -> (ThreadCount, Basis) {
    let unbound = common(mix, Class::Unbound, budget);
    let bound = common(mix, Class::Bound, budget);
    let class = if unbound.len() >= bound.len() {
        Class::Unbound
    } else {
        Class::Bound
    };
    let counts = match class {
        Class::Unbound => unbound,
        Class::Bound => bound,
    };
    let mut slowness: BTreeMap<ThreadCount, f64> = counts.iter().map(|n| (*n, 0.0)).collect();
    // Relative to the largest first: the sum of two huge weights is infinite.
    let largest = mix
        .iter()
        .map(|(_, weight)| *weight)
        .fold(f64::MIN_POSITIVE, f64::max);
    let total: f64 = mix.iter().map(|(_, weight)| weight / largest).sum();
    for (entry, weight) in mix {
        let times = times(entry, class, budget);
        let best = times.values().copied().fold(f64::INFINITY, f64::min);
        for (count, sum) in &mut slowness {
            *sum += weight / largest / total * (times[count] / best);
        }
    }
    if let Some(threads) = pick(&slowness, objective) {
        return (threads, Basis::Mix);
    }
    let heaviest = mix
        .iter()
        .copied()
        .reduce(|a, b| if b.1 > a.1 { b } else { a });
    match heaviest.map(|(entry, _)| of_one(entry, objective, budget)) {
        Some((threads, basis)) if basis != Basis::WholeBudget => (threads, Basis::Heaviest),
        _ => (budget, Basis::WholeBudget),
    }
}

/// How the threads of timings that are compared with each other were placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unbound,
    Bound,
}

/// Time per call in microseconds by count, as far as the budget goes.
fn times(entry: &Entry, class: Class, budget: ThreadCount) -> BTreeMap<ThreadCount, f64> {
    let with = |placement: Placement| {
        entry
            .curve
            .iter()
            .filter(move |p: &&CurvePoint| p.placement == placement && p.threads <= budget)
            .map(|p| (p.threads, p.median_us))
    };
    match class {
        Class::Unbound => with(Placement::Unbound).collect(),
        // Of two placements of one count `close` replaces `spread`.
        Class::Bound => with(Placement::Spread)
            .chain(with(Placement::Close))
            .collect(),
    }
}

/// The counts that all workloads of a mix were timed at.
fn common(mix: &[(&Entry, f64)], class: Class, budget: ThreadCount) -> BTreeSet<ThreadCount> {
    mix.iter()
        .map(|(entry, _)| times(entry, class, budget).into_keys().collect())
        .reduce(|a: BTreeSet<ThreadCount>, b| a.intersection(&b).copied().collect())
        .unwrap_or_default()
}

/// The count that an objective prefers, given something that should be small.
fn pick(times: &BTreeMap<ThreadCount, f64>, objective: Objective) -> Option<ThreadCount> {
    let (fastest, least) = times
        .iter()
        .map(|(count, time)| (*count, *time))
        .reduce(|a, b| if b.1 < a.1 { b } else { a })?;
    match objective {
        Objective::Latency => Some(fastest),
        Objective::Efficient => times
            .iter()
            .find(|(_, time)| **time <= least * EFFICIENT)
            .map(|(count, _)| *count),
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
