//! Files and directories that vanish, or in whose place something else lies.

use crate::daemon_home::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use threadtune::daemon::status::State;

fn broken(home: &Home) -> PathBuf {
    home.profile_path().with_extension("toml.broken")
}

/// A daemon that knows the workloads of [`TINY`] and is measuring another one.
fn that_measures_one_more() -> Home {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    fs::write(home.path("catalogue.toml"), format!("{TINY}{LARGE}")).unwrap();
    home.signal(Signal::USR1);
    home.worker_with_data("large");
    home
}

/// Waits until all of it is on the disk.
fn knows_all(home: &Home) {
    home.wait("a profile of all workloads", || {
        home.profile_path().is_file() && home.names() == ["a", "b", "large"]
    });
    home.is_idle();
    assert_eq!(home.names(), ["a", "b", "large"]);
}

#[test]
fn profiles_removed_while_it_is_idle_are_measured_anew() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    fs::remove_dir_all(home.path("state/profiles")).unwrap();
    home.signal(Signal::HUP);
    home.wait("a new profile", || home.profile_path().exists());
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    home.stop();
}

#[test]
fn a_state_directory_removed_while_it_measures_comes_back_with_all_that_was_known() {
    let mut home = that_measures_one_more();
    let known = home.entry("a");
    fs::remove_dir_all(home.path("state")).unwrap();
    knows_all(&home);
    assert_eq!(home.entry("a"), known);
    // And it is still the place of one daemon.
    let (code, told) = home.second();
    assert_eq!(code, Some(1), "{told}");
    let by = format!(
        "another threadtune daemon (process {}) works in",
        home.pid()
    );
    assert!(told.contains(&by), "{told}");
    home.stop();
}

#[test]
fn garbage_is_moved_aside_and_what_is_missing_measured_anew() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    let garbage = [0xff, 0, b'x'];
    fs::write(home.profile_path(), garbage).unwrap();
    home.signal(Signal::HUP);
    home.says("it was moved to ", 1);
    let aside = broken(&home);
    let log = home.log();
    let told = format!(
        "it was moved to {} and a new profile begins",
        aside.display()
    );
    assert!(log.contains(&told), "{log}");
    assert_eq!(fs::read(aside).unwrap(), garbage);
    home.wait("a new profile", || home.profile_path().exists());
    home.is_idle();
    assert_eq!(home.names(), ["a", "b"]);
    home.stop();
}

#[test]
fn garbage_written_while_it_measures_costs_nothing_that_is_known() {
    let mut home = that_measures_one_more();
    let known = (home.entry("a"), home.entry("b"));
    fs::write(home.profile_path(), "garbage = [").unwrap();
    home.wait("the garbage aside", || broken(&home).exists());
    knows_all(&home);
    assert_eq!((home.entry("a"), home.entry("b")), known);
    assert_eq!(fs::read_to_string(broken(&home)).unwrap(), "garbage = [");
    home.stop();
}

#[test]
fn what_is_no_file_is_named_and_it_goes_on_when_that_is_removed() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    let path = home.profile_path();
    let fifo = |path: &Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    };
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    let kinds = [("a directory", directory as fn(&Path)), ("a FIFO", fifo)];
    for (kind, make) in kinds {
        fs::remove_file(&path).unwrap();
        make(&path);
        home.signal(Signal::HUP);
        let why = home.is_stuck();
        let told = format!("{} is {kind}, not a regular file", path.display());
        assert!(why.contains(&told), "{why}");
        assert!(
            fs::remove_dir(&path)
                .or_else(|_| fs::remove_file(&path))
                .is_ok()
        );
        home.signal(Signal::USR1);
        home.wait("a new profile", || path.is_file());
        home.is_idle();
        assert_eq!(home.names(), ["a", "b"]);
    }
    home.stop();
}

#[test]
fn a_directory_made_while_it_measures_costs_nothing_that_is_known() {
    let mut home = that_measures_one_more();
    let known = home.entry("a");
    fs::remove_file(home.profile_path()).unwrap();
    fs::create_dir(home.profile_path()).unwrap();
    let why = home.is_stuck();
    assert!(
        why.contains(&home.profile_path().display().to_string()),
        "{why}"
    );
    fs::remove_dir(home.profile_path()).unwrap();
    home.stop();
    assert_eq!(home.names(), ["a", "b", "large"]);
    assert_eq!(home.entry("a"), known);
}

