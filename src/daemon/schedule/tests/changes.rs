//! Machine and profile are not what they were.

use super::*;

#[test]
fn a_changed_machine_is_surveyed_once_the_task_is_put_aside() {
    let mut world = World::new(Settings::default(), &["a", "b"]);
    world.pass(60);
    world.log();
    for _ in 0..1000 {
        world.tell(Event::Changed);
    }
    assert_eq!(world.log(), ["stand back"]);
    world.todo = vec![tune("b")];
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    assert_eq!(world.log(), ["survey"]);
    world.pass(60);
    assert_eq!(world.log(), ["measure b"]);
}

#[test]
fn what_changes_while_it_stands_back_is_surveyed_too() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world.tell(Event::Looked(busy(1.0)));
    world.tell(Event::Reloaded(Settings::default()));
    world.tell(Event::Changed);
    world.log();
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    assert_eq!(world.log(), ["survey check"], "the reload asked for checks");
}

#[test]
fn changes_do_not_keep_a_waiting_machine_from_being_found_idle() {
    let mut world = World::new(Settings::default(), &["a"]);
    for _ in 0..6 {
        world.pass(10);
        world.tell(Event::Changed);
    }
    assert!(world.log().contains(&"measure a".to_owned()));
}

#[test]
fn a_check_that_is_due_stays_due_until_it_was_made() {
    let mut world = World::new(Settings::default(), &[]);
    world.log();
    let todo = [check("a")];
    world.todo = todo.to_vec();
    world.pass(7 * 86_400);
    assert_eq!(world.log(), ["survey check"]);
    // While it waits for a quiet minute, something changes.
    let log = survey(&mut world, &todo, Event::Changed);
    assert_eq!(log, ["survey check"]);
    world.pass(60);
    assert_eq!(world.log(), ["measure a"]);
    // And while it is made.
    world.tell(Event::Changed);
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    assert_eq!(world.log(), ["stand back", "survey check"]);
    world.pass(60);
    world.log();
    world.finish(1);
    assert_eq!(survey(&mut world, &[], Event::Changed), ["survey"]);
}

#[test]
fn what_follows_from_a_drift_makes_one_task_a_workload() {
    let mut world = World::new(Settings::default(), &[]);
    world.todo = vec![check("a"), check("b"), check("c"), tune("d")];
    world.pass(7 * 86_400 + 60);
    world.log();
    let lost = |name: &str, others: &[&str]| Event::Finished {
        cpu: Nanos::ZERO,
        then: std::iter::once(tune(name))
            .chain(others.iter().map(|other| check(other)))
            .collect(),
    };
    world.tell(lost("a", &["b", "c", "d", "e"]));
    let left = |world: &World| world.schedule.tasks().cloned().collect::<Vec<_>>();
    let expected = [tune("a"), check("e"), check("b"), check("c"), tune("d")];
    assert_eq!(left(&world), expected);
    world.finish(0);
    world.tell(lost("e", &["b", "c", "d"]));
    assert_eq!(left(&world), [tune("e"), check("b"), check("c"), tune("d")]);
    // What is to be tuned need not be checked.
    let then = vec![tune("c")];
    let cpu = Nanos::ZERO;
    world.tell(Event::Finished { cpu, then });
    assert_eq!(left(&world), [tune("c"), check("b"), tune("d")]);
}

#[test]
fn a_proven_drift_is_followed_by_its_tuning() {
    let mut world = World::new(Settings::default(), &[]);
    world.todo = vec![Task::Check("a".to_owned()), Task::Check("b".to_owned())];
    world.pass(7 * 86_400 + 60);
    assert_eq!(world.log(), ["survey", "survey check", "measure a"]);
    world.tell(Event::Finished {
        cpu: Nanos::ZERO,
        then: vec![tune("a")],
    });
    assert_eq!(world.schedule.phase(), Phase::Measuring(&tune("a")));
}
