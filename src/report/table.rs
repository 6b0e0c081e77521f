//! The table that `tune` and `show` print: one line a workload.

use super::columns::aligned;
use super::units::{interval, time};
use crate::profile::{Entry, Failing, Judged, Profile, Standing, StopReason};
use std::fmt::Write as _;

/// The table of some entries, with a line under it for each one that states nothing certain.
pub fn profile_table(judged: &[Judged<'_>]) -> String {
    let head = [
        "workload",
        "threads",
        "median",
        "95 % interval",
        "speedup",
        "stop",
        "seconds",
    ]
    .map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head)
        .chain(judged.iter().map(row))
        .collect();
    let mut text = aligned(&rows, &[0, 5]);
    for Judged { entry, .. } in judged {
        if !entry.stop.is_conclusive() {
            text.push_str(&remark(entry));
            text.push('\n');
        }
    }
    text + &standing_lines(judged) + &doubt_lines(judged)
}

/// A line for each reason why entries are doubtful, with their names.
fn doubt_lines(judged: &[Judged<'_>]) -> String {
    lines_by_reason(judged, |judged| {
        let doubt = judged.entry.doubt()?;
        Some((plain(&doubt.to_string()), remedy(Standing::Serves)))
    })
}

/// A line for each reason why entries serve partly or not at all here, with their names, unless that is told already.
fn standing_lines(judged: &[Judged<'_>]) -> String {
    lines_by_reason(judged, |judged| {
        let line = standing_line(judged.standing)?;
        Some((line, remedy(judged.standing)))
    })
}

/// How far a verdict serves, where it does not altogether and its stop does not tell.
pub(super) fn standing_line(standing: Standing) -> Option<String> {
    match standing {
        Standing::Serves | Standing::Fails(Failing::NoCount) => None,
        Standing::ServesPartly => Some(
            "measured with fewer CPUs than there are now, and did not want all of them".to_owned(),
        ),
        Standing::ServesRegrouped => {
            Some("measured on as many cores that share caches or memory in another way".to_owned())
        }
        Standing::ServesElsewhere => {
            Some("measured on another machine with this processor".to_owned())
        }
        Standing::Fails(why) => Some(format!("not used by launch: {why}")),
    }
}

/// What measures again what serves no further than this.
fn remedy(standing: Standing) -> &'static str {
    match standing {
        Standing::Fails(Failing::Unproven) => "`threadtune tune WORKLOAD` on a quiet machine",
        _ => "`threadtune tune --missing`",
    }
}

fn lines_by_reason(
    judged: &[Judged<'_>],
    reason: impl Fn(&Judged<'_>) -> Option<(String, &'static str)>,
) -> String {
    let mut reasons: Vec<((String, &str), Vec<String>)> = Vec::new();
    for one in judged {
        let Some(reason) = reason(one) else {
            continue;
        };
        let name = plain(&one.entry.name);
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, names)) => names.push(name),
            None => reasons.push((reason, vec![name])),
        }
    }
    let mut lines = String::new();
    for ((reason, remedy), names) in reasons {
        let names = names.join(", ");
        let _ = writeln!(lines, "? {names}: {reason}; run {remedy}");
    }
    lines
}

/// The line about what a run's time budget cut short; nothing where that is nothing.
pub fn cut_short_line(profile: &Profile) -> Option<String> {
    if profile.cut_short.is_empty() {
        return None;
    }
    let names: Vec<String> = profile.cut_short.iter().map(|name| plain(name)).collect();
    Some(format!(
        "Cut short by the time budget of a run: {}; run `threadtune tune --missing`\n",
        names.join(", ")
    ))
}

