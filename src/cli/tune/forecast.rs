//! What a run will probably take, for the line that is printed before it starts.

use crate::machine::{AboveQuota, Layout};
use crate::profile::Profile;
use crate::report::{counted, rough};
use crate::tune::{
    Allowance, VisitPlan, expected_quota_race_seconds, expected_seconds, nominal_call_seconds,
    nominal_opening_seconds,
};
use crate::units::Nanos;
use crate::workload::{Residency, Workload};
use std::fmt;
use std::time::Duration;

/// What a tuning takes with its further visits, over what it takes without.
const SEEN_AGAIN: f64 = 1.5;

/// Where it will run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The CPUs.
    pub layout: &'a Layout,
    /// Weights in memory rotate over so many bytes.
    pub pool_bytes: u64,
    /// The count just above the CPU quota, where it is no whole number.
    pub above_quota: Option<AboveQuota>,
}

/// How long a run will take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    workloads: usize,
    expected: f64,
    most: f64,
    /// Full load of each workload.
    sustained: Nanos,
}

impl Forecast {
    /// Of these workloads.
    ///
    /// What took so long in an earlier run is expected to do so again; without one, the length of a call is guessed
    /// from what it computes and moves.
    pub fn of(
        selected: &[Workload],
        earlier: Option<&Profile>,
        on: &Place,
        allowance: &Allowance,
    ) -> Self {
        let limit = allowance.workload.as_secs_f64();
        let load = allowance.sustained.as_secs_f64();
        // What is raced under sustained load is looked at once.
        let plan = (allowance.sustained == Nanos::ZERO).then(VisitPlan::default);
        let visits = plan.map_or(1.0, |plan| f64::from(plan.min_visits));
        let (mut expected, mut most) = (0.0, 0.0);
        for workload in selected {
            let opening = nominal_opening_seconds(match workload.residency {
                Residency::Cache => workload.shape.bytes(),
                Residency::Memory => workload.shape.bytes().saturating_add(on.pool_bytes),
            });
            let seconds = tuning_seconds(workload, earlier, on).min(limit) + load;
            expected += visits * opening + seconds;
            most += visits * opening + limit + load;
        }
        if let Some(plan) = plan.filter(|_| !selected.is_empty()) {
            // A run that is shorter waits between its visits, at most as long as a workload may take.
            expected = f64::max(expected, plan.min_span.as_secs_f64());
            most += limit;
        }
        let cap = allowance.run.map_or(f64::INFINITY, Nanos::as_secs_f64);
        Self {
            workloads: selected.len(),
            expected: expected.min(most).min(cap),
            most: most.min(cap),
            sustained: allowance.sustained,
        }
    }
}

