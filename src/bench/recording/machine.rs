//! The machine on which a recording was taken: a TOML file of a few numbers.

use super::RecordingError;
use crate::bench::simulated::Topology;
use crate::machine::Layout;
use crate::units::{MAX_CPUS, ThreadCount};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use toml::Spanned;

/// How the CPUs were built up, and how many of them could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedMachine {
    /// The whole machine.
    pub topology: Topology,
    /// Memory nodes.
    pub numa_nodes: u32,
    /// Logical CPUs that could be used: the largest count.
    pub logical_cpus: u32,
    /// Cores among them.
    pub physical_cores: u32,
}

/// The file: what may be left out follows from the rest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    packages: Spanned<u32>,
    cores_per_package: Spanned<u32>,
    threads_per_core: Option<Spanned<u32>>,
    cores_per_llc: Option<Spanned<u32>>,
    numa_nodes: Option<Spanned<u32>>,
    efficiency_cores: Option<Spanned<u32>>,
    logical_cpus: Option<Spanned<u32>>,
    physical_cores: Option<Spanned<u32>>,
}

/// The same, as it is written.
#[derive(Serialize)]
struct Written {
    packages: u32,
    cores_per_package: u32,
    threads_per_core: u32,
    cores_per_llc: u32,
    numa_nodes: u32,
    efficiency_cores: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_cpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_cores: Option<u32>,
}

/// What is wrong, and the byte at which it stands.
type Wrong = (usize, String);

impl RecordedMachine {
    /// The machine under a CPU budget of this layout.
    pub fn of(layout: &Layout, numa_nodes: usize) -> Self {
        let cores_per_package = layout.cores_per_package.max(1);
        let performance = layout.cores_of_kinds.first().copied().unwrap_or(1);
        let topology = Topology {
            packages: performance.div_ceil(cores_per_package).max(1),
            cores_per_package,
            threads_per_core: layout.threads_per_core.max(1),
            // The file knows two kinds: what is not of the strongest is taken together.
            efficiency_cores: layout.physical.get().saturating_sub(performance),
            cores_per_llc: layout.cores_per_llc.max(1),
        };
        Self {
            topology,
            numa_nodes: numa_nodes.max(1) as u32,
            logical_cpus: layout.logical.get().min(topology.logical()),
            physical_cores: layout.physical.get().min(topology.physical()),
        }
    }

