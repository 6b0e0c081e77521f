//! Limits on memory against the stacks of a team: `RLIMIT_AS` and `RLIMIT_DATA`.

use crate::budgets::{budget, budget_with, eight_cpus, limit};
use crate::made_up::Made;
use threadtune::machine::{Budget, LimitKind};

/// All that is told of a budget.
fn remarks(budget: &Budget) -> Vec<String> {
    budget.remarks().cloned().collect()
}

const MIB: u64 = 1 << 20;
/// Another limit that is looked for in the same file.
const PROCESSES: &str =
    "Max processes             unlimited            unlimited            processes ";

/// Eight CPUs, a process that has mapped 12 MiB, 1 MiB of them data, and these soft limits.
fn limits(stack: &str, space: &str, data: &str) -> Made {
    let made = eight_cpus();
    let row = |name, soft| format!("{name:<25} {soft:<20} unlimited            bytes     \n");
    let text = format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n{PROCESSES}\n{}{}{}",
        row("Max data size", data),
        row("Max stack size", stack),
        row("Max address space", space)
    );
    made.write("proc/self/limits", text.trim_end());
    made.write(
        "proc/self/status",
        "Name:\tx\nVmPeak:\t   99999 kB\nVmSize:\t   12288 kB\nVmData:\t    1024 kB",
    );
    made
}

fn mebibytes(count: u64) -> String {
    (count * MIB).to_string()
}

#[test]
fn a_team_whose_stacks_fit_is_no_matter() {
    for (stack, space, data) in [
        ("8388608", "unlimited", "unlimited"),
        // 12 MiB used, and seven stacks of 8 MiB.
        ("8388608", &mebibytes(12 + 56), "unlimited"),
        ("8388608", "unlimited", &mebibytes(1 + 56)),
        ("unlimited", &mebibytes(12 + 14), &mebibytes(1 + 14)),
        // Less than glibc takes at all.
        ("1", &mebibytes(13), &mebibytes(2)),
        // Zero means the hard limit.
        ("8388608", "unlimited", "0"),
    ] {
        let b = budget(&limits(stack, space, data));
        assert_eq!(remarks(&b), Vec::<String>::new(), "{stack} {space} {data}");
        assert_eq!(limit(&b), (8, LimitKind::Online));
    }
}

#[test]
fn address_space_for_fewer_threads_is_told_and_cuts_nothing() {
    for (space, room) in [
        (12 + 55, "about 7 threads only"),
        (12 + 31, "about 4 threads only"),
        (12 + 8, "about 2 threads only"),
        (12 + 7, "1 thread only"),
        (3, "1 thread only"),
        (0, "1 thread only"),
    ] {
        let b = budget(&limits("8388608", &mebibytes(space), "unlimited"));
        assert_eq!(limit(&b), (8, LimitKind::Online));
        assert_eq!(b.limits.len(), 1);
        let size = if space == 0 {
            "0 KiB".to_owned()
        } else {
            format!("{space} MiB")
        };
        let note = format!(
            "RLIMIT_AS of {size} has room for {room}, as each further one takes a stack of 8 MiB (RLIMIT_STACK), and the \
             budget has 8: more may fail to start; raise it by `ulimit -v`, or make stacks smaller by OMP_STACKSIZE"
        );
        assert_eq!(remarks(&b), [note], "{space}");
    }
}

