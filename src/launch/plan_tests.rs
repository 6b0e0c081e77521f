//! Plans from a made-up profile of eight cores.

use super::*;
use crate::profile::{AboveQuotaChoice, parse};
use crate::workload::KERNEL_REVISION;
use std::path::Path;

#[path = "pin_tests.rs"]
mod pinned;

fn profile() -> Profile {
    let text = include_str!("../../tests/profiles/made-up.toml");
    parse(Path::new("made-up.toml"), text).unwrap()
}

fn cpus(limit: usize) -> Cpus {
    Cpus {
        allowed: Some((0..8).collect()),
        limit: Some(ThreadCount::clamped(limit)),
        physical: Some(ThreadCount::clamped(4)),
        strongest: Some(ThreadCount::clamped(4)),
        above_quota: None,
        topology: None,
    }
}

fn request(workloads: &[&str], command: &[&str]) -> Request {
    Request {
        workloads: workloads
            .iter()
            .map(|name| Weighted {
                name: (*name).to_owned(),
                weight: 1.0,
            })
            .collect(),
        command: command.iter().map(OsString::from).collect(),
        ..Request::default()
    }
}

fn planned(request: &Request, profile: Result<&Profile, String>, cpus: &Cpus) -> Plan {
    plan(request, profile, cpus, None, &|_| None)
}

fn threads(plan: &Plan) -> Option<u32> {
    plan.threads.map(ThreadCount::get)
}

#[test]
fn why_a_verdict_is_to_be_measured_again_is_told() {
    let mut profile = profile();
    for entry in &mut profile.workloads {
        entry.kernels = None;
    }
    let sure = planned(&request(&["matmul-256"], &["p"]), Ok(&profile), &cpus(8));
    assert_eq!(
        sure.reason,
        format!(
            "the verdict on `matmul-256` (`matmul-256`: measured with kernels older than revision {KERNEL_REVISION}, whose \
             speed was another; run `threadtune tune --missing`)"
        )
    );
    // It is used all the same, and stops no strict launch.
    assert_eq!((threads(&sure), sure.warnings.len()), (Some(6), 0));
    profile.workloads[0].kernels = Some(1);
    let wanted = request(&["matmul-256", "gemv-2048x2048"], &["p"]);
    let mix = planned(&wanted, Ok(&profile), &cpus(8)).reason;
    assert!(
        mix.contains("(`matmul-256`: measured with kernels of revision 1, ")
            && mix.contains("(`gemv-2048x2048`: measured with kernels older than revision "),
        "{mix}"
    );
}

#[test]
fn the_verdict_reaches_every_variable_and_argument() {
    let request = request(
        &["matmul-256"],
        &[
            "{threads}",
            "-t",
            "{threads:llama3.2-1b/decode}",
            "{threads}@{cpus}",
        ],
    );
    let plan = planned(&request, Ok(&profile()), &cpus(8));
    assert_eq!(threads(&plan), Some(6));
    assert_eq!(plan.command, ["{threads}", "-t", "4", "6@0-7"]);
    assert!(plan.environment.assignments.iter().all(|a| a.value == "6"));
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert_eq!(plan.reason, "the verdict on `matmul-256`");
}

#[test]
fn at_the_quota_of_the_profile_one_thread_more_than_it_pays_is_used() {
    let mut profile = profile();
    profile.workloads[0].above_quota = Some(AboveQuotaChoice {
        quota: 2.5,
        threads: ThreadCount::clamped(3),
        median_us: 90.0,
        ci95_us: [89.0, 91.0],
        speedup: 1.1,
        won: true,
    });
    let under = |quota: f64| {
        let cpus = Cpus {
            above_quota: Some(AboveQuota {
                threads: ThreadCount::clamped(3),
                cpus: quota,
                period_us: 100_000,
            }),
            ..cpus(2)
        };
        let request = request(&["matmul-256"], &["p", "{threads}", "{threads:matmul-256}"]);
        planned(&request, Ok(&profile), &cpus)
    };
    let same = under(2.5);
    assert_eq!(threads(&same), Some(3));
    assert_eq!(
        same.reason,
        "the verdict on `matmul-256` at this very CPU quota"
    );
    assert_eq!(same.command, ["p", "3", "3"]);
    let variable = |name: &str| {
        let mut all = same.environment.assignments.iter();
        all.find(|a| a.variable == name).unwrap().value.clone()
    };
    assert_eq!(variable("OMP_NUM_THREADS"), "3");
    let other = under(2.9);
    assert_eq!(threads(&other), Some(2));
    assert_eq!(other.command, ["p", "2", "2"]);
    // It is no error that the quota is another.
    assert_eq!(other.warnings, [""; 0]);
}

