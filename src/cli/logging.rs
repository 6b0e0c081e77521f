//! Everything but results goes to stderr through `log`; under systemd each line starts with its priority.

use super::Global;
use env_logger::fmt::Formatter;
use log::{Level, LevelFilter, Record};
use std::ffi::OsStr;
use std::io::{self, Write};

/// The target of lines about progress, which are shown unless `--quiet`.
pub const PROGRESS: &str = "progress";

/// Sets up logging. `RUST_LOG` counts unless an option says more, and never for `launch`: there it is meant for the
/// program that is launched.
pub fn initialise(global: &Global, honour_rust_log: bool) {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level(global));
    if !global.quiet {
        builder.filter_module(PROGRESS, LevelFilter::Info.max(level(global)));
    }
    // What the service does by itself is news; what a user asks for is not.
    if !global.quiet {
        builder.filter_module("threadtune::daemon", LevelFilter::Info.max(level(global)));
    }
    if honour_rust_log
        && global.verbose == 0
        && !global.quiet
        && let Ok(filters) = std::env::var("RUST_LOG")
    {
        builder.parse_filters(&filters);
    }
    let journal = is_journal(std::env::var_os("JOURNAL_STREAM").as_deref());
    builder.format(move |out, record| line(out, record, journal));
    // Fails only if a logger was set before, which serves as well.
    let _ = builder.try_init();
}

fn level(global: &Global) -> LevelFilter {
    match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Trace,
    }
}

fn line(out: &mut Formatter, record: &Record<'_>, journal: bool) -> io::Result<()> {
    // A message is one line, whatever it quotes.
    let text = record.args().to_string().replace(['\n', '\r'], " ");
    if journal {
        writeln!(out, "<{}>{text}", priority(record.level()))
    } else {
        let word = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info => "",
            Level::Debug => "debug: ",
            Level::Trace => "trace: ",
        };
        writeln!(out, "threadtune: {word}{text}")
    }
}

/// syslog's priority, as systemd reads it from the start of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Is stderr the very stream that systemd says it connected to the journal (`device:inode`)?
fn is_journal(stream: Option<&OsStr>) -> bool {
    let named = stream
        .and_then(OsStr::to_str)
        .and_then(|text| text.split_once(':'))
        .and_then(|(dev, ino)| Some((dev.parse::<u64>().ok()?, ino.parse::<u64>().ok()?)));
    named.is_some_and(|named| {
        rustix::fs::fstat(io::stderr()).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == named)
    })
}