/// What the tuning of a workload is expected to take, in seconds, if nothing limits it.
fn tuning_seconds(workload: &Workload, earlier: Option<&Profile>, on: &Place) -> f64 {
    let layout = on.layout;
    let quota_race = on
        .above_quota
        .as_ref()
        .map_or(0.0, expected_quota_race_seconds);
    let known = earlier.and_then(|profile| {
        let entry = profile.entry(&workload.name)?;
        let latency = entry.latency.as_ref()?;
        (entry.shape == workload.shape.to_string()).then_some((profile, entry, latency))
    });
    match known {
        Some((profile, entry, latency)) if profile.is_cut_short(&entry.name) => {
            SEEN_AGAIN * expected_seconds(layout.logical, latency.median_us / 1e6) + quota_race
        }
        Some((_, entry, _)) if entry.above_quota.is_some() => entry.seconds,
        Some((_, entry, _)) => entry.seconds + quota_race,
        None => {
            let shape = &workload.shape;
            let call = nominal_call_seconds(layout.physical, shape.flops(), shape.bytes());
            SEEN_AGAIN * expected_seconds(layout.logical, call) + quota_race
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, about {} expected, at most {}",
            counted(self.workloads, "workload"),
            rough(self.expected),
            rough(self.most)
        )?;
        if self.sustained == Nanos::ZERO {
            return Ok(());
        }
        let load = Duration::from_nanos(self.sustained.0);
        let load = humantime::format_duration(load);
        write!(f, ", {load} of full load for each of them included")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{AboveQuotaChoice, parse};
    use crate::units::ThreadCount;
    use crate::workload::Catalog;
    use std::path::Path;

    const SECOND: u64 = 1_000_000_000;

    fn layout(cores: usize) -> Layout {
        let count = ThreadCount::clamped(cores);
        Layout {
            logical: count,
            physical: count,
            cores_of_kinds: vec![count.get()],
            cores_per_package: count.get(),
            threads_per_core: 1,
            cores_per_llc: count.get(),
        }
    }

    fn on(layout: &Layout, pool_bytes: u64) -> Place<'_> {
        Place {
            layout,
            pool_bytes,
            above_quota: None,
        }
    }

    fn allowance(run: Option<u64>) -> Allowance {
        Allowance {
            run: run.map(|seconds| Nanos(seconds * SECOND)),
            workload: Nanos(60 * SECOND),
            sustained: Nanos::ZERO,
        }
    }

    /// `matmul-256` took 2.5 s, 101 µs a call; `gemv-2048x2048` 2.5 s.
    fn made_up() -> Profile {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    fn workload(name: &str) -> Workload {
        Catalog::embedded().get(name).unwrap().clone()
    }

    #[test]
    fn what_was_measured_before_takes_as_long_again() {
        let mut profile = made_up();
        let matmul = workload("matmul-256");
        let seconds =
            |profile: &Profile| tuning_seconds(&matmul, Some(profile), &on(&layout(8), 0));
        assert_eq!(seconds(&profile), 2.5);
        // What was cut short did not take what it needs.
        profile.set_cut_short("matmul-256", true, &[]);
        let by_call = SEEN_AGAIN * expected_seconds(ThreadCount::clamped(8), 101e-6);
        assert!((seconds(&profile) - by_call).abs() < 1e-9);
        // An entry of another shape, or without a count, tells nothing.
        let unknown = tuning_seconds(&matmul, None, &on(&layout(8), 0));
        profile.set_cut_short("matmul-256", false, &[]);
        profile.workloads[0].shape = "gemm:1x1x1:f32".to_owned();
        assert_eq!(seconds(&profile), unknown);
        profile = made_up();
        profile.workloads[0].latency = None;
        assert_eq!(seconds(&profile), unknown);
        assert!(unknown > 0.0 && unknown != 2.5 && unknown != by_call);
    }

    #[test]
    fn the_line_names_the_expected_and_the_longest_time() {
        let line = |names: &[&str], run| {
            let selected: Vec<Workload> = names.iter().map(|name| workload(name)).collect();
            let profile = made_up();
            Forecast::of(
                &selected,
                Some(&profile),
                &on(&layout(8), 0),
                &allowance(run),
            )
            .to_string()
        };
        assert_eq!(
            line(&["matmul-256"], None),
            "1 workload, about 8 s expected, at most 2 min"
        );
        assert_eq!(
            line(&["matmul-256", "gemv-2048x2048"], None),
            "2 workloads, about 8 s expected, at most 3 min"
        );
        assert_eq!(
            line(&["matmul-256", "gemv-2048x2048"], Some(4)),
            "2 workloads, about 4 s expected, at most 4 s"
        );
    }

    #[test]
    fn full_load_comes_on_top_and_is_told() {
        let two = [workload("matmul-256"), workload("gemv-2048x2048")];
        let profile = made_up();
        let line = |run| {
            let allowance = Allowance {
                sustained: Nanos(30 * SECOND),
                ..allowance(run)
            };
            Forecast::of(&two, Some(&profile), &on(&layout(8), 0), &allowance).to_string()
        };
        assert_eq!(
            line(None),
            "2 workloads, about 65 s expected, at most 3 min, 30s of full load for each of them included"
        );
        assert_eq!(
            line(Some(50)),
            "2 workloads, about 50 s expected, at most 50 s, 30s of full load for each of them included"
        );
    }

    #[test]
    fn filling_a_pool_takes_time_and_the_limit_of_a_workload_holds() {
        let gemv = [workload("gemv-2048x2048")];
        let of = |pool| Forecast::of(&gemv, None, &on(&layout(8), pool), &allowance(None));
        // At each of three visits; less would be made up for by waiting.
        let (small, large) = (of(20_000_000_000), of(22_000_000_000));
        assert!((large.expected - small.expected - 6.0).abs() < 1e-9);
        assert!((large.most - small.most - 6.0).abs() < 1e-9);
        let huge = [Workload {
            shape: "gemm:16384x16384x16384:f32".parse().unwrap(),
            ..workload("matmul-256")
        }];
        let forecast = Forecast::of(&huge, None, &on(&layout(64), 0), &allowance(None));
        assert!(forecast.expected >= 60.0 && forecast.expected + 60.0 == forecast.most);
    }

    #[test]
    fn a_race_above_a_quota_takes_samples_of_periods() {
        let one = layout(1);
        let quota = |above_quota| Place {
            above_quota,
            ..on(&one, 0)
        };
        let above = AboveQuota {
            threads: ThreadCount::clamped(2),
            cpus: 1.5,
            period_us: 100_000,
        };
        let matmul = workload("matmul-256");
        let more = |earlier: Option<&Profile>| {
            let [with, without] =
                [Some(above), None].map(|above| tuning_seconds(&matmul, earlier, &quota(above)));
            with - without
        };
        assert!((more(None) - 6.0).abs() < 1e-9);
        // What it took before holds that where it raced so.
        let mut known = made_up();
        assert!((more(Some(&known)) - 6.0).abs() < 1e-9);
        known.workloads[0].above_quota = Some(AboveQuotaChoice {
            quota: 1.5,
            threads: above.threads,
            median_us: 90.0,
            ci95_us: [89.0, 91.0],
            speedup: 0.9,
            won: false,
        });
        assert!(more(Some(&known)).abs() < 1e-9);
    }
}
