//! Choices from a made-up profile whose curves are no simple valleys.

use super::*;
use crate::profile::parse;
use std::path::Path;

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

fn chosen(names: &[(&str, f64)], objective: Objective, budget: usize) -> (u32, Basis) {
    let choice = choose(&profile(), &mix(names), objective, count(budget)).unwrap();
    (choice.threads.get(), choice.basis)
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
fn nothing_small_enough_means_the_whole_budget() {
    let decode = ("llama3.2-1b/decode", 1.0);
    assert_eq!(
        chosen(&[decode], Objective::Latency, 1),
        (1, Basis::WholeBudget)
    );
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
fn the_default_mix_is_all_f32_workloads_that_were_timed() {
    let choice = choose(&profile(), &[], Objective::Latency, count(8)).unwrap();
    assert_eq!(
        choice.workloads,
        ["matmul-256", "gemv-2048x2048", "llama3.2-1b/decode"]
    );
    assert_eq!(choice.inconclusive, ["llama3.2-1b/decode"]);
    // Common to all three are 2, 4 and 8: relative 2.1+1.04+1.04, 1.8+1.02+1.0, 2.24+1.8+1.08.
    assert_eq!((choice.threads.get(), choice.basis), (4, Basis::Mix));
}

#[test]
fn a_name_without_a_timing_gives_the_default_mix_and_is_reported() {
    for name in ["no-such-thing", "softmax-512x512"] {
        let wanted = mix(&[(name, 1.0)]);
        let choice = choose(&profile(), &wanted, Objective::Latency, count(8)).unwrap();
        assert_eq!(choice.unknown, [name]);
        assert_eq!(choice.workloads.len(), 3);
    }
    let wanted = mix(&[("no-such-thing", 5.0), MATMUL]);
    let choice = choose(&profile(), &wanted, Objective::Latency, count(8)).unwrap();
    assert_eq!((choice.threads.get(), choice.workloads.len()), (6, 1));
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
    let choice = choose(&profile, &wanted, Objective::Latency, count(8)).unwrap();
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
        Objective::Latency,
        count(8),
    )
    .unwrap();
    assert_eq!((choice.threads.get(), choice.basis), (5, Basis::Mix));
}

#[test]
fn a_profile_without_timings_has_no_answer() {
    let mut profile = profile();
    profile.workloads.clear();
    assert_eq!(choose(&profile, &[], Objective::Latency, count(8)), None);
}
