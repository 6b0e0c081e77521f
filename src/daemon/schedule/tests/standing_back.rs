//! Who goes before what is being measured.

use super::*;

#[test]
fn it_stands_back_for_others_and_resumes_the_same_task_later() {
    let mut world = World::new(Settings::default(), &["a", "b"]);
    world.pass(60);
    world.log();
    world.tell(Event::Looked(busy(0.9)));
    assert_eq!(world.log(), ["stand back"]);
    assert!(matches!(
        world.schedule.phase(),
        Phase::StandingBack(_, Reason::Busy { .. })
    ));
    // A second look before the sample has ended asks for nothing more.
    world.tell(Event::Looked(busy(0.9)));
    assert_eq!(world.log(), Vec::<String>::new());
    world.load = busy(0.9);
    world.tell(Event::PutAside {
        cpu: Nanos(2 * SECOND),
    });
    assert!(
        matches!(waits_for(&world), Reason::Busy { .. }),
        "the reason stays"
    );
    world.pass(120);
    world.load = idle();
    world.pass(60);
    assert_eq!(world.log(), ["measure a"]);
    assert_eq!(world.schedule.spent_today(), Nanos(2 * SECOND));
}

#[test]
fn it_stands_back_for_another_threadtune_however_idle_the_machine_is() {
    let taken = || Load {
        measured_by: Some("threadtune tune".to_owned()),
        ..idle()
    };
    let by = || Reason::Measured("threadtune tune".to_owned());
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world.log();
    world.load = taken();
    world.tell(Event::Looked(taken()));
    assert_eq!(world.log(), ["stand back"]);
    let aside = tune("a");
    let phase = Phase::StandingBack(&aside, &by());
    assert_eq!(world.schedule.phase(), phase);
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    for _ in 0..5 {
        world.pass(600);
        assert_eq!(waits_for(&world), by());
    }
    // A survey meanwhile changes nothing about that.
    world.tell(Event::Changed);
    assert_eq!(
        (world.log(), waits_for(&world)),
        (vec!["survey".to_owned()], by())
    );
    world.load = idle();
    world.pass(60);
    assert_eq!(world.log(), ["measure a"]);
    // Whoever told it to tune now wants it now.
    world.tell(Event::TuneNow);
    world.tell(Event::Looked(taken()));
    assert_eq!(world.log(), Vec::<String>::new());
}

#[test]
fn the_background_of_a_large_machine_disturbs_nobody() {
    let background = |busiest| Load {
        cpus: 384,
        others_cpus: 1.5,
        busiest: Some(("monitor".to_owned(), busiest)),
        ..idle()
    };
    let mut world = World::new(Settings::default(), &["a"]);
    world.load = background(0.3);
    world.pass(60);
    world.tell(Event::Looked(background(0.3)));
    assert_eq!(world.log(), ["survey", "measure a"]);
    world.tell(Event::Looked(background(0.9)));
    assert_eq!(world.log(), ["stand back"]);
}

#[test]
fn a_task_that_ends_while_it_stands_back_is_done() {
    let mut world = World::new(Settings::default(), &["a", "b"]);
    world.pass(60);
    world.tell(Event::Looked(busy(2.0)));
    world.log();
    world.finish(1);
    assert!(matches!(waits_for(&world), Reason::Busy { .. }));
    let left: Vec<&Task> = world.schedule.tasks().collect();
    assert_eq!(left, [&tune("b")]);
}

#[test]
fn tune_now_waits_for_nothing() {
    let settings = Settings {
        hours: "22-6".parse().unwrap(),
        daily_cpu: Some(Nanos(SECOND)),
        ..Settings::default()
    };
    let mut world = World::new(settings, &["a", "b"]);
    world.at = 12 * 3600 * SECOND;
    world.load = busy(8.0);
    world.log();
    world.tell(Event::TuneNow);
    assert_eq!(world.log(), ["survey check", "measure a"]);
    world.tell(Event::Looked(busy(8.0)));
    assert_eq!(world.log(), Vec::<String>::new(), "it does not stand back");
    world.finish(5);
    assert_eq!(world.log(), ["measure b"]);
    world.finish(5);
    assert_eq!(world.schedule.phase(), Phase::Idle);
    // The next task waits again.
    world.todo = vec![tune("c")];
    world.tell(Event::Changed);
    assert_eq!(world.log(), ["survey"]);
    assert_eq!(waits_for(&world), Reason::Hours);
}

#[test]
fn tune_now_surveys_after_what_is_being_done() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world.log();
    world.tell(Event::TuneNow);
    assert_eq!(world.log(), Vec::<String>::new(), "it goes on");
    world.todo.push(tune("failed before"));
    world.load = busy(8.0);
    world.finish(1);
    assert_eq!(world.log(), ["survey check", "measure failed before"]);
}

#[test]
fn stop_ends_the_running_sample_and_then_the_process() {
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(60);
    world.log();
    world.tell(Event::Stop);
    world.tell(Event::Stop);
    assert_eq!(world.log(), ["stand back"]);
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    assert_eq!(world.log(), ["exit"]);
    // Nothing wakes the dead.
    for event in [Event::TuneNow, Event::Changed, Event::Looked(idle())] {
        world.tell(event);
    }
    assert_eq!((world.log(), world.schedule.wake_at()), (Vec::new(), None));
    let mut waiting = World::new(Settings::default(), &["a"]);
    waiting.log();
    waiting.tell(Event::Stop);
    assert_eq!(waiting.log(), ["exit"]);
}
