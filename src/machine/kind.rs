//! Core kinds of hybrid machines.
//!
//! A kind is one core type, divided further only where equal cores run at clearly different top frequencies. Files
//! that only some cores have say nothing about the difference between cores: such a sign is left out whole.

use super::cache::CoreCaches;
use super::cpuinfo::CpuInfo;
use super::topology::{CPU, CoreKind};
use super::tree::Tree;
use crate::units::CpuSet;
use std::cmp::Ordering;

/// The name of the strongest kind, and of the only one on machines whose cores are alike.
pub(super) const STRONGEST: &str = "performance";
/// Favoured cores are a few percent faster than their like (9 % where one die carries stacked cache); kinds of
/// phones and of dense server cores start at 15 %.
const CLEARLY_FASTER: f64 = 1.12;
/// CPPC numbers are a ranking on some firmwares, in which favoured cores stand up to 40 % apart.
const CLEARLY_RANKED: f64 = 1.5;
/// Implementer and part of `MIDR_EL1`, without variant and revision.
const MIDR_TYPE: u64 = 0xff00_fff0;

/// The hybrid PMUs of x86, strongest first.
const PMUS: [&str; 3] = ["cpu_core", "cpu_atom", "cpu_lowpower"];

/// What one core shows of its type and speed.
#[derive(Debug, Clone, Default)]
struct Signs {
    /// Place in [`PMUS`].
    pmu: Option<u64>,
    midr: Option<u64>,
    l1d_bytes: Option<u64>,
    l2_bytes: Option<u64>,
    last_level: Option<u64>,
    capacity: Option<u64>,
    max_khz: Option<u64>,
    base_khz: Option<u64>,
    cppc: Option<u64>,
}

type Sign = fn(&mut Signs) -> &mut Option<u64>;

/// Signs that tell types apart: any difference does.
const TYPES: [Sign; 5] = [
    |s| &mut s.pmu,
    |s| &mut s.midr,
    |s| &mut s.l1d_bytes,
    |s| &mut s.l2_bytes,
    |s| &mut s.last_level,
];

/// Signs of speed, the most telling first, with the ratio that divides a type.
const SPEEDS: [(Sign, f64); 4] = [
    (|s| &mut s.max_khz, CLEARLY_FASTER),
    (|s| &mut s.capacity, CLEARLY_FASTER),
    (|s| &mut s.base_khz, CLEARLY_FASTER),
    (|s| &mut s.cppc, CLEARLY_RANKED),
];

/// The kinds, strongest first.
pub(super) fn core_kinds(
    tree: &mut Tree,
    cores: &[CpuSet],
    caches: &CoreCaches,
    online: &CpuSet,
) -> Vec<CoreKind> {
    let mut signs = read_signs(tree, cores, caches, online);
    for sign in TYPES.into_iter().chain(SPEEDS.map(|(sign, _)| sign)) {
        drop_unless_all_have(&mut signs, sign);
    }
    let mut groups: Vec<Vec<usize>> = vec![(0..cores.len()).collect()];
    for sign in TYPES {
        groups = split(&groups, &mut signs, sign, |a, b| a != b);
    }
    let speed = SPEEDS
        .into_iter()
        .find(|(sign, _)| signs.first_mut().is_some_and(|s| sign(s).is_some()));
    if let Some((sign, ratio)) = speed {
        groups = split(&groups, &mut signs, sign, |slow, fast| {
            fast as f64 > slow as f64 * ratio
        });
    }
    groups.sort_by(|a, b| {
        stronger_first(&strongest(&signs, a), &strongest(&signs, b)).then(a.first().cmp(&b.first()))
    });
    let last = groups.len().saturating_sub(1);
    groups
        .iter()
        .enumerate()
        .map(|(rank, members)| CoreKind {
            name: name(rank, last),
            cpus: members
                .iter()
                .fold(CpuSet::new(), |all, core| all.union(&cores[*core])),
            cores: members.len(),
        })
        .collect()
}

fn name(rank: usize, last: usize) -> String {
    match rank {
        0 => STRONGEST.to_owned(),
        _ if rank == last => "efficiency".to_owned(),
        1 => "middle".to_owned(),
        _ => format!("middle-{rank}"),
    }
}

