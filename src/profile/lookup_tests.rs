//! Choices from a made-up profile whose curves are no simple valleys.

use super::*;
use crate::machine::Topology;
use crate::profile::{AboveQuotaChoice, BudgetRecord, StopReason, parse};
use std::path::Path;
use std::sync::Arc;

fn profile() -> Profile {
    let text = include_str!("../../tests/profiles/made-up.toml");
    parse(Path::new("made-up.toml"), text).unwrap()
}

fn count(n: usize) -> ThreadCount {
    ThreadCount::clamped(n)
}

fn mix(names: &[(&str, f64)]) -> Vec<Weighted> {
    names
        .iter()
        .map(|(name, weight)| Weighted {
            name: (*name).to_owned(),
            weight: *weight,
        })
        .collect()
}

/// Of which nothing is known: every verdict serves.
static NOWHERE: Place = Place {
    budget: None,
    fallback: None,
    is_pinned: false,
    topology: None,
};

fn unbound(objective: Objective, limit: usize) -> Terms<'static> {
    Terms {
        objective,
        limit: count(limit),
        pin: None,
        above_quota: None,
        place: &NOWHERE,
    }
}

fn chosen(names: &[(&str, f64)], objective: Objective, limit: usize) -> (u32, Basis) {
    let choice = choose(&profile(), &mix(names), &unbound(objective, limit))
        .choice
        .unwrap();
    assert_eq!((choice.placement, choice.cpus), (Placement::Unbound, None));
    (choice.threads.get(), choice.basis)
}

/// The choice for threads that are bound inside these CPUs, at most `limit` of them: count, placement, basis and the
/// verdict's list where that is taken.
fn pinned(
    profile: &Profile,
    names: &[(&str, f64)],
    objective: Objective,
    (allowed, limit): (&str, usize),
) -> (u32, Placement, Basis, String) {
    let terms = Terms {
        objective,
        limit: count(limit),
        pin: Some(&allowed.parse().unwrap()),
        above_quota: None,
        place: &NOWHERE,
    };
    let choice = choose(profile, &mix(names), &terms).choice.unwrap();
    let cpus = choice.cpus.map(|cpus| cpus.to_string()).unwrap_or_default();
    (choice.threads.get(), choice.placement, choice.basis, cpus)
}

const MATMUL: (&str, f64) = ("matmul-256", 1.0);
const GEMV: (&str, f64) = ("gemv-2048x2048", 1.0);

#[test]
fn the_verdict_counts_where_it_fits() {
    use Objective::{Efficient, Latency};
    assert_eq!(chosen(&[MATMUL], Latency, 8), (6, Basis::Verdict));
    assert_eq!(chosen(&[MATMUL], Latency, 6), (6, Basis::Verdict));
    assert_eq!(chosen(&[GEMV], Latency, 8), (3, Basis::Verdict));
    assert_eq!(chosen(&[GEMV], Efficient, 8), (2, Basis::Verdict));
}

