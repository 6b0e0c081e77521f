//! `threadtune status`: what the daemon last said of itself.

use super::output::print;
use crate::daemon::status::{STATUS_FILE, State, Status, WallTime, printable, read};
use clap::Args;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;
use std::process::ExitCode;

/// No daemon has said anything.
const ABSENT: u8 = 3;

/// Options of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 the file is broken (stderr says how); 2 wrong usage; 3 no daemon has written one"
)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The file that the daemon writes.
    #[arg(long, value_name = "FILE", default_value = STATUS_FILE)]
    file: PathBuf,
}

impl StatusArgs {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let status = match read(&self.file) {
            Ok(status) => status,
            Err(error) if error.is_absent() => {
                log::error!("{error}");
                return Ok(ExitCode::from(ABSENT));
            }
            Err(error) => return Err(error.into()),
        };
        if status.state != State::Stopped && is_gone(status.pid) {
            log::warn!(
                "process {} is gone: this is the last that it said; start the daemon again with `systemctl start threadtune`",
                status.pid
            );
        }
        let text = if self.json {
            serde_json::to_string_pretty(&status)? + "\n"
        } else {
            text(&status)
        };
        print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A few lines for people.
fn text(status: &Status) -> String {
    let time = |time: Option<WallTime>| time.map_or("never".to_owned(), |time| time.to_string());
    let or_none = |text: &Option<String>| text.as_deref().map_or("none".to_owned(), printable);
    let count = &status.workloads;
    let lines = [
        status.summary(),
        format!(
            "since {}; threadtune {}, process {}, started {}",
            status.since,
            printable(&status.version),
            status.pid,
            status.started
        ),
        format!(
            "workloads: {} conclusive, {} inconclusive, {} failed, {} left",
            count.conclusive, count.inconclusive, count.failed, count.left
        ),
        format!(
            "CPU time spent: {:.1} s today, {:.1} s in all",
            status.spent.today_cpu_s, status.spent.total_cpu_s
        ),
        format!(
            "last check: {}; next wake-up: {}",
            time(status.last_check),
            time(status.next_wakeup)
        ),
        format!("machine: {}", or_none(&status.machine)),
        format!("profile: {}", or_none(&status.profile)),
    ];
    lines.join("\n") + "\n"
}

/// Is there certainly no such process? One that belongs to somebody else is there.
pub(super) fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}