fn row(judged: &Judged<'_>) -> [String; 7] {
    let Judged { entry, standing } = *judged;
    let none = || "–".to_owned();
    // A space keeps the digits of all rows in one column.
    let is_sure =
        entry.stop.is_conclusive() && entry.doubt().is_none() && standing == Standing::Serves;
    let mark = if is_sure { ' ' } else { '?' };
    let latency = entry.latency.as_ref();
    [
        plain(&entry.name),
        latency.map_or_else(none, |l| format!("{}{mark}", l.threads)),
        latency.map_or_else(none, |l| time(l.median_us)),
        latency.map_or_else(none, |l| interval(l.ci95_us)),
        speedups(judged).unwrap_or_else(none),
        stop_word(&entry.stop).to_owned(),
        format!("{:.1}", entry.seconds),
    ]
}

/// Against all logical CPUs and, where they are fewer, all physical cores; dashes where nothing is proven.
fn speedups(judged: &Judged<'_>) -> Option<String> {
    let entry = judged.entry;
    let defaults = entry.default.iter().chain(&entry.default_cores);
    let speedups: Vec<Option<f64>> = defaults.map(|d| judged.speedup(d)).collect();
    if speedups.iter().all(Option::is_none) {
        return None;
    }
    let text = |speedup: &Option<f64>| speedup.map_or("–".to_owned(), |s| format!("{s:.2}×"));
    let texts: Vec<String> = speedups.iter().map(text).collect();
    Some(texts.join(" / "))
}

pub(super) fn stop_word(stop: &StopReason) -> &'static str {
    match stop {
        StopReason::Eps => "eps",
        StopReason::Separated => "separated",
        StopReason::Single => "single",
        StopReason::Budget => "budget",
        StopReason::Short => "short",
        StopReason::Undecided => "undecided",
        StopReason::Brief => "brief",
        StopReason::Unsteady => "unsteady",
        StopReason::Contaminated => "contaminated",
        StopReason::Failed(_) => "failed",
    }
}

/// Why an entry is not to be relied on.
pub(super) fn remark(entry: &Entry) -> String {
    let name = plain(&entry.name);
    let inconclusive = |why: &str| {
        format!(
            "? {name}: inconclusive: {why} (within 2 % of those that raced with probability {:.2})",
            entry.p_within
        )
    };
    match &entry.stop {
        StopReason::Failed(reason) => format!("? {name}: failed: {}", plain(reason)),
        StopReason::Contaminated => format!(
            "? {name}: disturbed, {} of {} samples were thrown away; run `threadtune tune {name}` on a quiet machine",
            entry.rejected, entry.samples
        ),
        StopReason::Budget => inconclusive(
            "the time was up before all plausible counts were looked at and told apart",
        ),
        StopReason::Short => inconclusive(
            "its time is too short to look at all plausible counts and tell them apart",
        ),
        StopReason::Undecided => inconclusive(
            "as many samples as may be taken did not tell the counts apart, and more time would not help",
        ),
        StopReason::Brief => inconclusive(&format!(
            "it was looked at too few times, or within too short a time, to tell the counts apart for longer; the service looks \
             again later, or `threadtune tune {name}` does now"
        )),
        StopReason::Unsteady => inconclusive(
            "another count is better at times, and what is stated is the best on average",
        ),
        StopReason::Eps | StopReason::Separated | StopReason::Single => {
            format!("{name}: conclusive")
        }
    }
}