#[test]
fn one_thread_above_a_quota_counts_at_that_quota_only() {
    let mut profile = profile();
    profile.workloads[0].above_quota = Some(AboveQuotaChoice {
        quota: 3.5,
        threads: count(4),
        median_us: 90.0,
        ci95_us: [89.0, 91.0],
        speedup: 1.1,
        won: true,
    });
    let above = |threads, cpus| {
        Some(AboveQuota {
            threads: count(threads),
            cpus,
            period_us: 100_000,
        })
    };
    let terms = |above_quota| Terms {
        above_quota,
        ..unbound(Objective::Latency, 3)
    };
    let mut lost = profile.clone();
    lost.workloads[0].above_quota.as_mut().unwrap().won = false;
    let told = |profile: &Profile, names: &[(&str, f64)], terms: &Terms| {
        let choice = choose(profile, &mix(names), terms).choice.unwrap();
        (choice.threads.get(), choice.placement, choice.basis)
    };
    let of = |names: &[(&str, f64)], terms: &Terms| told(&profile, names, terms);
    let floor = (3, Placement::Unbound, Basis::Curve);
    let same = terms(above(4, 3.5));
    let upper = (4, Placement::Unbound, Basis::AboveQuota);
    assert_eq!(of(&[MATMUL], &same), upper);
    // The period may be another.
    let halved = AboveQuota {
        period_us: 50_000,
        ..same.above_quota.unwrap()
    };
    assert_eq!(of(&[MATMUL], &terms(Some(halved))), upper);
    // What lost, or was left undecided, is known and not used.
    assert_eq!(told(&lost, &[MATMUL], &same), floor);
    for other in [None, above(4, 3.4), above(4, 3.99), above(5, 4.5)] {
        assert_eq!(of(&[MATMUL], &terms(other)), floor, "{other:?}");
    }
    // Others know nothing of it: bound threads, few threads, a mix, another workload.
    let cpus = "0-7".parse().unwrap();
    let pinned = Terms {
        pin: Some(&cpus),
        ..same
    };
    assert_eq!(of(&[MATMUL], &pinned).0, 3);
    let few = Terms {
        objective: Objective::Efficient,
        ..same
    };
    assert_eq!(of(&[MATMUL], &few), floor);
    assert!(of(&[MATMUL, GEMV], &same).0 <= 3);
    assert_eq!(of(&[GEMV], &same).0, 3);
}

#[test]
fn a_smaller_budget_asks_the_curve() {
    // Unbound timings first, then bound ones; 3 threads are faster than 4, and 6 cut down would be 4.
    assert_eq!(chosen(&[MATMUL], Objective::Latency, 5), (5, Basis::Curve));
    assert_eq!(chosen(&[MATMUL], Objective::Latency, 4), (3, Basis::Curve));
    assert_eq!(chosen(&[MATMUL], Objective::Latency, 2), (2, Basis::Curve));
    assert_eq!(chosen(&[MATMUL], Objective::Latency, 1), (1, Basis::Curve));
    // 1000 µs on one thread is all that is left.
    assert_eq!(chosen(&[GEMV], Objective::Efficient, 1), (1, Basis::Curve));
}

#[test]
fn nothing_small_enough_is_no_answer() {
    let decode = ("llama3.2-1b/decode", 1.0);
    let Answered { choice, missed } =
        choose(&profile(), &mix(&[decode]), &unbound(Objective::Latency, 1));
    assert_eq!(choice, None);
    assert_eq!(missed[0].why, Some(Failing::NothingFits));
    assert_eq!(chosen(&[decode], Objective::Latency, 3), (2, Basis::Curve));
}

#[test]
fn a_mix_takes_the_least_weighted_relative_time() {
    // Bound, relative to the best: matmul 1.3 at 5 and 1.0 at 6; gemv 1.04 at 5 and 1.2 at 6.
    assert_eq!(
        chosen(&[MATMUL, GEMV], Objective::Latency, 8),
        (6, Basis::Mix)
    );
    let much_gemv = [MATMUL, ("gemv-2048x2048", 9.0)];
    assert_eq!(chosen(&much_gemv, Objective::Latency, 8), (3, Basis::Mix));
    // (0.3 + 0.04) / 2 at 5 against (0 + 0.2) / 2 at 6: nothing below 6 is within 5 %.
    assert_eq!(
        chosen(&[MATMUL, GEMV], Objective::Efficient, 8),
        (6, Basis::Mix)
    );
    assert_eq!(
        chosen(&[MATMUL, GEMV], Objective::Latency, 4),
        (3, Basis::Mix)
    );
}

#[test]
fn the_default_mix_is_all_f32_workloads_that_state_a_count() {
    let choice = choose(&profile(), &[], &unbound(Objective::Latency, 8))
        .choice
        .unwrap();
    assert_eq!(
        choice.workloads,
        ["matmul-256", "gemv-2048x2048", "llama3.2-1b/decode"]
    );
    assert_eq!(choice.inconclusive, ["llama3.2-1b/decode"]);
    // Common to all three are 2, 4 and 8: relative 2.1+1.04+1.04, 1.8+1.02+1.0, 2.24+1.8+1.08.
    assert_eq!((choice.threads.get(), choice.basis), (4, Basis::Mix));
}

