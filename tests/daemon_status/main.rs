//! The status of a daemon: its file, its metrics, and `threadtune status` as a process.

mod command;
mod file;
mod metrics;

use threadtune::daemon::status::{
    BusyProcess, Purpose, Reason, Spent, State, Status, Task, WallTime, Workloads,
};

/// 2026-11-22T10:00:00Z.
const TEN: u64 = 1_795_341_600;

fn waiting() -> Status {
    Status {
        schema: 1,
        version: "0.1.0".to_owned(),
        // This process, which is certainly there.
        pid: std::process::id(),
        started: WallTime::from_unix_s(TEN - 3600),
        state: State::Waiting,
        since: WallTime::from_unix_s(TEN),
        reason: Some(Reason::Busy {
            cpus: 1.75,
            busiest: Some(BusyProcess {
                name: "python3".to_owned(),
                cpus: 1.25,
            }),
        }),
        task: None,
        workloads: Workloads {
            conclusive: 22,
            inconclusive: 3,
            failed: 1,
            left: 4,
        },
        spent: Spent {
            today_cpu_s: 12.5,
            total_cpu_s: 341.25,
        },
        last_check: None,
        next_wakeup: Some(WallTime::from_unix_s(TEN + 60)),
        machine: Some("made-up-1s2c2t-5f3a9c".to_owned()),
        profile: Some("/var/lib/threadtune/profiles/x/native.toml".to_owned()),
    }
}

fn measuring() -> Status {
    Status {
        state: State::Measuring,
        reason: None,
        task: Some(Task {
            purpose: Purpose::Tune,
            workload: "matmul-256".to_owned(),
            progress: 0.4,
            remaining_s: Some(11.6),
        }),
        ..waiting()
    }
}

/// The file of [`waiting`].
const TEXT: &str = r#"{
  "schema": 1,
  "version": "0.1.0",
  "pid": PID,
  "started": "2026-11-22T09:00:00Z",
  "state": "waiting",
  "since": "2026-11-22T10:00:00Z",
  "reason": {
    "busy": {
      "cpus": 1.75,
      "busiest": {
        "name": "python3",
        "cpus": 1.25
      }
    }
  },
  "task": null,
  "workloads": {
    "conclusive": 22,
    "inconclusive": 3,
    "failed": 1,
    "left": 4
  },
  "spent": {
    "today_cpu_s": 12.5,
    "total_cpu_s": 341.25
  },
  "last_check": null,
  "next_wakeup": "2026-11-22T10:01:00Z",
  "machine": "made-up-1s2c2t-5f3a9c",
  "profile": "/var/lib/threadtune/profiles/x/native.toml"
}
"#;

fn expected() -> String {
    TEXT.replace("PID", &std::process::id().to_string())
}
