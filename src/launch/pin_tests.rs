//! Plans that pin, from the made-up profile on two packages of four cores.

use super::*;
use crate::machine::{CpuOrder, Placement, Topology};

/// Two packages of four cores each.
fn two_packages() -> Topology {
    Topology {
        packages: vec!["0-3".parse().unwrap(), "4-7".parse().unwrap()],
        ..Topology::flat("0-7".parse().unwrap())
    }
}

/// The CPUs allowed, and those that the profile was tuned on.
fn orders(topology: &Topology, allowed: &str, tuned: &str) -> Orders {
    let order = |cpus: &str| CpuOrder::of(topology, &cpus.parse().unwrap());
    Orders {
        own: order(allowed),
        tuned: Some(order(tuned)),
    }
}

/// For a profile that was tuned on every other CPU: they are what its pinned verdict on `gemv` names.
fn half(allowed: &str) -> Orders {
    orders(&two_packages(), allowed, "0,2,4,6")
}

/// A plan that pins inside these CPUs, at most `limit` threads, under these variables.
fn pinned(
    request: &Request,
    profile: Result<&Profile, String>,
    (allowed, limit): (&str, usize),
    variables: &[(&str, &str)],
) -> Plan {
    let cpus = Cpus {
        allowed: Some(allowed.parse().unwrap()),
        ..cpus(limit)
    };
    let request = Request {
        pin: true,
        ..request.clone()
    };
    plan(&request, profile, &cpus, Some(&half(allowed)), &|name| {
        let (_, value) = variables.iter().find(|(n, _)| *n == name)?;
        Some(OsString::from(value))
    })
}