fn read_signs(
    tree: &mut Tree,
    cores: &[CpuSet],
    caches: &CoreCaches,
    online: &CpuSet,
) -> Vec<Signs> {
    let pmus: Vec<Option<CpuSet>> = PMUS
        .iter()
        .map(|pmu| {
            tree.list(&format!("sys/devices/{pmu}/cpus"))
                .map(|cpus| cpus.intersection(online))
        })
        .collect();
    // A sign that one core lacks is dropped for all: no need to look for it in the cores after that.
    let mut shown = [true; 5];
    let mut signs: Vec<Signs> = cores
        .iter()
        .zip(&caches.0)
        .map(|(core, caches)| {
            let Some(cpu) = core.first() else {
                return Signs::default();
            };
            let mut read = |sign: usize, name: &str, parse: fn(&Tree, &str) -> Option<u64>| {
                let value = shown[sign].then(|| parse(tree, &format!("{CPU}/cpu{cpu}/{name}")));
                shown[sign] = matches!(value, Some(Some(_)));
                value.flatten()
            };
            let bytes_at = |level| {
                caches
                    .iter()
                    .find(|c| c.level == level)
                    .and_then(|c| c.bytes)
            };
            Signs {
                pmu: pmus
                    .iter()
                    .position(|cpus| cpus.as_ref().is_some_and(|c| c.contains(cpu)))
                    .map(|place| place as u64),
                midr: read(0, "regs/identification/midr_el1", midr_type),
                l1d_bytes: bytes_at(1),
                l2_bytes: bytes_at(2),
                last_level: caches.last().map(|cache| u64::from(cache.level)),
                capacity: read(1, "cpu_capacity", Tree::quantity),
                max_khz: read(2, "cpufreq/cpuinfo_max_freq", Tree::quantity),
                base_khz: read(3, "cpufreq/base_frequency", Tree::quantity),
                cppc: read(4, "acpi_cppc/highest_perf", Tree::quantity),
            }
        })
        .collect();
    add_parts_from_cpuinfo(tree, cores, &mut signs);
    signs
}

fn midr_type(tree: &Tree, path: &str) -> Option<u64> {
    let text = tree.text(path)?;
    let midr = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
    Some(midr & MIDR_TYPE)
}

/// Arm kernels without register files list the part of each processor in `/proc/cpuinfo`; elsewhere the whole file
/// is slow to read and tells nothing more.
fn add_parts_from_cpuinfo(tree: &Tree, cores: &[CpuSet], signs: &mut [Signs]) {
    let Some(first) = signs.first() else { return };
    let is_x86 = first.pmu.is_some() || first.base_khz.is_some();
    if cores.len() < 2 || first.midr.is_some() || is_x86 {
        return;
    }
    let head = tree.head("proc/cpuinfo", 2048).unwrap_or_default();
    if !head.contains("CPU part") {
        return;
    }
    let parts = CpuInfo::read_all(tree).parts;
    for (core, signs) in cores.iter().zip(signs) {
        signs.midr = core
            .first()
            .and_then(|cpu| parts.get(&cpu).copied().flatten());
    }
}

fn drop_unless_all_have(signs: &mut [Signs], sign: Sign) {
    if signs.iter_mut().any(|s| sign(s).is_none()) {
        for s in signs.iter_mut() {
            *sign(s) = None;
        }
    }
}

/// Cuts each group, in the order of a sign's values, wherever `apart(lower, higher)` holds between neighbours.
fn split(
    groups: &[Vec<usize>],
    signs: &mut [Signs],
    sign: Sign,
    apart: impl Fn(u64, u64) -> bool,
) -> Vec<Vec<usize>> {
    let mut parts = Vec::new();
    for group in groups {
        let mut valued: Vec<(u64, usize)> = group
            .iter()
            .map(|core| (sign(&mut signs[*core]).unwrap_or(0), *core))
            .collect();
        valued.sort_unstable();
        for part in valued.chunk_by(|a, b| !apart(a.0, b.0)) {
            let mut members: Vec<usize> = part.iter().map(|(_, core)| *core).collect();
            members.sort_unstable();
            parts.push(members);
        }
    }
    parts
}

/// The highest value of each sign in a group.
fn strongest(signs: &[Signs], group: &[usize]) -> Signs {
    let most =
        |get: fn(&Signs) -> Option<u64>| group.iter().filter_map(|core| get(&signs[*core])).max();
    Signs {
        pmu: most(|s| s.pmu),
        midr: most(|s| s.midr),
        l1d_bytes: most(|s| s.l1d_bytes),
        l2_bytes: most(|s| s.l2_bytes),
        last_level: most(|s| s.last_level),
        capacity: most(|s| s.capacity),
        max_khz: most(|s| s.max_khz),
        base_khz: most(|s| s.base_khz),
        cppc: most(|s| s.cppc),
    }
}

/// By the kernel's own classes first, then by speed, then by the size of what is near the core.
fn stronger_first(a: &Signs, b: &Signs) -> Ordering {
    a.pmu
        .cmp(&b.pmu)
        .then(b.capacity.cmp(&a.capacity))
        .then(b.max_khz.cmp(&a.max_khz))
        .then(b.base_khz.cmp(&a.base_khz))
        .then(b.cppc.cmp(&a.cppc))
        .then(b.l1d_bytes.cmp(&a.l1d_bytes))
        .then(b.last_level.cmp(&a.last_level))
        .then(b.l2_bytes.cmp(&a.l2_bytes))
        .then(b.midr.cmp(&a.midr))
}
