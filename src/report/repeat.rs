//! How well the answers of many tunings agree.

use super::columns::aligned;
use super::table::plain;
use super::units::counted;
use crate::bench::{Repeated, Visits};
use crate::stats::Components;
use crate::units::ThreadCount;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The answers of one workload, whether they contradict each other, and where the scatter comes from.
pub fn repeated_text(repeated: &Repeated) -> String {
    let name = plain(&repeated.name);
    let tunings = repeated.answers.len();
    let mut text = match repeated.median_seconds() {
        Some(median) => format!(
            "{name}: {} of {median:.2} s (median), in {:.0} s\n",
            counted(tunings, "tuning"),
            repeated.seconds
        ),
        None => return format!("{name}: no tuning was finished\n"),
    };
    let head = ["threads", "stop", "tunings"].map(str::to_owned);
    let rows = repeated.tally().into_iter().map(|(threads, stop, times)| {
        let threads = threads.map_or_else(|| "-".to_owned(), |threads| threads.to_string());
        [threads, plain(&stop), times.to_string()]
    });
    text += &aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), &[1]);
    text += &agreement(repeated);
    if let Some(visits) = &repeated.visits {
        text += &scatter(visits);
    }
    text
}

fn agreement(repeated: &Repeated) -> String {
    let conclusive = repeated.conclusive().count();
    let Some(usual) = repeated.usual() else {
        return "no answer is conclusive\n".to_owned();
    };
    let others = repeated.others();
    if others == 0 {
        return format!(
            "{} of {} conclusive, and all for {usual} {}\n",
            conclusive,
            counted(repeated.answers.len(), "answer"),
            threads(usual)
        );
    }
    format!(
        "{conclusive} of {} conclusive; {others} of these not for {usual}, of which {} contradict{} it (it is not among \
         their ties)\n",
        counted(repeated.answers.len(), "answer"),
        repeated.contradictions(),
        if repeated.contradictions() == 1 {
            "s"
        } else {
            ""
        },
    )
}

fn threads(count: ThreadCount) -> &'static str {
    if count == ThreadCount::ONE {
        "thread"
    } else {
        "threads"
    }
}

fn scatter(visits: &Visits) -> String {
    let [first, second] = visits.counts;
    let gains: Vec<String> = visits
        .gains()
        .into_iter()
        .map(|gain| gain.map_or_else(|| "-".to_owned(), |gain| format!("{gain:.2}")))
        .collect();
    let mut text = format!(
        "{first} against {second}, times as fast, by round of {} visits: {}\n",
        visits.processes,
        gains.join(" ")
    );
    let _ = match visits.components() {
        Some(parts) => writeln!(
            text,
            "standard deviation of its logarithm: {:.3} from block to block within a visit, {:.3} between visits, {:.3} \
             between processes",
            parts.within_visit, parts.between_visits, parts.between_processes
        ),
        None => writeln!(
            text,
            "too few visits were undisturbed to tell where the scatter comes from"
        ),
    };
    text
}

/// One workload as JSON has it.
#[derive(Serialize)]
struct Row<'a> {
    workload: &'a str,
    seconds: f64,
    answers: Vec<AnswerRow<'a>>,
    conclusive: usize,
    usual: Option<ThreadCount>,
    others: usize,
    contradictions: usize,
    visits: Option<VisitsRow<'a>>,
}

#[derive(Serialize)]
struct AnswerRow<'a> {
    threads: Option<ThreadCount>,
    stop: String,
    ties: &'a [ThreadCount],
    seconds: f64,
}

/// Differences are of log times, the first count's less the second's.
#[derive(Serialize)]
struct VisitsRow<'a> {
    counts: [ThreadCount; 2],
    processes: usize,
    differences: &'a [Vec<Vec<f64>>],
    within_visit: Option<f64>,
    between_visits: Option<f64>,
    between_processes: Option<f64>,
}

/// All workloads: an object with a list `workload`.
pub fn repeated_json(all: &[Repeated]) -> Result<String, serde_json::Error> {
    let rows: Vec<Row> = all.iter().map(row).collect();
    let document = BTreeMap::from([("workload", rows)]);
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn row(repeated: &Repeated) -> Row<'_> {
    Row {
        workload: &repeated.name,
        seconds: repeated.seconds,
        answers: repeated
            .answers
            .iter()
            .map(|answer| AnswerRow {
                threads: answer.threads,
                stop: answer.stop.to_string(),
                ties: &answer.ties,
                seconds: answer.seconds,
            })
            .collect(),
        conclusive: repeated.conclusive().count(),
        usual: repeated.usual(),
        others: repeated.others(),
        contradictions: repeated.contradictions(),
        visits: repeated.visits.as_ref().map(|visits| {
            let parts = visits.components();
            let part = |of: fn(&Components) -> f64| parts.as_ref().map(of);
            VisitsRow {
                counts: visits.counts,
                processes: visits.processes,
                differences: &visits.rounds,
                within_visit: part(|parts| parts.within_visit),
                between_visits: part(|parts| parts.between_visits),
                between_processes: part(|parts| parts.between_processes),
            }
        }),
    }
}
