//! Programs whose threads the kernel refuses to bind, as sandboxes do: `strace` has every call that sets a mask fail.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::process::Command;

/// What stands before a command that is run so.
pub const DENIED: &str = "strace -f -o /dev/null -e inject=sched_setaffinity:error=EPERM";

/// Can commands be run so here? Where not, the test is skipped and says so.
pub fn can_be_denied(test: &str) -> bool {
    let is_possible = denied(&Command::new("true"))
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("skipped {test}: needs strace and the right to trace");
    }
    is_possible
}

/// The same command, with the same environment and no other variables where it has any of its own, run so.
pub fn denied(command: &Command) -> Command {
    let mut words = DENIED.split(' ');
    let mut traced = Command::new(words.next().expect("there is a program"));
    traced
        .args(words)
        .arg(command.get_program())
        .args(command.get_args());
    let mut variables = command.get_envs().peekable();
    if variables.peek().is_some() {
        traced.env_clear();
    }
    traced.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    traced
}