#[test]
fn data_counts_the_stacks_too() {
    let b = budget(&limits("8388608", "unlimited", &mebibytes(1 + 55)));
    let says = "RLIMIT_DATA of 56 MiB has room for about 7 threads only, as each further one takes a stack of 8 MiB \
                (RLIMIT_STACK), and the budget has 8: more may fail to start; raise it by `ulimit -d`, or make stacks \
                smaller by OMP_STACKSIZE";
    assert_eq!(remarks(&b), [says]);
    let b = budget(&limits("8388608", &mebibytes(40), &mebibytes(20)));
    let names: Vec<&str> = b
        .cautions
        .iter()
        .map(|n| n.text.split(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["RLIMIT_AS", "RLIMIT_DATA"]);
    // As many threads as fit fear nothing.
    let above: Vec<u32> = b.cautions.iter().map(|caution| caution.above).collect();
    assert_eq!(above, [4, 3]);
}

#[test]
fn stacks_are_as_large_as_the_runtime_will_make_them() {
    let says = |stack: &str, env: &[(&str, &str)]| {
        let made = limits(stack, &mebibytes(12 + 13), "unlimited");
        let notes = remarks(&budget_with(&made, None, env));
        assert!(notes.len() < 2, "{notes:?}");
        let note = notes.into_iter().next()?;
        let (_, rest) = note.split_once("has room for ")?;
        let (room, rest) = rest.split_once(" only, as each further one takes a stack of ")?;
        let (stack, _) = rest.split_once(", and")?;
        Some(format!("{room}: {stack}"))
    };
    let told = |text: &str| Some(text.to_owned());
    let libc = told("about 7 threads: 2 MiB (the C library's choice)");
    assert_eq!(says("unlimited", &[]), libc);
    let four = told("about 4 threads: 4 MiB (OMP_STACKSIZE)");
    let (omp, gomp, kmp) = ("OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE");
    assert_eq!(says("8388608", &[(omp, "4096")]), four);
    assert_eq!(
        says("unlimited", &[(kmp, "1"), (gomp, "2"), (omp, "4m")]),
        four
    );
    assert_eq!(
        says("unlimited", &[(kmp, "1"), (gomp, "3072")]),
        told("about 5 threads: 3 MiB (GOMP_STACKSIZE)")
    );
    assert_eq!(
        says("unlimited", &[(kmp, "6291456")]),
        told("about 3 threads: 6 MiB (KMP_STACKSIZE)")
    );
    assert_eq!(says("8388608", &[(omp, "1M")]), None);
    assert_eq!(says("unlimited", &[(omp, "0x400")]), libc);
}

#[test]
fn the_team_is_what_all_limits_leave() {
    let made = limits("8388608", &mebibytes(12 + 24), "unlimited");
    assert_eq!(remarks(&budget_with(&made, Some("0-3"), &[])).len(), 0);
    assert_eq!(remarks(&budget_with(&made, Some("0-4"), &[])).len(), 1);
    let env = [("LOCAL_WORLD_SIZE", "2")];
    assert_eq!(remarks(&budget_with(&made, None, &env)).len(), 0);
    // One thread needs no further stack.
    let made = limits("8388608", "0", "1");
    assert_eq!(remarks(&budget_with(&made, Some("3"), &[])).len(), 0);
}

#[test]
fn torn_limits_are_noted_and_bind_nothing() {
    let note = |row: &str, text: &str| {
        format!("proc/self/limits: `{row}` is `{text}`, which is no number of bytes; left out")
    };
    for text in ["0x1000", "-1", "many", "99999999999999999999", "8388608K"] {
        let b = budget(&limits("8388608", text, "unlimited"));
        assert_eq!(remarks(&b), [note("Max address space", text)]);
        let b = budget(&limits("8388608", "unlimited", text));
        assert_eq!(remarks(&b), [note("Max data size", text)]);
        // Nobody asks for the stack where nothing limits memory.
        let b = budget(&limits(text, "unlimited", "unlimited"));
        assert_eq!(remarks(&b), Vec::<String>::new());
        let b = budget(&limits(text, &mebibytes(12 + 14), "unlimited"));
        assert_eq!(remarks(&b), [note("Max stack size", text)]);
    }
    // Cut off in the row, and a process that tells nothing of its memory.
    let made = limits("8388608", "unlimited", "unlimited");
    let rows = |text| made.write("proc/self/limits", &format!("{PROCESSES}\n{text}"));
    rows("Max stack size 8388608\nMax address space");
    assert_eq!(remarks(&budget(&made)), [note("Max address space", "")]);
    rows("Max address space 58720256");
    made.write("proc/self/status", "VmSize:\tmany kB");
    let b = budget(&made);
    assert_eq!(remarks(&b), Vec::<String>::new(), "56 MiB, stacks of 2 MiB");
    rows("Max stack size 8388608\nMax address space 58720255");
    assert_eq!(remarks(&budget(&made)).len(), 1);
}