    /// Reads a machine file.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let bytes = fs::read(path).map_err(|cause| RecordingError::Io {
            path: path.to_owned(),
            cause,
        })?;
        let text = String::from_utf8_lossy(&bytes);
        let parsed = match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => Err((error.valid_up_to(), "this is not UTF-8 text".to_owned())),
        };
        parsed.map_err(|(byte, problem)| {
            let before = &text[..text.floor_char_boundary(byte)];
            let line_begin = before.rfind('\n').map_or(0, |at| at + 1);
            RecordingError::Text {
                path: path.to_owned(),
                line: 1 + before.matches('\n').count() as u64,
                column: 1 + before[line_begin..].chars().count(),
                problem,
            }
        })
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            (at, error.message().to_owned())
        })?;
        let packages = within(&file.packages, "packages", 1, MAX_CPUS)?;
        let cores_per_package = within(&file.cores_per_package, "cores_per_package", 1, MAX_CPUS)?;
        let threads_per_core =
            optional(file.threads_per_core.as_ref(), "threads_per_core", 1, 1, 8)?;
        let efficiency_cores = optional(
            file.efficiency_cores.as_ref(),
            "efficiency_cores",
            0,
            0,
            MAX_CPUS,
        )?;
        let all = u64::from(packages) * u64::from(cores_per_package) * u64::from(threads_per_core)
            + u64::from(efficiency_cores);
        if all > u64::from(MAX_CPUS) {
            let message = format!("these make {all} logical CPUs; {MAX_CPUS} are the most");
            return Err((file.packages.span().start, message));
        }
        let cores = packages * cores_per_package + efficiency_cores;
        let topology = Topology {
            packages,
            cores_per_package,
            threads_per_core,
            efficiency_cores,
            cores_per_llc: optional(
                file.cores_per_llc.as_ref(),
                "cores_per_llc",
                cores_per_package,
                1,
                cores,
            )?,
        };
        let all = topology.logical();
        let logical_cpus = optional(file.logical_cpus.as_ref(), "logical_cpus", all, 1, all)?;
        let most = cores.min(logical_cpus);
        let physical_cores = optional(
            file.physical_cores.as_ref(),
            "physical_cores",
            most,
            1,
            most,
        )?;
        Ok(Self {
            topology,
            numa_nodes: optional(
                file.numa_nodes.as_ref(),
                "numa_nodes",
                packages,
                1,
                MAX_CPUS,
            )?,
            logical_cpus,
            physical_cores,
        })
    }

    /// The text of its file.
    pub fn to_toml(&self) -> String {
        let Topology {
            packages,
            cores_per_package,
            threads_per_core,
            efficiency_cores,
            cores_per_llc,
        } = self.topology;
        let written = Written {
            packages,
            cores_per_package,
            threads_per_core,
            cores_per_llc,
            numa_nodes: self.numa_nodes,
            efficiency_cores,
            logical_cpus: Some(self.logical_cpus).filter(|n| *n < self.topology.logical()),
            physical_cores: Some(self.physical_cores).filter(|n| *n < self.topology.physical()),
        };
        toml::to_string(&written).unwrap_or_default()
    }

    /// The numbers from which candidates follow.
    pub fn layout(&self) -> Layout {
        let whole = self.topology.layout();
        let physical = self.physical_cores.max(1);
        let efficiency_cores = self.topology.efficiency_cores.min(physical - 1);
        Layout {
            logical: ThreadCount::clamped(self.logical_cpus as usize),
            physical: ThreadCount::clamped(physical as usize),
            cores_of_kinds: [physical - efficiency_cores, efficiency_cores]
                .into_iter()
                .filter(|cores| *cores > 0)
                .collect(),
            ..whole
        }
    }
}

fn optional(
    value: Option<&Spanned<u32>>,
    key: &str,
    default: u32,
    least: u32,
    most: u32,
) -> Result<u32, Wrong> {
    value.map_or(Ok(default), |value| within(value, key, least, most))
}

fn within(value: &Spanned<u32>, key: &str, least: u32, most: u32) -> Result<u32, Wrong> {
    let number = *value.get_ref();
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = format!("`{key}` is {number}; it must be {least} to {most}");
    Err((value.span().start, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_enough() {
        let machine = RecordedMachine::parse("packages = 2\ncores_per_package = 24\n").unwrap();
        let layout = machine.layout();
        assert_eq!((layout.logical.get(), layout.physical.get()), (48, 48));
        assert_eq!((layout.cores_per_llc, machine.numa_nodes), (24, 2));
    }

    #[test]
    fn layouts_of_budgets_survive_being_written() {
        for text in [
            "packages = 2\ncores_per_package = 24\nthreads_per_core = 2\ncores_per_llc = 8\nnuma_nodes = 4\n",
            "packages = 1\ncores_per_package = 8\nthreads_per_core = 2\nefficiency_cores = 16\ncores_per_llc = 24\n",
            "packages = 2\ncores_per_package = 3\nthreads_per_core = 2\nlogical_cpus = 7\nphysical_cores = 4\n",
        ] {
            let machine = RecordedMachine::parse(text).unwrap();
            assert_eq!(RecordedMachine::parse(&machine.to_toml()), Ok(machine));
            let layout = machine.layout();
            let again = RecordedMachine::of(&layout, machine.numa_nodes as usize);
            assert_eq!(again.layout(), layout);
        }
    }
}
