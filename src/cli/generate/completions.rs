//! Completion scripts under the names by which the shells find them.

use super::Page;
use clap::Command;
use clap_complete::{Generator as _, Shell};
use std::path::Path;

const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// The shells of which distributions ship completions.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// The shell that a word of the command line names.
pub fn shell(word: &Path) -> Option<Shell> {
    let is_named = |shell: &Shell| word == Path::new(&shell.to_string());
    SHELLS.into_iter().find(is_named)
}

/// The completions of every shell.
pub fn pages(command: &Command) -> Vec<Page> {
    SHELLS.map(|shell| page(shell, command)).into()
}

/// The completions of one shell.
pub fn page(shell: Shell, command: &Command) -> Page {
    let mut command = visible(command);
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, PROGRAM, &mut text);
    Page {
        name: shell.file_name(PROGRAM),
        text,
    }
}

/// The command line without its hidden subcommands, which the generators would offer like any other.
fn visible(command: &Command) -> Command {
    Command::new(PROGRAM)
        .args(command.get_arguments().cloned())
        .subcommands(
            command
                .get_subcommands()
                .filter(|c| !c.is_hide_set())
                .cloned(),
        )
        .version(env!("CARGO_PKG_VERSION"))
}
