//! What is waited for before anything is measured.

use super::*;

#[test]
fn an_idle_machine_is_tuned_after_a_quiet_while_one_task_after_another() {
    let mut world = World::new(Settings::default(), &["a", "b"]);
    assert_eq!(world.log(), ["survey"]);
    assert_eq!(waits_for(&world), Reason::Quiet);
    assert_eq!(world.pass(59), 0, "nothing wakes it meanwhile");
    assert_eq!(
        (world.pass(1), world.log()),
        (1, vec!["measure a".to_owned()])
    );
    assert_eq!(
        world.schedule.wake_at(),
        None,
        "nothing ticks while it measures"
    );
    world.finish(3);
    assert_eq!(world.log(), ["measure b"], "no second wait");
    world.finish(4);
    assert_eq!(world.schedule.phase(), Phase::Idle);
    assert_eq!(world.schedule.spent_today(), Nanos(7 * SECOND));
}

#[test]
fn nothing_to_do_means_no_wake_up_before_the_next_check() {
    let mut world = World::new(Settings::default(), &[]);
    world.log();
    let week = 7 * 86_400;
    assert_eq!(world.pass(week - 1), 0);
    assert_eq!(
        (world.pass(1), world.log()),
        (1, vec!["survey check".to_owned()])
    );
    assert_eq!(world.pass(week - 1), 0);
    let never = Settings {
        drift_interval: None,
        ..Settings::default()
    };
    let world = World::new(never, &[]);
    assert_eq!(world.schedule.wake_at(), None);
}

#[test]
fn a_busy_machine_is_looked_at_once_in_a_quiet_time_and_named() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.log();
    world.load = busy(1.5);
    assert_eq!(world.pass(600), 10);
    let busiest = Some(("make".to_owned(), 1.5));
    assert_eq!(waits_for(&world), Reason::Busy { cpus: 1.5, busiest });
    assert_eq!(world.log(), Vec::<String>::new());
    world.load = idle();
    world.pass(60);
    assert_eq!(world.log(), ["measure a"]);
}

#[test]
fn without_a_quiet_time_it_still_looks_once_a_second_only() {
    let hasty = Settings {
        quiet: Nanos::ZERO,
        ..Settings::default()
    };
    let mut world = World::new(hasty.clone(), &["a"]);
    world.load = busy(2.0);
    let woken = world.pass(60);
    assert!((59..=62).contains(&woken), "{woken}");
    let mut world = World::new(hasty, &["a"]);
    world.log();
    world.pass(0);
    assert_eq!(world.log(), [""; 0], "nothing is known of the others yet");
    world.pass(1);
    assert_eq!(world.log(), ["measure a"]);
}

#[test]
fn pressure_counts_before_measuring_and_not_while_it_lasts() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.load.pressure_percent = Some(30.0);
    world.pass(120);
    assert_eq!(waits_for(&world), Reason::Pressure(30.0));
    world.load.pressure_percent = None;
    world.pass(60);
    world.log();
    // Its own threads press now.
    world.load.pressure_percent = Some(90.0);
    world.tell(Event::Looked(world.load.clone()));
    assert_eq!(world.log(), Vec::<String>::new());
}

#[test]
fn what_happens_when_it_is_about_to_look_makes_no_busy_machine_idle() {
    let events = [
        Event::ClockSet,
        Event::Reloaded(Settings::default()),
        Event::Changed,
        Event::PowerChanged,
    ];
    for first in &events {
        for second in &events {
            let mut world = World::new(Settings::default(), &["a"]);
            world.load = busy(2.0);
            world.pass(90);
            // Asleep, or stopped: more than one thing is found when it runs again.
            world.at += 3600 * SECOND;
            world.log();
            world.tell_at_once([first.clone(), second.clone()]);
            let log = world.log();
            assert!(
                !log.contains(&"measure a".to_owned()),
                "{first:?} {second:?}"
            );
            world.load = idle();
            world.pass(60);
            assert_eq!(world.log(), ["measure a"], "{first:?} {second:?}");
        }
    }
}

#[test]
fn a_battery_is_spared() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.load.on_mains = false;
    world.pass(60);
    assert_eq!(waits_for(&world), Reason::Battery);
    // Nothing is looked at before something changes, or may have without a notice.
    assert_eq!(world.pass(599), 0);
    world.load.on_mains = true;
    world.tell(Event::PowerChanged);
    assert_eq!(waits_for(&world), Reason::Quiet);
    world.log();
    world.pass(60);
    assert_eq!(world.log(), ["measure a"]);
    world.tell(Event::Looked(Load {
        on_mains: false,
        ..idle()
    }));
    assert_eq!(world.log(), ["stand back"]);
    let careless = Settings {
        mains_only: false,
        ..Settings::default()
    };
    let mut world = World::new(careless, &["a"]);
    world.load.on_mains = false;
    world.pass(60);
    assert!(matches!(world.schedule.phase(), Phase::Measuring(_)));
}

#[test]
fn without_a_notice_of_the_mains_it_looks_now_and_then() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.load.on_mains = false;
    world.pass(60);
    world.load.on_mains = true;
    world.log();
    world.pass(600 + 60);
    assert_eq!(world.log(), ["measure a"]);
    // Whoever is not waiting for the mains is not disturbed by them.
    world.tell(Event::PowerChanged);
    assert_eq!(world.log(), Vec::<String>::new());
    assert!(matches!(world.schedule.phase(), Phase::Measuring(_)));
}

#[test]
fn what_must_be_mended_is_looked_at_now_and_then_and_on_request() {
    let stuck = |cpu| Event::Stuck {
        cpu: Nanos(cpu * SECOND),
        why: "disk full".to_owned(),
    };
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world.log();
    world.tell(stuck(3));
    assert_eq!(waits_for(&world), Reason::Stuck("disk full".to_owned()));
    assert_eq!(world.schedule.spent_today(), Nanos(3 * SECOND));
    // An idle machine changes nothing about it.
    world.tell(Event::Looked(idle()));
    assert_eq!(world.pass(599), 0);
    assert_eq!(world.log(), Vec::<String>::new());
    assert_eq!(world.pass(1), 1);
    assert_eq!(world.log(), ["survey"]);
    assert_eq!(
        waits_for(&world),
        Reason::Quiet,
        "the survey found no fault"
    );
    world.tell(stuck(0));
    world.tell(Event::TuneNow);
    assert_eq!(world.log(), ["survey check", "measure a"]);
    world.tell(stuck(0));
    world.tell(Event::Stop);
    assert_eq!(world.log(), ["exit"]);
}

#[test]
fn what_is_to_be_looked_at_again_is_surveyed_when_it_is_due() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world
        .schedule
        .visit_in(Some(Nanos(3600 * SECOND)), now(world.at));
    world.finish(1);
    world.log();
    world.todo = vec![tune("a")];
    assert_eq!(world.pass(3599), 0, "it sleeps until then");
    world.pass(1);
    assert_eq!(world.log(), ["survey"]);
    world.pass(60);
    assert_eq!(world.log(), ["measure a"], "on a quiet machine");
    // Nothing is due any more.
    world.schedule.visit_in(None, now(world.at));
    world.finish(1);
    assert_eq!(world.schedule.wake_at(), world.schedule.check_at);
}
