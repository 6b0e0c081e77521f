//! Circumstances that change without the machine changing: kernel, microcode, firmware, frequency governor, CPU pressure.

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

/// The version of the processor's microcode; absent where the kernel shows none, as on Arm.
pub fn microcode(root: &Path) -> Option<String> {
    let tree = Tree::new(root);
    let version = || {
        // The first processor stands for all; a machine of many has a megabyte of this.
        let text = tree.head("proc/cpuinfo", 4096)?;
        let (_, value) = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == "microcode")?;
        Some(value.trim().to_owned())
    };
    tree.text(&format!("{CPU}/cpu0/microcode/version"))
        .filter(|text| !text.is_empty())
        .or_else(version)
        .filter(|text| !text.is_empty())
        .map(|text| printable(&text))
}

/// Who made the firmware, its version and date, as far as the kernel shows them to everybody.
pub fn bios(root: &Path) -> Option<String> {
    let tree = Tree::new(root);
    let parts: Vec<String> = ["bios_vendor", "bios_version", "bios_date"]
        .into_iter()
        .filter_map(|file| tree.text(&format!("sys/class/dmi/id/{file}")))
        .filter(|text| !text.is_empty())
        .map(|text| printable(&text))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// What firmware says of itself may hold anything.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_microcode_is_that_of_the_first_processor() {
        const VERSION: (&str, &str) = (
            "sys/devices/system/cpu/cpu0/microcode/version",
            "0x2b000620\n",
        );
        const CPUINFO: (&str, &str) = (
            "proc/cpuinfo",
            "processor\t: 0\nmicrocode\t: 0x1\nprocessor\t: 1\nmicrocode\t: 0x2\n",
        );
        let of = |files: &[(&str, &str)]| microcode(root(files).path());
        assert_eq!(of(&[VERSION, CPUINFO]).as_deref(), Some("0x2b000620"));
        assert_eq!(of(&[CPUINFO]).as_deref(), Some("0x1"));
        assert_eq!(of(&[(VERSION.0, "\n"), CPUINFO]).as_deref(), Some("0x1"));
        assert_eq!(of(&[(CPUINFO.0, "processor : 0\n")]), None);
        assert_eq!(of(&[(CPUINFO.0, "microcode :\n")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn the_firmware_is_told_as_far_as_it_can_be_read() {
        let of = |files: &[(&str, &str)]| bios(root(files).path());
        let vendor = ("sys/class/dmi/id/bios_vendor", "Made Up\n");
        let version = ("sys/class/dmi/id/bios_version", "1.2\u{1b}[2J\n");
        let date = ("sys/class/dmi/id/bios_date", "04/01/2014\n");
        let all = of(&[vendor, version, date]);
        assert_eq!(all.as_deref(), Some("Made Up 1.2[2J 04/01/2014"));
        assert_eq!(of(&[vendor, (version.0, "\n")]).as_deref(), Some("Made Up"));
        assert_eq!(of(&[]), None);
    }
}
