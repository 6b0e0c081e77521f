//! The processor's name, type and instruction sets from `/proc/cpuinfo`, which every architecture writes its own way.

use super::tree::Tree;
use crate::units::CpuSet;
use std::collections::BTreeMap;
use std::path::Path;

const CPUINFO: &str = "proc/cpuinfo";
/// Holds the first processor's block on every architecture. The kernel asks each CPU for its clock while the file
/// is read, so reading on costs milliseconds on large machines.
const FIRST_BLOCK: usize = 8192;

/// Extensions for which kernels of numerical libraries have code paths, by the kernel's names.
const ISA: [&str; 19] = [
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "amx_tile",
    "asimd",
    "asimddp",
    "avx",
    "avx2",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx512f",
    "avx_vnni",
    "bf16",
    "fma",
    "i8mm",
    "sme",
    "sve",
    "sve2",
];

/// What `/proc/cpuinfo` tells about processors; empty where the file is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuInfo {
    /// The processor's name; made from implementer and part where an Arm kernel gives none. Empty if unknown.
    pub model: String,
    /// Extensions that change which kernels run, sorted.
    pub isa: Vec<String>,
    /// Each processor listed in the part that was read, with its Arm implementer and part as `MIDR_EL1` holds them.
    pub(crate) parts: BTreeMap<u32, Option<u64>>,
}

impl CpuInfo {
    /// Reads the first few KiB under `root`: enough for name and extensions.
    pub fn read(root: &Path) -> Self {
        Self::parse(
            &Tree::new(root)
                .head(CPUINFO, FIRST_BLOCK)
                .unwrap_or_default(),
        )
    }

    /// Reads the whole file, for what differs between processors.
    pub(super) fn read_all(tree: &Tree) -> Self {
        Self::parse(&tree.text(CPUINFO).unwrap_or_default())
    }

    /// The processors listed.
    pub(super) fn processors(&self) -> CpuSet {
        self.parts.keys().copied().collect()
    }

    fn parse(text: &str) -> Self {
        let mut info = Self::default();
        let mut processor = None;
        let mut implementer = None;
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim());
            match key {
                "processor" => {
                    processor = value.parse::<u32>().ok();
                    if let Some(cpu) = processor {
                        info.parts.insert(cpu, None);
                    }
                }
                "CPU implementer" => implementer = hex(value),
                "CPU part" => {
                    if let (Some(cpu), Some(implementer), Some(part)) =
                        (processor, implementer, hex(value))
                    {
                        info.parts
                            .insert(cpu, Some(implementer << 24 | (part & 0xfff) << 4));
                    }
                }
                "flags" | "Features" | "features" if info.isa.is_empty() => {
                    let present: Vec<&str> = value.split_whitespace().collect();
                    info.isa = ISA
                        .into_iter()
                        .filter(|name| present.contains(name))
                        .map(str::to_owned)
                        .collect();
                }
                _ => {}
            }
            names.entry(key).or_insert(value);
        }
        // s390 gives the machine type in a line of its own for each processor.
        let s390 = names
            .get("processor 0")
            .and_then(|line| line.rsplit_once("machine = "))
            .map(|(_, kind)| format!("IBM {kind}"));
        let arm = || {
            let midr = info.parts.values().flatten().next()?;
            Some(arm_name(midr >> 24, midr >> 4 & 0xfff))
        };
        info.model = ["model name", "cpu", "uarch", "Processor"]
            .into_iter()
            .filter_map(|key| names.get(key))
            .find(|name| !name.is_empty())
            .map(|name| (*name).to_owned())
            .or(s390)
            .or_else(arm)
            .unwrap_or_default();
        info
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The name of an Arm core from the implementer and part numbers of its `MIDR_EL1`, as Arm and others publish them.
fn arm_name(implementer: u64, part: u64) -> String {
    let name = match (implementer, part) {
        (0x41, 0xd03) => "Cortex-A53",
        (0x41, 0xd04) => "Cortex-A35",
        (0x41, 0xd05) => "Cortex-A55",
        (0x41, 0xd07) => "Cortex-A57",
        (0x41, 0xd08) => "Cortex-A72",
        (0x41, 0xd09) => "Cortex-A73",
        (0x41, 0xd0a) => "Cortex-A75",
        (0x41, 0xd0b) => "Cortex-A76",
        (0x41, 0xd0c) => "Neoverse-N1",
        (0x41, 0xd0d) => "Cortex-A77",
        (0x41, 0xd40) => "Neoverse-V1",
        (0x41, 0xd41) => "Cortex-A78",
        (0x41, 0xd44) => "Cortex-X1",
        (0x41, 0xd46) => "Cortex-A510",
        (0x41, 0xd47) => "Cortex-A710",
        (0x41, 0xd48) => "Cortex-X2",
        (0x41, 0xd49) => "Neoverse-N2",
        (0x41, 0xd4d) => "Cortex-A715",
        (0x41, 0xd4e) => "Cortex-X3",
        (0x41, 0xd4f) => "Neoverse-V2",
        (0x41, 0xd80) => "Cortex-A520",
        (0x41, 0xd81) => "Cortex-A720",
        (0x41, 0xd82) => "Cortex-X4",
        (0x41, 0xd84) => "Neoverse-V3",
        (0x41, 0xd85) => "Cortex-X925",
        (0x41, 0xd87) => "Cortex-A725",
        (0x41, 0xd8e) => "Neoverse-N3",
        (0x46, 0x001) => "A64FX",
        (0x48, 0xd01) => "Kunpeng-920",
        (0xc0, 0xac3) => "Ampere-1",
        (0xc0, 0xac4) => "Ampere-1a",
        _ => return format!("Arm {implementer:02x}-{part:03x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_each_architectures_own_line() {
        for (text, model) in [
            (
                "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\n",
                "Intel(R) Xeon(R)",
            ),
            (
                "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n",
                "POWER9, altivec supported",
            ),
            (
                "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
                "Neoverse-N1",
            ),
            (
                "processor\t: 0\nCPU implementer\t: 0x99\nCPU part\t: 0x123\n",
                "Arm 99-123",
            ),
            (
                "processor 0: version = 00,  identification = 4729E7,  machine = 2964\n",
                "IBM 2964",
            ),
            ("processor\t: 0\nuarch\t: sifive,u74-mc\n", "sifive,u74-mc"),
            ("", ""),
        ] {
            assert_eq!(CpuInfo::parse(text).model, model);
        }
    }

    #[test]
    fn only_extensions_that_change_kernels_are_kept_and_whole_words_only() {
        let info = CpuInfo::parse("flags\t: fpu avx2 avx512f avx512fx sse fma\n");
        assert_eq!(info.isa, ["avx2", "avx512f", "fma"]);
    }
}
