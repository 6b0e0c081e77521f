//! One file per subcommand: arguments in, text out; decisions live below.

mod budget;
mod check;
mod configuration;
mod daemon;
mod duration;
mod generate;
pub mod launch;
pub mod logging;
mod machine;
mod measuring;
mod output;
mod repeat;
mod replay;
mod show;
mod signals;
mod status;
pub mod this_machine;
mod tune;
mod turn;
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
    /// Measure this machine and write its profile.
    Tune(tune::TuneArgs),
    /// Look whether the counts of the profiles still hold.
    Check(check::CheckArgs),
    /// Start a program with the number of threads that suits its work.
    Launch(launch::LaunchArgs),
    /// Show a profile, or the curve of one workload.
    Show(show::ShowArgs),
    /// Measure by itself when nobody needs the machine, and keep the profile true: the service.
    Daemon(daemon::DaemonArgs),
    /// Show what the daemon does, and why.
    Status(status::StatusArgs),
    /// Print how many threads a program started here may use.
    Budget(budget::BudgetArgs),
    /// Show what this machine is, or what sets it apart from a profile's.
    Machine(machine::MachineArgs),
    /// Decide from recorded measurements instead of the machine.
    Replay(replay::ReplayArgs),
    /// Tune workloads again and again, and show how well the answers agree.
    #[command(hide = true)]
    Repeat(repeat::RepeatArgs),
    /// Write man pages or shell completions.
    Generate(generate::GenerateArgs),
    /// The measuring process; started by `tune` and `daemon`, not by hand.
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

impl Command {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Tune(args) => args.run(),
            Self::Check(args) => Ok(args.run()),
            Self::Launch(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Daemon(args) => args.run(),
            Self::Status(args) => args.run(),
            Self::Budget(args) => args.run(),
            Self::Machine(args) => args.run(),
            Self::Replay(args) => args.run(),
            Self::Repeat(args) => args.run(),
            Self::Generate(args) => args.run(),
            Self::Worker(args) => args.run(),
        }
    }
}
