//! Whether a verdict serves inside a CPU budget: it may have been found with fewer cores, or be no better than what a program
//! would take without it. Pure.

use super::schema::{BudgetRecord, CurvePoint, DefaultChoice, Entry, Profile, StopReason};
use crate::machine::{LimitKind, Placement, Seats, Topology};
use crate::units::ThreadCount;
use std::fmt;
use std::sync::Arc;

/// Where a verdict is to serve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// What may be used there, where that is known.
    pub budget: Option<BudgetRecord>,
    /// The count that a program gets there without any verdict, where that is known.
    pub fallback: Option<ThreadCount>,
    /// Are the program's threads to be bound?
    pub is_pinned: bool,
    /// How the CPUs of the machine hang together, where that is known.
    pub topology: Option<Arc<Topology>>,
}

impl Place {
    /// Are so many threads there the same cores as they were inside this budget? Nothing known tells them apart.
    pub fn is_like(&self, then: &BudgetRecord, threads: ThreadCount) -> bool {
        let seats = |budget: &BudgetRecord| self.seats(budget);
        let here = self.budget.as_ref().and_then(seats);
        let both = here.zip(seats(then));
        both.is_none_or(|(here, then)| here.are_like(&then, threads))
    }

    fn seats(&self, budget: &BudgetRecord) -> Option<Seats> {
        let topology = self.topology.as_ref()?;
        let is_of_here = !budget.cpus.is_empty() && budget.cpus.is_subset(&topology.online);
        if is_of_here {
            return Some(Seats::of(topology, &budget.cpus));
        }
        budget.cores.map(Seats::of_cores)
    }
}

/// How far a verdict serves at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Serves,
    /// It does, though as many cores shared caches or memory in another way when it was found.
    ServesRegrouped,
    /// It was found with fewer cores or threads than there are, and its count is not the most that was tried: more would
    /// hardly be better.
    ServesPartly,
    /// It does by its curve, which was found on other CPUs of this processor, no fewer cores.
    ServesElsewhere,
    /// It does not.
    Fails(Failing),
}

/// Why a verdict does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failing {
    /// It was found with fewer cores or threads than there are, and its count is the most that was tried.
    AtTheEdge,
    /// It was found on another machine with this processor, with fewer cores or threads than there are.
    LessElsewhere,
    /// It is inconclusive, and does not show its count to be faster than the one that a program gets without it.
    Unproven,
    /// It was found with fewer cores or threads than others of the same mix, whose counts it would keep from being reached.
    LessThanOthers,
    /// Nothing was timed with so few threads.
    NothingFits,
    /// It states no count, or one from disturbed samples.
    NoCount,
}

/// A verdict beside how far it serves here.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'p> {
    /// The verdict.
    pub entry: &'p Entry,
    /// How far it serves.
    pub standing: Standing,
}

impl Judged<'_> {
    /// How many times as long a call takes with a program's own count; nothing where the verdict does not serve, or could not
    /// tell that count from its own.
    pub fn speedup(&self, default: &DefaultChoice) -> Option<f64> {
        let chosen = self.entry.latency.as_ref()?.threads;
        let is_told_apart =
            default.threads == chosen || !self.entry.ties.contains(&default.threads);
        let serves = !matches!(self.standing, Standing::Fails(_));
        (serves && is_told_apart).then_some(default.speedup)
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtTheEdge => {
                "measured with fewer CPUs than there are now, and its count is the most that was tried"
            }
            Self::LessElsewhere => {
                "measured on another machine with this processor, which had fewer CPUs"
            }
            Self::Unproven => {
                "inconclusive, and not shown to be faster than the count that a program gets without it"
            }
            Self::LessThanOthers => "measured with fewer CPUs than the others of the mix",
            Self::NothingFits => "nothing was timed with so few threads",
            Self::NoCount => "no count is stated",
        })
    }
}

impl BudgetRecord {
    /// How many cores could be kept busy, as far as is known.
    fn busy_cores(&self) -> Option<u32> {
        if self.is_of_tasks() {
            return self.cores.map(ThreadCount::get);
        }
        // Of the lesser of two counts that are never zero, one of them optional, rustc 1.95 forgets that it may be absent:
        // plain numbers are compared instead.
        let cores = self.cores.map(ThreadCount::get);
        cores.map(|cores| cores.min(self.limit.get()))
    }

