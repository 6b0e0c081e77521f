//! Power cuts: the daemon and its worker killed at any moment, again and again.
//!
//! What the system had yet to write to the disk is lost in a real cut and not in these: they show that no moment leaves
//! a torn or a lesser profile behind, not that the disk was told to keep what it was given.

use crate::daemon_home::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use threadtune::daemon::status::State;
use threadtune::profile::{Entry, load};

/// Temporary files that may lie about: of the run that was cut, one for each file that is kept.
const HANDFUL: usize = 3;

#[test]
fn twenty_power_cuts_lose_nothing_that_was_finished() {
    cut(20, 20);
}

#[test]
#[ignore = "takes minutes: two hundred power cuts"]
fn two_hundred_power_cuts_lose_nothing_that_was_finished() {
    cut(200, 200);
}

/// What the cuts hit.
#[derive(Debug, Default)]
struct Hit {
    measuring: usize,
    writing: usize,
    verdicts: usize,
    finished_lives: usize,
}

fn cut(times: usize, seed: u64) {
    let mut rng = Pcg32::seed_from_u64(seed);
    let mut home = Home::new(&catalogue());
    home.configure(&EAGER.replace("2s", "1s"));
    let mut known = BTreeMap::new();
    let (mut hit, mut before) = (Hit::default(), 0);
    for run in 0..times {
        home.start();
        match run % 3 {
            0 => thread::sleep(Duration::from_millis(rng.random_range(0..1500))),
            // At the first profile that is written after the start …
            1 => {
                let then = Duration::from_micros(rng.random_range(0..3000));
                writes(&home, ".native.toml.", then);
            }
            // … and at the first file after a worker began.
            _ => {
                home.wait("a worker, or an idle daemon", || {
                    let is_idle = home.status().is_some_and(|status| {
                        status.pid == home.pid() && status.state == State::Idle
                    });
                    is_idle || !children(home.pid()).is_empty()
                });
                let then = Duration::from_micros(rng.random_range(0..3000));
                writes(&home, "", then);
            }
        }
        let workers = children(home.pid());
        home.signal(Signal::KILL);
        home.end();
        for worker in &workers {
            send(*worker, Signal::KILL);
        }
        hit.measuring += usize::from(!workers.is_empty());
        let left = temporary_files(&home.path("state"));
        hit.writing += usize::from(!left.is_empty());
        assert!(left.len() <= HANDFUL, "run {run}: they pile up: {left:?}");
        let on_disk = entries(&home.profile_path(), run);
        for (name, entry) in &known {
            assert_eq!(on_disk.get(name), Some(entry), "run {run} lost {name}");
        }
        hit.verdicts += on_disk.len().saturating_sub(before);
        before = on_disk.len();
        if on_disk.len() == WORKLOADS {
            // All is measured: another machine is installed.
            fs::remove_dir_all(home.path("state")).unwrap();
            known.clear();
            before = 0;
            hit.finished_lives += 1;
        } else {
            known = finished(on_disk);
        }
    }
    home.start();
    home.is_idle();
    assert_eq!(home.names().len(), WORKLOADS);
    for (name, entry) in &known {
        assert_eq!(home.entry(name), *entry, "the end lost {name}");
    }
    let left = temporary_files(&home.path("state"));
    assert!(left.is_empty(), "{left:?}");
    home.stop();
    // Otherwise they have shown nothing.
    assert!(hit.verdicts > 0, "{hit:?}");
    assert!(
        hit.measuring > 0 && hit.writing > 0 || times < 200,
        "{hit:?}"
    );
    eprintln!(
        "{times} power cuts (seed {seed}): {} while measuring, {} with a file half written, {} verdicts and {} whole profiles \
         meanwhile",
        hit.measuring, hit.writing, hit.verdicts, hit.finished_lives
    );
}

/// One without a count was too much disturbed, and is measured again at the next start.
fn finished(mut entries: BTreeMap<String, Entry>) -> BTreeMap<String, Entry> {
    entries.retain(|_, entry| entry.latency.is_some());
    entries
}

const WORKLOADS: usize = 8;

/// Workloads that are tuned within about a second each.
fn catalogue() -> String {
    let workload = |i: usize| {
        let n = 8 * (i + 1);
        format!(
            "[[workload]]\nname = \"w{i}\"\nshape = \"gemm:{n}x8x8:f32\"\nresidency = \"cache\"\n"
        )
    };
    (0..WORKLOADS).map(workload).collect()
}

/// Waits until this daemon writes a file in its state directory whose name holds this, and then for so long; for three
/// seconds at most, since it may have nothing to write.
fn writes(home: &Home, name: &str, then: Duration) {
    let state = home.path("state");
    let begin = Instant::now();
    let own = format!(".{}-", home.pid());
    let is_own = |file: &PathBuf| {
        // What is written only to see whether it can be is shorter.
        let is_full = fs::metadata(file).is_ok_and(|metadata| metadata.len() > 2);
        let file = file.to_string_lossy();
        is_full && file.contains(&own) && file.contains(name)
    };
    while !temporary_files(&state).iter().any(is_own) && begin.elapsed() < Duration::from_secs(3) {
        thread::yield_now();
    }
    thread::sleep(then);
}

/// All below this directory.
fn temporary_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let (directories, files): (Vec<PathBuf>, Vec<PathBuf>) = entries
        .map(|entry| entry.path())
        .partition(|path| path.is_dir());
    let temporary = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "tmp"));
    let below = directories.iter().flat_map(|path| temporary_files(path));
    temporary.chain(below).collect()
}

/// What the profile holds, which must be whole where there is one.
fn entries(path: &Path, run: usize) -> BTreeMap<String, Entry> {
    if !path.exists() {
        return BTreeMap::new();
    }
    let profile = load(path).unwrap_or_else(|error| panic!("run {run}: {error}"));
    let entries = profile.workloads.into_iter();
    entries.map(|entry| (entry.name.clone(), entry)).collect()
}
