//! One file per subcommand: arguments in, text out; decisions live below.

mod budget;
mod output;
mod tune;
mod worker;

use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// Measures how many threads each kind of work should use on this machine, and starts programs with the answer.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every subcommand.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every subcommand.
#[derive(Debug, Args)]
pub struct Global {
    /// Say more on stderr; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only errors on stderr.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print how many threads a program started here may use.
    Budget(budget::BudgetArgs),
    /// Measure this machine and write its profile.
    Tune(tune::TuneArgs),
    /// The measuring process; started by `tune`, not by hand.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

impl Command {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Worker(args) => worker::run(&args),
            Self::Budget(args) => args.run(),
            Self::Tune(args) => args.run(),
        }
    }
}
