//! Which counts between the known ones deserve a sample.

use super::Options;
use super::constants::{DENSE_RATIO, DENSE_STRIDE};
use super::screened::Screened;
use crate::stats::interpolate;
use crate::units::{Nanos, ThreadCount};
use std::collections::BTreeSet;

/// What a sample takes beside its calls, as a factor (warm-up, an uneven fit) and in seconds (waking another team).
const OVERHEAD: (f64, f64) = (1.3, 3e-4);

/// What dense screening takes.
pub(super) struct Dense {
    pub counts: Vec<ThreadCount>,
    /// Is that every count between the neighbours of the good ones?
    pub is_whole: bool,
}

/// Every count between the neighbours of the good ones, or as many as `room` holds: half of them evenly spaced, the
/// others those that the straight lines between known counts promise most of. None where that would leave wide gaps: halving gaps finds as much for
/// fewer samples.
pub(super) fn dense(known: &Screened, room: Nanos, options: &Options) -> Dense {
    let points: Vec<(f64, f64)> = known
        .curve()
        .into_iter()
        .map(|(count, log)| (f64::from(count.get()), log))
        .collect();
    let expected = |n: ThreadCount| interpolate(&points, f64::from(n.get())).unwrap_or(0.0);
    let mut new = between(known, options);
    let (factor, switch) = OVERHEAD;
    let cost: f64 = new
        .iter()
        .map(|count| {
            let sample = expected(*count).exp().max(options.sample.as_secs_f64());
            (sample * factor + switch) * options.arms_at(*count).count() as f64
        })
        .sum();
    if cost <= room.as_secs_f64() {
        return Dense {
            counts: new,
            is_whole: true,
        };
    }
    let stride = (cost / room.as_secs_f64()).ceil();
    if stride > DENSE_STRIDE {
        new.clear();
    } else {
        let many = new.len() / stride as usize;
        new = most_promising(&new, many, expected);
    }
    Dense {
        counts: new,
        is_whole: false,
    }
}

/// So many of these counts: half of them evenly spaced, the others those of the least expected log times.
fn most_promising(
    counts: &[ThreadCount],
    many: usize,
    expected: impl Fn(ThreadCount) -> f64,
) -> Vec<ThreadCount> {
    let stride = (2 * counts.len()).div_ceil(many.max(1));
    let (even, rest): (Vec<_>, Vec<_>) = counts
        .iter()
        .enumerate()
        .partition(|(i, _)| i % stride == 0);
    let mut rest: Vec<ThreadCount> = rest.into_iter().map(|(_, count)| *count).collect();
    rest.sort_by(|a, b| expected(*a).total_cmp(&expected(*b)));
    rest.truncate(many.saturating_sub(even.len()));
    even.into_iter()
        .map(|(_, count)| *count)
        .chain(rest)
        .collect()
}

/// The counts between the neighbours of the good ones that are not known yet.
fn between(known: &Screened, options: &Options) -> Vec<ThreadCount> {
    let (curve, Some(best)) = (known.curve(), known.best()) else {
        return Vec::new();
    };
    let good = |(_, log): &(ThreadCount, f64)| *log <= best + DENSE_RATIO.ln();
    let (Some(first), Some(last)) = (curve.iter().position(good), curve.iter().rposition(good))
    else {
        return Vec::new();
    };
    let low = curve[first.saturating_sub(1)].0.as_usize();
    let high = curve[(last + 1).min(curve.len() - 1)].0.as_usize();
    (low + 1..high)
        .map(ThreadCount::clamped)
        .filter(|count| options.arms_at(*count).next().is_some() && !known.has(*count))
        .collect()
}

/// The middles of the gaps wider than 2 % beside counts near the best.
pub(super) fn middles(known: &Screened, options: &Options) -> BTreeSet<ThreadCount> {
    let (curve, Some(best)) = (known.curve(), known.best()) else {
        return BTreeSet::new();
    };
    let near = best + (2.0 * known.spread()).clamp(0.03, 0.12);
    curve
        .windows(2)
        .filter(|pair| {
            let ((a, log_a), (b, log_b)) = (pair[0], pair[1]);
            let gap = f64::from(b.get() - a.get());
            gap > (0.02 * f64::from(b.get())).max(1.0) && log_a.min(log_b) <= near
        })
        .filter_map(|pair| {
            let (a, b) = (pair[0].0, pair[1].0);
            let middle = ThreadCount::clamped(usize::midpoint(a.as_usize(), b.as_usize()));
            options
                .nearest(middle)
                .filter(|count| a < *count && *count < b)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::{Arm, Interference, Sample};
    use crate::units::Calls;

    #[test]
    fn the_stride_follows_from_the_room_until_it_would_be_wide() {
        let mut known = Screened::default();
        for count in [1, 11] {
            let arm = Arm {
                threads: ThreadCount::clamped(count),
                placement: Placement::Close,
            };
            known.insert(arm, Calls::ONE);
            let sample = Sample {
                seconds_per_call: 1.0,
                calls: Calls::ONE,
                interference: Interference::None,
                first_call: None,
            };
            known.add_clean(arm, &sample);
        }
        let new = |seconds: f64| {
            let room = Nanos::from_secs_f64(seconds);
            let dense = dense(&known, room, &Options::counts_only());
            let mut counts: Vec<u32> = dense.counts.into_iter().map(ThreadCount::get).collect();
            counts.sort_unstable();
            (counts, dense.is_whole)
        };
        // Nine counts of 1.3 s each.
        assert_eq!(new(12.0), (vec![2, 3, 4, 5, 6, 7, 8, 9, 10], true));
        // Four of them: every fifth, then the first of those that promise the same.
        assert_eq!(new(6.0), (vec![2, 3, 4, 7], false));
        assert_eq!(new(2.9), (vec![], false), "a stride of five");
    }

    #[test]
    fn half_are_evenly_spaced_and_half_promise_most() {
        let counts: Vec<ThreadCount> = (1..=12).map(ThreadCount::clamped).collect();
        // The nearer to ten, the faster.
        let expected = |n: ThreadCount| f64::from(n.get().abs_diff(10));
        let chosen: Vec<u32> = most_promising(&counts, 6, expected)
            .into_iter()
            .map(ThreadCount::get)
            .collect();
        assert_eq!(chosen, [1, 5, 9, 10, 11, 8]);
    }
}
