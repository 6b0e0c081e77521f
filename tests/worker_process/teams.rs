//! What a real worker's team does between arms, and where it may not bind threads.

use super::unbindable::{DENIED, can_be_denied};
use super::{open, program, settings};
use std::fs;
use std::time::Duration;
use tempfile::TempDir;
use threadtune::bench::{WorkerBench, WorkerProcess};
use threadtune::machine::{Placement, affinity};
use threadtune::tune::{Arm, Bench, BenchError};
use threadtune::units::{Calls, ThreadCount};
use threadtune::worker::protocol::Open;

/// A real worker behind a script that leaves its process id, and that id.
fn real_with_pid(directory: &TempDir, command: &str) -> (WorkerProcess, i32) {
    let script = format!(
        "echo $$ >{}/pid\nexec {command}{} \"$@\"",
        directory.path().display(),
        env!("CARGO_BIN_EXE_threadtune")
    );
    let mut real = settings(program(directory, &script));
    real.deadline = Duration::from_mins(1);
    let worker = WorkerProcess::start(&real).unwrap();
    let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
    (worker, pid.trim().parse().unwrap())
}

fn bench_on(worker: &mut WorkerProcess, threads: usize, placement: Placement) {
    let all: Vec<u32> = affinity::current().unwrap().iter().collect();
    let cpus = |arm: Arm| match arm.placement {
        Placement::Unbound => all.clone(),
        _ => all.iter().copied().take(arm.threads.as_usize()).collect(),
    };
    let arm = Arm {
        threads: ThreadCount::clamped(threads),
        placement,
    };
    WorkerBench::new(worker, &cpus)
        .block(&[(arm, Calls::new(3))])
        .unwrap();
}

fn tasks(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut ids: Vec<i32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| *id != pid)
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn threads_of_a_larger_team_are_gone_before_a_smaller_one_is_timed() {
    if affinity::current().unwrap().len() < 2 {
        eprintln!("skipped threads_of_a_larger_team_are_gone…: needs two CPUs");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut worker, pid) = real_with_pid(&directory, "");
    worker.open(&open()).unwrap();
    if worker.greeting().team == "rayon" {
        eprintln!("skipped threads_of_a_larger_team_are_gone…: needs an OpenMP runtime");
        return;
    }
    bench_on(&mut worker, 2, Placement::Close);
    let bound = tasks(pid);
    assert_eq!(bound.len(), 1);
    // The same team again is left as it stands.
    bench_on(&mut worker, 2, Placement::Close);
    assert_eq!(tasks(pid), bound);
    // Threads that were bound do not start a team that is not.
    bench_on(&mut worker, 2, Placement::Unbound);
    let unbound = tasks(pid);
    assert_eq!(unbound.len(), 1);
    assert_ne!(unbound, bound);
    let mask = fs::read_to_string(format!("/proc/{pid}/task/{}/status", unbound[0])).unwrap();
    let all = affinity::current().unwrap().to_string();
    assert!(
        mask.contains(&format!("Cpus_allowed_list:\t{all}\n")),
        "{mask}"
    );
    bench_on(&mut worker, 1, Placement::Unbound);
    assert_eq!(tasks(pid), [0; 0]);
}

#[test]
fn data_is_first_touched_on_the_cpu_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (mut worker, pid) = real_with_pid(&directory, "");
    let last = affinity::current().unwrap().iter().last().unwrap();
    let opened = worker
        .open(&Open {
            first_cpu: last,
            ..open()
        })
        .unwrap();
    assert_eq!(opened.first_cpu, Some(last));
    let mask = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let (_, mask) = status.split_once("Cpus_allowed_list:\t").unwrap();
        mask.lines().next().unwrap().to_owned()
    };
    let all = affinity::current().unwrap();
    assert_eq!(mask(), all.to_string());
    // A team that was bound before is bound again, although it is the same.
    let first = all.first().unwrap().to_string();
    for _ in 0..2 {
        worker.open(&open()).unwrap();
        bench_on(&mut worker, 1, Placement::Close);
        assert!(worker.greeting().team == "rayon" || mask() == first);
    }
    let elsewhere = Open {
        first_cpu: 4095,
        ..open()
    };
    assert_eq!(worker.open(&elsewhere).unwrap().first_cpu, None);
}

#[test]
fn a_worker_whose_threads_cannot_be_bound_times_unbound_ones() {
    if !can_be_denied("a_worker_whose_threads_cannot_be_bound_times_unbound_ones") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut worker, _) = real_with_pid(&directory, &format!("{DENIED} "));
    let why = worker.greeting().unbindable.as_deref();
    assert_eq!(why, Some("Operation not permitted (os error 1)"));
    assert_eq!(worker.open(&open()).unwrap().first_cpu, None);
    for threads in 1..=affinity::current().unwrap().len().min(2) {
        bench_on(&mut worker, threads, Placement::Unbound);
    }
    let cpus = |_| vec![affinity::current().unwrap().first().unwrap()];
    let bound = Arm {
        threads: ThreadCount::ONE,
        placement: Placement::Close,
    };
    let refused = WorkerBench::new(&mut worker, &cpus).block(&[(bound, Calls::ONE)]);
    assert!(
        matches!(&refused, Err(BenchError::Failed(why)) if why.contains("cannot be bound")),
        "{refused:?}"
    );
    assert!(worker.is_usable());
}
