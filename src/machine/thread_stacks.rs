//! Do the stacks of a team fit in what `RLIMIT_AS` and `RLIMIT_DATA` leave? Told, but no limit of the budget: how much
//! the program itself will need is unknown, and with smaller stacks it could run.
//!
//! Each new thread maps its stack at once, whether it will be used or not; where that fails, `pthread_create` does, and
//! the runtime gives up ("libgomp: Thread creation failed"). Both limits count stacks of threads. `RLIMIT_AS` counts every
//! mapping. `RLIMIT_DATA` counts private writable mappings since Linux 4.7 (`getrlimit(2)`; `is_data_mapping` in mm/vma.h,
//! asked by `may_expand_vm`): the kernel ignores `MAP_STACK`, only a mapping that grows by itself is a stack to it, and
//! glibc's reservation without access is counted when `mprotect` makes it writable (`mprotect_fixup`).
//!
//! The arenas of malloc are left out, though each reserves 64 MiB of address space: a thread that gets none takes another
//! thread's, or maps what it needs.

use super::budget::{Resolver, trimmed};
use super::tasks;
use super::tree::Tree;

const LIMITS: &str = "proc/self/limits";
const STATUS: &str = "proc/self/status";

/// glibc's choice where `RLIMIT_STACK` is unlimited (`ARCH_STACK_DEFAULT_SIZE` of x86-64 and Arm).
const STACK_OF_UNLIMITED: u64 = 2 << 20;
/// The least that glibc takes (`PTHREAD_STACK_MIN` of x86-64).
const LEAST_STACK: u64 = 16 << 10;

const STACK: &str = "Max stack size";
const DATA: &str = "Max data size";

/// What sets the stacks of OpenMP's threads, with the unit of a number that has none. Runtimes disagree about which of
/// several counts; this is libgomp's order, and libomp's own variable comes last.
const STACK_VARIABLES: [(&str, u64); 3] = [
    ("OMP_STACKSIZE", 1 << 10),
    ("GOMP_STACKSIZE", 1 << 10),
    ("KMP_STACKSIZE", 1),
];

/// A limit on memory, and what of this process counts against it.
struct Kind {
    row: &'static str,
    used: &'static str,
    name: &'static str,
    raise: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        row: "Max address space",
        used: "VmSize:",
        name: "RLIMIT_AS",
        raise: "ulimit -v",
    },
    Kind {
        row: DATA,
        used: "VmData:",
        name: "RLIMIT_DATA",
        raise: "ulimit -d",
    },
];

/// Tells of each limit that has no room for the stacks of as many threads as the budget has.
pub(super) fn apply(budget: &mut Resolver, tree: &mut Tree, env: &impl Fn(&str) -> Option<String>) {
    let team = u64::from(budget.limit.get());
    let Some(limits) = tree.text(LIMITS).filter(|_| team > 1) else {
        return;
    };
    let status = tree.text(STATUS).unwrap_or_default();
    let mut stack = None;
    for kind in &KINDS {
        let Some(most) = limit(tree, &limits, kind.row) else {
            continue;
        };
        let (source, stack) = stack.get_or_insert_with(|| stack_of_a_thread(tree, &limits, env));
        // What this process has mapped goes when it becomes the program, which maps at least about as much.
        let used = tasks::number(&status, kind.used)
            .unwrap_or(0)
            .saturating_mul(1 << 10);
        // The first thread has the stack that the kernel made.
        let threads = 1 + most.saturating_sub(used) / *stack;
        if threads < team {
            budget.caution(
                threads as u32,
                told(kind, most, threads, team, *stack, source),
            );
        }
    }
}

fn told(kind: &Kind, most: u64, threads: u64, team: u64, stack: u64, source: &str) -> String {
    let room = match threads {
        1 => "1 thread only".to_owned(),
        _ => format!("about {threads} threads only"),
    };
    format!(
        "{} of {} has room for {room}, as each further one takes a stack of {} ({source}), and the budget has {team}: more \
         may fail to start; raise it by `{}`, or make stacks smaller by OMP_STACKSIZE",
        kind.name,
        size(most),
        size(stack),
        kind.raise
    )
}

/// The bytes that a limit allows; `None` where it does not bind.
fn limit(tree: &mut Tree, limits: &str, row: &str) -> Option<u64> {
    let (soft, hard) = columns(limits, row)?;
    let text = match (row, soft) {
        // Zero was Valgrind's way of forbidding `brk`, and the kernel looks at the hard limit then (`may_expand_vm`).
        (DATA, "0") => hard,
        _ => soft,
    };
    bytes(tree, row, text)
}

/// The stack of a thread of libgomp, or of any that asks for no size of its own, and what sets it. Other runtimes have
/// defaults of their own, which cannot be known before the program loads one.
fn stack_of_a_thread(
    tree: &mut Tree,
    limits: &str,
    env: &impl Fn(&str) -> Option<String>,
) -> (String, u64) {
    for (name, unit) in STACK_VARIABLES {
        // The runtime itself complains about a size that is none.
        if let Some(size) = env(name).and_then(|text| size_in(&text, unit)) {
            return (name.to_owned(), size.max(LEAST_STACK));
        }
    }
    let soft = columns(limits, STACK).map(|(soft, _)| soft);
    match soft.and_then(|soft| bytes(tree, STACK, soft)) {
        Some(size) => ("RLIMIT_STACK".to_owned(), size.max(LEAST_STACK)),
        None => ("the C library's choice".to_owned(), STACK_OF_UNLIMITED),
    }
}

/// Soft and hard limit of a row of `/proc/PID/limits`.
fn columns<'a>(limits: &'a str, row: &str) -> Option<(&'a str, &'a str)> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(row))?;
    let mut words = rest.split_whitespace();
    let soft = words.next().unwrap_or_default();
    Some((soft, words.next().unwrap_or(soft)))
}

/// A column's bytes; `None` for no limit, and for what is no number, which is noted.
fn bytes(tree: &mut Tree, row: &str, text: &str) -> Option<u64> {
    if text == "unlimited" {
        return None;
    }
    let number = text.parse().ok();
    if number.is_none() {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        tree.note(format!(
            "{LIMITS}: `{row}` is `{shown}`, which is no number of bytes; left out"
        ));
    }
    number
}

/// Bytes of a size as OpenMP writes it: a number, and B, K, M, G or libomp's T for the unit.
fn size_in(text: &str, unit: u64) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim_start() {
        "" => unit,
        "B" | "b" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", trimmed(bytes as f64 / 1024.0))
    } else {
        format!("{} MiB", trimmed(bytes as f64 / 1_048_576.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_the_variables_own() {
        for (text, unit, expected) in [
            ("512", 1 << 10, Some(512 << 10)),
            ("65536", 1, Some(65536)),
            (" 4 M ", 1, Some(4 << 20)),
            ("16k", 1, Some(16 << 10)),
            ("3G", 1, Some(3 << 30)),
            ("1T", 1, Some(1 << 40)),
            ("7B", 1 << 10, Some(7)),
            ("0", 1, None),
            ("", 1, None),
            ("M", 1, None),
            ("-1", 1, None),
            ("0x10", 1, None),
            ("4MB", 1, None),
            ("4 M M", 1, None),
            ("1.5M", 1, None),
            ("99999999999999999999", 1, None),
            ("17179869184G", 1, None),
        ] {
            assert_eq!(size_in(text, unit), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_written_in_the_unit_that_fits() {
        assert_eq!(size(8 << 20), "8 MiB");
        assert_eq!(size(409_600_000), "390.62 MiB");
        assert_eq!(size(96 << 10), "96 KiB");
    }
}
