//! A worker that is asked for empty regions.

use super::{GREETING, open, program, settings};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use threadtune::bench::{
    MayGoOn, RegionRequest, RegionTimer, Unmeasured, WorkerBench, WorkerProcess, WorkerRegions,
    WorkerSettings,
};
use threadtune::machine::{Placement, affinity};
use threadtune::profile::Pause;
use threadtune::tune::{Arm, Bench};
use threadtune::units::{Calls, Nanos, ThreadCount};
use threadtune::worker::team::TeamChoice;

fn region_request(threads: usize, pause: Pause) -> RegionRequest {
    RegionRequest {
        threads: ThreadCount::clamped(threads),
        pause,
        repetitions: 3,
        limit: Nanos(60_000_000_000),
    }
}

#[test]
fn a_real_worker_times_empty_regions_without_a_workload_and_beside_one() {
    let mut real = settings(PathBuf::from(env!("CARGO_BIN_EXE_threadtune")));
    real.deadline = Duration::from_mins(1);
    let all: Vec<u32> = affinity::current().unwrap().iter().collect();
    for team in [TeamChoice::Auto, TeamChoice::Rayon] {
        real.team = team;
        let mut worker = WorkerProcess::start(&real).unwrap();
        let cpus = |arm: Arm| {
            assert_eq!(arm.placement, Placement::Close);
            all.iter().copied().take(arm.threads.as_usize()).collect()
        };
        for threads in [1, all.len().min(2)] {
            for pause in [Pause::NONE, Pause::from_ms(1)] {
                let request = region_request(threads, pause);
                let times = WorkerRegions::new(&mut worker, &cpus)
                    .time(&request)
                    .unwrap();
                assert_eq!(times.len(), 3, "{request:?}");
                // A single thread's may be shorter than the clock can tell.
                let is_time = |us: &f64| us.is_finite() && (*us > 0.0 || threads == 1);
                assert!(times.iter().all(is_time), "{request:?}: {times:?}");
            }
        }
        // Without time there is one timing all the same.
        let hasty = RegionRequest {
            limit: Nanos::ZERO,
            ..region_request(1, Pause::from_ms(1))
        };
        let times = WorkerRegions::new(&mut worker, &cpus).time(&hasty);
        assert_eq!(times.unwrap().len(), 1);
        worker.open(&open()).unwrap();
        let one = Arm {
            threads: ThreadCount::ONE,
            placement: Placement::Close,
        };
        let plan = [(one, Calls::ONE)];
        WorkerBench::new(&mut worker, &cpus).block(&plan).unwrap();
        let foreign = |_| vec![4095];
        let refused = WorkerRegions::new(&mut worker, &foreign).time(&hasty);
        assert!(
            matches!(&refused, Err(Unmeasured::Refused(why)) if why.contains("not among those of this process")),
            "{refused:?}"
        );
        WorkerBench::new(&mut worker, &cpus).block(&plan).unwrap();
    }
}

#[test]
fn an_order_that_a_worker_does_not_know_is_refused_and_it_goes_on() {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["worker", "--team", "rayon"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let orders = "{\"id\":5,\"order\":\"later\",\"threads\":1}\n\
                  {\"id\":6,\"order\":\"regions\"}\n\
                  {\"id\":7,\"order\":\"open\",\"shape\":\"gemm:8x8x8:f32\",\"residency\":\"cache\",\"pool_bytes\":0,\
                  \"memory_limit_bytes\":1048576,\"first_cpu\":0}\n";
    let mut input = worker.stdin.take().unwrap();
    input.write_all(orders.as_bytes()).unwrap();
    drop(input);
    let output = worker.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let replies: Vec<serde_json::Value> = said
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcomes: Vec<(u64, &str)> = replies
        .iter()
        .map(|reply| {
            let outcome = reply["outcome"].as_str().unwrap();
            (reply["id"].as_u64().unwrap(), outcome)
        })
        .collect();
    assert_eq!(outcomes, [(5, "refused"), (6, "refused"), (7, "opened")]);
    let reason = replies[0]["reason"].as_str().unwrap();
    assert!(reason.contains("`later`"), "{reason}");
}

#[test]
fn what_a_worker_says_instead_of_times_of_regions_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let cpus = |_| vec![0, 1];
    let answered = |reply: &str, may_go_on: bool| {
        let script = format!("{GREETING}\nread request\necho '{reply}'\nread x");
        let settings = WorkerSettings {
            may_go_on: MayGoOn::when(move || may_go_on),
            ..settings(program(&directory, &script))
        };
        let mut worker = WorkerProcess::start(&settings).unwrap();
        let times = WorkerRegions::new(&mut worker, &cpus).time(&region_request(2, Pause::NONE));
        (times, worker.is_usable())
    };
    let good = r#"{"id":0,"outcome":"regions","durations_ns":[2000,3000],"regions_each":2,"threads_ran":2}"#;
    assert_eq!(answered(good, true), (Ok(vec![1.0, 1.5]), true));
    let refusal = r#"{"id":0,"outcome":"refused","reason":"unknown order"}"#;
    let refused = Unmeasured::Refused("unknown order".to_owned());
    assert_eq!(answered(refusal, true), (Err(refused), true));
    let few = good.replace("\"threads_ran\":2", "\"threads_ran\":1");
    let (times, is_usable) = answered(&few, true);
    assert!(
        matches!(&times, Err(Unmeasured::Failed(why)) if why.contains("2 threads were asked for and 1 ran")),
        "{times:?}"
    );
    assert!(is_usable);
    let other = r#"{"id":0,"outcome":"opened","residency":"cache","pool_bytes":0}"#;
    let (times, is_usable) = answered(other, true);
    assert!(
        matches!(&times, Err(Unmeasured::Failed(why)) if why.contains("to a request for regions")),
        "{times:?}"
    );
    assert!(!is_usable);
    // Nobody is asked any more.
    assert_eq!(answered(good, false), (Err(Unmeasured::Interrupted), true));
}
