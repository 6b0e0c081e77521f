//! The schedule on virtual time: a world that answers its actions, bounded against running for ever.

mod calendar;
mod changes;
mod standing_back;
mod waiting;

use super::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg32;
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;

/// A machine with a load and a list of what is to be done; what the schedule asks for is logged.
struct World {
    schedule: Schedule,
    at: u64,
    load: Load,
    looked_at: u64,
    todo: Vec<Task>,
    log: Vec<String>,
    actions: usize,
}

fn idle() -> Load {
    Load {
        others_cpus: 0.01,
        pressure_percent: Some(0.0),
        ..Load::nobody()
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
            looked_at: 0,
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
                Action::Look => {
                    // In no time, nobody can have used anything.
                    let since = std::mem::replace(&mut self.looked_at, self.at);
                    let load = if since == self.at {
                        idle()
                    } else {
                        self.load.clone()
                    };
                    self.tell(Event::Looked(load));
                }
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

    /// Several things happened, and its time to wake up has come, before it can act.
    fn tell_at_once(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.schedule.handle(event, now(self.at));
        }
        self.schedule.wake(now(self.at));
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

fn check(name: &str) -> Task {
    Task::Check(name.to_owned())
}

/// The survey that the schedule asks for next, answered by these tasks.
fn survey(world: &mut World, todo: &[Task], event: Event) -> Vec<String> {
    world.todo = todo.to_vec();
    world.tell(event);
    world.log()
}

/// Something that may happen at any time.
fn anything(rng: &mut Pcg32) -> Event {
    match rng.random_range(0..7) {
        0 => Event::ClockSet,
        1 => Event::PowerChanged,
        2 => Event::Reloaded(Settings::default()),
        3 => Event::Looked(idle()),
        4 => Event::Looked(busy(3.0)),
        5 if rng.random_range(0..10) == 0 => Event::TuneNow,
        _ => Event::Changed,
    }
}

#[test]
fn whatever_happens_there_is_an_end_and_no_task_is_lost() {
    for seed in 0..200 {
        let mut rng = Pcg32::seed_from_u64(seed);
        let mut world = World::new(Settings::default(), &["a", "b", "c"]);
        world.todo.push(check("d"));
        let mut done: BTreeMap<String, u32> = BTreeMap::new();
        // Whether the check of `d` proves a drift.
        let mut is_lost = rng.random();
        let mut finish = |world: &mut World| {
            let Phase::Measuring(task) = world.schedule.phase() else {
                return;
            };
            let task = task.clone();
            let follows = task == check("d") && std::mem::take(&mut is_lost);
            let then = Vec::from_iter(follows.then(|| tune("d")));
            world.todo.retain(|t| *t != task);
            world.todo.extend(then.clone());
            *done.entry(task.to_string()).or_default() += 1;
            let cpu = Nanos(SECOND);
            world.tell(Event::Finished { cpu, then });
        };
        for _ in 0..300 {
            world.load = if rng.random() { idle() } else { busy(3.0) };
            match rng.random_range(0..4) {
                0 => world.tell(anything(&mut rng)),
                1 => {
                    let events = [anything(&mut rng), anything(&mut rng)];
                    world.tell_at_once(events);
                }
                _ => {
                    world.pass(rng.random_range(1..200));
                }
            }
            match world.schedule.phase() {
                Phase::Measuring(_) => match rng.random_range(0..6) {
                    0 | 1 => finish(&mut world),
                    2 => world.tell(Event::Stuck {
                        cpu: Nanos(1),
                        why: "disk full".to_owned(),
                    }),
                    _ => {}
                },
                Phase::StandingBack(..) => world.tell(Event::PutAside { cpu: Nanos(1) }),
                _ => {}
            }
        }
        world.load = idle();
        for _ in 0..20 {
            world.pass(700);
            finish(&mut world);
        }
        for task in [tune("a"), tune("b"), tune("c"), check("d")] {
            let times = done.remove(&task.to_string());
            assert_eq!(times, Some(1), "{task:?}, seed {seed}");
        }
        let rest: Vec<(String, u32)> = done.into_iter().collect();
        assert!(
            rest.is_empty() || rest == [(tune("d").to_string(), 1)],
            "{rest:?}, seed {seed}"
        );
        world.tell(Event::Stop);
        assert_eq!(world.schedule.phase(), Phase::Stopped, "seed {seed}");
    }
}