#[test]
fn a_curve_is_no_substitute_for_a_count_that_is_not_stated() {
    let mut profile = profile();
    profile.workloads[1].latency = None;
    profile.workloads[1].stop = StopReason::Contaminated;
    assert!(profile.workloads[1].curve.len() > 2);
    let terms = unbound(Objective::Latency, 8);
    let Answered { choice, missed } = choose(&profile, &mix(&[GEMV]), &terms);
    assert_eq!(choice, None);
    let nothing = Missed {
        name: "gemv-2048x2048".to_owned(),
        why: Some(Failing::NoCount),
        stand_in: None,
    };
    assert_eq!(missed, [nothing]);
    let default = choose(&profile, &[], &terms).choice.unwrap();
    assert_eq!(default.workloads, ["matmul-256", "llama3.2-1b/decode"]);
    profile.workloads.retain(|entry| entry.latency.is_none());
    assert!(!profile.workloads.is_empty());
    for limit in [1, 8] {
        let terms = unbound(Objective::Latency, limit);
        assert_eq!(choose(&profile, &mix(&[GEMV]), &terms).choice, None);
        assert_eq!(choose(&profile, &[], &terms).choice, None);
    }
}

/// The workload that stands in for this one, and the count.
fn stand_in(profile: &Profile, name: &str) -> (Option<String>, Option<u32>) {
    let Answered { choice, missed } = choose(
        profile,
        &mix(&[(name, 1.0)]),
        &unbound(Objective::Latency, 8),
    );
    let [missed] = &missed[..] else {
        panic!("{missed:?}")
    };
    assert_eq!(missed.name, name);
    let threads = choice.map(|choice| choice.threads.get());
    (missed.stand_in.clone(), threads)
}

#[test]
fn the_nearest_of_its_kind_stands_in_for_what_has_no_verdict() {
    let mut profile = profile();
    let mut large = profile.entry("gemv-2048x2048").unwrap().clone();
    large.name = "gemv-8192x8192".to_owned();
    large.shape = "gemv:8192x8192:f32".to_owned();
    large.latency.as_mut().unwrap().threads = count(5);
    profile.workloads.push(large);
    let some = |name: &str, threads| (Some(name.to_owned()), Some(threads));
    let of = |profile: &Profile, name| stand_in(profile, name);
    // By a shape, and by a name that the catalogue knows.
    let small = some("gemv-2048x2048", 3);
    assert_eq!(of(&profile, "gemv:1024x1024:f32"), small);
    let exact = mix(&[("gemv:8192x8192:f32", 1.0)]);
    let exact = choose(&profile, &exact, &unbound(Objective::Latency, 8));
    assert_eq!(
        (exact.choice.unwrap().threads.get(), exact.missed.len()),
        (5, 0)
    );
    assert_eq!(of(&profile, "gemv:2048x8192:f32"), small);
    assert_eq!(
        of(&profile, "gemv:4096x8192:f32"),
        some("gemv-8192x8192", 5)
    );
    assert_eq!(of(&profile, "matmul-64"), some("matmul-256", 6));
    // Another type, another operation, nothing known of it.
    for name in ["gemv:1024x1024:bf16", "softmax-512x512", "no-such-thing"] {
        assert_eq!(of(&profile, name), (None, None), "{name}");
    }
    // Only what serves stands in.
    profile.workloads[1].latency = None;
    assert_eq!(of(&profile, "gemv-2048x2048"), some("gemv-8192x8192", 5));
    // The others of a mix decide without one that nothing stands in for.
    let wanted = mix(&[("no-such-thing", 5.0), MATMUL]);
    let choice = choose(&profile, &wanted, &unbound(Objective::Latency, 8)).choice;
    let choice = choice.unwrap();
    assert_eq!((choice.threads.get(), choice.workloads.len()), (6, 1));
}

