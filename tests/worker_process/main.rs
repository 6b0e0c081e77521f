//! The supervisor's side of a worker that does not behave: what it says, and that it always comes back.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use threadtune::bench::{MayGoOn, WorkerBench, WorkerError, WorkerProcess, WorkerSettings};
use threadtune::machine::{Placement, affinity};
use threadtune::tune::{Arm, Bench, BenchError};
use threadtune::units::{Calls, ThreadCount};
use threadtune::worker::protocol::Open;
use threadtune::worker::team::{TeamChoice, expected};
use threadtune::workload::{Level, Residency};

mod regions;
mod teams;
#[path = "../unbindable/mod.rs"]
mod unbindable;

const GREETING: &str = r#"echo '{"threadtune_worker":2,"team":"none"}'"#;

fn settings(program: PathBuf) -> WorkerSettings {
    WorkerSettings {
        program,
        team: TeamChoice::Auto,
        isa_cap: None,
        trusted_libraries: false,
        memory_limit: None,
        environment: Vec::new(),
        deadline: Duration::from_millis(500),
        may_go_on: MayGoOn::when(|| true),
    }
}

/// A worker that runs this shell script.
fn scripted(directory: &TempDir, script: &str) -> Result<WorkerProcess, WorkerError> {
    WorkerProcess::start(&settings(program(directory, script)))
}

fn program(directory: &TempDir, script: &str) -> PathBuf {
    let [text, path] = ["worker.txt", "worker.sh"].map(|name| directory.path().join(name));
    fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Another process writes what is to be run: a child that another test forks off this one at that moment would hold the
    // file open for writing, and nobody may run it so.
    let mut install = Command::new("install");
    let status = install.arg("-m755").arg(&text).arg(&path).status();
    assert!(status.unwrap().success());
    path
}

fn open() -> Open {
    Open {
        shape: "gemm:8x8x8:f32".parse().unwrap(),
        residency: Residency::Cache,
        pool_bytes: 0,
        memory_limit_bytes: 1 << 20,
        first_cpu: 0,
    }
}

