//! The curve of one workload: time against count, with a bar for each count.

use super::regimes::regimes;
use super::table::{plain, remark, standing_line};
use super::units::{counted, interval, rough, time};
use crate::machine::Placement;
use crate::profile::{CurvePoint, Entry, Judged, Rate, Standing};

/// The narrowest and the widest bar, in characters.
const BAR: std::ops::RangeInclusive<usize> = 4..=60;

/// Eighths of a character cell, so that bars of similar counts can be told apart.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// Counts, medians, intervals and bars of one workload in lines of at most `width` characters where that is possible.
///
/// `level`: the instruction set of the kernels, where the profile tells.
///
/// `*` marks the chosen counts and `=` those that could not be told from the one that `launch` uses; bars are
/// proportional to the time, those of all placements alike.
pub fn curve(judged: &Judged<'_>, level: Option<&str>, width: usize) -> String {
    let entry = judged.entry;
    let mut lines = vec![format!("{}  {}", plain(&entry.name), plain(&entry.shape))];
    if let Some(latency) = &entry.latency {
        lines.push(format!(
            "{}, {} per call (95 % interval {}), stop: {}",
            counted(latency.threads.as_usize(), "thread"),
            time(latency.median_us),
            interval(latency.ci95_us),
            plain(&entry.stop.to_string()),
        ));
    }
    if let Some(pinned) = &entry.pinned {
        let on_cpus = if pinned.cpus.is_empty() {
            String::new()
        } else {
            format!(" on CPUs {}", pinned.cpus)
        };
        lines.push(format!(
            "pinned: {}, {} per call, {}{on_cpus}",
            counted(pinned.threads.as_usize(), "thread"),
            time(pinned.median_us),
            pinned.placement,
        ));
    }
    lines.extend(visits(entry));
    if let Some(seconds) = entry.sustained_s {
        lines.push(format!(
            "raced after {seconds} s of full load on all CPUs, and with as much of it between samples; what is pinned, in \
             bursts"
        ));
    }
    if let Some(above) = &entry.above_quota {
        let (threads, time) = (
            counted(above.threads.as_usize(), "thread"),
            time(above.median_us),
        );
        let (quota, speedup) = (above.quota, above.speedup);
        lines.push(if above.won {
            format!("at a quota of {quota} CPUs alone: {threads}, {time} per call, {speedup:.2}× as fast")
        } else {
            format!(
                "not taken at a quota of {quota} CPUs: {threads}, {time} per call, {speedup:.2}× as fast, not proven to be \
                 better"
            )
        });
    }
    lines.extend(defaults(judged));
    lines.extend(speed(entry, level));
    if !entry.stop.is_conclusive() {
        lines.push(remark(entry));
    }
    let doubt = entry.doubt().map(|doubt| plain(&doubt.to_string()));
    for why in standing_line(judged.standing).into_iter().chain(doubt) {
        let name = plain(&entry.name);
        lines.push(format!("? {name}: {why}; run `threadtune tune {name}`"));
    }
    for placement in [Placement::Unbound, Placement::Close, Placement::Spread] {
        let mut points: Vec<&CurvePoint> = entry
            .curve
            .iter()
            .filter(|point| point.placement == placement)
            .collect();
        points.sort_by_key(|point| point.threads);
        if !points.is_empty() {
            lines.extend([String::new(), placement.to_string()]);
            lines.extend(bars(entry, placement, &points, width));
        }
    }
    lines.join("\n") + "\n"
}

/// At how many times it was looked at, and where that made a difference, which.
fn visits(entry: &Entry) -> Vec<String> {
    let (Some(visits), Some(span)) = (entry.visits, entry.span_s) else {
        return Vec::new();
    };
    let visits = counted(visits as usize, "visit");
    let seen = format!("seen in {visits} over {}", rough(span));
    let told = entry.latency.as_ref().zip(entry.regimes.as_ref());
    let told = told.map(|(latency, said)| regimes(latency.threads, said));
    std::iter::once(seen)
        .chain(told.into_iter().flatten())
        .collect()
}

/// How fast the kernel is with one thread, and beside what one core could attain.
fn speed(entry: &Entry, level: Option<&str>) -> Option<String> {
    let Rate { gflops, gb_per_s } = entry.rate?;
    let rate = match (gflops, gb_per_s) {
        (Some(rate), _) => format!("{rate} GFLOP/s"),
        (None, Some(rate)) => format!("{rate} GB/s"),
        (None, None) => return None,
    };
    let share = entry.share.map_or_else(String::new, |share| {
        let slow = if entry.is_slow() {
            "; its kernel is slow on this processor, and such counts come out too high"
        } else {
            ""
        };
        format!(
            ", {:.0} % of what a core of this processor attains{slow}",
            100.0 * share
        )
    });
    let level = entry.isa_cap.as_deref().or(level);
    let level = level.map_or_else(String::new, |level| format!(" ({})", plain(level)));
    Some(format!("kernel{level}: {rate} with 1 thread{share}"))
}

