//! Which counts between the known ones deserve a sample.

use super::Options;
use super::constants::{DENSE_RATIO, DENSE_STRIDE};
use super::screened::Screened;
use crate::stats::interpolate;
use crate::units::{Nanos, ThreadCount};
use std::collections::BTreeSet;

/// What a sample takes beside its calls, as a factor (warm-up, an uneven fit) and in seconds (waking another team).
const OVERHEAD: (f64, f64) = (1.3, 3e-4);

/// Every count between the neighbours of the good ones, or an even stride of them whose predicted cost fits into
/// `room`; none where there is no room, or so little that the stride would be wide.
pub(super) fn dense(known: &Screened, room: Nanos, options: &Options) -> Vec<ThreadCount> {
    let (curve, Some(best)) = (known.curve(), known.best()) else {
        return Vec::new();
    };
    let good = |(_, log): &(ThreadCount, f64)| *log <= best + DENSE_RATIO.ln();
    let (Some(first), Some(last)) = (curve.iter().position(good), curve.iter().rposition(good))
    else {
        return Vec::new();
    };
    if room == Nanos::ZERO {
        return Vec::new();
    }
    let low = curve[first.saturating_sub(1)].0.as_usize();
    let high = curve[(last + 1).min(curve.len() - 1)].0.as_usize();
    let new: Vec<ThreadCount> = (low + 1..high)
        .map(ThreadCount::clamped)
        .filter(|count| options.arms_at(*count).next().is_some() && !known.has(*count))
        .collect();
    let points: Vec<(f64, f64)> = curve
        .iter()
        .map(|(count, log)| (f64::from(count.get()), *log))
        .collect();
    let (factor, switch) = OVERHEAD;
    let cost: f64 = new
        .iter()
        .map(|count| {
            let log = interpolate(&points, f64::from(count.get())).unwrap_or(best);
            let sample = log.exp().max(options.sample.as_secs_f64());
            (sample * factor + switch) * options.arms_at(*count).count() as f64
        })
        .sum();
    let stride = (cost / room.as_secs_f64()).ceil() as usize;
    if stride > DENSE_STRIDE {
        return Vec::new();
    }
    new.into_iter().step_by(stride.max(1)).collect()
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
            };
            known.add_clean(arm, &sample);
        }
        let new = |seconds: f64| -> Vec<u32> {
            let room = Nanos::from_secs_f64(seconds);
            let counts = dense(&known, room, &Options::counts_only());
            counts.into_iter().map(ThreadCount::get).collect()
        };
        // Nine counts of 1.3 s each.
        assert_eq!(new(12.0), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(new(6.0), [2, 4, 6, 8, 10]);
        assert_eq!(new(3.0), [2, 6, 10]);
        assert!(new(2.9).is_empty(), "a stride of five");
    }
}
