//! `threadtune generate`: man pages and completions for packages, from the definition that parses the command line.

mod completions;
mod man;
mod sections;

use super::Cli;
use super::output::print;
use anyhow::{Context as _, bail};
use clap::{Args, CommandFactory as _, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What every form of `generate` exits with.
const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 a file could not be written (stderr says which); 2 wrong usage";

/// Write man pages or shell completions.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the man pages of threadtune and of every subcommand into a directory.
    #[command(after_help = EXIT_CODES)]
    Man {
        /// An existing directory; files of the same name are replaced.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print the completions of one shell, or write those of all into a directory.
    #[command(after_help = EXIT_CODES)]
    Completions {
        /// bash, zsh or fish; any other word is an existing directory, which gets threadtune.bash, _threadtune and
        /// threadtune.fish.
        #[arg(value_name = "SHELL|DIR")]
        destination: PathBuf,
    },
}

/// A file that is generated.
struct Page {
    name: String,
    text: Vec<u8>,
}

impl GenerateArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match &self.what {
            What::Man { directory } => write(directory, man::pages(Cli::command())?)?,
            What::Completions { destination } => match completions::shell(destination) {
                Some(shell) => print(&completions::page(shell, &Cli::command()).text)?,
                None => write(destination, completions::pages(&Cli::command()))?,
            },
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn write(directory: &Path, pages: Vec<Page>) -> anyhow::Result<()> {
    if !directory.is_dir() {
        bail!(
            "there is no directory `{}`; create it first, or name another one",
            directory.display()
        );
    }
    for Page { name, text } in pages {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