fn bars(entry: &Entry, placement: Placement, points: &[&CurvePoint], width: usize) -> Vec<String> {
    let is_unbound = |placement| placement == Placement::Unbound;
    // Without unbound timings the verdict, and what ties with it, is one of bound threads.
    let raced_unbound = entry.curve.iter().any(|point| is_unbound(point.placement));
    let has_ties = is_unbound(placement) == raced_unbound;
    let chosen = match placement {
        Placement::Unbound => entry.latency.as_ref().map(|l| l.threads),
        _ => entry
            .pinned
            .as_ref()
            .filter(|p| p.placement == placement)
            .map(|p| p.threads),
    };
    let rows: Vec<(String, f64)> = points
        .iter()
        .map(|point| {
            let mark = if chosen == Some(point.threads) {
                '*'
            } else if has_ties && chosen.is_some() && entry.ties.contains(&point.threads) {
                '='
            } else {
                ' '
            };
            let interval = point.ci95_us.map_or_else(|| "–".to_owned(), interval);
            let median = time(point.median_us);
            let left = format!("{mark}{:>5}  {median:>8}  {interval:>16}  ", point.threads);
            (left, point.median_us)
        })
        .collect();
    let longest = entry
        .curve
        .iter()
        .map(|point| point.median_us)
        .fold(0.0, f64::max);
    let taken = rows.iter().map(|(l, _)| l.chars().count()).max();
    let room = width.saturating_sub(taken.unwrap_or(0));
    let room = room.clamp(*BAR.start(), *BAR.end());
    rows.iter()
        .map(|(left, us)| format!("{left}{}", bar(us / longest, room)))
        .collect()
}

