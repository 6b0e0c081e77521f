//! The picture of a machine for people: what contains what, with cores and CPU lists, in 80 columns.

use super::columns::hanging;
use super::machine::MachineReport;
use super::nesting::{Branch, Group, forests};
use super::table::plain;
use super::units::{counted, size};
use crate::machine::{CacheGroup, CoreKind, Fingerprint, LimitKind, Memory, Topology};
use crate::units::CpuSet;
use std::collections::BTreeMap;

/// The most characters that the names of groups take before their counts; longer ones push their line to the right.
const WIDEST_LABEL: usize = 44;

/// The report as a picture: paragraphs with an empty line between them.
pub fn machine_picture(report: &MachineReport) -> String {
    let mut paragraphs = match report.known {
        Some((topology, fingerprint)) => {
            let heading = heading(fingerprint) + &hanging("", &summary(topology));
            let mut paragraphs = vec![heading];
            paragraphs.extend(trees(topology, report.memory));
            paragraphs
        }
        None => vec!["What machine this is cannot be told.\n".to_owned()],
    };
    let notes = report.notes.iter();
    let notes: String = notes.map(|note| hanging("note: ", &plain(note))).collect();
    paragraphs.push(memory_lines(report) + &budget_lines(report) + &notes);
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n")
}

fn heading(fingerprint: &Fingerprint) -> String {
    let model = plain(&fingerprint.cpu_model);
    let model = match model.trim() {
        "" => "Unknown processor",
        model => model,
    };
    hanging("", &format!("{model}, id {}", fingerprint.id))
}

/// The levels that nest as one text, each set of others that cut across them as one more.
fn trees(topology: &Topology, memory: &Memory) -> Vec<String> {
    let forests = forests(levels(topology, memory)).into_iter().enumerate();
    forests
        .map(|(place, forest)| {
            let mut rows = Vec::new();
            add_rows(topology, forest, 0, &mut rows);
            let title = match place {
                0 => "",
                _ => "Cutting across the groups above:\n",
            };
            title.to_owned() + &lines(&rows)
        })
        .collect()
}

fn summary(topology: &Topology) -> String {
    let mut cores = counted(topology.cores.len(), "core");
    if topology.is_hybrid() {
        let kind = |kind: &CoreKind| format!("{} {}", kind.cores, kind.name);
        let kinds: Vec<String> = topology.kinds.iter().map(kind).collect();
        cores = format!("{cores} ({})", kinds.join(", "));
    }
    let mut parts = vec![
        counted(topology.packages.len(), "package"),
        cores,
        counted(topology.online.len(), "CPU"),
    ];
    let smt = topology.smt();
    if let Some(core) = topology.cores.first().filter(|_| smt > 1) {
        let all_alike = topology.cores.iter().all(|core| core.len() == smt);
        parts.push(if all_alike {
            format!("{smt} threads a core (the first: CPUs {core})")
        } else {
            format!("up to {smt} threads a core")
        });
    }
    if !topology.nodes.is_empty() {
        parts.push(counted(topology.nodes.len(), "NUMA node"));
    }
    let mut caches: BTreeMap<u32, usize> = BTreeMap::new();
    for group in &topology.llc {
        *caches.entry(group.level).or_default() += 1;
    }
    let caches = caches.iter().rev();
    parts.extend(caches.map(|(level, groups)| counted(*groups, &format!("L{level} group"))));
    parts.join(", ")
}

/// The levels, outermost first where they are equal sets.
fn levels(topology: &Topology, memory: &Memory) -> Vec<Vec<Group>> {
    let named = |name: &str, sets: &[CpuSet]| -> Vec<Group> {
        let group = |cpus: &CpuSet| Group {
            label: name.to_owned(),
            cpus: cpus.clone(),
        };
        sets.iter().map(group).collect()
    };
    let nodes = topology.nodes_with_cpus().map(|node| Group {
        label: node_label(node.id, memory),
        cpus: node.cpus.clone(),
    });
    let caches = topology.llc.iter().map(|group| Group {
        label: cache_label(group),
        cpus: group.cpus.clone(),
    });
    vec![
        named("package", &topology.packages),
        nodes.collect(),
        named("die", &topology.dies),
        caches.collect(),
    ]
}

fn node_label(id: u32, memory: &Memory) -> String {
    match memory.nodes.get(&id) {
        Some(bytes) => format!("node {id} ({})", size(*bytes)),
        None => format!("node {id}"),
    }
}

fn cache_label(group: &CacheGroup) -> String {
    match group.bytes {
        Some(bytes) => format!("L{} {}", group.level, size(bytes)),
        None => format!("L{}", group.level),
    }
}

