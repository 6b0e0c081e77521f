//! Order of measuring, stop reasons and choices.

use super::script::{Asked, Place, Script, chosen, count, decide, jitter, layout, table};
use std::collections::BTreeMap;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Arm, Options, Race, Racer};
use threadtune::units::{Calls, Nanos};

#[test]
fn screening_starts_at_the_physical_cores_goes_down_then_up() {
    let mut script = Script::new(table(&[4e-3, 2e-3, 3e-3, 2.5e-3, 2.6e-3, 2.7e-3]));
    decide(&mut script, layout(6, 3), Options::counts_only());
    let order = script.order();
    assert_eq!(order[..3], [3, 2, 1]);
    let mut up = order[3..6].to_vec();
    up.sort_unstable();
    assert_eq!(up, [4, 5, 6]);
}

#[test]
fn short_calls_are_calibrated_twice_and_fill_a_millisecond() {
    let mut script = Script::new(|_| 1e-6);
    decide(&mut script, layout(1, 1), Options::counts_only());
    let calls: Vec<u32> = script
        .asked
        .iter()
        .take(3)
        .filter_map(|asked| match asked {
            Asked::Block(plan) => Some(plan[0].1),
            Asked::Idle(_) => None,
        })
        .collect();
    assert_eq!(calls, [1, 100, 1000]);
}

#[test]
fn a_clear_winner_is_separated_and_slow_racers_leave_at_the_first_look() {
    let mut script = Script::new(table(&[8e-3, 4.3e-3, 4e-3, 5e-3]));
    let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
    assert_eq!(verdict.stop, StopReason::Separated);
    assert_eq!(chosen(&verdict), 3);
    assert_eq!(verdict.ties, [count(3)]);
    assert!(verdict.p_within > 0.99);
    let timing = verdict.latency.unwrap();
    assert!((timing.time.seconds_per_call / 4e-3 - 1.0).abs() < 2e-3);
    assert!(timing.ci95[0] < 4e-3 && timing.ci95[1] > 4e-3);
    // Speedup over all logical CPUs, from the same race.
    assert!((verdict.default.unwrap().speedup - 1.25).abs() < 0.01);
    assert_eq!(verdict.pinned, verdict.latency);
}

#[test]
fn racers_that_cannot_win_take_no_more_blocks() {
    // The others are told apart late, four threads at once.
    let seconds = |place: &Place| match place.arm.threads.get() {
        4 => 1.2e-3,
        _ => 1e-3 * jitter(place.sample, 0.05),
    };
    let mut script = Script::new(seconds);
    decide(&mut script, layout(4, 4), Options::counts_only());
    let sizes = script.sizes();
    assert_eq!(sizes[..5], [4; 5]);
    assert!(sizes.len() > 6 && sizes[5..].iter().all(|size| *size < 4));
}

#[test]
fn a_racer_that_left_returns_when_the_incumbent_changes() {
    // At first 1 is best and 2 surely one percent slower, so it leaves; 3 is too erratic to tell. Then 1 becomes slow
    // and 3 fast: against 3, what is known of 2 proves nothing.
    let seconds = |place: &Place| match (place.arm.threads.get(), place.block) {
        (1, 0..=5) => 1e-3,
        (1, _) => 1.3e-3,
        (2, _) => 1.01e-3,
        (_, 0) => 1e-3,
        (_, block @ 1..=5) => [0.9e-3, 1.25e-3, 1.0e-3, 1.2e-3, 1.1e-3][block - 1],
        _ => 0.95e-3,
    };
    let mut script = Script::new(seconds);
    decide(&mut script, layout(3, 3), Options::counts_only());
    let sizes = script.sizes();
    assert_eq!(sizes[..5], [3; 5]);
    let left = sizes.iter().position(|size| *size == 2).unwrap();
    assert!(sizes[left..].contains(&3), "nobody returned: {sizes:?}");
}

#[test]
fn equal_counts_tie_and_the_smallest_is_preferred() {
    let mut script = Script::new(table(&[9e-3, 4.012e-3, 4.01e-3, 4e-3]));
    let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
    assert_eq!(verdict.stop, StopReason::Eps);
    assert_eq!(chosen(&verdict), 2, "0.3 % is no reason for more threads");
    assert!(verdict.ties.contains(&count(2)) && verdict.ties.contains(&count(4)));
    // One percent is: within eps, but not preferred.
    let mut script = Script::new(table(&[9e-3, 4.04e-3, 4.04e-3, 4e-3]));
    let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
    assert_eq!(chosen(&verdict), 4);
}

#[test]
fn one_cpu_is_single_and_still_timed() {
    let mut script = Script::new(table(&[2e-3]));
    let verdict = decide(&mut script, layout(1, 1), Options::default());
    assert_eq!(verdict.stop, StopReason::Single);
    assert_eq!(chosen(&verdict), 1);
    assert!(verdict.latency.unwrap().time.ci95.is_some());
    assert!((verdict.p_within - 1.0).abs() < 1e-12);
    assert_eq!(verdict.latency.unwrap().arm.placement, Placement::Unbound);
    assert_eq!(verdict.pinned.unwrap().arm.placement, Placement::Close);
}