#[test]
fn what_does_not_serve_here_is_left_out_and_what_serves_partly_is_told() {
    let mut profile = profile();
    let place = Place {
        budget: Some(BudgetRecord {
            limit: count(64),
            cores: Some(count(64)),
            ..profile.conditions[0].budget.clone()
        }),
        fallback: Some(count(64)),
        is_pinned: false,
        topology: None,
    };
    let terms = Terms {
        place: &place,
        ..unbound(Objective::Latency, 64)
    };
    // Six of eight, three of eight; an inconclusive four of eight, of which 64 were never tried.
    let mixed = choose(&profile, &[], &terms).choice.unwrap();
    assert_eq!(mixed.workloads, ["matmul-256", "gemv-2048x2048"]);
    assert_eq!(mixed.partial, mixed.workloads);
    profile.workloads[0].latency.as_mut().unwrap().threads = count(8);
    let Answered { choice, missed } = choose(&profile, &mix(&[MATMUL]), &terms);
    assert_eq!(choice, None);
    assert_eq!(missed[0].why, Some(Failing::AtTheEdge));
    let mixed = choose(&profile, &[], &terms).choice.unwrap();
    assert_eq!(mixed.workloads, ["gemv-2048x2048"]);
    // Beside one that was measured with all of them it would keep counts out of reach.
    let mut whole = profile.conditions[0].clone();
    (whole.id, whole.budget) = (2, place.budget.clone().unwrap());
    profile.conditions.push(whole);
    profile.workloads[0].conditions = 2;
    let mixed = choose(&profile, &[], &terms).choice.unwrap();
    assert_eq!(mixed.workloads, ["matmul-256"]);
    let Answered { choice, missed } = choose(&profile, &mix(&[GEMV, MATMUL]), &terms);
    assert_eq!(choice.unwrap().workloads, ["matmul-256"]);
    assert_eq!(missed[0].why, Some(Failing::LessThanOthers));
}

#[test]
fn workloads_without_a_common_count_leave_it_to_the_heaviest() {
    let mut profile = profile();
    profile.workloads[2]
        .curve
        .retain(|point| point.threads == count(4));
    profile.workloads[1]
        .curve
        .retain(|point| point.threads != count(4));
    let wanted = mix(&[GEMV, ("llama3.2-1b/decode", 2.0)]);
    let choice = choose(&profile, &wanted, &unbound(Objective::Latency, 8))
        .choice
        .unwrap();
    assert_eq!((choice.threads.get(), choice.basis), (4, Basis::Heaviest));
}

#[test]
fn unbound_timings_decide_a_mix_where_they_cover_as_many_counts() {
    let mut profile = profile();
    for entry in &mut profile.workloads[..2] {
        entry
            .curve
            .retain(|point| [3, 5].contains(&point.threads.get()));
    }
    // Unbound at 3: 150/131 and 505/505; at 5: 1 and 525/505. Bound, 3 would be 140/130 and 5 would be 520/500.
    profile.workloads[0].curve.iter_mut().for_each(|point| {
        if point.placement == Placement::Close && point.threads == count(3) {
            point.median_us = 100.0;
        }
    });
    let choice = choose(
        &profile,
        &mix(&[MATMUL, GEMV]),
        &unbound(Objective::Latency, 8),
    )
    .choice
    .unwrap();
    assert_eq!((choice.threads.get(), choice.basis), (5, Basis::Mix));
}

#[test]
fn a_profile_without_timings_has_no_answer() {
    let mut profile = profile();
    profile.workloads.clear();
    let answered = choose(&profile, &[], &unbound(Objective::Latency, 8));
    assert_eq!(answered, Answered::default());
}

#[test]
fn close_stands_in_before_spread_for_an_unbound_program() {
    let mut profile = profile();
    let entry = &mut profile.workloads[1];
    // The verdict does not fit, so that the curve decides.
    entry.latency.as_mut().unwrap().threads = count(16);
    entry.curve.retain(|point| {
        point.placement != Placement::Unbound && [2, 4].contains(&point.threads.get())
    });
    let of = |profile: &Profile| {
        let terms = unbound(Objective::Latency, 8);
        let choice = choose(profile, &mix(&[GEMV]), &terms).choice.unwrap();
        (choice.threads.get(), choice.placement)
    };
    // close: 520 at 2 and 510 at 4; were 4 timed spread only, its 450 would count.
    profile.workloads[1]
        .curve
        .iter_mut()
        .filter(|point| (point.threads, point.placement) == (count(4), Placement::Close))
        .for_each(|point| point.median_us = 530.0);
    assert_eq!(of(&profile), (2, Placement::Unbound));
    profile.workloads[1]
        .curve
        .retain(|point| (point.threads, point.placement) != (count(4), Placement::Close));
    assert_eq!(of(&profile), (4, Placement::Unbound));
}

