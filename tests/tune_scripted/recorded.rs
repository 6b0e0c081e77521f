//! Tunings that may try some arms only, as when a recording holds no others.

use super::script::{Asked, Place, Script, chosen, count, decide, layout, table};
use std::collections::BTreeSet;
use threadtune::machine::Placement;
use threadtune::profile::StopReason;
use threadtune::tune::{Arm, Options};

#[test]
fn counts_that_a_recording_lacks_are_never_asked_for() {
    let close = |n| Arm {
        threads: count(n),
        placement: Placement::Close,
    };
    let mut options = Options::counts_only();
    options.only = Some([9, 10, 21].map(close).into());
    let mut script = Script::new(|place: &Place| 0.03 / f64::from(place.arm.threads.get()));
    let verdict = decide(&mut script, layout(32, 32), options.clone());
    assert_eq!(chosen(&verdict), 21);
    // One count of the grid is there, and the best of the others is far from it.
    options.only = Some([1, 5, 11, 21, 22].map(close).into());
    let verdict = decide(&mut script, layout(32, 32), options.clone());
    assert_eq!(chosen(&verdict), 22);
    options.only = Some([1000].map(close).into());
    let verdict = decide(&mut script, layout(32, 32), options);
    assert!(matches!(verdict.stop, StopReason::Failed(_)));
    assert_eq!(verdict.latency, None);
}

#[test]
fn a_second_race_holds_only_the_unbound_arms_that_were_recorded() {
    let arm = |n, placement| Arm {
        threads: count(n),
        placement,
    };
    let close = (1..=4).map(|n| arm(n, Placement::Close));
    let unbound = [2, 4].map(|n| arm(n, Placement::Unbound));
    let options = Options {
        only: Some(close.chain(unbound).collect()),
        ..Options::default()
    };
    let mut script = Script::new(table(&[4e-3, 2e-3, 1e-3, 1.5e-3]));
    let verdict = decide(&mut script, layout(4, 4), options);
    assert_eq!(verdict.pinned.unwrap().arm, arm(3, Placement::Close));
    assert_eq!(verdict.latency.unwrap().arm, arm(4, Placement::Unbound));
    let asked: BTreeSet<Arm> = script.asked.iter().flat_map(arms).collect();
    assert!(asked.contains(&unbound[0]) && asked.contains(&unbound[1]));
    assert_eq!(asked.len(), 6);
}

fn arms(asked: &Asked) -> Vec<Arm> {
    match asked {
        Asked::Block(plan) => plan.iter().map(|(arm, _)| *arm).collect(),
        Asked::Idle(_) => Vec::new(),
    }
}