    /// Had a program less here than it has there, fewer cores or fewer threads?
    pub fn is_less_than(&self, there: &Self) -> bool {
        let fewer_cores = match (self.busy_cores(), there.busy_cores()) {
            (Some(here), Some(there)) => here < there,
            _ => false,
        };
        fewer_cores || !self.is_of_tasks() && self.limit < there.limit
    }

    /// Did a limit on tasks decide? It counts what else runs, too, and says nothing of the CPUs.
    fn is_of_tasks(&self) -> bool {
        let of_tasks = [LimitKind::Pids, LimitKind::Processes];
        of_tasks.iter().any(|kind| self.by == kind.to_string())
    }
}

impl Profile {
    /// Was this entry measured with fewer cores or threads than there are?
    pub fn is_partial(&self, entry: &Entry, now: &BudgetRecord) -> bool {
        let conditions = self.conditions_of(entry);
        conditions.is_some_and(|conditions| conditions.budget.is_less_than(now))
    }

    /// Was this entry measured on as many cores that were grouped otherwise?
    fn is_regrouped(&self, entry: &Entry, now: &BudgetRecord) -> bool {
        let then = self.conditions_of(entry).map(|then| &then.budget);
        then.is_some_and(|then| {
            let groupings = then.grouping.as_ref().zip(now.grouping.as_ref());
            then.cores == now.cores && groupings.is_some_and(|(then, now)| then != now)
        })
    }

    /// All entries, and how far they serve at this place.
    pub fn judged<'p>(&'p self, place: &Place) -> Vec<Judged<'p>> {
        let judged = |entry| Judged {
            entry,
            standing: self.standing(entry, place),
        };
        self.workloads.iter().map(judged).collect()
    }

    /// Does it hold any verdict that serves at this place?
    pub fn serves_any(&self, place: &Place) -> bool {
        let serves = |entry| !matches!(self.standing(entry, place), Standing::Fails(_));
        self.workloads.iter().any(serves)
    }

    /// How far this entry serves at this place.
    pub fn standing(&self, entry: &Entry, place: &Place) -> Standing {
        if entry.latency.is_none() || entry.stop == StopReason::Contaminated {
            return Standing::Fails(Failing::NoCount);
        }
        let shows_gain = || place.fallback.is_none_or(|count| entry.beats(count));
        if !entry.stop.is_conclusive() && !shows_gain() {
            return Standing::Fails(Failing::Unproven);
        }
        let now = place.budget.as_ref();
        let is_partial = now.is_some_and(|now| self.is_partial(entry, now))
            || now.is_some() && entry.elsewhere.is_some() && !self.has_known_cores(entry);
        match is_partial {
            true if entry.elsewhere.is_some() => Standing::Fails(Failing::LessElsewhere),
            false if entry.elsewhere.is_some() => Standing::ServesElsewhere,
            false if now.is_some_and(|now| self.is_regrouped(entry, now)) => {
                Standing::ServesRegrouped
            }
            false => Standing::Serves,
            true if self.is_at_its_edge(entry, place.is_pinned) => {
                Standing::Fails(Failing::AtTheEdge)
            }
            true => Standing::ServesPartly,
        }
    }
}

impl Profile {
    /// Is it known with how many cores this entry was measured?
    fn has_known_cores(&self, entry: &Entry) -> bool {
        let conditions = self.conditions_of(entry);
        conditions.is_some_and(|conditions| conditions.budget.cores.is_some())
    }

    /// Is the count that a program gets from this entry the most that was tried, or are all cores in use that there were?
    fn is_at_its_edge(&self, entry: &Entry, is_pinned: bool) -> bool {
        let pinned = entry.pinned.as_ref().filter(|_| is_pinned);
        let unbound = entry.latency.as_ref().map(|latency| latency.threads);
        let chosen = pinned.map(|pinned| pinned.threads).or(unbound);
        let most = entry.curve.iter().map(|point| point.threads).max();
        let then = self.conditions_of(entry).map(|then| &then.budget);
        let cores = then.and_then(BudgetRecord::busy_cores);
        let uses_all_cores = chosen.zip(cores).is_some_and(|(n, cores)| n.get() >= cores);
        entry.stop == StopReason::Single || chosen >= most || uses_all_cores
    }
}