/// Puts a link in the place of the profile: to a sound one of this machine with a workload that nothing else knows, and
/// that would be taken over if it were read. Gives that file, and what it holds.
fn link_to_a_stranger(home: &Home) -> (PathBuf, String) {
    let elsewhere = home.path("elsewhere.toml");
    let profile = fs::read_to_string(home.profile_path()).unwrap();
    let text = profile.replace("name = \"b\"", "name = \"stranger\"");
    assert_ne!(text, profile);
    fs::write(&elsewhere, &text).unwrap();
    fs::remove_file(home.profile_path()).unwrap();
    symlink(&elsewhere, home.profile_path()).unwrap();
    (elsewhere, text)
}

#[test]
fn a_link_in_the_place_of_the_profile_is_not_followed() {
    let mut home = Home::new(TINY);
    home.start();
    home.is_idle();
    let (elsewhere, before) = link_to_a_stranger(&home);
    home.signal(Signal::HUP);
    home.says("measures a", 2);
    home.is_idle();
    let now = home.profile_path().symlink_metadata().unwrap();
    assert!(now.is_file(), "{now:?}");
    assert_eq!(home.names(), ["a", "b"]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), before);
    home.stop();
}

#[test]
fn a_link_made_while_it_measures_is_not_followed_either() {
    let mut home = that_measures_one_more();
    let (elsewhere, before) = link_to_a_stranger(&home);
    home.wait("a file in the place of the link", || {
        let metadata = home.profile_path().symlink_metadata();
        metadata.is_ok_and(|metadata| metadata.is_file())
    });
    knows_all(&home);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), before);
    home.stop();
}

#[test]
fn a_link_in_the_place_of_the_machines_directory_is_named() {
    for is_measuring in [false, true] {
        let mut home = if is_measuring {
            that_measures_one_more()
        } else {
            let mut home = Home::new(TINY);
            home.start();
            home.is_idle();
            home
        };
        let path = home.profile_path();
        let machine = path.parent().unwrap();
        let (elsewhere, kept) = (home.path("elsewhere"), home.path("kept"));
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(machine, &kept).unwrap();
        symlink(&elsewhere, machine).unwrap();
        if !is_measuring {
            home.signal(Signal::HUP);
        }
        let why = home.is_stuck();
        let told = format!("{} is a symbolic link", machine.display());
        assert!(why.contains(&told), "{why}");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        fs::remove_file(machine).unwrap();
        fs::rename(&kept, machine).unwrap();
        if is_measuring {
            // At the end at the latest, what was measured is saved.
            home.stop();
            assert_eq!(home.names(), ["a", "b", "large"]);
        } else {
            home.signal(Signal::USR1);
            home.is_idle();
            assert_eq!(home.names(), ["a", "b"]);
            home.stop();
        }
    }
}

#[test]
fn a_directory_in_the_place_of_the_status_is_one_line_in_the_log() {
    let mut home = Home::new(TINY);
    // Without a next wake-up an idle daemon has nothing new to say.
    home.configure(&EAGER.replace("[daemon]", "[daemon]\ndrift_interval = \"never\""));
    home.start();
    home.is_idle();
    let status = home.path("run/status.json");
    fs::remove_file(&status).unwrap();
    fs::create_dir(&status).unwrap();
    let more = TINY.replace("name = \"", "name = \"more-");
    fs::write(home.path("catalogue.toml"), format!("{TINY}{more}")).unwrap();
    home.signal(Signal::HUP);
    home.wait("four workloads", || home.names().len() == 4);
    home.says("the daemon goes on without", 1);
    home.wait("an idle daemon", || {
        home.signal(Signal::USR2);
        home.log().contains("idle; ")
    });
    fs::remove_dir(&status).unwrap();
    // Whatever wakes it, it tries again, also where there is nothing new to say.
    home.wait("the status", || {
        home.signal(Signal::USR2);
        home.status()
            .is_some_and(|status| status.state == State::Idle)
    });
    let log = home.log();
    assert_eq!(
        log.matches("the daemon goes on without").count(),
        1,
        "{log}"
    );
    assert!(
        log.contains(&format!("replace {}", status.display())),
        "{log}"
    );
    home.stop();
}