/// A bar of this share of `room` characters.
fn bar(share: f64, room: usize) -> String {
    let eighths = (share * room as f64 * 8.0).round().max(1.0) as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

/// What programs take that are told nothing, and what the chosen count gains over it.
fn defaults<'j>(judged: &'j Judged<'_>) -> impl Iterator<Item = String> + 'j {
    let entry = judged.entry;
    let who = match entry.default_cores {
        Some(_) => [" of libgomp and OpenBLAS", " of PyTorch, MKL and llama.cpp"],
        None => ["", ""],
    };
    let defaults = [&entry.default, &entry.default_cores].into_iter().zip(who);
    defaults.filter_map(|(default, who)| {
        let default = default.as_ref()?;
        let speedup = match (judged.speedup(default), judged.standing) {
            (Some(speedup), _) => format!(", {speedup:.2}× as long"),
            (None, Standing::Fails(_)) => String::new(),
            (None, _) => ", not told apart".to_owned(),
        };
        Some(format!(
            "default{who}: {}, {} per call{speedup}",
            counted(default.threads.as_usize(), "thread"),
            time(default.median_us)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{AboveQuotaChoice, DefaultChoice, parse};
    use crate::report::profile_table;
    use crate::units::ThreadCount;
    use std::path::Path;

    fn serving(entry: &Entry) -> Judged<'_> {
        Judged {
            entry,
            standing: Standing::Serves,
        }
    }

    /// Of an entry that serves.
    fn drawn(entry: &Entry, level: Option<&str>, width: usize) -> String {
        curve(&serving(entry), level, width)
    }

    fn made_up(name: &str) -> Entry {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        profile.entry(name).unwrap().clone()
    }

    #[test]
    fn a_curve_fits_the_terminal() {
        for width in [66, 80, 200] {
            for line in drawn(&made_up("gemv-2048x2048"), Some("avx2"), width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
        // Too narrow for any bar: short ones rather than none, and no panic.
        assert!(drawn(&made_up("gemv-2048x2048"), Some("avx2"), 0).contains('█'));
    }

    #[test]
    fn choice_and_ties_are_marked() {
        let text = drawn(&made_up("gemv-2048x2048"), Some("avx2"), 60);
        let marks: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(['*', '=']))
            .map(|line| &line[..6])
            .collect();
        // Bound threads are fastest spread: nothing is marked among those that are close.
        assert_eq!(marks, ["*    3", "=    4", "*    4"]);
        let groups: Vec<&str> = text
            .lines()
            .filter(|line| ["unbound", "close", "spread"].contains(line))
            .collect();
        assert_eq!(groups, ["unbound", "close", "spread"]);
        // One scale for all of them.
        let length = |median: &str| {
            let line = text.lines().find(|l| l.contains(median) && l.contains('█'));
            line.unwrap().matches('█').count()
        };
        assert_eq!(length("1.00 ms"), 2 * length("505 µs"));
        assert_eq!(
            text.lines().nth(2),
            Some("pinned: 4 threads, 450 µs per call, spread on CPUs 0,2,4,6")
        );
    }

    #[test]
    fn a_gain_is_told_against_what_each_program_would_have_taken() {
        let lines = |entry: &Entry| -> Vec<String> {
            let text = drawn(entry, None, 80);
            let lines = text.lines().filter(|line| line.starts_with("default"));
            lines.map(str::to_owned).collect()
        };
        let mut entry = made_up("matmul-256");
        assert_eq!(
            lines(&entry),
            ["default: 8 threads, 224 µs per call, 2.22× as long"]
        );
        entry.default_cores = entry.default.clone().map(|all| DefaultChoice {
            threads: ThreadCount::ONE,
            median_us: 404.0,
            speedup: all.speedup + 1.78,
        });
        assert_eq!(
            lines(&entry),
            [
                "default of libgomp and OpenBLAS: 8 threads, 224 µs per call, 2.22× as long",
                "default of PyTorch, MKL and llama.cpp: 1 thread, 404 µs per call, 4.00× as long",
            ]
        );
        let table = profile_table(&[serving(&entry)]);
        assert!(table.contains("  2.22× / 4.00×  separated"), "{table}");
    }

    #[test]
    fn sustained_load_is_told_where_a_race_was_run_under_it() {
        let told = |entry: &Entry| drawn(entry, None, 80).contains("raced after 30 s of full load");
        let mut entry = made_up("matmul-256");
        assert!(!told(&entry));
        entry.sustained_s = Some(30.0);
        assert!(told(&entry));
        let json = crate::report::entry_json(&entry).unwrap();
        assert!(json.contains("\"sustained_s\": 30.0"), "{json}");
    }

    #[test]
    fn a_count_above_a_quota_is_told_with_that_quota() {
        let mut entry = made_up("matmul-256");
        entry.above_quota = Some(AboveQuotaChoice {
            quota: 6.5,
            threads: ThreadCount::clamped(7),
            median_us: 90.0,
            ci95_us: [89.0, 91.0],
            speedup: 1.12,
            won: true,
        });
        let text = drawn(&entry, None, 80);
        let line = "at a quota of 6.5 CPUs alone: 7 threads, 90.0 µs per call, 1.12× as fast";
        assert!(text.lines().any(|told| told == line), "{text}");
        let above = entry.above_quota.as_mut().unwrap();
        (above.won, above.speedup) = (false, 0.94);
        let text = drawn(&entry, None, 80);
        let json = crate::report::entry_json(&entry).unwrap();
        assert!(json.contains("\"won\": false"), "{json}");
        let line = "not taken at a quota of 6.5 CPUs: 7 threads, 90.0 µs per call, 0.94× as fast, not proven to be better";
        assert!(text.lines().any(|told| told == line), "{text}");
    }

    #[test]
    fn bars_are_proportional() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.53125, 4), "██▏");
        assert_eq!(bar(0.0, 4), "▏");
    }

    #[test]
    fn an_entry_without_a_count_says_why() {
        let text = drawn(&made_up("softmax-512x512"), Some("avx2"), 80);
        assert_eq!(
            text,
            "softmax-512x512  softmax:512x512:f32\n? softmax-512x512: failed: the worker was killed by signal 11\n"
        );
        assert!(drawn(&made_up("llama3.2-1b/decode"), Some("avx2"), 80).contains("inconclusive"));
    }

    #[test]
    fn the_kernel_is_told_with_its_level_and_its_share() {
        let line = |entry: &Entry, level| {
            let text = drawn(entry, level, 80);
            let line = text.lines().find(|line| line.starts_with("kernel"));
            line.unwrap_or_default().to_owned()
        };
        let mut entry = made_up("matmul-256");
        assert_eq!(
            line(&entry, Some("avx2")),
            "kernel (avx2): 83.89 GFLOP/s with 1 thread, 71 % of what a core of this processor attains"
        );
        entry.share = Some(0.1);
        entry.isa_cap = Some("sse2".to_owned());
        assert!(line(&entry, Some("avx2")).starts_with("kernel (sse2): "));
        assert!(line(&entry, None).ends_with(
            "; its kernel is slow on this processor, and such counts come out too high"
        ));
        assert!(
            drawn(&entry, None, 80).contains("? matmul-256: measured with kernels capped at sse2")
        );
        entry.share = None;
        entry.rate = Some(Rate {
            gflops: None,
            gb_per_s: Some(12.5),
        });
        assert_eq!(line(&entry, None), "kernel (sse2): 12.5 GB/s with 1 thread");
        entry.rate = None;
        assert_eq!(line(&entry, None), "");
    }
}
