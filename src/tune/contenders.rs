//! Which counts a drift check times beside the chosen one.

use super::constants::{CONTENDERS, CONTENDERS_RATIO};
use crate::profile::Entry;
use crate::units::ThreadCount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counts of a drift check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contenders {
    /// What the profile holds for the best.
    pub chosen: ThreadCount,
    /// Those that may have become better, the most telling first; none of them is `chosen`.
    pub others: Vec<ThreadCount>,
}

/// The counts worth timing to see whether an entry's `latency` still holds with at most `most` threads; `None` where
/// there is nothing to check: no count was stated, it is more than `most`, sustained load chose it, or there is no other.
///
/// All CPUs, half and double the chosen count find what moves a whole curve: another cost of forking, CPUs that somebody
/// else took, memory that became slower. The other places are for what the curve of the tuning found nearly as good,
/// which needs the least change to become better: a library that cuts its work differently changes single counts.
pub fn contenders(entry: &Entry, most: ThreadCount) -> Option<Contenders> {
    let latency = entry.latency.as_ref();
    // A drift check is made of bursts.
    let chosen = latency.filter(|_| entry.sustained_s.is_none())?.threads;
    if chosen > most {
        return None;
    }
    let half = ThreadCount::clamped(chosen.as_usize() / 2);
    let double = ThreadCount::clamped(2 * chosen.as_usize()).min(most);
    let mut others: Vec<ThreadCount> = Vec::new();
    for count in [most, half, double] {
        if count != chosen && !others.contains(&count) {
            others.push(count);
        }
    }
    for count in best_first(entry) {
        let is_new = others
            .iter()
            .chain([&chosen])
            .all(|known| is_apart(*known, count));
        if others.len() < CONTENDERS && count <= most && is_new {
            others.push(count);
        }
    }
    (!others.is_empty()).then_some(Contenders { chosen, others })
}

/// The counts of the entry's curve by the best time that any placement had, the smaller of two equal ones first.
fn best_first(entry: &Entry) -> Vec<ThreadCount> {
    let mut times: BTreeMap<ThreadCount, f64> = BTreeMap::new();
    for point in &entry.curve {
        let time = times.entry(point.threads).or_insert(f64::INFINITY);
        *time = time.min(point.median_us);
    }
    let mut order: Vec<(ThreadCount, f64)> = times.into_iter().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    order.into_iter().map(|(count, _)| count).collect()
}

fn is_apart(a: ThreadCount, b: ThreadCount) -> bool {
    let (small, large) = (f64::from(a.min(b).get()), f64::from(a.max(b).get()));
    large >= CONTENDERS_RATIO * small
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::profile::{CurvePoint, Latency, Residency};
    use crate::tune::{Subject, failed_entry};
    use crate::units::{CpuSet, Nanos};

    fn count(n: u32) -> ThreadCount {
        ThreadCount::clamped(n as usize)
    }

    /// An entry that chose so many threads, with this curve of microseconds by count and placement.
    fn entry(chosen: u32, curve: &[(u32, Placement, f64)]) -> Entry {
        let subject = Subject {
            name: "w".into(),
            shape: "s".into(),
            flops: 0,
            bytes: 0,
            residency: Residency::Cache,
            ..Subject::default()
        };
        let point = |(threads, placement, median_us): &(u32, Placement, f64)| CurvePoint {
            threads: count(*threads),
            placement: *placement,
            cpus: CpuSet::new(),
            median_us: *median_us,
            ci95_us: None,
            samples: 1,
            raced: false,
        };
        Entry {
            latency: Some(Latency {
                threads: count(chosen),
                median_us: 1.0,
                ci95_us: [1.0, 1.0],
            }),
            curve: curve.iter().map(point).collect(),
            ..failed_entry(subject, "", Nanos::ZERO)
        }
    }

    fn others(entry: &Entry, most: u32) -> Vec<u32> {
        let found = contenders(entry, count(most)).map(|c| c.others);
        let counts = found.unwrap_or_default().into_iter();
        counts.map(ThreadCount::get).collect()
    }

    #[test]
    fn all_half_and_double_come_first_then_the_best_of_the_curve_that_are_apart() {
        use Placement::{Close, Unbound};
        let curve = [
            (1, Close, 90.0),
            (12, Close, 13.0),
            (12, Unbound, 10.2),
            (15, Unbound, 10.1),
            (16, Unbound, 10.0),
            (20, Unbound, 10.3),
            (22, Unbound, 10.4),
            (24, Close, 10.5),
        ];
        // 15 is too near to 16, and 22 to 20.
        assert_eq!(others(&entry(16, &curve), 96), [96, 8, 32, 12, 20]);
        // With fewer CPUs than the double, that is what double means; 20 leaves room for 24.
        assert_eq!(others(&entry(16, &curve), 30), [30, 8, 12, 20, 24]);
        assert_eq!(others(&entry(16, &curve), 19), [19, 8, 12, 1]);
    }

    #[test]
    fn on_a_small_machine_every_count_is_apart_from_the_next() {
        let curve: Vec<_> = (1..=8)
            .map(|n| (n, Placement::Unbound, 20.0 - f64::from(n)))
            .collect();
        assert_eq!(others(&entry(8, &curve), 8), [4, 7, 6, 5, 3]);
        assert_eq!(others(&entry(1, &curve[..2]), 2), [2]);
        assert_eq!(others(&entry(2, &curve[..2]), 2), [1]);
        // A curve that lacks counts does not hinder those that follow from the chosen one.
        assert_eq!(others(&entry(4, &[]), 8), [8, 2]);
    }

    #[test]
    fn where_nothing_can_be_compared_there_is_nothing_to_check() {
        assert_eq!(
            contenders(&entry(8, &[]), count(7)),
            None,
            "not allowed now"
        );
        assert_eq!(contenders(&entry(1, &[]), count(1)), None, "no other count");
        let mut sustained = entry(4, &[]);
        assert!(contenders(&sustained, count(8)).is_some());
        sustained.sustained_s = Some(30.0);
        assert_eq!(contenders(&sustained, count(8)), None, "bursts cannot tell");
        let mut stateless = entry(4, &[]);
        stateless.latency = None;
        assert_eq!(contenders(&stateless, count(8)), None);
    }
}
