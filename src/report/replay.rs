//! What a replay decided, beside what was recorded.

use super::columns::aligned;
use super::table::{plain, stop_word};
use super::units::counted;
use crate::bench::{Replayed, Score};
use crate::machine::Placement;
use crate::stats::{geometric_mean, quantile};
use crate::units::ThreadCount;
use serde::Serialize;
use std::fmt;

/// All workloads of a replay together. Ratios are of recorded medians; a workload that states no count has none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplaySummary {
    /// Workloads decided.
    pub workloads: usize,
    /// Those that state a count.
    pub stated: usize,
    /// Those whose verdict is conclusive.
    pub conclusive: usize,
    /// The others.
    pub inconclusive: usize,
    /// Those of the others that ended with over a quarter of the time left.
    pub inconclusive_with_time_left: usize,
    /// Time of the choice over that of the fastest count, geometric mean.
    pub ratio_to_best: Option<f64>,
    /// The 95 % quantile of that ratio.
    pub ratio_to_best_p95: Option<f64>,
    /// Share of the stated whose ratio is at most 1.02.
    pub within_2_percent: Option<f64>,
    /// Share of the stated whose ratio is at most 1.05.
    pub within_5_percent: Option<f64>,
    /// Virtual seconds of all workloads.
    pub virtual_seconds: f64,
    /// Virtual seconds of a workload, arithmetic mean.
    pub virtual_seconds_mean: Option<f64>,
    /// Virtual seconds of a workload, geometric mean.
    pub virtual_seconds_each: Option<f64>,
    /// Time on all physical cores over that of the choice, geometric mean over the workloads that recorded it.
    pub speedup_over_physical: Option<f64>,
    /// The same for all logical CPUs.
    pub speedup_over_logical: Option<f64>,
}

/// One workload as JSON has it.
#[derive(Serialize)]
struct Row<'a> {
    workload: &'a str,
    threads: Option<ThreadCount>,
    placement: Option<Placement>,
    stop: String,
    p_within: f64,
    ties: &'a [ThreadCount],
    candidates: &'a [ThreadCount],
    raced: Vec<ThreadCount>,
    samples: u64,
    rejected: u64,
    virtual_seconds: f64,
    regret_in_recording: Option<f64>,
    best_in_recording: Option<ThreadCount>,
    speedup_over_physical: Option<f64>,
    speedup_over_logical: Option<f64>,
}

#[derive(Serialize)]
struct Document<'a> {
    workloads: Vec<Row<'a>>,
    summary: ReplaySummary,
}

impl ReplaySummary {
    /// Of these workloads.
    pub fn of(replayed: &[Replayed]) -> Self {
        let scores: Vec<Score> = replayed.iter().filter_map(|r| r.score).collect();
        let ratios: Vec<f64> = scores.iter().map(Score::ratio).collect();
        let within = |limit: f64| {
            let near = ratios.iter().filter(|ratio| **ratio <= limit).count();
            (!ratios.is_empty()).then(|| near as f64 / ratios.len() as f64)
        };
        let speedup = |of: fn(&Score) -> Option<f64>| {
            geometric_mean(&scores.iter().filter_map(of).collect::<Vec<_>>())
        };
        let seconds: Vec<f64> = replayed.iter().map(virtual_seconds).collect();
        let sum: f64 = seconds.iter().sum();
        let count = |is: &dyn Fn(&Replayed) -> bool| replayed.iter().filter(|r| is(r)).count();
        let conclusive = count(&|r| r.verdict.stop.is_conclusive());
        Self {
            workloads: replayed.len(),
            stated: scores.len(),
            conclusive,
            inconclusive: replayed.len() - conclusive,
            inconclusive_with_time_left: count(&Replayed::gave_up_early),
            ratio_to_best: geometric_mean(&ratios),
            ratio_to_best_p95: quantile(&ratios, 0.95),
            within_2_percent: within(1.02),
            within_5_percent: within(1.05),
            virtual_seconds: sum,
            virtual_seconds_mean: (!seconds.is_empty()).then(|| sum / seconds.len() as f64),
            virtual_seconds_each: geometric_mean(&seconds),
            speedup_over_physical: speedup(over_physical),
            speedup_over_logical: speedup(over_logical),
        }
    }
}

