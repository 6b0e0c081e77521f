//! The `threadtune` binary: parse, set up logging, dispatch, exit code.

use clap::Parser;
use std::process::ExitCode;
use threadtune::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("threadtune: {error:#}");
            ExitCode::FAILURE
        }
    }
}