#[test]
fn a_budget_that_holds_no_race_leaves_the_first_racer_inconclusive() {
    let times = [90.0, 45.0, 31.0, 20.0];
    let mut script = Script::new(table(&times));
    let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
    assert_eq!(verdict.stop, StopReason::Budget);
    assert_eq!(chosen(&verdict), 4);
    assert!(verdict.p_within < 0.5);
    let [low, high] = verdict.latency.unwrap().ci95;
    assert!(high / low > 2.0, "one sample proves little");
    assert!(verdict.spent <= Nanos::from_secs_f64(90.0));
}

#[test]
fn no_time_at_all_is_a_budget_that_ended() {
    let mut options = Options {
        time_budget: Nanos::ZERO,
        ..Options::default()
    };
    let verdict = decide(&mut Script::new(|_| 1e-3), layout(4, 4), options.clone());
    assert_eq!((verdict.stop, verdict.latency), (StopReason::Budget, None));
    // Enough for one sample.
    options.time_budget = Nanos(10);
    let verdict = decide(&mut Script::new(|_| 1e-3), layout(4, 4), options);
    assert_eq!(verdict.stop, StopReason::Budget);
    assert!(verdict.p_within.abs() < 1e-12);
}

#[test]
fn noise_that_never_settles_ends_with_the_time_or_the_blocks_and_says_which() {
    let ends = |call: f64| {
        let mut script = Script::new(|place: &Place| call * jitter(place.sample, 0.8));
        let verdict = decide(&mut script, layout(4, 4), Options::counts_only());
        assert!(verdict.latency.is_some());
        (
            verdict.stop,
            script.sizes().len(),
            verdict.spent.as_secs_f64(),
        )
    };
    let (stop, blocks, seconds) = ends(0.05);
    assert_eq!(stop, StopReason::Budget);
    assert!(blocks < 640 && (60.0..60.5).contains(&seconds), "{seconds}");
    let (stop, blocks, seconds) = ends(0.002);
    assert_eq!((stop, blocks), (StopReason::Undecided, 640));
    assert!(seconds < 6.0, "{seconds}");
}

#[test]
fn a_count_that_noise_hides_races_after_the_others() {
    let times = |threads: u32| if threads == 40 { 0.95e-3 } else { 1e-3 };
    // The choice, counts that raced, the most in one block, and how it ended.
    let decided = |spread: f64, screened: f64| {
        let mut script = Script::new(|place: &Place| {
            let is_screening = place.block == 0;
            match place.arm.threads.get() {
                40 if is_screening => screened,
                _ if is_screening => 1e-3 * jitter(place.sample, spread),
                threads => times(threads),
            }
        });
        let verdict = decide(&mut script, layout(64, 64), Options::counts_only());
        let raced = verdict.curve.iter().filter(|timed| timed.raced).count();
        let most = script.sizes().into_iter().max().unwrap();
        // All CPUs raced with those that left before the winner came: they are compared over one that met both.
        let default = verdict.default.unwrap();
        let expected = 1e-3 / times(verdict.latency.unwrap().arm.threads.get());
        assert_eq!(default.threads, count(64));
        assert!(
            (default.speedup / expected - 1.0).abs() < 1e-6,
            "{default:?}"
        );
        (
            verdict.latency.unwrap().arm.threads.get(),
            raced,
            most,
            verdict.stop,
        )
    };
    // Samples that agree leave no doubt: six race, and all CPUs.
    let (chosen, raced, most, _) = decided(0.0, 1.02e-3);
    assert!(chosen != 40 && raced == 7 && most == 7, "{chosen}, {raced}");
    let (chosen, raced, most, stop) = decided(0.1, 0.94e-3);
    assert_eq!((chosen, stop), (40, StopReason::Separated));
    assert!(raced > 7 && most <= 7, "{raced}, {most}");
}

#[test]
fn a_race_that_ends_after_two_blocks_proves_nothing() {
    let racer = |threads| Racer {
        arm: Arm {
            threads: count(threads),
            placement: Placement::Close,
        },
        calls: Calls::ONE,
    };
    let options = Options {
        time_budget: Nanos(5_000_000_000),
        ..Options::default()
    };
    let mut script = Script::new(table(&[2.0, 1.0]));
    let outcome = Race::run(vec![racer(1), racer(2)], &options, &mut script);
    let outcome = outcome.unwrap().unwrap();
    assert_eq!((outcome.blocks, outcome.ties), (2, vec![0, 1]));
    assert_eq!(outcome.stop, StopReason::Budget);
    assert!(outcome.p_within.abs() < 1e-12, "{}", outcome.p_within);
}

