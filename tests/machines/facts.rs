//! What the kernel itself says of CPUs goes before what files describe.

use crate::budgets::{eight_cpus, limit};
use crate::made_up::Made;
use threadtune::machine::{Beside, Budget, LimitKind, Topology};
use threadtune::units::CpuSet;

fn cpus(list: &str) -> CpuSet {
    CpuSet::parse_list(list).unwrap()
}

fn topology(made: &Made, mask: &str) -> Topology {
    Topology::read(made.root(), Some(&cpus(mask))).unwrap()
}

fn budget(made: &Made, mask: &str, env: &[(&str, &str)]) -> Budget {
    let mask = cpus(mask);
    let topology = Topology::read(made.root(), Some(&mask)).unwrap();
    Budget::read(
        made.root(),
        &topology,
        Some(&mask),
        Some(&Beside::default()),
        |name| {
            let (_, value) = env.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        },
    )
}

/// Sixteen cores of two hardware threads each, N and N + 16. `online` says what lxcfs says, with a cpuset that is the
/// container's.
fn container(online: &str, cpuset: Option<&str>) -> Made {
    let cores: Vec<String> = (0..16).map(|n| format!("{n},{}", n + 16)).collect();
    let cores: Vec<&str> = cores.iter().map(String::as_str).collect();
    let made = Made::machine(online, &cores);
    if let Some(cpuset) = cpuset {
        made.write(
            "proc/self/mountinfo",
            "5 4 0:4 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        );
        made.write("proc/self/cgroup", "0::/");
        made.write("sys/fs/cgroup/cpuset.cpus.effective", cpuset);
    }
    made
}

#[test]
fn cpus_of_the_mask_are_online_whatever_the_files_say() {
    // One CPU, 24, which became CPU 0.
    let one = container("0", None);
    let b = budget(&one, "24", &[]);
    assert_eq!((limit(&b).0, b.cpus.to_string().as_str()), (1, "24"));
    assert_eq!(topology(&one, "24").online, cpus("24"));
    // Six of one side, 0 to 5 by lxcfs, of which only two were left.
    let six = container("0-5", None);
    let b = budget(&six, "4-5,20-21,24-25", &[]);
    assert_eq!(limit(&b), (6, LimitKind::Online));
    assert_eq!(b.cpus, cpus("4-5,20-21,24-25"));
    // 4 and 20 share a core, as 5 and 21 do.
    let t = topology(&six, "4-5,20-21,24-25");
    assert_eq!((t.cores.len(), t.smt()), (4, 2));
    let told = "sys/devices/system/cpu describes CPUs 0-5 as online, but this process may run on CPUs 4-5,20-21,24-25; CPUs \
                4-5,20-21,24-25 are taken to be online";
    assert_eq!(t.notes, [told]);
    // A quota makes lxcfs name fewer CPUs than there are in the mask.
    let all = container("0-3", Some("0-31"));
    assert_eq!(topology(&all, "0-31").online, cpus("0-31"));
}

#[test]
fn a_mask_inside_the_containers_cpuset_leaves_the_container_its_cpus() {
    let six = container("0-5", Some("24-29"));
    let t = topology(&six, "24");
    assert_eq!(t.online, cpus("24-29"));
    let b = budget(&six, "24", &[]);
    assert_eq!((limit(&b), b.cpus), ((1, LimitKind::Affinity), cpus("24")));
    // CPUs 0 to 5 are not its own, though the mask is among them.
    let dealt = container("0-5", Some("4-5,20-21,24-25"));
    assert_eq!(topology(&dealt, "4").online, cpus("4-5,20-21,24-25"));
    let whole = container("0-31", Some("0-31"));
    assert_eq!(topology(&whole, "4").online, cpus("0-31"));
    // A cpuset without the mask is somebody else's.
    let other = container("0-5", Some("0-5"));
    assert_eq!(topology(&other, "24").online, cpus("24"));
}

#[test]
fn a_mask_alone_describes_no_machine() {
    let nothing = Made::of(&[]);
    assert!(Topology::read(nothing.root(), Some(&cpus("0-7"))).is_err());
}

#[test]
fn files_that_know_the_mask_are_believed() {
    let t = topology(&eight_cpus(), "6-7");
    assert_eq!((t.online, t.notes), (cpus("0-7"), vec![]));
    // An empty mask is none.
    assert_eq!(topology(&eight_cpus(), "").online, cpus("0-7"));
}

#[test]
fn isolated_cpus_are_left_out_while_others_remain() {
    let made = eight_cpus();
    let of = |isolated: &str, mask: &str| {
        made.write("sys/devices/system/cpu/isolated", isolated);
        budget(&made, mask, &[])
    };
    let b = of("2-3", "0-7");
    assert_eq!(
        (limit(&b), &b.cpus),
        ((6, LimitKind::Isolated), &cpus("0-1,4-7"))
    );
    assert_eq!(
        b.deciding().unwrap().source,
        "sys/devices/system/cpu/isolated"
    );
    let told = "CPUs 2-3 are isolated from the scheduler, and programs are kept off them while they may run on others; \
                `taskset -c 2-3` uses them";
    assert_eq!(b.remarks().collect::<Vec<_>>(), [told]);
    // Only those of the mask are left out.
    let b = of("2-3", "3-4");
    assert_eq!((limit(&b), &b.cpus), ((1, LimitKind::Isolated), &cpus("4")));
    let b = of("2-3", "4-7");
    assert_eq!((limit(&b), b.cautions.len()), ((4, LimitKind::Affinity), 0));
    // Somebody chose just these.
    let b = of("2-3", "2-3");
    assert_eq!(limit(&b), (2, LimitKind::Affinity));
    assert!(
        b.cautions[0]
            .text
            .starts_with("all of CPUs 2-3 are isolated"),
        "{:?}",
        b.cautions
    );
    for nothing in ["", "(null)", " "] {
        let b = of(nothing, "0-7");
        assert_eq!(
            (limit(&b).0, b.cautions.len(), b.notes.len()),
            (8, 0, 0),
            "{nothing}"
        );
    }
    let b = of("2-", "0-7");
    assert_eq!((limit(&b).0, b.notes.len()), (8, 1), "{:?}", b.notes);
}

#[test]
fn ranks_share_what_isolation_leaves() {
    let made = eight_cpus();
    made.write("sys/devices/system/cpu/isolated", "6-7");
    let b = budget(&made, "0-7", &[("LOCAL_WORLD_SIZE", "2")]);
    assert_eq!(
        limit(&b),
        (3, LimitKind::Ranks),
        "the mask is no rank's own"
    );
}

#[test]
fn cpus_without_a_tick_are_a_note() {
    let made = eight_cpus();
    made.write("sys/devices/system/cpu/nohz_full", "4-7,9");
    let b = budget(&made, "0-7", &[]);
    assert_eq!((limit(&b).0, b.notes.len(), b.cautions.len()), (8, 1, 0));
    assert!(b.notes[0].starts_with("CPUs 4-7 run without the scheduler's tick"));
    assert_eq!(b.remarks().count(), 1);
}
