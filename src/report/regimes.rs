//! What visits to one workload said that disagree: shares, gains, and a bar for each visit.

use super::units::counted;
use crate::profile::Regimes;
use crate::stats::median;
use crate::units::ThreadCount;

/// Two counts closer than this, as a ratio, are as good as each other.
const EQUAL: f64 = 0.02;
/// The bar of a visit in which both were equal, in characters.
const UNIT: f64 = 20.0;
/// The longest bar, in characters.
const LONGEST: usize = 50;

/// The stated count against another one: how much faster it was in how many visits, and a bar for each visit, as long as the
/// time of that other count.
pub fn regimes(stated: ThreadCount, regimes: &Regimes) -> Vec<String> {
    let all = regimes.speedups.len();
    let is_faster = |s: f64| s > 1.0 + EQUAL;
    let is_slower = |s: f64| s < 1.0 / (1.0 + EQUAL);
    let of = |is: &dyn Fn(f64) -> bool| -> Vec<f64> {
        let speedups = regimes.speedups.iter().copied();
        speedups.filter(|s| is(*s)).collect()
    };
    let (faster, slower) = (of(&is_faster), of(&is_slower));
    let equal = all - faster.len() - slower.len();
    let faster_by = median(&faster).map(|gain| format!("{gain:.2} times faster"));
    let slower_by = median(&slower).map(|gain| format!("{:.2} times slower", 1.0 / gain));
    let equally = (equal > 0).then(|| "equally fast".to_owned());
    let parts = [
        (faster_by, faster.len()),
        (equally, equal),
        (slower_by, slower.len()),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(what, visits)| Some(format!("{} in {visits}", what?)))
        .collect();
    let text = format!(
        "{} against {}, in {}: {}; this machine is not the same at all times",
        counted(stated.as_usize(), "thread"),
        regimes.against,
        counted(all, "visit"),
        parts.join(", ")
    );
    let bars = regimes.speedups.iter().map(|speedup| {
        let length = (UNIT * speedup).round().clamp(1.0, LONGEST as f64) as usize;
        format!("  {speedup:>6.2}×  {}", "█".repeat(length))
    });
    std::iter::once(text).chain(bars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_counted_by_what_they_say_and_drawn() {
        let two = ThreadCount::clamped(2);
        let said = Regimes {
            against: ThreadCount::ONE,
            speedups: vec![1.9, 1.01, 1.86, 0.8],
        };
        let expected = "\
2 threads against 1, in 4 visits: 1.88 times faster in 2, equally fast in 1, 1.25 times slower in 1; this machine is not the same at all times
    1.90×  ██████████████████████████████████████
    1.01×  ████████████████████
    1.86×  █████████████████████████████████████
    0.80×  ████████████████";
        assert_eq!(regimes(two, &said).join("\n"), expected);
    }

    #[test]
    fn what_did_not_happen_is_not_mentioned_and_bars_stay_on_a_line() {
        let said = Regimes {
            against: ThreadCount::clamped(8),
            speedups: vec![1.3, 700.0],
        };
        let lines = regimes(ThreadCount::ONE, &said);
        assert!(
            lines[0].starts_with("1 thread against 8, in 2 visits: 350.65 times faster in 2; ")
        );
        assert!(lines[2].chars().count() < 80, "{}", lines[2]);
    }
}
