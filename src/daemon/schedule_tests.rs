//! The schedule on virtual time: a world that answers its actions, bounded against running for ever.

use super::*;
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;

/// A machine with a load and a list of what is to be done; what the schedule asks for is logged.
struct World {
    schedule: Schedule,
    at: u64,
    load: Load,
    todo: Vec<Task>,
    log: Vec<String>,
    actions: usize,
}

fn idle() -> Load {
    Load {
        others_cpus: 0.01,
        pressure_percent: Some(0.0),
        on_mains: true,
        busiest: None,
        spent: Nanos::ZERO,
    }
}

fn busy(cpus: f64) -> Load {
    Load {
        others_cpus: cpus,
        busiest: Some(("make".to_owned(), cpus)),
        ..idle()
    }
}

fn tune(name: &str) -> Task {
    Task::Tune(name.to_owned())
}

impl World {
    fn new(settings: Settings, todo: &[&str]) -> Self {
        let mut world = Self {
            // Midnight of day 0 is second 0.
            schedule: Schedule::new(settings, Before::default(), now(0)),
            at: 0,
            load: idle(),
            todo: todo.iter().map(|name| tune(name)).collect(),
            log: Vec::new(),
            actions: 0,
        };
        world.act();
        world
    }

    /// Does what the schedule asks for, until it asks for nothing more.
    fn act(&mut self) {
        while let Some(action) = self.schedule.next_action() {
            self.actions += 1;
            assert!(self.actions < 10_000, "no end: {:?}", self.log);
            match action {
                Action::Survey { check } => {
                    self.log
                        .push(format!("survey{}", if check { " check" } else { "" }));
                    self.tell(Event::Surveyed(self.todo.clone()));
                }
                Action::Look => self.tell(Event::Looked(self.load.clone())),
                Action::Measure(task) => self.log.push(format!("measure {}", task.workload())),
                Action::StandBack => self.log.push("stand back".to_owned()),
                Action::Exit => self.log.push("exit".to_owned()),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.schedule.handle(event, now(self.at));
        self.act();
    }

    /// Lets time pass, waking the schedule whenever it wants to; how often that was.
    fn pass(&mut self, seconds: u64) -> usize {
        let end = self.at + seconds * SECOND;
        let mut woken = 0;
        while let Some(wake) = self.schedule.wake_at().filter(|wake| wake.0 <= end) {
            assert!(wake.0 >= self.at, "the past");
            self.at = wake.0;
            woken += 1;
            assert!(woken < 10_000, "no end");
            self.schedule.wake(now(self.at));
            self.act();
        }
        self.at = end;
        woken
    }

    fn finish(&mut self, cpu_seconds: u64) {
        if let Phase::Measuring(task) = self.schedule.phase() {
            let task = task.clone();
            self.todo.retain(|t| *t != task);
        }
        self.tell(Event::Finished {
            cpu: Nanos(cpu_seconds * SECOND),
            then: Vec::new(),
        });
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn now(at: u64) -> Now {
    let second = at / SECOND;
    Now {
        at: Nanos(at),
        day: (second / 86_400).cast_signed(),
        second: (second % 86_400) as u32,
    }
}

fn waits_for(world: &World) -> Reason {
    match world.schedule.phase() {
        Phase::Waiting(reason) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

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

fn check(name: &str) -> Task {
    Task::Check(name.to_owned())
}

/// The survey that the schedule asks for next, answered by these tasks.
fn survey(world: &mut World, todo: &[Task], event: Event) -> Vec<String> {
    world.todo = todo.to_vec();
    world.tell(event);
    world.log()
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
    assert_eq!(world.log(), ["measure a"]);
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

#[test]
fn whatever_happens_there_is_an_end_and_no_task_is_lost() {
    use rand::{RngExt as _, SeedableRng as _};
    for seed in 0..200 {
        let mut rng = rand_pcg::Pcg32::seed_from_u64(seed);
        let mut world = World::new(Settings::default(), &["a", "b", "c"]);
        let mut done: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..300 {
            world.load = if rng.random() { idle() } else { busy(3.0) };
            match rng.random_range(0..8) {
                0 => world.tell(Event::Changed),
                1 if rng.random_range(0..10) == 0 => world.tell(Event::TuneNow),
                2 => world.tell(Event::Looked(world.load.clone())),
                3 => world.tell(Event::Reloaded(Settings::default())),
                _ => {
                    world.pass(rng.random_range(1..200));
                }
            }
            match world.schedule.phase() {
                Phase::Measuring(task) if rng.random_range(0..3) == 0 => {
                    *done.entry(task.workload().to_owned()).or_default() += 1;
                    world.finish(1);
                }
                Phase::StandingBack(..) => world.tell(Event::PutAside { cpu: Nanos(1) }),
                _ => {}
            }
        }
        world.load = idle();
        for _ in 0..20 {
            world.pass(200);
            if let Phase::Measuring(task) = world.schedule.phase() {
                *done.entry(task.workload().to_owned()).or_default() += 1;
                world.finish(1);
            }
        }
        let done: Vec<(&str, u32)> = done.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(done, [("a", 1), ("b", 1), ("c", 1)], "seed {seed}");
    }
}
