//! Damaged files of the daemon's own: what it spent, and what it put aside.

use crate::daemon_home::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;
use threadtune::daemon::status::{State, Status};

#[test]
fn garbage_in_its_memory_is_named_and_forgotten() {
    let mut home = Home::new(TINY);
    // It is only to read: nothing is measured.
    home.configure("[daemon]\nquiet = \"1h\"\n");
    fs::create_dir(home.path("state")).unwrap();
    let memory = home.path("state/daemon.json");
    let pieces = |day: &str, today: &str, check: &str| {
        format!(
            "{{\"day\":{day},\"today_cpu_s\":{today},\"total_cpu_s\":1.0,\"last_check\":{check}}}"
        )
    };
    let deep = "[".repeat(10_000);
    let garbage = [
        String::new(),
        "\0\0\0\0".to_owned(),
        deep,
        pieces("1e400", "0.0", "null"),
        pieces("9223372036854775808", "0.0", "null"),
        pieces("1", "-0.5", "null"),
        pieces("1", "1e13", "null"),
        pieces("1", "0.0", "\"9999999-01-01T00:00:00Z\""),
        "x".repeat(100_000),
    ];
    for (i, text) in garbage.iter().enumerate() {
        fs::write(&memory, text).unwrap();
        home.start();
        home.says("what was spent, and when was checked, begins anew", i + 1);
        assert_eq!(spent(&home), 0.0, "{text:.80}");
        home.stop();
    }
    assert!(home.log().contains(&memory.display().to_string()));
    // Days that there may be as far as the format goes.
    for day in ["9223372036854775807", "-9223372036854775808"] {
        fs::write(&memory, pieces(day, "0.0", "\"9999-12-31T23:59:59Z\"")).unwrap();
        home.start();
        assert_eq!(spent(&home), 1.0, "{day}");
        home.stop();
    }
}

/// CPU seconds of all days, as a daemon that waits tells.
fn spent(home: &Home) -> f64 {
    let waits = |status: &Status| status.pid == home.pid() && status.state == State::Waiting;
    home.is("a daemon that waits", waits).spent.total_cpu_s
}

/// A daemon that ended in the middle of a tuning, and the file in which it was put aside.
fn put_aside() -> (Home, String) {
    let mut home = Home::new(&SMALL.replace("SHAPE", "triad:4000000:f32"));
    let file = home.path("state/unfinished.json");
    // Too early, nothing was sampled yet; too late, it has finished.
    for attempt in 0..30 {
        let _ = fs::remove_dir_all(home.path("state"));
        home.start();
        home.worker_with_data("small");
        thread::sleep(Duration::from_millis(100 * (attempt % 10)));
        home.stop();
        if let Ok(text) = fs::read_to_string(&file)
            && text.contains("\"clean\":[-")
        {
            return (home, text);
        }
    }
    panic!("it is never stopped in the middle:\n{}", home.log());
}

/// What it says of a file of which it uses nothing.
const REFUSED: &str = "unfinished.json cannot be used: what was put aside begins anew";

const SMALL: &str = "[[workload]]\nname = \"small\"\nshape = \"SHAPE\"\nresidency = \"cache\"\n";

/// The daemon reads this as what was put aside, and must do its work whatever it is.
fn finishes(home: &mut Home, text: &[u8], what: &str) {
    let _ = fs::remove_dir_all(home.path("state/profiles"));
    fs::write(home.path("state/unfinished.json"), text).unwrap();
    home.start();
    home.wait(what, || {
        home.profile_path().is_file() && home.names() == ["small"]
    });
    home.is_idle();
    home.stop();
    assert!(!home.log().contains("panicked"), "{what}: {}", home.log());
}

#[test]
fn garbage_in_what_was_put_aside_is_named_and_forgotten() {
    let (mut home, text) = put_aside();
    let torn = &text[..text.len() / 2];
    for garbage in ["", "{}", torn, "\u{0}"] {
        let before = home.log().matches(REFUSED).count();
        finishes(
            &mut home,
            garbage.as_bytes(),
            "a profile in spite of garbage",
        );
        assert_eq!(home.log().matches(REFUSED).count(), before + 1);
    }
    // As it was, it is used.
    let before = home.log().matches(REFUSED).count();
    finishes(
        &mut home,
        text.as_bytes(),
        "a profile from what was put aside",
    );
    assert!(
        home.log()
            .contains("measures small, from where it was put aside")
    );
    assert_eq!(home.log().matches(REFUSED).count(), before);
}

/// Where the numbers of a JSON text are.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let is_part = |c: u8| c.is_ascii_digit() || b".-+eE".contains(&c);
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 1;
    while at < bytes.len() {
        let opens = b"[:,".contains(&bytes[at - 1]);
        if opens && (bytes[at].is_ascii_digit() || bytes[at] == b'-') {
            let length = bytes[at..].iter().take_while(|c| is_part(**c)).count();
            found.push(at..at + length);
            at += length;
        }
        at += 1;
    }
    found
}

#[test]
fn whatever_numbers_stand_in_what_was_put_aside_the_workload_is_finished() {
    let seed = 5;
    eprintln!("seed {seed}");
    let mut rng = Pcg32::seed_from_u64(seed);
    let (mut home, text) = put_aside();
    let places = numbers(&text);
    assert!(places.len() > 20, "{text}");
    let absurd = [
        "0",
        "1",
        "-1",
        "3",
        "255",
        "65536",
        "4294967295",
        "18446744073709551615",
        "1e308",
        "-1e308",
        "0.5",
    ];
    for variant in 0..20 {
        let place = places[rng.random_range(0..places.len())].clone();
        let number = absurd[rng.random_range(0..absurd.len())];
        let from = place.start.saturating_sub(40);
        let what = format!(
            "variant {variant}: {number} after {}",
            &text[from..place.start]
        );
        let mut damaged = text.clone();
        damaged.replace_range(place, number);
        let before = home.log().matches(REFUSED).count();
        finishes(&mut home, damaged.as_bytes(), &what);
        let refused = home.log().matches(REFUSED).count() - before;
        assert_eq!(refused, usize::from(damaged != text), "{what}");
    }
}
