//! Which count between the known ones deserves the next sample.

use super::Options;
use super::constants::{DENSE_RATIO, WIDTH_WORTH};
use super::screened::Screened;
use crate::units::ThreadCount;

/// Of the counts between the neighbours of the good ones that are not known yet, the one that promises most: the middle of
/// the gap beside the fastest count, unless another is much wider. `None` where all are known.
///
/// What lies in a gap is not guessed from the line between its ends: where a library factors the count, neighbours differ
/// by tens of percent.
pub(super) fn most_promising(known: &Screened, options: &Options) -> Option<ThreadCount> {
    let (curve, best) = (known.curve(), known.best()?);
    let good = |(_, log): &(ThreadCount, f64)| *log <= best + DENSE_RATIO.ln();
    let first = curve.iter().position(good)?.saturating_sub(1);
    let last = (curve.iter().rposition(good)? + 1).min(curve.len() - 1);
    curve[first..=last]
        .windows(2)
        .filter_map(|pair| {
            let ((a, log_a), (b, log_b)) = (pair[0], pair[1]);
            let width = f64::from(b.get() - a.get()).log2();
            let middle = middle(a, b, options)?;
            Some((log_a.min(log_b) - WIDTH_WORTH * width, middle))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, count)| count)
}

/// The count nearest to the middle of two, both excluded, that may be tried.
fn middle(low: ThreadCount, high: ThreadCount, options: &Options) -> Option<ThreadCount> {
    let middle = u32::midpoint(low.get(), high.get());
    (low.as_usize() + 1..high.as_usize())
        .map(ThreadCount::clamped)
        .filter(|count| options.arms_at(*count).next().is_some())
        .min_by_key(|count| count.get().abs_diff(middle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::tune::{Arm, Interference, Sample};
    use crate::units::Calls;
    use std::collections::BTreeSet;

    fn arm(count: u32) -> Arm {
        Arm {
            threads: ThreadCount::clamped(count as usize),
            placement: Placement::Close,
        }
    }

    fn add(known: &mut Screened, count: u32, seconds: f64) {
        known.insert(arm(count), Calls::ONE);
        let sample = Sample {
            seconds_per_call: seconds,
            calls: Calls::ONE,
            interference: Interference::None,
            first_call: None,
        };
        known.add_clean(arm(count), &sample);
    }

    /// The counts that follow these, in order, where a call takes `seconds(count)`.
    fn order(first: &[u32], seconds: impl Fn(u32) -> f64, options: &Options) -> Vec<u32> {
        let mut known = Screened::default();
        for count in first {
            add(&mut known, *count, seconds(*count));
        }
        let mut order = Vec::new();
        while let Some(next) = most_promising(&known, options) {
            order.push(next.get());
            add(&mut known, next.get(), seconds(next.get()));
        }
        order
    }

    #[test]
    fn the_fastest_and_the_widest_gaps_are_halved_first_until_all_of_the_good_range_is_known() {
        let seconds = |n: u32| match n {
            0..9 => 8.0,
            9..17 => 2.0,
            17 => 1.0,
            _ => 1.5,
        };
        let order = order(&[1, 9, 17, 33], seconds, &Options::counts_only());
        // Beside the fastest, 17, the gap above is twice as wide as the one below.
        assert_eq!(order[..2], [25, 13]);
        // From five downwards nothing is within three times the best, and five is the neighbour of what is.
        let sampled: BTreeSet<u32> = order.iter().copied().collect();
        let expected = [5, 7, 8].into_iter().chain(10..17).chain(18..33);
        assert_eq!(sampled, expected.collect());
        assert_eq!(order.len(), sampled.len(), "none twice");
    }

    #[test]
    fn a_wide_gap_beside_a_slow_count_comes_before_a_narrow_one_beside_a_fast_one() {
        let first = |slow: f64| {
            let seconds = |n: u32| if n < 5 { 1.0 } else { slow };
            order(&[2, 4, 5, 21], seconds, &Options::counts_only())[0]
        };
        // Widths of two and sixteen: three doublings of 0.1.
        assert_eq!(first(0.29_f64.exp()), 13);
        assert_eq!(first(0.31_f64.exp()), 3);
    }

    #[test]
    fn only_what_was_recorded_is_sampled() {
        let options = Options {
            only: Some([10, 20, 21].map(arm).into()),
            ..Options::counts_only()
        };
        assert_eq!(order(&[10, 21], |_| 1.0, &options), [20]);
    }
}
