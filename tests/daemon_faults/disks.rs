//! Disks that are full or read-only.

use crate::daemon_home::*;
use crate::mounted::Mounted;
use rustix::process::Signal;
use std::fs;
use threadtune::profile::load;

/// Another small workload, for a daemon that knows those of [`TINY`].
const ONE_MORE: &str =
    "[[workload]]\nname = \"c\"\nshape = \"gemm:16x8x8:f32\"\nresidency = \"cache\"\n";

/// The catalogue has one more workload, and the daemon is told.
fn ask_for_one_more(home: &Home) {
    fs::write(home.path("catalogue.toml"), format!("{TINY}{ONE_MORE}")).unwrap();
    home.signal(Signal::HUP);
}

#[test]
fn a_full_disk_is_named_and_it_goes_on_when_there_is_room() {
    let mut home = Home::new(TINY);
    let Some(disk) = Mounted::at(&home.path("state"), "a full disk") else {
        return;
    };
    home.start();
    home.is_idle();
    let before = fs::read(home.profile_path()).unwrap();
    disk.fill();
    ask_for_one_more(&home);
    let why = home.is_stuck();
    let path = home.profile_path().display().to_string();
    assert!(why.contains(&path), "{why}");
    assert!(why.contains("No space left on device"), "{why}");
    assert_eq!(fs::read(home.profile_path()).unwrap(), before);
    disk.empty();
    home.signal(Signal::USR1);
    home.is_idle();
    assert_eq!(home.names(), ["a", "b", "c"]);
    home.stop();
}

#[test]
fn what_was_measured_while_the_disk_became_full_is_saved_when_there_is_room() {
    let mut home = Home::new(&format!("{LARGE}{TINY}"));
    let Some(disk) = Mounted::at(&home.path("state"), "a disk that becomes full") else {
        return;
    };
    home.start();
    home.worker_with_data("large");
    disk.fill();
    let why = home.is_stuck();
    let path = home.profile_path().display().to_string();
    assert!(why.contains(&path), "{why}");
    assert!(why.contains("No space left on device"), "{why}");
    assert!(!home.profile_path().exists());
    // Still full: it says so again, and keeps what it knows.
    home.signal(Signal::USR1);
    home.says("nothing is measured until that is mended", 2);
    disk.empty();
    home.signal(Signal::USR1);
    home.is_idle();
    assert_eq!(home.names(), ["large", "a", "b"]);
    // SIGUSR1 asks for all that can be done: what disturbed samples gave, or no time was left to look at again, is sought
    // once more.
    let log = home.log();
    let verdict = log.lines().find(|line| line.contains("large: "));
    let verdict = verdict.unwrap_or_else(|| panic!("{log}"));
    let is_open = verdict.contains("(contaminated")
        || verdict.contains("(brief") && !verdict.contains("looked at again");
    let measured = log.matches("measures large").count();
    assert!(measured == 1 || is_open && measured == 2, "{log}");
    home.stop();
}

#[test]
fn what_could_not_be_saved_is_saved_at_the_end() {
    let mut home = Home::new(LARGE);
    // On a busy machine it may take more than one try to reach a count.
    for _ in 0..10 {
        let _ = fs::remove_dir_all(home.path("state"));
        home.runs_until_idle();
        if home.entry("large").latency.is_some() {
            break;
        }
    }
    if home.entry("large").latency.is_none() {
        eprintln!(
            "skipped what could not be saved is saved at the end: the machine is too busy to measure it once"
        );
        return;
    }
    let tries = home.log().matches("measures large").count();
    let limit = home.profile().conditions[0].budget.limit.get();
    if limit == 1 {
        eprintln!("skipped what could not be saved is saved at the end: it takes two CPUs");
        return;
    }
    let first = fs::read_to_string(home.profile_path()).unwrap();
    fs::remove_dir_all(home.path("state")).unwrap();
    let Some(disk) = Mounted::at(&home.path("state"), "a verdict saved at the end") else {
        return;
    };
    // Measured when there was one CPU: everything is to be measured again, and the profile of then is to be kept too.
    let path = home.profile_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let fewer = first.replacen(&format!("limit = {limit},"), "limit = 1,", 1);
    assert_ne!(fewer, first);
    // One that was to be looked at again would be no verdict that is replaced.
    let fewer = fewer.replace("stop = \"brief\"", "stop = \"separated\"");
    let fewer = fewer.replace("stop = \"unsteady\"", "stop = \"separated\"");
    fs::write(&path, &fewer).unwrap();
    let before = load(&path).unwrap();
    home.start();
    home.worker_with_data("large");
    disk.fill();
    home.is_stuck();
    assert_eq!(fs::read_to_string(&path).unwrap(), fewer);
    disk.empty();
    home.stop();
    let log = home.log();
    assert_eq!(log.matches("measures large").count(), tries + 1);
    if log.contains("the earlier verdict stays") {
        eprintln!(
            "skipped what could not be saved is saved at the end: the machine is too busy to measure it twice"
        );
        return;
    }
    assert_eq!(home.profile().conditions[0].budget.limit.get(), limit);
    assert_ne!(home.profile().workloads, before.workloads);
    assert_eq!(load(&path.with_extension("previous.toml")).unwrap(), before);
}

#[test]
fn a_verdict_that_could_not_be_saved_to_the_end_is_said_to_be_lost() {
    let mut home = Home::new(LARGE);
    let Some(disk) = Mounted::at(&home.path("state"), "a lost verdict") else {
        return;
    };
    home.start();
    home.worker_with_data("large");
    disk.fill();
    home.is_stuck();
    home.stop();
    assert!(home.log().contains("; a verdict is lost"), "{}", home.log());
    assert!(!home.profile_path().exists());
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_named() {
    let mut home = Home::new(TINY);
    let Some(disk) = Mounted::at(&home.path("state"), "a read-only disk") else {
        return;
    };
    // At the start it is somebody else's turn: the service manager tells, and tries again.
    disk.make_read_only();
    home.start();
    assert_eq!(home.end().code(), Some(1));
    let lock = home.path("state/daemon.lock").display().to_string();
    let log = home.log();
    assert!(
        log.contains(&format!("cannot open {lock}: Read-only file system")),
        "{log}"
    );
}

#[test]
fn profiles_that_become_read_only_are_named_and_it_goes_on_when_it_may_write() {
    let mut home = Home::new(TINY);
    let Some(disk) = Mounted::at(&home.path("state/profiles"), "read-only profiles") else {
        return;
    };
    home.start();
    home.is_idle();
    let before = fs::read(home.profile_path()).unwrap();
    disk.make_read_only();
    ask_for_one_more(&home);
    let why = home.is_stuck();
    let path = home.profile_path().display().to_string();
    assert!(
        why.contains(&path) && why.contains("Read-only file system"),
        "{why}"
    );
    assert_eq!(fs::read(home.profile_path()).unwrap(), before);
    disk.make_writable();
    home.signal(Signal::USR1);
    home.is_idle();
    assert_eq!(home.names(), ["a", "b", "c"]);
    home.stop();
}