fn virtual_seconds(replayed: &Replayed) -> f64 {
    replayed.verdict.spent.as_secs_f64()
}

fn over_physical(score: &Score) -> Option<f64> {
    Some(score.physical? / score.chosen)
}

fn over_logical(score: &Score) -> Option<f64> {
    Some(score.logical? / score.chosen)
}

impl fmt::Display for ReplaySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} conclusive, {} not ({} of these with over a quarter of the time left): ",
            counted(self.workloads, "workload"),
            self.conclusive,
            self.inconclusive,
            self.inconclusive_with_time_left
        )?;
        if let (Some(ratio), Some(p95), Some(near), Some(nearly)) = (
            self.ratio_to_best,
            self.ratio_to_best_p95,
            self.within_2_percent,
            self.within_5_percent,
        ) {
            write!(
                f,
                "{ratio:.4} × the best time in geometric mean (p95 {p95:.4}), {:.2} % within 2 %, {:.2} % within 5 %; ",
                100.0 * near,
                100.0 * nearly
            )?;
        }
        write!(f, "{:.1} virtual s", self.virtual_seconds)?;
        if let (Some(mean), Some(each)) = (self.virtual_seconds_mean, self.virtual_seconds_each) {
            write!(
                f,
                ", {mean:.3} s each on average, {each:.3} s in geometric mean"
            )?;
        }
        if let Some(speedup) = self.speedup_over_physical {
            write!(f, "; {speedup:.3} × faster than all physical cores")?;
        }
        if let Some(speedup) = self.speedup_over_logical {
            write!(f, "; {speedup:.3} × faster than all logical CPUs")?;
        }
        Ok(())
    }
}

/// A line a workload and the summary as the last one.
pub fn replay_table(replayed: &[Replayed]) -> String {
    let head = [
        "workload", "threads", "best", "ratio", "stop", "samples", "seconds",
    ];
    let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned))
        .chain(replayed.iter().map(line))
        .collect();
    format!(
        "{}\n{}\n",
        aligned(&rows, &[0, 4]),
        ReplaySummary::of(replayed)
    )
}

fn line(replayed: &Replayed) -> [String; 7] {
    let verdict = &replayed.verdict;
    let none = || "–".to_owned();
    let mark = if verdict.stop.is_conclusive() {
        ' '
    } else {
        '?'
    };
    let score = replayed.score.as_ref();
    [
        plain(&replayed.name),
        verdict
            .latency
            .map_or_else(none, |choice| format!("{}{mark}", choice.arm.threads)),
        score.map_or_else(none, |score| score.best.to_string()),
        score.map_or_else(none, |score| format!("{:.4}", score.ratio())),
        stop_word(&verdict.stop).to_owned(),
        verdict.samples.to_string(),
        format!("{:.3}", virtual_seconds(replayed)),
    ]
}

/// One object: an array of workloads and their summary.
pub fn replay_json(replayed: &[Replayed]) -> Result<String, serde_json::Error> {
    let workloads = replayed.iter().map(row).collect();
    let document = Document {
        workloads,
        summary: ReplaySummary::of(replayed),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn row(replayed: &Replayed) -> Row<'_> {
    let verdict = &replayed.verdict;
    let score = replayed.score.as_ref();
    let mut raced: Vec<ThreadCount> = verdict
        .curve
        .iter()
        .filter(|timed| timed.raced)
        .map(|timed| timed.arm.threads)
        .collect();
    raced.dedup();
    Row {
        workload: &replayed.name,
        threads: verdict.latency.map(|choice| choice.arm.threads),
        placement: verdict.latency.map(|choice| choice.arm.placement),
        stop: verdict.stop.to_string(),
        p_within: verdict.p_within,
        ties: &verdict.ties,
        candidates: &replayed.candidates,
        raced,
        samples: verdict.samples,
        rejected: verdict.rejected,
        virtual_seconds: virtual_seconds(replayed),
        regret_in_recording: score.map(|score| score.ratio() - 1.0),
        best_in_recording: score.map(|score| score.best),
        speedup_over_physical: score.and_then(over_physical),
        speedup_over_logical: score.and_then(over_logical),
    }
}
