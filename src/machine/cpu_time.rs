//! CPU time of processes, with that of the children they have waited for.

use super::tree::Tree;
use crate::units::Nanos;
use std::path::Path;

/// CPU time of this process, all threads that ever were, and of its children that ended and were waited for, theirs
/// included. A child that runs is asked for by [`of`].
pub fn own_and_children(root: &Path) -> Option<Nanos> {
    read(&Tree::new(root), "self")
}

/// The same of another process, by its id.
pub fn of(root: &Path, pid: u32) -> Option<Nanos> {
    read(&Tree::new(root), &pid.to_string())
}

/// The same of a process by its directory's name.
fn read(tree: &Tree, process: &str) -> Option<Nanos> {
    sum(&tree.text(&format!("proc/{process}/stat"))?)
}

/// Reads the text of `/proc/PID/stat`.
fn sum(text: &str) -> Option<Nanos> {
    // `12 (name) S 1 …`: a process may have any name, brackets and spaces included, and no later field has a bracket.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbers as in proc(5); the rest begins with field 3.
    let field = |number: usize| fields.get(number - 3);
    let mut ticks = 0u64;
    for number in 14..=17 {
        // Those of the children are signed in proc(5).
        let count: i64 = field(number)?.parse().ok()?;
        ticks = ticks.saturating_add(count.max(0).unsigned_abs());
    }
    Some(from_ticks(ticks))
}

/// The kernel counts in ticks, of which there are usually a hundred a second.
pub(super) fn from_ticks(ticks: u64) -> Nanos {
    let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    Nanos(ticks.saturating_mul(tick_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FIELDS: &str = "S 77 9 9 0 -1 4194304 1 2 3 4 100 20 30 4 20 0 1 0 500 6 7";

    #[test]
    fn all_four_times_are_summed_whatever_the_name() {
        for name in ["threadtune", "a) S 1 (b", ") 1 2 3", "a\nb"] {
            let stat = format!("12 ({name}) {FIELDS}");
            assert_eq!(sum(&stat), Some(from_ticks(154)), "{name}");
        }
        let hundred = from_ticks(rustix::param::clock_ticks_per_second());
        assert_eq!(hundred, Nanos(1_000_000_000));
    }

    #[test]
    fn garbage_is_no_time() {
        for text in [
            "",
            "12 (x",
            "12 (x) S 1",
            "12 (x) S 1 9 9 0 -1 4 1 2 3 4 x 2 3 4 5",
        ] {
            assert_eq!(sum(text), None, "{text}");
        }
        let negative = format!("12 (x) {}", FIELDS.replace("30", "-1"));
        assert_eq!(sum(&negative), Some(from_ticks(124)));
    }

    #[test]
    fn processes_are_found_under_the_root() {
        let root = tempfile::tempdir().unwrap();
        for (process, user) in [("self", "100"), ("34", "1000")] {
            let directory = root.path().join("proc").join(process);
            fs::create_dir_all(&directory).unwrap();
            let text = format!("1 (x) {}\n", FIELDS.replace("100", user));
            fs::write(directory.join("stat"), text).unwrap();
        }
        assert_eq!(own_and_children(root.path()), Some(from_ticks(154)));
        assert_eq!(of(root.path(), 34), Some(from_ticks(1054)));
        assert_eq!(of(root.path(), 35), None);
        assert!(own_and_children(Path::new("/")).is_some());
    }
}