/// Threads, placement and CPUs, and what was said about them.
fn bound(plan: Plan) -> (u32, Placement, String, Vec<String>) {
    let pin = plan.pin.unwrap();
    let said = plan.warnings.into_iter().chain(pin.notices).collect();
    (
        plan.threads.unwrap().get(),
        pin.placement,
        pin.cpus.to_string(),
        said,
    )
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn nothing_is_pinned_unless_asked_for() {
    let request = request(&["gemv-2048x2048"], &["true", "{threads}@{cpus}"]);
    let plan = plan(
        &request,
        Ok(&profile()),
        &cpus(8),
        Some(&half("0-7")),
        &|_| None,
    );
    assert_eq!((threads(&plan), &plan.pin), (Some(3), &None));
    assert_eq!(plan.command, ["true", "3@0-7"]);
}

#[test]
fn a_pinned_program_gets_the_cpus_that_were_timed_or_others_that_lie_alike() {
    use Placement::{Close, Spread};
    let gemv = request(&["gemv-2048x2048"], &["true"]);
    let of = |request: &Request, room| bound(pinned(request, Ok(&profile()), room, &[]));
    // The verdict's own list, which the order of all allowed CPUs would not give.
    let timed = (4, Spread, "0,2,4,6".to_owned(), NOTHING);
    assert_eq!(of(&gemv, ("0-7", 8)), timed);
    let alike = |threads, cpus: &str| (threads, Spread, cpus.to_owned(), NOTHING);
    assert_eq!(of(&gemv, ("1-7", 7)), alike(4, "1-2,4-5"));
    assert_eq!(of(&gemv, ("2-5", 4)), alike(4, "2-5"));
    assert_eq!(of(&gemv, ("1,3,5", 3)), alike(2, "1,5"));
    let close = |threads, cpus: &str| (threads, Close, cpus.to_owned(), NOTHING);
    // A quota of three: the curve's best arm of either kind, on the first three CPUs.
    assert_eq!(of(&gemv, ("0-7", 3)), close(3, "0-2"));
    let matmul = request(&["matmul-256"], &["true"]);
    assert_eq!(of(&matmul, ("0-7", 8)), close(6, "0-5"));
    assert_eq!(of(&matmul, ("2-7", 6)), close(6, "2-7"));
    assert_eq!(of(&matmul, ("4-7", 4)), close(3, "4-6"));
    assert_eq!(of(&request(&[], &["true"]), ("0-7", 8)), close(4, "0-3"));
}

#[test]
fn arguments_name_the_pinned_cpus_and_counts_that_fit_them() {
    let command = ["true", "{cpus}", "{threads}", "{threads:matmul-256}"];
    let gemv = request(&["gemv-2048x2048"], &command);
    let plan = pinned(&gemv, Ok(&profile()), ("0-7", 8), &[]);
    // Six threads are best for matmul-256; on four CPUs three are.
    assert_eq!(plan.command, ["true", "0,2,4,6", "4", "3"]);
    let unknown = request(&["gemv-2048x2048"], &["true", "{threads:gemm-bf16-64}"]);
    let plan = pinned(&unknown, Ok(&profile()), ("0-7", 8), &[]);
    assert_eq!(plan.command, ["true", "1"]);
}

#[test]
fn without_a_profile_a_pinned_program_gets_neighbours() {
    let command = request(&[], &["true", "{cpus}"]);
    let plan = pinned(&command, Err("gone".to_owned()), ("1-7", 7), &[]);
    // The package of which four cores are left, not the one of three.
    assert_eq!(plan.command, ["true", "4-7"]);
    assert_eq!(
        bound(plan),
        (
            4,
            Placement::Close,
            "4-7".to_owned(),
            vec![
                "gone".to_owned(),
                "using OMP_NUM_THREADS=4: the physical cores inside the CPU budget".to_owned()
            ]
        )
    );
}

#[test]
fn without_bound_timings_the_unpinned_count_is_pinned_close_with_a_warning() {
    let mut profile = profile();
    let gemv = &mut profile.workloads[1];
    gemv.pinned = None;
    gemv.curve
        .retain(|point| point.placement == Placement::Unbound);
    let request = request(&["gemv-2048x2048"], &["true"]);
    let (threads, placement, cpus, said) = bound(pinned(&request, Ok(&profile), ("2-7", 6), &[]));
    assert_eq!(
        (threads, placement, cpus.as_str()),
        (3, Placement::Close, "4-6")
    );
    assert_eq!(
        said,
        [
            "the profile has no timing of bound threads within the CPU budget (`threadtune tune` takes them): pinning to \
             CPUs close together"
        ]
    );
    // Where nothing at all was timed, that is all there is to say.
    let (threads, _, cpus, said) = bound(pinned(&request, Ok(&profile), ("2-7", 1), &[]));
    assert_eq!((threads, cpus.as_str()), (1, "4"));
    let why = "the verdict on `gemv-2048x2048` is not used: nothing was timed with so few threads; run `threadtune tune \
               gemv-2048x2048`";
    let one = "using OMP_NUM_THREADS=1: the physical cores inside the CPU budget";
    assert_eq!(said, [why, one]);
}

#[test]
fn a_machine_of_unknown_build_pins_nothing() {
    let request = Request {
        pin: true,
        ..request(&["gemv-2048x2048"], &["true", "{cpus}"])
    };
    let plan = plan(&request, Ok(&profile()), &cpus(8), None, &|_| None);
    // The program stays unbound: the count is the one for unbound programs.
    assert_eq!((threads(&plan), &plan.pin), (Some(3), &None));
    assert_eq!(plan.command, ["true", "0-7"]);
    assert_eq!(
        plan.warnings,
        ["the build of this machine is unknown: nothing is pinned"]
    );
}

#[test]
fn the_largest_team_of_the_user_fits_the_pinned_cpus() {
    use Placement::Spread;
    let gemv = request(&["gemv-2048x2048"], &["true", "{cpus}"]);
    let of = |request: &Request, variables: &[(&str, &str)]| {
        let plan = pinned(request, Ok(&profile()), ("0-7", 8), variables);
        let cpus = plan.command[1].clone();
        let found = bound(plan);
        assert_eq!(cpus, found.2.as_str());
        found
    };
    let timed = (4, Spread, "0,2,4,6".to_owned(), NOTHING);
    let grown = |cpus: &str, said: &str| (4, Spread, cpus.to_owned(), vec![said.to_owned()]);
    assert_eq!(
        of(&gemv, &[("OMP_NUM_THREADS", "6,2")]),
        grown("0-2,4-6", "pinned to CPUs 0-2,4-6 because of 6 threads")
    );
    assert_eq!(
        of(&gemv, &[("RAYON_NUM_THREADS", "5")]),
        grown("0-2,4-5", "pinned to CPUs 0-2,4-5 because of 5 threads")
    );
    assert_eq!(
        of(&gemv, &[("OMP_NUM_THREADS", "64")]),
        grown("0-7", "pinned to CPUs 0-7 because of 64 threads")
    );
    // Fewer threads of one family: the other families still get four. A maximum is no team.
    for small in [
        ("OMP_NUM_THREADS", "2"),
        ("OMP_NUM_THREADS", "4"),
        ("OMP_NUM_THREADS", "lots"),
        ("OMP_THREAD_LIMIT", "1"),
        ("NUMEXPR_MAX_THREADS", "64"),
    ] {
        assert_eq!(of(&gemv, &[small]), timed, "{small:?}");
    }
    let force = Request {
        force: true,
        ..gemv
    };
    assert_eq!(of(&force, &[("OMP_NUM_THREADS", "6")]), timed);
}

#[test]
fn a_list_that_the_machine_would_no_longer_give_is_made_anew() {
    let request = Request {
        pin: true,
        ..request(&["gemv-2048x2048"], &["true"])
    };
    let cpus_of = |profile: &Profile, orders: &Orders| {
        let plan = plan(&request, Ok(profile), &cpus(8), Some(orders), &|_| None);
        assert_eq!(plan.warnings, NOTHING);
        let pin = plan.pin.unwrap();
        (plan.threads.unwrap().get(), pin.cpus.to_string())
    };
    let packages = two_packages();
    // Tuned on all eight CPUs, of which two packages spread four threads otherwise than the list says.
    let all = orders(&packages, "0-7", "0-7");
    assert_eq!(cpus_of(&profile(), &all), (4, "0-1,4-5".to_owned()));
    let unknown = Orders {
        tuned: None,
        ..all.clone()
    };
    assert_eq!(cpus_of(&profile(), &unknown), (4, "0-1,4-5".to_owned()));
    // Four cores whose siblings were 0,4 1,5 … when the machine was tuned, and are 0,1 2,3 … now.
    let pairs = |lists: [&str; 4]| Topology {
        cores: lists.map(|list| list.parse().unwrap()).to_vec(),
        ..Topology::flat("0-7".parse().unwrap())
    };
    let mut profile = profile();
    let pinned = profile.workloads[1].pinned.as_mut().unwrap();
    pinned.placement = Placement::Close;
    pinned.cpus = "0-3".parse().unwrap();
    let before = orders(&pairs(["0,4", "1,5", "2,6", "3,7"]), "0-7", "0-7");
    assert_eq!(cpus_of(&profile, &before), (4, "0-3".to_owned()));
    let now = orders(&pairs(["0-1", "2-3", "4-5", "6-7"]), "0-7", "0-7");
    assert_eq!(cpus_of(&profile, &now), (4, "0,2,4,6".to_owned()));
}

#[test]
fn variables_that_bind_nothing_are_not_named() {
    let gemv = request(&["gemv-2048x2048"], &["true"]);
    let notices = |variable: (&str, &str)| {
        let plan = pinned(&gemv, Ok(&profile()), ("0-7", 8), &[variable]);
        plan.pin.unwrap().notices
    };
    for nothing in [
        ("OMP_PROC_BIND", "false"),
        ("OMP_PROC_BIND", " FALSE "),
        ("OMP_PROC_BIND", ""),
        ("OMP_PLACES", ""),
        ("GOMP_CPU_AFFINITY", " "),
        ("KMP_AFFINITY", "disabled"),
        ("KMP_AFFINITY", "none"),
        ("KMP_AFFINITY", "verbose, None"),
    ] {
        assert_eq!(notices(nothing), NOTHING, "{nothing:?}");
    }
    for (variable, value) in [
        ("OMP_PROC_BIND", "true"),
        ("OMP_PROC_BIND", "spread,close"),
        ("OMP_PLACES", "false"),
        ("GOMP_CPU_AFFINITY", "0"),
        ("KMP_AFFINITY", "granularity=fine,compact"),
    ] {
        let notice = format!("{variable} may bind threads inside the pinned CPUs 0,2,4,6");
        assert_eq!(notices((variable, value)), [notice], "{value}");
    }
}

#[test]
fn what_binds_threads_inside_the_pinned_cpus_is_named_once() {
    let gemv = request(&["gemv-2048x2048"], &["true"]);
    let variables = [
        ("KMP_AFFINITY", "compact"),
        ("OMP_PROC_BIND", "close"),
        ("GOMP_CPU_AFFINITY", "0-7"),
        ("OMP_PLACES", "cores"),
    ];
    let plan = pinned(&gemv, Ok(&profile()), ("0-7", 8), &variables);
    assert_eq!(plan.warnings, NOTHING);
    assert_eq!(
        plan.pin.unwrap().notices,
        [
            "OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY, KMP_AFFINITY may bind threads inside the pinned CPUs 0,2,4,6"
        ]
    );
}