#[test]
fn a_shape_stands_for_the_workload_that_has_it() {
    let mut request = request(&[], &["true"]);
    request.shape = Some("gemv:2048x2048:f32".parse().unwrap());
    assert_eq!(
        threads(&planned(&request, Ok(&profile()), &cpus(8))),
        Some(3)
    );
    request.shape = Some("gemv:4096x2048:f32".parse().unwrap());
    let plan = planned(&request, Ok(&profile()), &cpus(8));
    assert_eq!(threads(&plan), Some(3));
    let nearest = "no workload of the profile has the shape `gemv:4096x2048:f32`; `gemv-2048x2048`, the nearest of its kind, \
                   stands in";
    assert_eq!(plan.warnings, [nearest]);
    request.shape = Some("softmax:4x4:f32".parse().unwrap());
    let plan = planned(&request, Ok(&profile()), &cpus(8));
    assert_eq!(threads(&plan), Some(4));
    assert_eq!(plan.warnings.len(), 2);
}

const FALLBACK: &str = "using OMP_NUM_THREADS=4: the physical cores inside the CPU budget";

#[test]
fn an_unknown_name_gets_the_closest_ones_and_the_count_without_a_profile() {
    let of = |name: &str| planned(&request(&[name], &["true"]), Ok(&profile()), &cpus(8));
    let plan = of("nonsense");
    assert_eq!(threads(&plan), Some(4));
    assert_eq!(plan.warnings, ["unknown workload `nonsense`", FALLBACK]);
    let typo = of("matmul-25");
    assert!(
        typo.warnings[0].starts_with("unknown workload `matmul-25`; did you mean `matmul-256`"),
        "{:?}",
        typo.warnings
    );
    let nothing = of("softmax-512x512");
    let why = "the verdict on `softmax-512x512` is not used: no count is stated; run `threadtune tune softmax-512x512`";
    assert_eq!(nothing.warnings, [why, FALLBACK]);
    let missing = of("matmul-64");
    assert_eq!(threads(&missing), Some(6));
    let why = "the profile holds no verdict on `matmul-64`; run `threadtune tune matmul-64`; `matmul-256`, the nearest of its \
               kind, stands in";
    assert_eq!(missing.warnings, [why]);
    let command = ["true", "{threads:x}", "{threads:x}", "{threads:matmul-64}"];
    let plan = planned(
        &request(&["gemv-2048x2048"], &command),
        Ok(&profile()),
        &cpus(8),
    );
    assert_eq!(plan.command, ["true", "3", "3", "6"]);
    assert_eq!(plan.warnings, ["unknown workload `x`", why]);
}

#[test]
fn a_verdict_of_fewer_cpus_is_used_only_where_it_did_not_want_all() {
    let many = |limit| Cpus {
        allowed: Some((0..64).collect()),
        limit: Some(ThreadCount::clamped(limit)),
        physical: Some(ThreadCount::clamped(limit)),
        strongest: Some(ThreadCount::clamped(limit)),
        above_quota: None,
        topology: None,
    };
    let mut profile = profile();
    let request = request(&["matmul-256"], &["p"]);
    let inside = planned(&request, Ok(&profile), &many(64));
    assert_eq!((threads(&inside), inside.warnings.len()), (Some(6), 0));
    let line = "`matmul-256`: measured with fewer CPUs than there are now, and did not want all of them; `threadtune tune \
                --missing` measures anew";
    assert_eq!(inside.notices(), [line]);
    profile.workloads[0].latency.as_mut().unwrap().threads = ThreadCount::clamped(8);
    let edge = planned(&request, Ok(&profile), &many(64));
    assert_eq!(threads(&edge), Some(64));
    assert_eq!(edge.warnings.len(), 2);
    assert_eq!(edge.notices(), [""; 0]);
    // In the budget that it was measured in it is as good as ever.
    let then = planned(&request, Ok(&profile), &many(8));
    assert_eq!((threads(&then), then.warnings.len()), (Some(8), 0));
}

