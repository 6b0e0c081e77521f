//! Whether counts still hold, as `check` tells it.

use super::columns::aligned;
use super::table::plain;
use super::units::time;
use crate::bench::Checked;
use crate::profile::Entry;
use crate::tune::{Drift, Finding};
use crate::units::ThreadCount;
use serde::Serialize;
use std::fmt::Write as _;

/// Does a count still hold?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Held {
    /// No other that was timed is faster by more than 5 %.
    Yes,
    /// One is proven to be.
    No,
    /// Neither was proven.
    Unknown,
}

/// What came of looking at one workload again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedWorkload {
    /// Its name.
    pub workload: String,
    /// The count that the profile states.
    pub threads: Option<ThreadCount>,
    /// Does it hold?
    pub held: Held,
    /// Its time per call now, microseconds; absent where nothing was timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub us: Option<f64>,
    /// The fastest count of those timed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<ThreadCount>,
    /// How much more time a call takes than with that, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
    /// Why it is not known whether it holds, or need not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl CheckedWorkload {
    /// What a check of this entry came to.
    pub fn new(entry: &Entry, checked: Checked) -> Self {
        let nothing = Self {
            workload: entry.name.clone(),
            threads: entry.latency.as_ref().map(|latency| latency.threads),
            held: Held::Unknown,
            us: None,
            best: None,
            loss_percent: None,
            why: None,
        };
        match checked {
            Checked::Needless => Self {
                held: Held::Yes,
                why: Some("there is no other count".to_owned()),
                ..nothing
            },
            Checked::Failed(why) => Self {
                why: Some(why),
                ..nothing
            },
            Checked::Found(finding) => nothing.found(&finding),
        }
    }

    fn found(self, finding: &Finding) -> Self {
        let (held, why) = match &finding.verdict {
            Drift::Holds => (Held::Yes, None),
            Drift::Lost => (Held::No, None),
            Drift::Unknown(stop) => (Held::Unknown, Some(stop.to_string())),
        };
        let was_timed = finding.chosen_seconds > 0.0;
        Self {
            held,
            us: was_timed.then_some(1e6 * finding.chosen_seconds),
            best: was_timed.then_some(finding.best),
            loss_percent: was_timed.then(|| (1e4 * finding.loss).round() / 100.0),
            why,
            ..self
        }
    }
}

/// A line for each workload, and one about what to do where a count is lost.
pub fn checks_table(checks: &[CheckedWorkload]) -> String {
    let head = ["workload", "threads", "a call", "best now", "loss", "holds"].map(str::to_owned);
    let none = || "–".to_owned();
    let row = |check: &CheckedWorkload| {
        let held = match check.held {
            Held::Yes => "yes",
            Held::No => "no",
            Held::Unknown => "unknown",
        };
        let why = check.why.as_ref();
        [
            plain(&check.workload),
            check
                .threads
                .map_or_else(none, |threads| threads.to_string()),
            check.us.map_or_else(none, time),
            check.best.map_or_else(none, |best| best.to_string()),
            check
                .loss_percent
                .map_or_else(none, |loss| format!("{loss:.1} %")),
            why.map_or_else(|| held.to_owned(), |why| format!("{held}: {}", plain(why))),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head)
        .chain(checks.iter().map(row))
        .collect();
    let mut text = aligned(&rows, &[0, 5]);
    let lost = checks.iter().filter(|check| check.held == Held::No);
    let lost: Vec<String> = lost.map(|check| plain(&check.workload)).collect();
    if !lost.is_empty() {
        let _ = writeln!(
            text,
            "Proven to lose more than 5 % now; `threadtune tune {}` measures anew.",
            lost.join(" ")
        );
    }
    text
}

/// All as one JSON object, ended by a newline.
pub fn checks_json(checks: &[CheckedWorkload]) -> Result<String, serde_json::Error> {
    let all = serde_json::json!({ "workload": checks });
    serde_json::to_string_pretty(&all).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{StopReason, parse};
    use crate::units::Nanos;
    use std::path::Path;

    fn finding(verdict: Drift, seconds: f64, best: usize, loss: f64) -> Checked {
        Checked::Found(Finding {
            verdict,
            chosen: ThreadCount::clamped(6),
            chosen_seconds: seconds,
            best: ThreadCount::clamped(best),
            best_seconds: seconds / (1.0 + loss),
            loss,
            raced: Vec::new(),
            blocks: 10,
            samples: 20,
            rejected: 0,
            spent: Nanos::ZERO,
        })
    }

    #[test]
    fn each_workload_has_a_line_and_what_is_lost_is_named() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        let unknown = Drift::Unknown(StopReason::Budget);
        let found = [
            finding(Drift::Lost, 120e-6, 3, 0.2),
            finding(Drift::Holds, 505e-6, 3, 0.0),
            finding(unknown, 0.0, 6, 0.0),
            Checked::Failed("the worker was killed\nby signal 11".to_owned()),
            Checked::Needless,
        ];
        let entries = profile.workloads.iter().zip(found);
        let checks: Vec<_> = entries
            .map(|(entry, checked)| CheckedWorkload::new(entry, checked))
            .collect();
        let expected = "\
workload            threads  a call  best now    loss  holds
matmul-256                6  120 µs         3  20.0 %  no
gemv-2048x2048            3  505 µs         3   0.0 %  yes
llama3.2-1b/decode        4       –         –       –  unknown: budget
softmax-512x512           –       –         –       –  unknown: the worker was killed by signal 11
gemm-bf16-64              1       –         –       –  yes: there is no other count
Proven to lose more than 5 % now; `threadtune tune matmul-256` measures anew.
";
        assert_eq!(checks_table(&checks), expected);
        let json: serde_json::Value = serde_json::from_str(&checks_json(&checks).unwrap()).unwrap();
        let row = &json["workload"][0];
        assert_eq!((&row["held"], &row["best"]), (&"no".into(), &3.into()));
        assert_eq!(row["loss_percent"], 20.0);
        assert_eq!(json["workload"][2]["why"], "budget");
    }
}
