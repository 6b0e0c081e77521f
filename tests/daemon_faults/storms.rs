//! More signals than anybody should send, at moments that nobody would choose.

use crate::daemon_home::*;
use rustix::process::Signal;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;
use threadtune::daemon::status::{Reason, State};

/// A thousand of them within about a second.
fn storm(home: &Home, signal: Signal) {
    for _ in 0..1000 {
        home.signal(signal);
        thread::sleep(Duration::from_millis(1));
    }
}

/// What the storm left in the log, lines a signal.
fn lines(home: &Home) -> usize {
    home.log().lines().count()
}

#[test]
fn a_storm_of_reloads_while_idle_is_survived() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    let before = lines(&home);
    storm(&home, Signal::HUP);
    home.says("was read again", 2);
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    // It answers, and what it says of one reload is a few lines.
    home.signal(Signal::USR2);
    home.says("idle; ", 1);
    let log = home.log();
    let reloads = log.matches("was read again").count();
    assert!(reloads <= 1000, "{reloads}");
    let said = lines(&home) - before;
    eprintln!("1000 SIGHUPs while idle: {reloads} reloads, {said} lines in the log");
    assert!(
        said <= 10 * reloads + 20,
        "{said} lines for {reloads} reloads"
    );
    home.stop();
}

#[test]
fn a_storm_of_reloads_while_it_measures_ends_with_a_complete_profile() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    home.start();
    home.worker_with_data("large");
    let before = lines(&home);
    storm(&home, Signal::HUP);
    home.wait("a profile of all", || {
        home.profile_path().is_file() && home.names() == ["large", "a", "b"]
    });
    home.is_idle();
    assert_eq!(home.names(), ["large", "a", "b"]);
    let log = home.log();
    let reloads = log.matches("was read again").count();
    let said = lines(&home) - before;
    eprintln!("1000 SIGHUPs while measuring: {reloads} reloads, {said} lines in the log");
    assert!(
        said <= 10 * reloads + 40,
        "{said} lines for {reloads} reloads"
    );
    assert!(!log.contains("error"), "{log}");
    home.stop();
}

#[test]
fn a_storm_of_wishes_to_tune_now_is_survived() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    home.start();
    home.worker_with_data("large");
    storm(&home, Signal::USR1);
    home.is_idle();
    assert_eq!(home.names(), ["large", "a", "b"]);
    storm(&home, Signal::USR1);
    home.is_idle();
    home.signal(Signal::USR2);
    home.says("idle; ", 1);
    assert!(!home.log().contains("error"), "{}", home.log());
    home.stop();
}

#[test]
fn a_workload_that_is_gone_after_a_reload_is_given_up_and_new_settings_hold() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    home.configure(&patient());
    home.start();
    home.worker_with_data("large");
    fs::write(home.path("catalogue.toml"), TINY).unwrap();
    home.configure(EAGER);
    home.signal(Signal::HUP);
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    assert_eq!(home.log().matches("measures large").count(), 1);
    // What was put aside of it is no use to anybody.
    assert!(!fs::exists(home.path("state/unfinished.json")).unwrap());
    home.stop();
}

#[test]
fn what_was_begun_under_other_settings_does_not_outlive_them() {
    let mut home = Home::new(MANY);
    // An hour for one workload, or two seconds.
    home.configure(
        &EAGER
            .replace("2s", "1h")
            .replace("[daemon]", "[daemon]\ndrift_interval = \"never\""),
    );
    home.start();
    home.worker_with_data("many");
    home.configure(EAGER);
    home.signal(Signal::HUP);
    home.is_idle();
    assert_eq!(home.names(), ["many"]);
    let spent = home.profile().spent_s;
    home.stop();
    assert!(spent < 60.0, "{spent}");
}

/// Ended by its own doing or, before it could catch the signal, by the system's.
fn ended_well(status: ExitStatus) -> bool {
    status.code() == Some(0) || status.signal() == Some(Signal::TERM.as_raw())
}

#[test]
fn told_to_stop_right_after_the_start_it_stops() {
    let mut home = Home::new(TINY);
    let mut own = 0;
    for delay_ms in (0..40).step_by(2) {
        home.start();
        thread::sleep(Duration::from_millis(delay_ms));
        home.signal(Signal::TERM);
        let status = home.end();
        assert!(
            ended_well(status),
            "after {delay_ms} ms: {status:?}\n{}",
            home.log()
        );
        own += usize::from(status.code() == Some(0));
    }
    eprintln!("20 stops right after the start: {own} ended by the daemon itself");
    // Nothing of that does any harm.
    home.start();
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    home.stop();
    assert!(!home.log().contains("error"), "{}", home.log());
}

#[test]
fn two_that_start_in_the_same_instant_are_one_soon_after() {
    for _ in 0..10 {
        let home = Home::new("[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\n");
        home.configure("[daemon]\nquiet = \"1h\"\n");
        let spawn = |log: &str| {
            let log = fs::File::create(home.path(log)).unwrap();
            home.command().stderr(log).spawn().unwrap()
        };
        let mut daemons = [spawn("0"), spawn("1")];
        let mut ended = None;
        home.wait("the end of one of them", || {
            let mut ends = daemons.iter_mut().map(|daemon| daemon.try_wait().unwrap());
            ended = ends.position(|end| end.is_some());
            ended.is_some()
        });
        let loser = ended.unwrap();
        let status = daemons[loser].wait().unwrap();
        let winner = daemons[1 - loser].id();
        let running = home.is("a status", |status| status.state != State::Stopped);
        let is_alive = daemons[1 - loser].try_wait().unwrap().is_none();
        send(winner, Signal::TERM);
        let winners = daemons[1 - loser].wait().unwrap();
        let told = fs::read_to_string(home.path(&loser.to_string())).unwrap();
        assert_eq!(status.code(), Some(1), "{told}");
        assert!(told.contains("another threadtune daemon"), "{told}");
        assert!(is_alive);
        assert_eq!(running.pid, winner);
        assert!(ended_well(winners), "{winners:?}");
    }
}

#[test]
fn it_waits_for_the_day_of_a_clock_that_was_set_back() {
    let mut home = Home::new(TINY);
    home.configure(&EAGER.replace("[daemon]", "[daemon]\ndaily_cpu_seconds = 10"));
    fs::create_dir(home.path("state")).unwrap();
    // A day and a check that have yet to come; as much was spent on that day as may be.
    let memory = "{\"day\":40000,\"today_cpu_s\":10.5,\"total_cpu_s\":12.25,\"last_check\":\"2079-07-07T00:00:00Z\"}\n";
    fs::write(home.path("state/daemon.json"), memory).unwrap();
    home.start();
    let status = home.is("a daemon that waits for tomorrow", |status| {
        status.reason == Some(Reason::DailyLimit)
    });
    // Setting the clock back does not give the day's time a second time, and takes no more than one day.
    assert_eq!(status.spent.today_cpu_s, 10.5);
    assert_eq!(status.spent.total_cpu_s, 12.25);
    let wakes = status.next_wakeup.unwrap().unix_s() - status.since.unix_s();
    assert!(wakes <= 24 * 3600 + 1, "{wakes}");
    assert_eq!(status.last_check, None, "nobody waits for that day");
    home.signal(Signal::USR1);
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    home.stop();
    assert!(!home.log().contains("begins anew"), "{}", home.log());
}