#[test]
fn strong_cores_alone_count_where_nothing_is_known() {
    let hybrid = Cpus {
        physical: Some(ThreadCount::clamped(20)),
        strongest: Some(ThreadCount::clamped(8)),
        ..cpus(28)
    };
    let plan = planned(&request(&[], &["true"]), Err("gone".to_owned()), &hybrid);
    assert_eq!(threads(&plan), Some(8));
    assert_eq!(
        plan.reason,
        "the strongest physical cores inside the CPU budget"
    );
}

#[test]
fn nothing_timed_within_the_budget_is_said() {
    let mut profile = profile();
    profile.workloads[2].stop = crate::profile::StopReason::Eps;
    let plan = planned(
        &request(&["llama3.2-1b/decode"], &["true"]),
        Ok(&profile),
        &cpus(1),
    );
    assert_eq!(threads(&plan), Some(1));
    let why = "the verdict on `llama3.2-1b/decode` is not used: nothing was timed with so few threads; run `threadtune tune \
               llama3.2-1b/decode`";
    let one = "using OMP_NUM_THREADS=1: the physical cores inside the CPU budget";
    assert_eq!(plan.warnings, [why, one]);
    // Siblings are no cores.
    profile.workloads[2].curve.clear();
    profile.workloads[2].latency.as_mut().unwrap().threads = ThreadCount::clamped(64);
    let siblings = planned(
        &request(&["llama3.2-1b/decode"], &["true"]),
        Ok(&profile),
        &cpus(8),
    );
    assert_eq!(threads(&siblings), Some(4));
}

#[test]
fn without_a_profile_physical_cores_inside_the_budget_count() {
    let command = ["true", "{threads}", "{threads:any}"];
    let plan = planned(
        &request(&["matmul-256"], &command),
        Err("gone".to_owned()),
        &cpus(8),
    );
    assert_eq!(threads(&plan), Some(4));
    assert_eq!(plan.command, ["true", "4", "4"]);
    assert_eq!(plan.warnings[0], "gone");
    let typo = planned(
        &request(&["matmul-25"], &["true"]),
        Err("gone".to_owned()),
        &cpus(8),
    );
    assert!(typo.warnings[1].contains("did you mean `matmul-256`"));
    let plan = planned(&request(&[], &["true"]), Err("gone".to_owned()), &cpus(2));
    assert_eq!(threads(&plan), Some(2));
}

#[test]
fn where_nothing_is_known_nothing_is_set() {
    let plan = planned(
        &request(&[], &["true", "{threads}{cpus}"]),
        Err("gone".to_owned()),
        &Cpus::default(),
    );
    assert_eq!(threads(&plan), None);
    assert_eq!(plan.environment, environment::Plan::default());
    assert_eq!(plan.command, ["true", "{threads}{cpus}"]);
}

#[test]
fn an_empty_profile_is_as_good_as_none() {
    let mut profile = profile();
    profile.workloads.clear();
    let plan = planned(&request(&[], &["true"]), Ok(&profile), &cpus(8));
    assert_eq!(threads(&plan), Some(4));
    assert!(
        plan.warnings[0].contains("threadtune tune"),
        "{:?}",
        plan.warnings
    );
}

#[test]
fn a_plan_needs_the_entries_it_names_or_all() {
    let weighted = |name: &str| Weighted {
        name: name.to_owned(),
        weight: 1.0,
    };
    let command = ["p", "-t", "{threads:c}", "{threads:a}", "{cpus}"]
        .map(OsString::from)
        .to_vec();
    let named = Request {
        workloads: vec![weighted("b"), weighted("a")],
        command,
        ..Request::default()
    };
    assert_eq!(named.names(), ["a", "b", "c"]);
    assert!(
        Request {
            shape: Some("gemv:1x1:f32".parse().unwrap()),
            ..named.clone()
        }
        .names()
        .is_empty()
    );
    assert!(
        Request {
            workloads: Vec::new(),
            ..named
        }
        .names()
        .is_empty()
    );
}
