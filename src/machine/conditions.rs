//! Circumstances that change without the machine changing: kernel, frequency governor, CPU pressure.

use super::topology::{CPU, Topology};
use super::tree::Tree;
use std::collections::BTreeSet;
use std::path::Path;

/// What stands where the kernel shows nothing.
pub const UNKNOWN: &str = "unknown";

/// The kernel's release, or `unknown`.
pub fn kernel_release(root: &Path) -> String {
    Tree::new(root)
        .text("proc/sys/kernel/osrelease")
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

/// The frequency governor; several joined by `+` where CPUs differ, `unknown` where the kernel shows none.
pub fn governor(root: &Path, topology: &Topology) -> String {
    let tree = Tree::new(root);
    let governors: BTreeSet<String> = topology
        .cores
        .iter()
        .filter_map(|core| {
            let cpu = core.first()?;
            tree.text(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor"))
        })
        .filter(|text| !text.is_empty())
        .collect();
    if governors.is_empty() {
        return UNKNOWN.to_owned();
    }
    Vec::from_iter(governors).join("+")
}

/// The share of the last ten seconds in which some runnable thread waited for a CPU, percent (`/proc/pressure/cpu`).
pub fn cpu_pressure_percent(root: &Path) -> Option<f64> {
    let text = Tree::new(root).text("proc/pressure/cpu")?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let ten_seconds = some
        .split_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    ten_seconds.parse().ok().filter(|p: &f64| p.is_finite())
}
