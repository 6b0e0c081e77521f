//! `threadtune daemon`: the service, which measures by itself when nobody needs the machine.

use crate::configuration::SYSTEM_FILE;
use crate::daemon::{Places, run};
use crate::machine::TURN_DIRECTORY;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Options of `daemon`.
#[derive(Debug, Args)]
#[command(
    after_help = "Signals: SIGHUP reads the configuration again and checks the profile; SIGUSR1 tunes now, whatever else \
                  goes on; SIGUSR2 writes the status to the log; SIGTERM and SIGINT end the running sample, save and \
                  stop, and the second one exits at once.\n\nExit codes: 0 stopped by a signal; 1 it cannot work here \
                  (stderr says why); 2 wrong usage"
)]
pub struct DaemonArgs {
    /// The configuration, read again at SIGHUP; without the file the defaults hold.
    #[arg(long, value_name = "FILE", default_value = SYSTEM_FILE)]
    configuration: PathBuf,
    /// Where profiles are kept, and what was spent.
    #[arg(
        long,
        value_name = "DIR",
        env = "STATE_DIRECTORY",
        default_value = "/var/lib/threadtune"
    )]
    state: PathBuf,
    /// Where the status is written.
    #[arg(
        long,
        value_name = "DIR",
        env = "RUNTIME_DIRECTORY",
        default_value = "/run/threadtune"
    )]
    runtime: PathBuf,
    /// The directory whose lock says who measures.
    #[arg(long, value_name = "DIR", default_value = TURN_DIRECTORY, hide = true)]
    turns: PathBuf,
    /// Give a workload up when its worker does not answer for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide = true, value_parser = clap::value_parser!(u64).range(1..=86400))]
    deadline: u64,
}

impl DaemonArgs {
    /// Runs until a signal ends it.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let places = Places {
            configuration: self.configuration,
            state: absolute(self.state),
            runtime: absolute(self.runtime),
            turns: self.turns,
        };
        run(&places, Duration::from_secs(self.deadline))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is told to others in the status must mean the same to them, wherever they are.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
