//! Hours, days, and clocks that are set.

use super::*;

#[test]
fn outside_its_hours_it_sleeps_until_they_begin() {
    let settings = Settings {
        hours: "22-6".parse().unwrap(),
        ..Settings::default()
    };
    let mut world = World::new(settings, &["a", "b"]);
    // It is midnight: allowed.
    world.pass(60);
    assert!(matches!(world.schedule.phase(), Phase::Measuring(_)));
    world.log();
    world.at = 6 * 3600 * SECOND;
    world.tell(Event::Looked(idle()));
    assert_eq!(world.log(), ["stand back"]);
    world.tell(Event::PutAside { cpu: Nanos::ZERO });
    world.pass(60);
    assert_eq!(waits_for(&world), Reason::Hours);
    assert_eq!(world.pass(16 * 3600 - 61), 0, "not once during the day");
    world.pass(1 + 60);
    assert_eq!(
        world.log(),
        ["measure a"],
        "a quiet minute after ten in the evening"
    );
}

#[test]
fn who_waits_for_an_hour_or_a_limit_looks_again_when_the_clock_or_the_settings_change() {
    let night = Settings {
        hours: "22-6".parse().unwrap(),
        ..Settings::default()
    };
    let waiting = || {
        let mut world = World::new(night.clone(), &["a"]);
        world.load = busy(2.0);
        world.pass(12 * 3600);
        assert_eq!(waits_for(&world), Reason::Hours);
        world.load = idle();
        world.log();
        world
    };
    let mut world = waiting();
    world.tell(Event::Reloaded(Settings::default()));
    assert_eq!(waits_for(&world), Reason::Quiet);
    world.pass(60);
    assert_eq!(world.log(), ["survey check", "measure a"]);
    let mut world = waiting();
    world.at = 23 * 3600 * SECOND;
    world.tell(Event::ClockSet);
    assert_eq!(waits_for(&world), Reason::Quiet);
    // A quiet time does not go on across a suspend.
    let mut world = World::new(Settings::default(), &["a"]);
    world.pass(59);
    world.tell(Event::ClockSet);
    world.log();
    world.pass(59);
    assert_eq!(world.log(), Vec::<String>::new());
    world.pass(1);
    assert_eq!(world.log(), ["measure a"]);
}

#[test]
fn the_days_cpu_time_is_not_exceeded_by_more_than_a_task_and_comes_back_at_midnight() {
    let settings = Settings {
        daily_cpu: Some(Nanos(10 * SECOND)),
        ..Settings::default()
    };
    let mut world = World::new(settings, &["a", "b", "c"]);
    world.pass(60);
    world.finish(6);
    world.finish(6);
    assert_eq!(waits_for(&world), Reason::DailyLimit);
    world.log();
    assert_eq!(world.pass(86_400 - 61), 0);
    // What happened during the day says nothing about now: a quiet minute first.
    world.pass(59);
    assert_eq!(world.log(), Vec::<String>::new());
    world.pass(2);
    assert_eq!(world.log(), ["measure c"]);
    assert_eq!(world.schedule.spent_today(), Nanos::ZERO);
    // A clock that is set back two days gives nothing back, and its own time is not lost.
    let back = Now {
        day: -1,
        ..now(world.at)
    };
    let event = Event::Finished {
        cpu: Nanos(9 * SECOND),
        then: Vec::new(),
    };
    world.schedule.handle(event, back);
    world.schedule.handle(Event::Changed, back);
    assert_eq!(world.schedule.spent_today(), Nanos(9 * SECOND));
}

#[test]
fn what_was_spent_before_counts_and_so_does_the_last_check() {
    let day = 86_400;
    let before = |spent_day, hours: u64| Before {
        spent: Some((spent_day, Nanos(5 * SECOND))),
        since_check: Some(Nanos(hours * 3600 * SECOND)),
    };
    let at_noon = now(day / 2 * SECOND);
    let started = |before| {
        let mut schedule = Schedule::new(Settings::default(), before, at_noon);
        assert_eq!(schedule.phase(), Phase::Waiting(&Reason::Changed));
        schedule.handle(Event::Surveyed(Vec::new()), at_noon);
        schedule
    };
    let schedule = started(before(0, 24));
    assert_eq!(schedule.spent_today(), Nanos(5 * SECOND));
    // A check is due after a week, the day before the start included, or at once.
    assert_eq!(
        schedule.wake_at(),
        Some(at_noon.at + Nanos(6 * day * SECOND))
    );
    assert_eq!(started(before(0, 24 * 30)).wake_at(), Some(at_noon.at));
    let mut yesterday = started(before(-1, 0));
    yesterday.handle(Event::Changed, at_noon);
    assert_eq!(yesterday.spent_today(), Nanos::ZERO);
    // A day that has yet to come was no day: its limit must not hold until then.
    let mut tomorrow = started(before(1, 0));
    tomorrow.handle(Event::Changed, now((day + 1) * SECOND));
    assert_eq!(tomorrow.spent_today(), Nanos::ZERO);
}

#[test]
fn a_clock_that_was_in_the_future_does_not_keep_its_day() {
    let settings = Settings {
        daily_cpu: Some(Nanos(SECOND)),
        ..Settings::default()
    };
    let mut schedule = Schedule::new(settings, Before::default(), now(0));
    let future = Now {
        day: 9000,
        ..now(SECOND)
    };
    let spent = Event::Looked(Load {
        spent: Nanos(2 * SECOND),
        ..idle()
    });
    schedule.handle(spent, future);
    schedule.handle(Event::ClockSet, now(2 * SECOND));
    assert_eq!(
        schedule.spent_today(),
        Nanos(2 * SECOND),
        "nothing comes back"
    );
    schedule.handle(Event::Changed, now(86_400 * SECOND));
    assert_eq!(schedule.spent_today(), Nanos::ZERO, "but the next day does");
}
