//! Flagged samples: what is tried again, what is waited for, and when no count is stated.

use super::script::{Asked, Place, Script, chosen, count, decide, jitter, layout, table};
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Options, Patience, Verdict};

#[test]
fn a_disturbed_race_states_no_count_although_one_before_it_did_not_decide() {
    // Bound, noise never settles; unbound, the larger team is always disturbed.
    let decided = |is_disturbed: bool| {
        let is_unbound = |place: &Place| place.arm.placement == Placement::Unbound;
        let mut script = Script::new(move |place: &Place| {
            if is_unbound(place) {
                1e-3 / f64::from(place.arm.threads.get())
            } else {
                2e-3 * jitter(place.sample, 0.8)
            }
        })
        .flagging(move |place| is_disturbed && is_unbound(place) && place.arm.threads.get() == 2);
        let verdict = decide(&mut script, layout(2, 2), Options::default());
        (
            verdict.stop,
            verdict.latency.map(|choice| choice.arm.threads.get()),
            verdict.pinned.is_some(),
        )
    };
    assert_eq!(decided(false), (StopReason::Undecided, Some(2), true));
    assert_eq!(decided(true), (StopReason::Contaminated, None, false));
}

#[test]
fn without_a_clean_sample_no_count_is_stated() {
    for logical in [1, 4, 16] {
        let mut script = Script::new(|_| 1e-3).flagging(|_| true);
        let verdict = decide(&mut script, layout(logical, logical), Options::default());
        assert_eq!(verdict.stop, StopReason::Contaminated);
        assert_eq!(verdict.latency, None);
        assert_eq!(verdict.pinned, None);
        assert_eq!(verdict.efficient, None);
        assert!(verdict.ties.is_empty() && verdict.curve.is_empty());
        assert!(verdict.p_within.abs() < 1e-12);
        assert!(verdict.rejected > 0);
    }
}

/// Disturbed, and no count of any kind follows from what was measured.
fn assert_states_nothing(verdict: &Verdict) {
    assert_eq!(verdict.stop, StopReason::Contaminated);
    assert_eq!((verdict.latency, verdict.pinned), (None, None));
    assert!(verdict.efficient.is_none() && verdict.default.is_none());
    assert!(verdict.ties.is_empty() && verdict.p_within.abs() < 1e-12);
}

#[test]
fn few_threads_do_not_win_because_more_are_disturbed() {
    // Somebody else has one of two CPUs: two threads, nearly twice as fast, are never seen undisturbed.
    let times = [2e-3, 2.2e-3];
    let busy = |place: &Place| place.arm.threads.get() == 2;
    let mut script = Script::new(table(&times)).flagging(busy);
    assert_states_nothing(&decide(&mut script, layout(2, 2), Options::counts_only()));
    // One in ten disturbances is missed, and each miss looks like a clean sample of a slow count.
    let noticed = |place: &Place| place.arm.threads.get() == 2 && !place.sample.is_multiple_of(10);
    let mut script = Script::new(table(&times)).flagging(noticed);
    assert_states_nothing(&decide(&mut script, layout(2, 2), Options::counts_only()));
    // What is plainly slower, disturbed or not, may be disturbed.
    let slow = |place: &Place| place.arm.threads.get() == 1;
    let mut script = Script::new(table(&[8e-3, 2e-3, 1.5e-3, 1e-3])).flagging(slow);
    let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
    assert_eq!(
        (&verdict.stop, chosen(&verdict)),
        (&StopReason::Separated, 4)
    );
}

#[test]
fn a_race_of_dirty_blocks_is_contaminated() {
    let mut script = Script::new(table(&[2e-3, 1e-3])).flagging(|place| place.block > 0);
    let verdict = decide(&mut script, layout(2, 2), Options::counts_only());
    assert_states_nothing(&verdict);
    assert!(verdict.rejected > 8);
    // Three blocks that had to be taken as they were are enough: the pauses before each come to 4.2 s.
    let raced = verdict.curve.iter().filter(|timed| timed.raced);
    assert_eq!(
        raced.map(|timed| timed.time.samples).collect::<Vec<_>>(),
        [3, 3]
    );
    assert!(
        (12.0..16.0).contains(&verdict.spent.as_secs_f64()),
        "{:?}",
        verdict.spent
    );
}

#[test]
fn flagged_samples_are_measured_once_more_before_anything_is_thrown_away() {
    // In the third block two threads are disturbed once.
    let disturbed = std::cell::Cell::new(0);
    let mut script = Script::new(table(&[1.2e-3, 1e-3])).flagging(|place| {
        if place.block != 3 || place.arm.threads.get() != 2 {
            return false;
        }
        disturbed.set(disturbed.get() + 1);
        disturbed.get() == 1
    });
    let verdict = decide(&mut script, layout(2, 2), Options::counts_only());
    assert_eq!(verdict.rejected, 1);
    let third = script
        .asked
        .iter()
        .enumerate()
        .filter(|(_, asked)| matches!(asked, Asked::Block(plan) if plan.len() == 2))
        .map(|(i, _)| i)
        .nth(2)
        .unwrap();
    let Asked::Block(again) = &script.asked[third + 1] else {
        panic!("a pause came first");
    };
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].0.threads, count(2));
    assert!(script.pauses_ms().is_empty());
}

#[test]
fn disturbed_blocks_are_followed_by_growing_pauses_then_taken_as_they_are() {
    // The first block and its eight repetitions are disturbed through and through.
    let mut script =
        Script::new(table(&[1.2e-3, 1e-3])).flagging(|place| (1..=17).contains(&place.block));
    let verdict = decide(&mut script, layout(2, 2), Options::counts_only());
    assert_eq!(
        script.pauses_ms(),
        [40, 80, 160, 320, 640, 1000, 1000, 1000]
    );
    assert_eq!(
        verdict.stop,
        StopReason::Separated,
        "one dirty block of five"
    );
}

#[test]
fn with_little_patience_a_lasting_disturbance_costs_a_second() {
    // From the race on one of the two is always disturbed.
    let waited_ms = |patience: Patience| {
        let mut script = Script::new(table(&[1.2e-3, 1e-3]))
            .flagging(|place| place.block > 0 && place.arm.threads.get() == 2);
        let options = Options {
            patience,
            ..Options::counts_only()
        };
        let verdict = decide(&mut script, layout(2, 2), options);
        assert_eq!(verdict.stop, StopReason::Contaminated);
        script.pauses_ms()
    };
    let short = waited_ms(Patience::Short);
    assert_eq!(short, [40, 80, 160, 320, 40, 80, 160, 320]);
    let long = waited_ms(Patience::Long);
    assert_eq!(long[..9], [40, 80, 160, 320, 640, 1000, 1000, 1000, 40]);
    assert!(long.iter().sum::<u64>() > 8000, "{long:?}");
}

#[test]
fn a_flagged_screening_sample_is_tried_three_times_more() {
    let mut script = Script::new(table(&[1.2e-3, 1e-3]))
        .flagging(|place| place.block == 0 && place.arm.threads.get() == 1);
    let verdict = decide(&mut script, layout(2, 2), Options::counts_only());
    assert_eq!(script.pauses_ms()[..2], [50, 100]);
    // Its optimistic value still lets it race, where it is clean.
    assert!(
        verdict
            .curve
            .iter()
            .any(|timed| timed.arm.threads.get() == 1 && timed.raced)
    );
    assert_eq!(chosen(&verdict), 2);
}
