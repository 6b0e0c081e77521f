//! What the service manager hears, byte by byte. The crate reads the environment of its process, so each case is a
//! process of its own that is told one by `exec`.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use threadtune::daemon::notify::ServiceManager;
use threadtune::units::Nanos;

/// What each child does: everything a daemon says in its life.
#[test]
#[ignore = "the body of a child process"]
fn child_that_tells() {
    if std::env::var_os("THREADTUNE_TEST_CHILD").is_none() {
        return;
    }
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .format_target(false)
        .init();
    let mut manager = ServiceManager::from_environment();
    println!(
        "\nwatchdog {:?}",
        manager.watchdog_interval().map(|Nanos(ns)| ns)
    );
    manager.ready("waiting for a quiet machine");
    manager.status("measuring x\nREADY=1\r\u{1b}[2J");
    manager.alive();
    manager.reloading();
    manager.stopping("stopped");
}

/// Runs the child with these variables; `$$` in them is its own process id.
fn child(variables: &str) -> Output {
    let script = format!("{variables} exec \"$0\" --exact child_that_tells --ignored --nocapture");
    Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env_clear()
        .env("THREADTUNE_TEST_CHILD", "1")
        .output()
        .unwrap()
}

fn watchdog(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("watchdog "));
    line.unwrap().to_owned()
}

/// The messages in the socket so far.
fn messages(socket: &UnixDatagram) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    all
}

fn bound(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn every_message_arrives_as_the_protocol_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = bound(&path);
    let output = child(&format!("NOTIFY_SOCKET={}", path.display()));
    assert_eq!(watchdog(&output), "None");
    let mut told = messages(&socket);
    assert_eq!(told.len(), 5);
    let reloading = told.remove(3);
    assert_eq!(
        told,
        [
            "READY=1\nSTATUS=waiting for a quiet machine\n",
            // What is quoted cannot speak for itself.
            "STATUS=measuring x READY=1  [2J\n",
            "WATCHDOG=1\n",
            "STOPPING=1\nSTATUS=stopped\n",
        ]
    );
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let time: u64 = time.unwrap().trim_end_matches('\n').parse().unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.cast_unsigned(), 0) + Duration::from_secs(1);
    assert!(time > 0 && u128::from(time) <= now.as_micros());
}

#[test]
fn the_watchdog_counts_where_it_watches_this_process() {
    let of = |variables: &str| watchdog(&child(variables));
    assert_eq!(
        of("WATCHDOG_USEC=3000000 WATCHDOG_PID=$$"),
        "Some(1500000000)"
    );
    assert_eq!(of("WATCHDOG_USEC=3000000"), "Some(1500000000)");
    assert_eq!(of("WATCHDOG_USEC=3000000 WATCHDOG_PID=1"), "None");
    assert_eq!(of("WATCHDOG_USEC=0 WATCHDOG_PID=$$"), "None");
    assert_eq!(of("WATCHDOG_USEC=soon WATCHDOG_PID=$$"), "None");
    // What systemd writes for `infinity`.
    let endless = format!("Some({})", u64::MAX);
    assert_eq!(of("WATCHDOG_USEC=18446744073709551615"), endless);
}

#[test]
fn a_socket_that_fails_is_one_line_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone");
    let closed = directory.path().join("closed");
    drop(bound(&closed));
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [gone, closed, file] {
        let output = child(&format!("NOTIFY_SOCKET={}", path.display()));
        assert_eq!(watchdog(&output), "None");
        let log = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 1, "{log}");
        let told = "cannot tell the service manager how things are: NOTIFY_SOCKET: ";
        assert!(lines[0].contains(told), "{log}");
    }
}

#[test]
fn without_a_service_manager_nothing_is_said() {
    let output = child("");
    assert_eq!(watchdog(&output), "None");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