#[test]
fn a_pinned_verdict_brings_its_own_cpus_where_all_are_allowed() {
    use Placement::{Close, Spread};
    let of = |workload, room| pinned(&profile(), &[workload], Objective::Latency, room);
    let verdict = Basis::Verdict;
    assert_eq!(of(MATMUL, ("0-7", 8)), (6, Close, verdict, "0-5".into()));
    assert_eq!(of(MATMUL, ("0-5", 6)), (6, Close, verdict, "0-5".into()));
    assert_eq!(of(GEMV, ("0-7", 8)), (4, Spread, verdict, "0,2,4,6".into()));
    // As many CPUs, but others: the count and the kind hold, the list does not.
    assert_eq!(of(GEMV, ("0-3", 4)), (4, Spread, verdict, String::new()));
    assert_eq!(of(GEMV, ("0-5", 6)), (4, Spread, verdict, String::new()));
    assert_eq!(of(MATMUL, ("2-7", 6)), (6, Close, verdict, String::new()));
}

#[test]
fn fewer_cpus_than_pinned_threads_keep_the_kind_and_ask_the_curve() {
    use Placement::{Close, Spread};
    let of = |room| pinned(&profile(), &[GEMV], Objective::Latency, room);
    let curve = |threads, kind| (threads, kind, Basis::Curve, String::new());
    // close, 500 µs at 3, is faster than spread, 511 at 2, and yet gives way where CPUs are out of reach …
    assert_eq!(of(("0-2", 3)), curve(2, Spread));
    assert_eq!(of(("5-7", 3)), curve(2, Spread));
    // … and not where only fewer threads are allowed on the same CPUs.
    assert_eq!(of(("0-7", 3)), curve(3, Close));
    // No spread timing is that small.
    assert_eq!(of(("4", 1)), curve(1, Close));
    let matmul = |room| pinned(&profile(), &[MATMUL], Objective::Latency, room);
    // At 4 spread is faster (151 against 180), but 3 close are the fastest.
    assert_eq!(matmul(("0-7", 4)), curve(3, Close));
    assert_eq!(matmul(("0-1", 2)), curve(2, Close));
    assert_eq!(matmul(("0-7", 2)), curve(2, Spread));
}

#[test]
fn few_pinned_threads_are_read_off_the_bound_curve() {
    use Placement::Spread;
    let of = |room| pinned(&profile(), &[GEMV], Objective::Efficient, room);
    // The unbound verdict is 2; bound, 450 µs at 4 leave nothing smaller within 5 %.
    assert_eq!(of(("0-7", 8)), (4, Spread, Basis::Curve, String::new()));
    // Below 4 the least is 500; both arms of 2 are near it, and spread (511) is faster than close (520).
    assert_eq!(of(("0-7", 3)), (2, Spread, Basis::Curve, String::new()));
}

#[test]
fn a_pinned_mix_takes_the_arm_with_the_least_weighted_relative_time() {
    use Placement::{Close, Spread};
    let of = |names: &[(&str, f64)], room| pinned(&profile(), names, Objective::Latency, room);
    let mixed = |threads, kind| (threads, kind, Basis::Mix, String::new());
    // matmul relative to 100, gemv to 450. close: 1.0 + 1.33 at 6; spread: 1.51 + 1.0 at 4.
    assert_eq!(of(&[MATMUL, GEMV], ("0-7", 8)), mixed(6, Close));
    let much_gemv = [MATMUL, ("gemv-2048x2048", 3.0)];
    // Thrice gemv: 1.51 + 3.0 at 4 spread, 1.4 + 3.33 at 3 close, 1.0 + 4.0 at 6 close.
    assert_eq!(of(&much_gemv, ("0-7", 8)), mixed(4, Spread));
    // decode was timed close only: 2, 4 and 8 are common.
    assert_eq!(of(&[], ("0-7", 8)), mixed(4, Close));
    let mut profile = profile();
    profile.workloads[0]
        .curve
        .retain(|point| point.placement != Spread);
    profile.workloads[1]
        .curve
        .retain(|point| point.placement != Close);
    let both = pinned(&profile, &much_gemv, Objective::Latency, ("0-7", 8));
    assert_eq!(both, (4, Spread, Basis::Heaviest, "0,2,4,6".into()));
}

