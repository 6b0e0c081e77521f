//! Taking turns: who measures waits until nobody else does, and until the service has stood back.

use super::logging::PROGRESS;
use super::signals::StopRequest;
use super::status::is_gone;
use crate::daemon::status::{STATUS_FILE, State, read};
use crate::machine::{TURN_DIRECTORY, Turn, TurnHolder};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// `EX_TEMPFAIL` of sysexits.h: not now.
const NOT_NOW: u8 = 75;

/// The service looks whose turn it is by a lock of its own, which lasts for microseconds.
const PROBE: Duration = Duration::from_millis(50);

/// How often is tried again while that may be all.
const SOON: Duration = Duration::from_millis(5);

/// How often is looked whether the turn is free, or the user has asked to stop. More often would disturb who measures.
const NOW_AND_THEN: Duration = Duration::from_millis(250);

/// The service looks twice a second, and then ends the running sample.
const SERVICE_PATIENCE: Duration = Duration::from_secs(5);

/// What to do while somebody else measures.
#[derive(Debug, Args)]
pub struct TurnArgs {
    /// Exit with code 75 where another `tune`, `check` or `repeat` measures, instead of waiting for its end.
    #[arg(long)]
    no_wait: bool,
    /// The directory whose lock says who measures.
    #[arg(long, value_name = "DIR", default_value = TURN_DIRECTORY, hide = true)]
    turns: PathBuf,
}

impl TurnArgs {
    /// Waits for the turn to measure, which lasts as long as what this gives; there is none where the system has no such
    /// lock. The exit code where there is nothing to wait for any more, after saying why.
    pub fn take(&self, stop: &StopRequest) -> Result<Option<Turn>, ExitCode> {
        let begin = Instant::now();
        let mut is_told = false;
        let turn = loop {
            match Turn::take(&self.turns) {
                Ok(Some(turn)) => break turn,
                Ok(None) => {}
                Err(error) => {
                    let place = self.turns.display();
                    log::debug!("{place} cannot be locked ({error}): others may measure, too");
                    return Ok(None);
                }
            }
            if stop.is_set() {
                return Err(stop.exit_code());
            }
            if begin.elapsed() < PROBE {
                thread::sleep(SOON);
                continue;
            }
            if !is_told && let Some(holder) = TurnHolder::of(&self.turns) {
                if self.no_wait {
                    log::error!(
                        "{holder} is measuring, and two at a time would disturb each other; try again when it has ended, or \
                         leave out --no-wait to wait for it"
                    );
                    return Err(ExitCode::from(NOT_NOW));
                }
                log::info!(
                    target: PROGRESS,
                    "{holder} is measuring; waiting for it to end (--no-wait exits with code 75 instead)"
                );
                is_told = true;
            }
            thread::sleep(NOW_AND_THEN);
        };
        service_stands_back(Path::new(STATUS_FILE), SERVICE_PATIENCE, || stop.is_set());
        if stop.is_set() {
            return Err(stop.exit_code());
        }
        Ok(Some(turn))
    }
}

/// Waits until the service, whose status this file is, does not measure any more; did it, in time?
fn service_stands_back(status: &Path, patience: Duration, is_stopped: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        let Some(process) = measuring_service(status) else {
            return true;
        };
        if is_stopped() {
            return false;
        }
        if begin.elapsed() >= patience {
            log::warn!(
                "the service (process {process}) still measures, and does not stand back: was it told to tune now? Measuring \
                 beside it takes longer and may stay inconclusive (`threadtune status` shows what it does)"
            );
            return false;
        }
        thread::sleep(PROBE);
    }
}

/// The process of the service, if its status says that it measures.
fn measuring_service(status: &Path) -> Option<u32> {
    let status = read(status).ok()?;
    let measures = matches!(status.state, State::Measuring | State::StandingBack);
    (measures && !is_gone(status.pid)).then_some(status.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::status::{Reason, Status, write};
    use serde_json::json;
    use std::cell::Cell;

    /// Of a daemon that measures, in this process.
    fn measuring() -> Status {
        let status = json!({
            "schema": 1, "version": "0", "pid": std::process::id(),
            "started": "2026-11-22T09:00:00Z", "since": "2026-11-22T09:00:00Z",
            "state": "measuring", "reason": null,
            "task": { "purpose": "tune", "workload": "a", "progress": 0.5, "remaining_s": null },
            "workloads": { "conclusive": 0, "inconclusive": 0, "failed": 0, "left": 1 },
            "spent": { "today_cpu_s": 0.0, "total_cpu_s": 0.0 },
            "last_check": null, "next_wakeup": null, "machine": null, "profile": null,
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn who_measures_waits_for_a_service_that_does() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("status.json");
        let never = || panic!("there is nothing to wait for");
        let stands_back = || service_stands_back(&file, SERVICE_PATIENCE, never);
        assert!(stands_back(), "there is no service");
        std::fs::write(&file, "{}").unwrap();
        assert!(stands_back(), "nobody knows");
        let idle = Status {
            state: State::Idle,
            ..measuring()
        };
        write(&file, &idle).unwrap();
        assert!(stands_back());
        let gone = Status {
            pid: i32::MAX.unsigned_abs(),
            ..measuring()
        };
        write(&file, &gone).unwrap();
        assert!(stands_back(), "it died while it measured");
        write(&file, &measuring()).unwrap();
        assert!(!service_stands_back(&file, Duration::ZERO, || false));
        assert!(!service_stands_back(&file, SERVICE_PATIENCE, || true));
        // It puts its task aside, and then waits.
        let looks = Cell::new(0);
        let reason = Some(Reason::Measured {
            by: "threadtune tune".to_owned(),
        });
        let goes_on = || {
            looks.set(looks.get() + 1);
            let state = match looks.get() {
                1 => State::StandingBack,
                _ => State::Waiting,
            };
            let status = Status {
                state,
                reason: reason.clone(),
                ..measuring()
            };
            write(&file, &status).unwrap();
            false
        };
        assert!(service_stands_back(&file, Duration::MAX, goes_on));
        assert_eq!(looks.get(), 2);
    }
}
