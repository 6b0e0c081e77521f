//! What changes where a call takes so long that the time holds a few dozen of them.

use super::script::{Asked, Place, Script, chosen, count, decide, jitter, layout, table};
use std::collections::BTreeSet;
use threadtune::profile::StopReason;
use threadtune::tune::Options;

/// Seconds on so many threads of 64: 48 are best, 16 are hopeless.
fn long(threads: u32) -> f64 {
    match threads {
        0..17 => 1.5 * 32.0 / f64::from(threads),
        17..32 => 1.6,
        32 => 1.5,
        48 => 1.2,
        64 => 1.8,
        _ => 1.3,
    }
}

#[test]
fn long_calls_thin_the_grid() {
    let mut script = Script::new(|place: &Place| long(place.arm.threads.get()));
    let verdict = decide(&mut script, layout(64, 32), Options::counts_only());
    // Half of the cores is hopeless, so nothing below; then all CPUs, then the middle of the gap that is twice as wide,
    // and those beside what is best so far.
    assert_eq!(script.order()[..6], [32, 16, 64, 48, 40, 56]);
    assert_eq!(chosen(&verdict), 48);
    // A tenth of that, and the whole grid fits.
    let mut script = Script::new(|place: &Place| 0.1 * long(place.arm.threads.get()));
    decide(&mut script, layout(64, 32), Options::counts_only());
    assert_eq!(script.order()[..4], [32, 31, 24, 16]);
}

#[test]
fn a_race_proves_nothing_about_counts_that_were_not_looked_at() {
    let stop = |cpus: u32, seconds: &dyn Fn(u32) -> f64| {
        let mut script = Script::new(|place: &Place| seconds(place.arm.threads.get()));
        let verdict = decide(&mut script, layout(cpus, cpus / 2), Options::counts_only());
        assert!(verdict.latency.unwrap().time.samples >= 3, "no race");
        verdict.stop
    };
    // A tenth of a second: there is time for all 64 counts.
    assert_eq!(stop(64, &|n| 0.1 * long(n)), StopReason::Separated);
    // A second: not for those between the grid's.
    assert_eq!(stop(64, &long), StopReason::Short);
    // Six counts of one to three seconds are all sampled, of four to twelve seconds only some.
    let few = |n: u32| 3.0 / f64::from(n.min(3));
    assert_eq!(stop(6, &few), StopReason::Eps);
    assert_eq!(stop(6, &|n| 4.0 * few(n)), StopReason::Budget);
}

#[test]
fn the_race_is_of_as_many_as_the_time_holds_forty_blocks_of() {
    // Eight counts that cannot be told apart. Screening takes four samples of each, and one more of four.
    let racers = |seconds: f64| {
        let mut script = Script::new(|place: &Place| seconds * jitter(place.sample, 0.02));
        decide(&mut script, layout(8, 8), Options::counts_only());
        let alone = script.asked.len() - script.sizes().len();
        let different: BTreeSet<u32> = script.order().into_iter().collect();
        (script.sizes()[0], alone > different.len())
    };
    // Six; all CPUs are one of them.
    assert_eq!(racers(0.1), (6, true));
    // 60 s − 36 · 0.25 s are forty blocks of 5.1 calls.
    assert_eq!(racers(0.25), (5, true));
    // Never fewer than three; and of so long calls screening repeats none, since the race will.
    assert_eq!(racers(1.0), (3, false));
}

#[test]
fn screening_goes_on_while_the_race_keeps_the_time_of_fifty_samples() {
    // 64 counts that are equally good: the seconds of screening, and why it ended.
    let screened = |call: f64| {
        let mut script = Script::new(|_: &Place| call);
        let verdict = decide(&mut script, layout(64, 64), Options::counts_only());
        let first = script.asked.iter().position(|asked| match asked {
            Asked::Block(plan) => plan.len() > 1,
            Asked::Idle(_) => false,
        });
        let different: BTreeSet<u32> = script.order().into_iter().collect();
        (first.unwrap(), different.len(), verdict.stop)
    };
    // Half a second: of 60 s the race needs 25. What is left after every count was sampled goes to repeats.
    assert_eq!(screened(0.5), (70, 64, StopReason::Eps));
    // 0.6 s: it needs 30, and fourteen counts are never looked at.
    assert_eq!(screened(0.6), (50, 50, StopReason::Short));
    // 0.74 s: it needs 37, and 40 % of the time are screening's in any case.
    assert_eq!(screened(0.74), (33, 33, StopReason::Short));
}

#[test]
fn all_cpus_are_compared_by_screening_where_they_could_not_race() {
    let times = [2.4, 1.2, 1.22, 1.24, 1.26, 1.8];
    let mut script = Script::new(table(&times));
    let verdict = decide(&mut script, layout(6, 3), Options::counts_only());
    let raced: Vec<u32> = verdict
        .curve
        .iter()
        .filter(|timed| timed.raced)
        .map(|timed| timed.arm.threads.get())
        .collect();
    assert!(raced.len() == 3 && !raced.contains(&6), "{raced:?}");
    let default = verdict.default.unwrap();
    assert_eq!(default.threads, count(6));
    assert!((default.speedup - 1.8 / 1.2).abs() < 0.01, "{default:?}");
}
