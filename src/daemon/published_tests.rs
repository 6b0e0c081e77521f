//! What is told, where, and how often.

use super::*;
use crate::daemon::schedule::{Before, Event, Load};
use crate::daemon::settings::Settings;
use std::fs;

const NOW: Now = Now {
    at: Nanos::ZERO,
    day: 0,
    second: 0,
};

/// Waits for a quiet machine.
fn waiting() -> Schedule {
    let mut schedule = Schedule::new(Settings::default(), Before::default(), NOW);
    schedule.handle(Event::Surveyed(vec![Task::Tune("a".to_owned())]), NOW);
    schedule
}

fn publish(published: &mut Published, schedule: &Schedule) {
    let memory = Memory::default();
    let view = View {
        schedule,
        progress: None,
        budget: Nanos::ZERO,
        workloads: Workloads::default(),
        memory: &memory,
        machine: None,
        now: NOW,
    };
    published.publish(&view).1.unwrap();
}

/// Others use so many CPUs.
fn look(schedule: &mut Schedule, others_cpus: f64) {
    let load = Load {
        others_cpus,
        ..Load::nobody()
    };
    schedule.handle(Event::Looked(load), NOW);
}

#[test]
fn metrics_that_were_passed_over_or_failed_are_owed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let told = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
    let mut published = Published::new(directory.path(), Some(at("a.prom")));
    let mut schedule = Schedule::new(Settings::default(), Before::default(), NOW);
    publish(&mut published, &schedule);
    assert!(told("a.prom").contains("reason=\"changed\""));
    // Another kind of reason is told at once.
    schedule = waiting();
    look(&mut schedule, 0.0);
    publish(&mut published, &schedule);
    assert!(told("a.prom").contains("reason=\"quiet\""));
    look(&mut schedule, 3.0);
    publish(&mut published, &schedule);
    let busy = told("a.prom");
    assert!(busy.contains("reason=\"busy\""));
    assert!(!published.owes_metrics);
    // How much exactly can wait a little, and is not forgotten.
    schedule.handle(Event::Surveyed(vec![Task::Tune("b".to_owned()); 2]), NOW);
    publish(&mut published, &schedule);
    assert_eq!(told("a.prom"), busy);
    assert!(published.owes_metrics);
    // A new file, though nothing else is new; it cannot be written at first.
    fs::write(at("directory"), "").unwrap();
    published.textfile_at(Some(at("directory/b.prom")));
    publish(&mut published, &schedule);
    assert!(published.owes_metrics);
    fs::remove_file(at("directory")).unwrap();
    published.textfile_at(Some(at("directory/b.prom")));
    publish(&mut published, &schedule);
    assert!(told("directory/b.prom").contains("verdict=\"left\"} 2\n"));
    assert!(!published.owes_metrics);
}

#[test]
fn the_journal_tells_each_kind_of_reason_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut published = Published::new(directory.path(), None);
    publish(&mut published, &waiting());
    let mut told = |state: State, reason: Option<status::Reason>| {
        let status = Status {
            state,
            reason,
            ..published.last.clone().unwrap()
        };
        published.journal_line(&status)
    };
    let busy = |cpus| {
        let busiest = None;
        Some(status::Reason::Busy { cpus, busiest })
    };
    let wait = |words: &str| Some(format!("waiting: {words}"));
    assert_eq!(told(State::Waiting, Some(status::Reason::Changed)), None);
    let others = "other processes use 1.5 CPUs";
    assert_eq!(told(State::Waiting, busy(1.5)), wait(others));
    let pressure = Some(status::Reason::Pressure { percent: 9.0 });
    for reason in [busy(1.7), pressure, Some(status::Reason::Quiet), busy(2.0)] {
        assert_eq!(told(State::Waiting, reason), None);
    }
    let battery = || Some(status::Reason::Battery);
    let mains = "there is no mains power";
    assert_eq!(told(State::Waiting, battery()), wait(mains));
    assert_eq!(told(State::Waiting, Some(status::Reason::Quiet)), None);
    assert_eq!(told(State::Waiting, battery()), None);
    assert_eq!(told(State::Measuring, None), None);
    let back = Some(format!("standing back: {others}"));
    assert_eq!(told(State::StandingBack, busy(1.5)), back);
    assert_eq!(told(State::Waiting, busy(1.5)), wait(others));
}
