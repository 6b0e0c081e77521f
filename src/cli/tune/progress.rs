//! What a tuning shows while it runs: a bar on a terminal, plain lines elsewhere.

use crate::bench::Tuned;
use crate::report::{counted, rough, time};
use crate::tune::{Progress, Stage};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Lines about progress are shown unless `--quiet`; other information only with `--verbose`.
use crate::cli::logging::PROGRESS as TARGET;

/// The bar counts thousandths of a workload.
const STEPS: u64 = 1000;

/// Shows how far a run has come; it draws between samples only, never during one.
pub struct Display {
    bar: Option<ProgressBar>,
    begun: Instant,
    /// Workloads and further visits to them that are known to come, and how many were begun.
    total: Cell<usize>,
    at: Cell<usize>,
    is_first_round: Cell<bool>,
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
            begun: Instant::now(),
            total: Cell::new(total),
            at: Cell::new(0),
            is_first_round: Cell::new(true),
        }
    }

    /// So many are looked at again.
    pub fn another_round(&self, visits: usize) {
        self.is_first_round.set(false);
        self.total.set(self.at.get() + visits);
        if let Some(bar) = &self.bar {
            bar.set_length(self.total.get() as u64 * STEPS);
        }
    }

    /// Nothing is due yet.
    pub fn waiting(&self) {
        if let Some(bar) = &self.bar {
            bar.set_prefix("");
            bar.set_message("waiting, as what is true now may not be in a while");
        }
    }

    /// The next workload, or visit to one, begins.
    pub fn begin(&self, name: &str) {
        let at = self.at.get();
        self.at.set(at + 1);
        if let Some(bar) = &self.bar {
            bar.set_position(at as u64 * STEPS);
            bar.set_prefix(format!("{}/{} {name}", at + 1, self.total.get()));
            bar.set_message("preparing");
        }
    }

    /// A step of it was made.
    pub fn progress(&self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        let begun = self.at.get().saturating_sub(1);
        let done = begun as f64 + progress.fraction;
        bar.set_position((done * STEPS as f64) as u64);
        bar.set_message(format!("{}{}", doing(progress), self.left(done)));
    }

    /// It was measured, or looked at once more. What is to be looked at again is told once.
    pub fn measured(&self, tuned: &Tuned) {
        let entry = &tuned.entry;
        let is_over = tuned.again.is_none();
        if self.bar.is_some() || !(is_over || self.is_first_round.get()) {
            return;
        }
        let place = if self.is_first_round.get() {
            format!("[{}/{}] ", self.at.get(), self.total.get())
        } else {
            String::new()
        };
        let visits = match (entry.visits, entry.span_s) {
            (Some(visits), Some(span)) => {
                format!(
                    ", {} over {}",
                    counted(visits as usize, "visit"),
                    rough(span)
                )
            }
            _ => String::new(),
        };
        let how = if is_over {
            format!("{}{visits}", entry.stop)
        } else {
            "so far".to_owned()
        };
        let name = &entry.name;
        let seconds = entry.seconds;
        let all = entry
            .default
            .as_ref()
            .map_or_else(|| "?".to_owned(), |d| format!("{} threads", d.threads));
        match &entry.latency {
            Some(latency) => log::info!(
                target: TARGET,
                "{place}{name}: {} of {all}, {} a call ({how}, {seconds:.1} s)",
                latency.threads,
                time(latency.median_us),
            ),
            None => {
                log::info!(target: TARGET, "{place}{name}: no count stated ({how}, {seconds:.1} s)");
            }
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
        let left = elapsed.as_secs_f64() * (self.total.get() as f64 - done) / done;
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
        Stage::Visit => "looking again at",
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