#[test]
fn the_unbound_race_decides_latency_and_the_bound_one_pinned() {
    // Bound, four threads win; left to the kernel, two do.
    let seconds = |place: &Place| {
        let t = match (place.arm.placement, place.arm.threads.get()) {
            (Placement::Unbound, 2) => 2.2e-3,
            (Placement::Unbound, 4) => 2.6e-3,
            (_, 1) => 4e-3,
            (_, 2) => 2.1e-3,
            (_, 3) => 2.15e-3,
            _ => 2e-3,
        };
        t * jitter(place.sample, 0.002)
    };
    let mut script = Script::new(seconds);
    let verdict = decide(&mut script, layout(4, 4), Options::default());
    let latency = verdict.latency.unwrap();
    assert_eq!(latency.arm.threads, count(3));
    assert_eq!(latency.arm.placement, Placement::Unbound);
    assert_eq!(verdict.pinned.unwrap().arm.threads, count(4));
    assert_eq!(verdict.pinned.unwrap().arm.placement, Placement::Close);
    // The first race may stop at its first look, five blocks; the one that is reported not before ten.
    assert!(latency.time.samples >= 10, "{latency:?}");
    let default = verdict.default.unwrap();
    assert_eq!(default.threads, count(4));
    assert!((default.speedup - 2.6 / 2.15).abs() < 0.01, "{default:?}");
    assert!(verdict.stop.is_conclusive());
}

#[test]
fn the_fewest_threads_within_five_percent_are_proven_in_duels() {
    let times = [8e-3, 4.4e-3, 3.1e-3, 3.08e-3, 3.05e-3, 3.0e-3];
    let options = Options {
        efficient: true,
        ..Options::counts_only()
    };
    let mut script = Script::new(table(&times));
    let verdict = decide(&mut script, layout(6, 6), options.clone());
    assert_eq!(chosen(&verdict), 6);
    let efficient = verdict.efficient.unwrap();
    assert_eq!(efficient.arm.threads, count(3));
    assert!((efficient.loss - 0.0333).abs() < 0.005, "{efficient:?}");
    // Seven percent is too much.
    let times = [8e-3, 4.4e-3, 3.21e-3, 3.21e-3, 3.05e-3, 3.0e-3];
    let verdict = decide(&mut Script::new(table(&times)), layout(6, 6), options);
    assert_eq!(verdict.efficient.unwrap().arm.threads, count(5));
}

#[test]
fn a_count_that_loses_more_than_five_percent_is_tried_and_passed_over() {
    let options = Options {
        efficient: true,
        ..Options::counts_only()
    };
    let times = [8e-3, 4.4e-3, 3.4e-3, 3.3e-3, 3.162e-3, 3.0e-3];
    let mut script = Script::new(table(&times));
    let verdict = decide(&mut script, layout(6, 6), options);
    assert_eq!(verdict.efficient.unwrap().arm.threads.get(), 6);
    // The last blocks are its duel with the winner.
    let Some(Asked::Block(plan)) = script.asked.last() else {
        panic!("the last request was a pause");
    };
    let mut duel: Vec<u32> = plan.iter().map(|(arm, _)| arm.threads.get()).collect();
    duel.sort_unstable();
    assert_eq!(duel, [5, 6]);
}

#[test]
fn what_is_near_the_best_is_sampled_once_more_in_each_of_three_passes() {
    // Distances in log time: far, within the first pass, within the second, within the third, best.
    let times = [9e-3, 4.8e-3, 4.4e-3, 4.2e-3, 4e-3];
    let mut script = Script::new(table(&times));
    decide(&mut script, layout(5, 5), Options::counts_only());
    let mut samples = [0; 5];
    for asked in &script.asked {
        match asked {
            Asked::Block(plan) if plan.len() == 1 => {
                samples[plan[0].0.threads.as_usize() - 1] += 1;
            }
            _ => {}
        }
    }
    // And the four that were sampled first, 5 to 2, once more.
    assert_eq!(samples, [1, 2 + 1, 3 + 1, 4 + 1, 4 + 1]);
}

#[test]
fn placements_compete_where_the_options_say_so() {
    let seconds = |place: &Place| match (place.arm.placement, place.arm.threads.get()) {
        (_, 1) => 2e-3,
        (Placement::Spread, _) => 1.0e-3,
        _ => 1.2e-3,
    };
    let mut options = Options::counts_only();
    let both = vec![Placement::Close, Placement::Spread];
    options.placements.at = BTreeMap::from([(count(2), both)]);
    let verdict = decide(&mut Script::new(seconds), layout(2, 2), options);
    assert_eq!(verdict.pinned.unwrap().arm.placement, Placement::Spread);
}

#[test]
fn a_user_program_races_unbound_only() {
    let mut script = Script::new(table(&[2e-3, 1e-3]));
    let verdict = decide(&mut script, layout(2, 2), Options::unbound_only());
    assert_eq!(verdict.latency.unwrap().arm.placement, Placement::Unbound);
    assert_eq!(verdict.pinned, None);
    assert!(script.asked.iter().all(|asked| {
        match asked {
            Asked::Block(plan) => plan
                .iter()
                .all(|(arm, _)| arm.placement == Placement::Unbound),
            Asked::Idle(_) => true,
        }
    }));
}
