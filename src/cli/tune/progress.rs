//! What a tuning shows while it runs: a bar on a terminal, plain lines elsewhere.

use crate::profile::Entry;
use crate::report::time;
use crate::tune::{Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Lines about progress are shown unless `--quiet`; other information only with `--verbose`.
use crate::cli::logging::PROGRESS as TARGET;

/// The bar counts thousandths of a workload.
const STEPS: u64 = 1000;

/// Shows how far a tuning has come; it draws between samples only, never during one.
pub struct Display {
    bar: Option<ProgressBar>,
    total: usize,
    begun: Instant,
    at: Cell<usize>,
}

impl Display {
    /// For so many workloads.
    pub fn new(total: usize) -> Self {
        let shown = std::io::stderr().is_terminal() && log::log_enabled!(log::Level::Warn);
        let bar = shown.then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(total as u64 * STEPS),
                ProgressDrawTarget::stderr_with_hz(5),
            );
            if let Ok(style) = ProgressStyle::with_template("{bar:20} {prefix} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            total,
            begun: Instant::now(),
            at: Cell::new(0),
        }
    }

    /// The next workload begins.
    pub fn begin(&self, index: usize, name: &str) {
        self.at.set(index);
        if let Some(bar) = &self.bar {
            bar.set_position(index as u64 * STEPS);
            bar.set_prefix(format!("{}/{} {name}", index + 1, self.total));
            bar.set_message("preparing");
        }
    }

    /// A step of it was made.
    pub fn progress(&self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        let done = self.at.get() as f64 + progress.fraction;
        bar.set_position((done * STEPS as f64) as u64);
        bar.set_message(format!("{}{}", doing(progress), self.left(done)));
    }

    /// It is finished.
    pub fn finished(&self, entry: &Entry) {
        let place = format!("[{}/{}]", self.at.get() + 1, self.total);
        let line = match &entry.latency {
            Some(latency) => format!(
                "{place} {}: {} of {}, {} a call ({}, {:.1} s)",
                entry.name,
                latency.threads,
                entry
                    .default
                    .as_ref()
                    .map_or_else(|| "?".to_owned(), |d| format!("{} threads", d.threads)),
                time(latency.median_us),
                entry.stop,
                entry.seconds
            ),
            None => format!(
                "{place} {}: no count stated ({}, {:.1} s)",
                entry.name, entry.stop, entry.seconds
            ),
        };
        if self.bar.is_none() {
            log::info!(target: TARGET, "{line}");
        }
    }

    /// Nothing more is measured.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// `, 12 s left`, from how long what is done has taken.
    fn left(&self, done: f64) -> String {
        let elapsed = self.begun.elapsed();
        if done < 0.2 || elapsed < Duration::from_secs(2) {
            return String::new();
        }
        let left = elapsed.as_secs_f64() * (self.total as f64 - done) / done;
        format!(", about {left:.0} s left")
    }
}

fn doing(progress: &Progress) -> String {
    let counts: Vec<String> = progress
        .arms
        .iter()
        .map(|arm| arm.threads.to_string())
        .collect();
    let what = match progress.stage {
        Stage::Ladder | Stage::Dense | Stage::Narrowing => "screening",
        Stage::Race => "racing bound",
        Stage::UnboundScreening => "screening unbound",
        Stage::UnboundRace => "racing unbound",
        Stage::FullLoad => "full load of",
        Stage::LoadedScreening => "under load: screening",
        Stage::SustainedRace => "under load: racing",
        Stage::Efficient => "looking for fewer than",
        Stage::AboveQuota => "racing above the quota",
        Stage::DriftCheck => "checking",
        Stage::Done => "done",
    };
    match counts.as_slice() {
        [] => format!("{what}: waiting for other work to pass"),
        [one] => format!(
            "{what} {one} {}",
            if one == "1" { "thread" } else { "threads" }
        ),
        many => format!("{what} {} threads", many.join(", ")),
    }
}
