//! What the service manager hears while things go wrong.

use crate::daemon_home::*;
use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use threadtune::daemon::status::State;

/// A service manager's end of the line.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn new(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.path("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    /// The next message.
    fn hear(&mut self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer);
        let length = length.unwrap_or_else(|error| panic!("{error} after {:?}", self.heard));
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        self.heard.push(text.clone());
        text
    }

    /// Hears until such a message comes, and gives it.
    fn hear_until(&mut self, is: impl Fn(&str) -> bool) -> String {
        loop {
            let text = self.hear();
            if is(&text) {
                return text;
            }
        }
    }
}

#[test]
fn it_hears_of_every_turn_and_the_watchdog_never_waits_for_a_worker() {
    let mut home = Home::new(LARGE);
    home.configure(&patient());
    let mut manager = Manager::new(&home);
    let mut command = home.command();
    command
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "200000");
    home.start_as(&mut command);
    let first = manager.hear();
    assert_eq!(first, "STATUS=waiting: it looks at the machine again\n");
    assert_eq!(home.status().expect("it is written before").pid, home.pid());
    let second = manager.hear();
    assert_eq!(
        second,
        "READY=1\nSTATUS=waiting: it looks at the machine again\n"
    );
    manager.hear_until(|text| text.starts_with("STATUS=measuring large"));
    // Nothing comes from this worker any more; the loop goes round all the same.
    home.has_begun("large");
    let worker = home.worker();
    send(worker, Signal::STOP);
    for _ in 0..10 {
        manager.hear_until(|text| text == "WATCHDOG=1\n");
    }
    assert_eq!(home.status().unwrap().state, State::Measuring);
    home.signal(Signal::HUP);
    let reloading = manager.hear_until(|text| text.contains("RELOADING=1"));
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(usec.trim_end().parse::<u64>().unwrap() > 0, "{reloading}");
    let ready = manager.hear_until(|text| text.contains("READY=1"));
    assert!(ready.starts_with("READY=1\nSTATUS="), "{ready}");
    // It has been told to stand back, and the worker still stands still.
    for _ in 0..5 {
        manager.hear_until(|text| text == "WATCHDOG=1\n");
    }
    send(worker, Signal::CONT);
    manager.hear_until(|text| text.starts_with("STATUS=measuring large"));
    // It cannot end before the sample does.
    home.has_begun("large");
    let worker = home.worker();
    send(worker, Signal::STOP);
    // Sooner or later the daemon asks it for a sample.
    for _ in 0..10 {
        manager.hear_until(|text| text == "WATCHDOG=1\n");
    }
    home.signal(Signal::TERM);
    let stopping = manager.hear_until(|text| text.contains("STOPPING=1"));
    assert!(stopping.starts_with("STOPPING=1\nSTATUS="), "{stopping}");
    home.signal(Signal::HUP);
    for _ in 0..5 {
        let told = manager.hear_until(|text| !text.starts_with("STATUS="));
        assert_eq!(told, "WATCHDOG=1\n", "a reload is none any more");
    }
    send(worker, Signal::CONT);
    assert_eq!(home.end().code(), Some(0));
}
