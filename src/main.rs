//! The `threadtune` binary: parse, set up logging, dispatch, exit code.

use clap::Parser;
use log::error;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;
use threadtune::cli::{Cli, Command, launch, logging};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &arguments),
    };
    let is_launch = matches!(cli.command, Command::Launch(_));
    logging::initialise(&cli.global, !is_launch);
    cli.command.run().unwrap_or_else(|error| {
        error!("{error:#}");
        if is_launch {
            ExitCode::from(launch::FAILED)
        } else {
            ExitCode::FAILURE
        }
    })
}

/// Prints what clap has to say: help is a result, anything else wrong usage.
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let printed = error.print();
    if !error.use_stderr() {
        return match printed {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    // The options before the subcommand take no values.
    let subcommand = arguments
        .iter()
        .skip(1)
        .find(|a| !a.as_encoded_bytes().starts_with(b"-"));
    if subcommand.is_some_and(|name| name == "launch") {
        ExitCode::from(launch::FAILED)
    } else {
        ExitCode::from(2)
    }
}