#[test]
fn without_bound_timings_a_pinned_program_gets_the_unbound_choice() {
    let mut profile = profile();
    for entry in &mut profile.workloads {
        entry.pinned = None;
        entry
            .curve
            .retain(|point| point.placement == Placement::Unbound);
    }
    for names in [&[MATMUL][..], &[GEMV], &[MATMUL, GEMV], &[]] {
        for objective in [Objective::Latency, Objective::Efficient] {
            for limit in 1..=8 {
                let free = choose(&profile, &mix(names), &unbound(objective, limit)).choice;
                let Some(free) = free else {
                    // Unbound, three threads are the fewest that were timed.
                    assert!(limit < 3, "{names:?} {limit}");
                    continue;
                };
                let bound = pinned(&profile, names, objective, ("0-7", limit));
                let (threads, basis) = (free.threads.get(), free.basis);
                assert_eq!(bound, (threads, Placement::Unbound, basis, String::new()));
            }
        }
    }
}

/// Eight cores of two hardware threads each, N and N + 8, and where a program may use these CPUs of them.
fn place_on(allowed: &str) -> Place {
    let mut topology = Topology::flat((0..16).collect());
    topology.cores = (0..8).map(|n| CpuSet::from_iter([n, n + 8])).collect();
    topology.kinds[0].cores = 8;
    let cpus = CpuSet::parse_list(allowed).unwrap();
    let cores = topology.cores_within(&cpus);
    Place {
        budget: Some(BudgetRecord {
            cores: Some(count(cores)),
            grouping: Some(topology.grouping_of(&cpus)),
            limit: count(cpus.len()),
            cpus,
            by: "affinity".to_owned(),
        }),
        fallback: Some(count(cores)),
        is_pinned: false,
        topology: Some(Arc::new(topology)),
    }
}

/// What the made-up profile, which was measured on cores 0 to 7, says of `matmul-256` on these CPUs.
fn on_cpus(profile: &Profile, allowed: &str, pin: bool) -> Choice {
    let place = Place {
        is_pinned: pin,
        ..place_on(allowed)
    };
    let budget = place.budget.clone().unwrap();
    let terms = Terms {
        limit: budget.limit,
        pin: Some(&budget.cpus).filter(|_| pin),
        place: &place,
        ..unbound(Objective::Latency, 1)
    };
    let answered = choose(profile, &mix(&[("matmul-256", 1.0)]), &terms);
    assert_eq!(answered.missed, []);
    answered.choice.unwrap()
}

#[test]
fn threads_that_share_cores_are_not_those_that_had_their_own() {
    let profile = profile();
    let of = |allowed: &str| {
        let choice = on_cpus(&profile, allowed, false);
        (choice.threads.get(), choice.basis)
    };
    // Six of eight cores are best.
    assert_eq!(of("0-7"), (6, Basis::Verdict));
    assert_eq!(of("0-15"), (6, Basis::Verdict));
    // The other hardware threads of the same cores.
    assert_eq!(of("8-15"), (6, Basis::Verdict));
    // Three cores with their siblings are six CPUs, but three cores.
    let curve = &profile.entry("matmul-256").unwrap().curve;
    let is_timed = |n| curve.iter().any(|point| point.threads.get() == n);
    let most = (1..=3).rev().find(|n| is_timed(*n)).unwrap();
    let (three, basis) = of("0-2,8-10");
    assert!(three <= most && basis == Basis::Curve, "{three} {basis:?}");
    // One core.
    assert_eq!(of("0,8"), (1, Basis::Curve));
}