impl Entry {
    /// Does its curve show its count to be faster than this one, the intervals apart, where both were timed alike? One and the
    /// same count needs no proof.
    fn beats(&self, other: ThreadCount) -> bool {
        let Some(chosen) = &self.latency else {
            return false;
        };
        let interval = |threads, placement| {
            let is_it =
                |point: &&CurvePoint| point.threads == threads && point.placement == placement;
            self.curve.iter().find(is_it)?.ci95_us
        };
        let unbound = (Some(chosen.ci95_us), interval(other, Placement::Unbound));
        let bound = [Placement::Close, Placement::Spread].map(|placement| {
            let of = |threads| interval(threads, placement);
            (of(chosen.threads), of(other))
        });
        let mut alike = std::iter::once(unbound).chain(bound);
        let told = alike.find_map(|(ours, theirs)| ours.zip(theirs));
        chosen.threads == other || told.is_some_and(|(ours, theirs)| ours[1] < theirs[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Latency, parse};
    use crate::units::CpuSet;
    use std::path::Path;

    fn count(n: usize) -> ThreadCount {
        ThreadCount::clamped(n)
    }

    fn budget(cores: Option<usize>, limit: usize) -> BudgetRecord {
        BudgetRecord {
            cpus: CpuSet::new(),
            cores: cores.map(count),
            grouping: None,
            limit: count(limit),
            by: "affinity".to_owned(),
        }
    }

    /// `matmul-256` of eight cores, six of which are best.
    fn made_up() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        profile.conditions[0].budget = budget(Some(8), 8);
        profile
    }

    fn standing(profile: &Profile, now: BudgetRecord, fallback: usize) -> Standing {
        let place = Place {
            budget: Some(now),
            fallback: Some(count(fallback)),
            is_pinned: false,
            topology: None,
        };
        profile.standing(&profile.workloads[0], &place)
    }

    #[test]
    fn fewer_cores_or_threads_are_less() {
        let is_less = |then, now| budget(then, 4).is_less_than(&now);
        assert!(!is_less(Some(4), budget(Some(4), 4)));
        assert!(is_less(Some(4), budget(Some(8), 8)));
        // Two cores with their siblings, and four cores.
        assert!(is_less(Some(2), budget(Some(4), 4)));
        assert!(!is_less(Some(4), budget(Some(2), 4)));
        // A quota leaves no more cores busy than it pays for.
        assert!(!is_less(Some(4), budget(Some(96), 4)));
        assert!(is_less(Some(4), budget(Some(96), 5)));
        // Siblings that could not be used were never tried.
        assert!(is_less(Some(4), budget(Some(4), 8)));
        // A limit on tasks is none of CPUs.
        let tasks = BudgetRecord {
            by: "pids".to_owned(),
            ..budget(Some(8), 4)
        };
        assert!(!tasks.is_less_than(&budget(Some(8), 8)));
        assert!(tasks.is_less_than(&budget(Some(16), 16)));
        // What no earlier version recorded.
        assert!(!is_less(None, budget(Some(4), 4)));
        assert!(is_less(None, budget(None, 5)));
    }

    #[test]
    fn what_was_found_with_fewer_cores_serves_where_it_did_not_want_all() {
        let mut profile = made_up();
        assert_eq!(standing(&profile, budget(Some(8), 8), 8), Standing::Serves);
        assert_eq!(standing(&profile, budget(Some(4), 4), 4), Standing::Serves);
        let more = budget(Some(96), 96);
        let serves = standing(&profile, more.clone(), 96);
        assert_eq!(serves, Standing::ServesPartly);
        profile.workloads[0].curve.retain(|p| p.threads <= count(6));
        let edge = Standing::Fails(Failing::AtTheEdge);
        assert_eq!(standing(&profile, more.clone(), 96), edge);
        // Six of six cores, whose siblings were tried, too.
        let mut siblings = made_up();
        siblings.conditions[0].budget = budget(Some(6), 8);
        assert_eq!(standing(&siblings, more.clone(), 96), edge);
        // Bound, it wanted all eight; unbound, six.
        let mut bound = made_up();
        bound.workloads[0].pinned.as_mut().unwrap().threads = count(8);
        let mut place = Place {
            budget: Some(more.clone()),
            fallback: Some(count(96)),
            is_pinned: false,
            topology: None,
        };
        let of = |place: &Place| bound.standing(&bound.workloads[0], place);
        assert_eq!(of(&place), Standing::ServesPartly);
        place.is_pinned = true;
        assert_eq!(of(&place), edge);
        let mut single = made_up();
        single.workloads[0].stop = StopReason::Single;
        assert_eq!(standing(&single, more, 96), edge);
        // Of a place that is unknown nothing can be said.
        let nowhere = profile.standing(&profile.workloads[0], &Place::default());
        assert_eq!(nowhere, Standing::Serves);
    }

    #[test]
    fn as_many_cores_that_are_grouped_otherwise_are_told() {
        let mut profile = made_up();
        let grouped = |cores, grouping: &str| BudgetRecord {
            grouping: Some(grouping.to_owned()),
            ..budget(Some(cores), cores)
        };
        assert_eq!(
            standing(&profile, grouped(8, "a"), 8),
            Standing::Serves,
            "unknown then"
        );
        profile.conditions[0].budget = grouped(8, "a");
        assert_eq!(standing(&profile, grouped(8, "a"), 8), Standing::Serves);
        assert_eq!(
            standing(&profile, grouped(8, "b"), 8),
            Standing::ServesRegrouped
        );
        // Fewer cores are grouped otherwise as a matter of course.
        assert_eq!(standing(&profile, grouped(4, "b"), 4), Standing::Serves);
        assert_eq!(
            standing(&profile, grouped(96, "b"), 96),
            Standing::ServesPartly
        );
    }

    #[test]
    fn what_is_inconclusive_must_beat_what_programs_get_without_it() {
        let mut profile = made_up();
        let unproven = Standing::Fails(Failing::Unproven);
        profile.workloads[0].stop = StopReason::Undecided;
        let here = || budget(Some(8), 8);
        // Screened only, without an interval.
        assert_eq!(standing(&profile, here(), 8), unproven);
        // Unbound, 112 µs and more against 102 and less.
        assert_eq!(standing(&profile, here(), 7), Standing::Serves);
        // Where one of the two was timed bound only, bound timings are compared: 108.9 µs and more against 101 and less.
        let mut bound = profile.clone();
        let is_unbound_seven =
            |p: &CurvePoint| p.threads == count(7) && p.placement == Placement::Unbound;
        bound.workloads[0].curve.retain(|p| !is_unbound_seven(p));
        assert_eq!(standing(&bound, here(), 7), Standing::Serves);
        let is_close = |p: &CurvePoint, n| p.threads == count(n) && p.placement == Placement::Close;
        let curve = &mut bound.workloads[0].curve;
        let ours = curve.iter_mut().find(|p| is_close(p, 6)).unwrap();
        ours.ci95_us = Some([99.0, 109.0]);
        assert_eq!(standing(&bound, here(), 7), unproven);
        // Never timed.
        assert_eq!(standing(&profile, here(), 12), unproven);
        // It says what would be taken anyway.
        assert_eq!(standing(&profile, here(), 6), Standing::Serves);
        // One sample of nonsense among three.
        let nonsense = Latency {
            threads: count(6),
            median_us: 101.0,
            ci95_us: [0.5, 5_700_000.0],
        };
        profile.workloads[0].latency = Some(nonsense);
        assert_eq!(standing(&profile, here(), 7), unproven);
        profile.workloads[0].stop = StopReason::Contaminated;
        let disturbed = standing(&profile, here(), 6);
        assert_eq!(disturbed, Standing::Fails(Failing::NoCount));
        profile.workloads[0].latency = None;
        let nothing = Standing::Fails(Failing::NoCount);
        assert_eq!(standing(&profile, here(), 7), nothing);
    }
}