/// One line of the picture: a group, or several that look the same.
struct Row {
    label: String,
    cores: String,
    cpus: String,
}

/// A row for each branch and those below it; neighbours that differ in their CPUs only share one.
fn add_rows(topology: &Topology, branches: Vec<Branch>, depth: usize, rows: &mut Vec<Row>) {
    let indent = "  ".repeat(depth);
    let branches: Vec<(String, Branch)> = branches
        .into_iter()
        .map(|mut branch| {
            split_by_kind(topology, &mut branch);
            (cores_text(topology, &branch.cpus), branch)
        })
        .collect();
    let alike = |(cores, a): &(String, Branch), (other, b): &(String, Branch)| {
        a.inside.is_empty() && b.inside.is_empty() && a.labels == b.labels && cores == other
    };
    for group in branches.chunk_by(alike) {
        let Some((cores, first)) = group.first() else {
            continue;
        };
        let (times, each) = match group.len() {
            1 => (String::new(), ""),
            n => (format!("{n} × "), " each"),
        };
        let sets: Vec<String> = group.iter().map(|(_, b)| b.cpus.to_string()).collect();
        rows.push(Row {
            label: format!("{indent}{times}{}", first.labels.join(", ")),
            cores: format!("{cores}{each}"),
            cpus: sets.join("; "),
        });
        add_rows(topology, first.inside.clone(), depth + 1, rows);
    }
}

/// Gives an innermost group with cores of several kinds a part for each of them.
fn split_by_kind(topology: &Topology, branch: &mut Branch) {
    if !branch.inside.is_empty() {
        return;
    }
    let parts: Vec<Branch> = topology
        .kinds
        .iter()
        .map(|kind| Branch {
            labels: Vec::new(),
            cpus: kind.cpus.intersection(&branch.cpus),
            inside: Vec::new(),
        })
        .filter(|part| !part.cpus.is_empty())
        .collect();
    if parts.len() > 1 {
        branch.inside = parts;
    }
}

/// `8 cores`, on hybrid machines `8 efficiency cores` where all are of one kind.
fn cores_text(topology: &Topology, cpus: &CpuSet) -> String {
    let cores = topology.cores_within(cpus);
    let kind = topology
        .kinds
        .iter()
        .find(|kind| topology.is_hybrid() && cpus.is_subset(&kind.cpus));
    match kind {
        Some(kind) => counted(cores, &format!("{} core", kind.name)),
        None => counted(cores, "core"),
    }
}

fn lines(rows: &[Row]) -> String {
    let widest = |text: fn(&Row) -> &str| {
        let widths = rows.iter().map(|row| text(row).chars().count());
        widths.filter(|w| *w <= WIDEST_LABEL).max().unwrap_or(0)
    };
    let (label, cores) = (widest(|row| &row.label), widest(|row| &row.cores));
    rows.iter()
        .map(|row| {
            let before = format!("{:<label$}  {:<cores$}  ", row.label, row.cores);
            hanging(&before, &row.cpus)
        })
        .collect()
}

fn memory_lines(report: &MachineReport) -> String {
    let nodes = report
        .known
        .iter()
        .flat_map(|(topology, _)| &topology.nodes);
    let without_cpus: Vec<String> = nodes
        .filter(|node| node.cpus.is_empty())
        .map(|node| node_label(node.id, report.memory))
        .collect();
    let mut parts = Vec::from_iter(report.memory.total.map(size));
    if !without_cpus.is_empty() {
        parts.push(format!("without CPUs: {}", without_cpus.join(", ")));
    }
    if let Some((source, bytes)) = &report.memory.limit {
        parts.push(format!("at most {} allowed ({source})", size(*bytes)));
    }
    if parts.is_empty() {
        return String::new();
    }
    hanging("memory  ", &plain(&parts.join("; ")))
}

/// What a program may use, where that is less than the machine.
fn budget_lines(report: &MachineReport) -> String {
    let budget = report.budget;
    let text = match budget.deciding() {
        Some(limit) if budget.by != LimitKind::Online => {
            let on = report
                .allowed_cpus()
                .map_or_else(String::new, |cpus| format!(" on CPUs {cpus}"));
            format!(
                "{}{on}, decided by {}: {} ({})",
                counted(budget.limit.as_usize(), "thread"),
                budget.by,
                limit.value,
                limit.source
            )
        }
        _ if report.known.is_none() => "no limit was found".to_owned(),
        _ => return String::new(),
    };
    hanging("budget  ", &plain(&text))
}