/// Text of a file as it may go to a terminal: on one line, without control characters.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{BudgetRecord, Place, parse};
    use crate::units::ThreadCount;
    use crate::workload::KERNEL_REVISION;
    use std::path::Path;

    #[test]
    fn the_table_is_aligned_and_marks_what_is_uncertain() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        let judged = profile.judged(&Place::default());
        let expected = "\
workload            threads   median  95 % interval  speedup  stop       seconds
matmul-256               6    101 µs     100–102 µs    2.22×  separated      2.5
gemv-2048x2048           3    505 µs     500–510 µs    1.78×  eps            2.5
llama3.2-1b/decode       4?  24.1 ms   23.9–24.3 ms        –  budget        60.0
softmax-512x512           –        –              –        –  failed         0.3
gemm-bf16-64             1   3.00 µs   2.97–3.03 µs    4.17×  separated      2.5
? llama3.2-1b/decode: inconclusive: the time was up before all plausible counts were looked at and told apart (within 2 % of those that raced with probability 0.41)
? softmax-512x512: failed: the worker was killed by signal 11
";
        let table = profile_table(&judged);
        assert_eq!(table, expected);
    }

    #[test]
    fn what_launch_does_not_use_is_marked_and_gains_nothing() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        profile.workloads.truncate(3);
        profile.workloads[1].ties.push(ThreadCount::clamped(8));
        let more = BudgetRecord {
            limit: ThreadCount::clamped(64),
            ..profile.conditions[0].budget.clone()
        };
        let place = Place {
            budget: Some(more),
            fallback: Some(ThreadCount::clamped(8)),
            is_pinned: false,
            topology: None,
        };
        let expected = "\
workload            threads   median  95 % interval  speedup  stop       seconds
matmul-256               6?   101 µs     100–102 µs    2.22×  separated      2.5
gemv-2048x2048           3?   505 µs     500–510 µs        –  eps            2.5
llama3.2-1b/decode       4?  24.1 ms   23.9–24.3 ms        –  budget        60.0
? llama3.2-1b/decode: inconclusive: the time was up before all plausible counts were looked at and told apart (within 2 % of those that raced with probability 0.41)
? matmul-256, gemv-2048x2048: measured with fewer CPUs than there are now, and did not want all of them; run `threadtune tune --missing`
? llama3.2-1b/decode: not used by launch: inconclusive, and not shown to be faster than the count that a program gets without it; run `threadtune tune WORKLOAD` on a quiet machine
";
        assert_eq!(profile_table(&profile.judged(&place)), expected);
    }

    #[test]
    fn what_other_kernels_said_is_marked_and_explained() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        profile.workloads.truncate(3);
        profile.workloads[0].kernels = None;
        profile.workloads[1].kernels = None;
        profile.workloads[2].isa_cap = Some("sse2".to_owned());
        let table = profile_table(&profile.judged(&Place::default()));
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[1].starts_with("matmul-256               6?"),
            "{table}"
        );
        assert_eq!(
            lines[lines.len() - 2..],
            [
                format!(
                    "? matmul-256, gemv-2048x2048: measured with kernels older than revision {KERNEL_REVISION}, whose speed \
                     was another; run `threadtune tune --missing`"
                ),
                "? llama3.2-1b/decode: measured with kernels capped at sse2, slower than those that this processor can run; \
                 run `threadtune tune --missing`"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn what_was_cut_short_is_named_on_one_line() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        assert_eq!(cut_short_line(&profile), None);
        profile.cut_short = vec!["matmul-256".to_owned(), "a\nb".to_owned()];
        assert_eq!(
            cut_short_line(&profile).unwrap(),
            "Cut short by the time budget of a run: matmul-256, a b; run `threadtune tune --missing`\n"
        );
    }

    #[test]
    fn only_what_used_up_its_time_is_said_to_have_done_so() {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        let mut entry = profile.entry("llama3.2-1b/decode").unwrap().clone();
        let mut told = |stop: StopReason| {
            entry.stop = stop;
            remark(&entry)
        };
        let tail = "(within 2 % of those that raced with probability 0.41)";
        for (stop, why) in [
            (
                StopReason::Budget,
                "the time was up before all plausible counts were looked at and told apart",
            ),
            (
                StopReason::Short,
                "its time is too short to look at all plausible counts and tell them apart",
            ),
            (
                StopReason::Undecided,
                "as many samples as may be taken did not tell the counts apart, and more time would not help",
            ),
        ] {
            let expected = format!("? llama3.2-1b/decode: inconclusive: {why} {tail}");
            assert_eq!(told(stop), expected);
        }
    }

    #[test]
    fn reasons_cannot_write_to_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc"), "a [31mb c");
    }
}