#[test]
fn a_worker_that_does_not_greet_is_told_by_what_it_did_instead() {
    let directory = tempfile::tempdir().unwrap();
    let error = |script: &str| {
        scripted(&directory, script)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(error("echo hello").contains("nonsense"));
    assert!(error("exit 3").contains("ended with exit code 3"));
    assert!(error("kill -SEGV $$").contains("signal 11 (SIGSEGV)"));
    assert!(error("exec sleep 100").contains("did not answer within 500ms"));
    assert!(error(r#"echo '{"threadtune_worker":7,"team":"x"}'"#).contains("version 7"));
    let missing = WorkerProcess::start(&settings(directory.path().join("none")))
        .err()
        .unwrap();
    assert!(
        missing.to_string().contains("could not be started"),
        "{missing}"
    );
}

#[test]
fn a_worker_that_is_killed_before_it_greets_is_replaced_once() {
    let directory = tempfile::tempdir().unwrap();
    let tries = directory.path().join("tries");
    let starts = |script: &str| {
        let _ = fs::remove_file(&tries);
        let count = format!("echo >>{}", tries.display());
        let started = scripted(&directory, &format!("{count}\n{script}")).is_ok();
        (started, fs::read_to_string(&tries).unwrap().lines().count())
    };
    let first_only = format!("[ $(wc -l <{}) = 2 ] || kill -KILL $$", tries.display());
    assert_eq!(
        starts(&format!("{first_only}\n{GREETING}; read x")),
        (true, 2)
    );
    assert_eq!(starts("kill -KILL $$"), (false, 2));
    // What ends by itself has said why, and would again.
    assert_eq!(starts("exit 1"), (false, 1));
}

#[test]
fn a_worker_is_told_how_it_is_confined() {
    let directory = tempfile::tempdir().unwrap();
    let says = r#"echo "{\"threadtune_worker\":2,\"team\":\"$*\"}"; read x"#;
    let free = settings(program(&directory, says));
    let arguments = |settings: &WorkerSettings| {
        let worker = WorkerProcess::start(settings).unwrap();
        worker.greeting().team.clone()
    };
    assert_eq!(arguments(&free), "worker --team auto");
    let confined = WorkerSettings {
        trusted_libraries: true,
        memory_limit: Some(4096),
        ..free
    };
    assert_eq!(
        arguments(&confined),
        "worker --team auto --trusted-libraries --memory-limit 4096"
    );
    let capped = WorkerSettings {
        isa_cap: Some(Level::Sse2),
        trusted_libraries: false,
        memory_limit: None,
        ..confined
    };
    assert_eq!(arguments(&capped), "worker --team auto --isa sse2");
}

#[test]
fn programs_are_looked_for_where_root_alone_can_put_them() {
    let directory = tempfile::tempdir().unwrap();
    let says = r#"echo "{\"threadtune_worker\":2,\"team\":\"$PATH\"}"; read x"#;
    let worker = scripted(&directory, says).unwrap();
    assert_eq!(worker.greeting().team, "/usr/sbin:/usr/bin:/sbin:/bin");
}

#[test]
fn preparing_ends_as_soon_as_measuring_is_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let settings = WorkerSettings {
        deadline: Duration::from_mins(10),
        may_go_on: MayGoOn::when({
            let asked = Arc::clone(&asked);
            move || asked.fetch_add(1, Ordering::Relaxed) < 2
        }),
        ..settings(program(&directory, &format!("{GREETING}; exec sleep 600")))
    };
    let mut worker = WorkerProcess::start(&settings).unwrap();
    // The script would sleep for ten minutes, and may.
    let error = worker.open(&open()).unwrap_err();
    assert!(matches!(error, WorkerError::Stopped), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(!worker.is_usable());
}

#[test]
fn a_worker_that_answers_nonsense_is_not_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    for (answer, says) in [
        ("echo nonsense", "nonsense"),
        (
            r#"echo '{"id":9,"outcome":"opened","residency":"cache","pool_bytes":0}'"#,
            "answer 9 to request 0",
        ),
        (
            r#"echo '{"id":0,"outcome":"sampled","durations_ns":[],"threads_ran":1,"elapsed_ns":1}'"#,
            "to a request to open",
        ),
        ("exit 0", "ended with exit code 0"),
        ("exec sleep 100", "did not answer"),
    ] {
        let mut worker = scripted(
            &directory,
            &format!("{GREETING}\nread request\n{answer}\nexec sleep 100"),
        )
        .unwrap();
        let error = worker.open(&open()).unwrap_err().to_string();
        assert!(error.contains(says), "{answer}: {error}");
        assert!(!worker.is_usable());
    }
}

#[test]
fn a_refusal_leaves_the_worker_usable() {
    let directory = tempfile::tempdir().unwrap();
    let refuse = format!(
        "{GREETING}\nread request\necho '{{\"id\":0,\"outcome\":\"refused\",\"reason\":\"no room\"}}'\nread x"
    );
    let mut worker = scripted(&directory, &refuse).unwrap();
    assert_eq!(worker.open(&open()).unwrap_err().to_string(), "no room");
    assert!(worker.is_usable());
}

#[test]
fn a_team_of_the_wrong_size_and_impossible_times_are_no_samples() {
    let directory = tempfile::tempdir().unwrap();
    let sampled = |durations: &str, threads: u32| {
        let reply = format!(
            "{{\"id\":0,\"outcome\":\"sampled\",\"durations_ns\":{durations},\"threads_ran\":{threads},\
             \"elapsed_ns\":6000}}"
        );
        let mut worker = scripted(
            &directory,
            &format!("{GREETING}\nread request\necho '{reply}'\nread x"),
        )
        .unwrap();
        let cpus = |_| vec![0, 1];
        let arm = Arm {
            threads: ThreadCount::clamped(2),
            placement: Placement::Close,
        };
        WorkerBench::new(&mut worker, &cpus).block(&[(arm, Calls::new(2))])
    };
    let good = sampled("[4000,2000]", 2).unwrap();
    assert_eq!((good[0].seconds_per_call, good[0].calls.get()), (3e-6, 2));
    assert!(
        matches!(sampled("[4000,2000]", 1), Err(BenchError::Failed(why)) if why.contains("2 threads were asked for and 1 ran"))
    );
    assert!(matches!(sampled("[4000]", 2), Err(BenchError::Nonsense(_))));
    assert!(matches!(
        sampled("[4000,0]", 2),
        Err(BenchError::Nonsense(_))
    ));
    assert!(
        matches!(sampled("[4000,-1]", 2), Err(BenchError::Failed(why)) if why.contains("nonsense"))
    );
}

#[test]
fn a_real_worker_binds_its_threads_and_tells_its_first_call_once() {
    let mut real = settings(PathBuf::from(env!("CARGO_BIN_EXE_threadtune")));
    real.deadline = Duration::from_mins(1);
    let mut worker = WorkerProcess::start(&real).unwrap();
    worker.open(&open()).unwrap();
    let all: Vec<u32> = affinity::current().unwrap().iter().collect();
    let cpus = |arm: Arm| match arm.placement {
        Placement::Unbound => all.clone(),
        _ => all.iter().copied().take(arm.threads.as_usize()).collect(),
    };
    let mut bench = WorkerBench::new(&mut worker, &cpus);
    let arm = |threads, placement| {
        (
            Arm {
                threads: ThreadCount::clamped(threads),
                placement,
            },
            Calls::new(7),
        )
    };
    let mut plan = vec![arm(1, Placement::Close), arm(1, Placement::Unbound)];
    if all.len() > 1 {
        plan.extend([
            arm(2, Placement::Close),
            arm(1, Placement::Close),
            arm(2, Placement::Unbound),
        ]);
    }
    let samples = bench.block(&plan).unwrap();
    assert_eq!(samples.len(), plan.len());
    assert!(
        samples
            .iter()
            .all(|s| s.seconds_per_call > 0.0 && s.calls.get() == 7)
    );
    assert!(samples[0].first_call.unwrap() > 0.0);
    let again = bench.block(&plan).unwrap();
    let told = samples[1..].iter().chain(&again);
    assert!(told.into_iter().all(|sample| sample.first_call.is_none()));

    // CPUs that the process does not have are refused, and the worker goes on
    let foreign = |_| vec![4095];
    let error = WorkerBench::new(&mut worker, &foreign)
        .block(&plan[..1])
        .unwrap_err();
    assert!(
        matches!(error, BenchError::Failed(why) if why.contains("not among those of this process"))
    );
    assert!(worker.is_usable());
    let samples = WorkerBench::new(&mut worker, &cpus).block(&plan).unwrap();
    assert_eq!(samples.len(), plan.len());
}

#[test]
fn a_worker_that_wants_more_memory_than_it_may_have_says_so_and_goes_on() {
    const LIMIT: u64 = 64 << 20;
    let started = |memory_limit| {
        let mut real = settings(PathBuf::from(env!("CARGO_BIN_EXE_threadtune")));
        real.deadline = Duration::from_mins(1);
        real.memory_limit = memory_limit;
        WorkerProcess::start(&real).unwrap()
    };
    let needs = |elements: u64| Open {
        shape: format!("triad:{elements}:f32").parse().unwrap(),
        memory_limit_bytes: 1 << 30,
        ..open()
    };
    // three vectors of 32 MiB
    let large = needs(8 << 20);
    started(None).open(&large).unwrap();
    let mut worker = started(Some(LIMIT));
    worker.open(&needs(1024)).unwrap();
    let error = worker.open(&large).unwrap_err().to_string();
    assert_eq!(
        error,
        "memory ran out (the system refused another 32 MiB of memory); free some, or raise the limit of the control \
         group or of `ulimit -d`"
    );
    assert!(worker.is_usable());
    worker.open(&needs(1024)).unwrap();
}

#[test]
fn threads_that_find_no_memory_of_their_own_say_so_and_the_worker_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    // Without that threshold memory that was freed is kept, and would do.
    let script = format!(
        "echo $$ >{0}/pid\nexport MALLOC_MMAP_THRESHOLD_=65536\nexec {1} \"$@\"",
        directory.path().display(),
        env!("CARGO_BIN_EXE_threadtune")
    );
    let mut real = settings(program(&directory, &script));
    real.deadline = Duration::from_mins(1);
    let mut worker = WorkerProcess::start(&real).unwrap();
    let pid: i32 = fs::read_to_string(directory.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    worker
        .open(&Open {
            shape: "gemm:64x512x512:f32".parse().unwrap(),
            memory_limit_bytes: 1 << 30,
            ..open()
        })
        .unwrap();
    // Its data are there, and nothing more will be.
    let none = Rlimit {
        // Linux takes zero for no limit where the other one is none.
        current: Some(4096),
        maximum: None,
    };
    let before = prlimit(Pid::from_raw(pid), Resource::Data, none).unwrap();
    let all: Vec<u32> = affinity::current().unwrap().iter().collect();
    let cpus = |_| all.clone();
    let one = Arm {
        threads: ThreadCount::ONE,
        placement: Placement::Unbound,
    };
    let plan = [(one, Calls::ONE)];
    let error = WorkerBench::new(&mut worker, &cpus)
        .block(&plan)
        .unwrap_err();
    assert!(
        matches!(&error, BenchError::Failed(why) if why.contains("memory ran out (the system refused another 1 MiB")),
        "{error}"
    );
    assert!(worker.is_usable());
    prlimit(Pid::from_raw(pid), Resource::Data, before).unwrap();
    WorkerBench::new(&mut worker, &cpus).block(&plan).unwrap();
}

#[test]
fn a_worker_that_trusts_root_alone_measures_with_what_is_left() {
    let mut real = settings(PathBuf::from(env!("CARGO_BIN_EXE_threadtune")));
    real.deadline = Duration::from_mins(1);
    real.trusted_libraries = true;
    let mut worker = WorkerProcess::start(&real).unwrap();
    let team = expected(TeamChoice::Auto, true).team.unwrap();
    assert_eq!(worker.greeting().team, team);
    worker.open(&open()).unwrap();
}