#[test]
fn where_no_count_was_timed_on_such_cores_the_verdict_is_cut_down_to_them() {
    let mut profile = profile();
    let entry = profile
        .workloads
        .iter_mut()
        .find(|e| e.name == "matmul-256");
    entry.unwrap().curve.retain(|point| point.threads.get() > 4);
    let choice = on_cpus(&profile, "0-2,8-10", false);
    assert_eq!((choice.threads.get(), choice.basis), (3, Basis::Cores));
}

#[test]
fn the_very_cpus_that_were_timed_are_the_same_cores() {
    let mut profile = profile();
    let entry = profile
        .workloads
        .iter_mut()
        .find(|e| e.name == "matmul-256")
        .unwrap();
    let pinned = entry.pinned.as_mut().unwrap();
    (pinned.threads, pinned.cpus) = (count(2), CpuSet::parse_list("0,8").unwrap());
    let list = on_cpus(&profile, "0,8", true).cpus.unwrap();
    assert_eq!(list.to_string(), "0,8");
    // Two threads of one core elsewhere were not timed.
    let choice = on_cpus(&profile, "1,9", true);
    assert_eq!((choice.threads.get(), choice.cpus), (1, None));
}

#[test]
fn a_mix_is_decided_by_counts_that_are_the_same_cores() {
    let profile = profile();
    let place = place_on("0,8");
    let terms = Terms {
        place: &place,
        ..unbound(Objective::Latency, 2)
    };
    let choice = choose(&profile, &[], &terms).choice.unwrap();
    assert_eq!(choice.threads.get(), 1, "{choice:?}");
}

#[test]
fn the_count_above_a_quota_is_one_of_the_same_cores() {
    let mut profile = profile();
    let entry = profile
        .workloads
        .iter_mut()
        .find(|e| e.name == "matmul-256")
        .unwrap();
    entry.above_quota = Some(AboveQuotaChoice {
        quota: 1.5,
        threads: count(2),
        median_us: 1.0,
        ci95_us: [0.9, 1.1],
        speedup: 2.0,
        won: true,
    });
    let of = |allowed: &str| {
        let place = place_on(allowed);
        let terms = Terms {
            above_quota: Some(AboveQuota {
                threads: count(2),
                cpus: 1.5,
                period_us: 100_000,
            }),
            place: &place,
            ..unbound(Objective::Latency, 1)
        };
        let choice = choose(&profile, &mix(&[("matmul-256", 1.0)]), &terms).choice;
        choice.unwrap().threads.get()
    };
    assert_eq!(of("0-1"), 2);
    assert_eq!(of("0,8"), 1, "two threads of one core");
}

#[test]
fn where_nothing_fits_the_nearest_of_the_kind_that_does_stands_in() {
    let mut profile = profile();
    let entry = profile
        .workloads
        .iter_mut()
        .find(|e| e.name == "matmul-256")
        .unwrap();
    let mut larger = entry.clone();
    entry.curve.retain(|point| point.threads.get() > 4);
    (larger.name, larger.shape) = ("matmul-512".to_owned(), "gemm:512x512x512:f32".to_owned());
    profile.workloads.push(larger);
    let answered = choose(
        &profile,
        &mix(&[("matmul-256", 1.0)]),
        &unbound(Objective::Latency, 4),
    );
    let missed = Missed {
        name: "matmul-256".to_owned(),
        why: Some(Failing::NothingFits),
        stand_in: Some("matmul-512".to_owned()),
    };
    assert_eq!(answered.missed, [missed]);
    assert_eq!(answered.choice.unwrap().workloads, ["matmul-512"]);
}

#[test]
fn a_list_that_was_left_out_still_tells_the_kind_of_placement() {
    let mut profile = profile();
    let entry = profile
        .workloads
        .iter_mut()
        .find(|e| e.name == "gemv-2048x2048")
        .unwrap();
    // Spread over four CPUs, of which three are left.
    entry.pinned.as_mut().unwrap().cpus = CpuSet::new();
    let (_, placement, ..) = pinned(
        &profile,
        &[("gemv-2048x2048", 1.0)],
        Objective::Latency,
        ("0-2", 3),
    );
    assert_eq!(placement, Placement::Spread);
}
