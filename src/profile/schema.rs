//! The profile's tables as Rust types; reading rejects what is out of range, with serde's line and key.

use super::region::{Region, RegionConditions};
use crate::machine::{Budget, Fingerprint, Placement, Topology};
use crate::units::{CpuSet, ThreadCount};
pub use crate::workload::Residency;
use serde::{Deserialize, Serialize};
use std::fmt;
use toml::value::Datetime;

/// The version of the profile format that this program writes; it reads those before it, too.
pub const SCHEMA: u32 = 2;

/// One profile file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Format version, [`SCHEMA`] once it is read.
    pub schema: u32,
    /// Program and version that wrote it.
    pub generator: String,
    /// When it was last written (UTC).
    pub created: Datetime,
    /// Wall time of tuning, seconds.
    pub spent_s: f64,
    /// How many `[[workload]]` tables follow: fewer mean a torn file.
    pub entries: usize,
    /// Workloads that a run's time budget left undecided or never began, in the catalogue's order. A name goes away
    /// when a later run has time for the workload; there may be no entry of that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_short: Vec<String>,
    /// The machine it belongs to.
    pub machine: Fingerprint,
    /// Those under which the entries were measured. Recorded, not matched: a change warns and asks for a check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Conditions>,
    /// Under what the regions were measured; absent where none were, as in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_conditions: Option<RegionConditions>,
    /// What an empty parallel region costs, by ascending count of threads; empty where that was not measured.
    #[serde(default, rename = "region", skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// One verdict a workload, in the catalogue's order.
    #[serde(default, rename = "workload")]
    pub workloads: Vec<Entry>,
}

/// The circumstances of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// The number by which entries of a file name them, from 1 on; 0 where they are part of none.
    #[serde(default)]
    pub id: u32,
    /// Kernel release.
    pub kernel: String,
    /// Version of the processor's microcode; absent where unknown, as in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microcode: Option<String>,
    /// Who made the firmware, its version and date; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<String>,
    /// CPU frequency governor, `unknown` where the kernel shows none.
    pub governor: String,
    /// The CPU budget under which was measured.
    pub budget: BudgetRecord,
    /// Whose kernels ran.
    pub backend: String,
    /// Which runtime forked the threads, with its version where it tells.
    pub team: String,
    /// The file of that runtime with a hash of its bytes; absent where there is none or unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// How its threads waited for work, as far as variables said: `OMP_WAIT_POLICY=passive`; absent where the runtime did
    /// as it always does, and in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// The highest instruction set that our kernels have for this processor; absent in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// What timed the calls; absent in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockRecord>,
}

/// The clock that calls were timed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRecord {
    /// The kernel's source of time, such as `tsc`, or `unknown`.
    pub source: String,
    /// What one reading costs, nanoseconds.
    pub read_ns: u64,
    /// What it costs to read wall clock and CPU time before and after a thread's share of a region, nanoseconds.
    pub bracket_ns: u64,
}

/// A CPU budget as a profile records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// CPUs allowed; empty where they have other numbers now.
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub cpus: CpuSet,
    /// Physical cores among them; absent where unknown, as in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<ThreadCount>,
    /// Hash of how these cores form last-level cache groups, NUMA nodes and packages, whatever the numbers of their CPUs;
    /// absent where unknown, as in profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grouping: Option<String>,
    /// How many threads may run at once.
    pub limit: ThreadCount,
    /// Which limit decided.
    pub by: String,
}

impl BudgetRecord {
    /// The budget on a machine that is built so, as far as that is known.
    pub fn of(budget: &Budget, topology: Option<&Topology>) -> Self {
        let cores = topology.map(|topology| topology.cores_within(&budget.cpus));
        Self {
            cpus: budget.cpus.clone(),
            cores: cores.map(ThreadCount::clamped),
            grouping: topology.map(|topology| topology.grouping_of(&budget.cpus)),
            limit: budget.limit,
            by: budget.by.to_string(),
        }
    }
}

/// Why a tuning ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StopReason {
    /// Proven within the indifference zone of the best; others tie.
    Eps,
    /// Proven, and no other count ties.
    Separated,
    /// Only one count is possible.
    Single,
    /// The time was up first: inconclusive.
    Budget,
    /// What is missing takes more time than was left, be it a sample of every plausible count or blocks of those that
    /// raced: inconclusive.
    Short,
    /// What may be measured does not tell the counts apart, however long it takes: as many blocks as a race may have did
    /// not, or a recording lacks the arms. Inconclusive.
    Undecided,
    /// It was looked at too few times, or within too short a time, for the counts to be told apart for longer: inconclusive.
    Brief,
    /// Another count is the better one at times: inconclusive.
    Unsteady,
    /// Too many samples were disturbed: inconclusive.
    Contaminated,
    /// Nothing could be measured, for this reason.
    Failed(String),
}

impl StopReason {
    /// Does the promise of 95 % confidence hold for this verdict?
    pub fn is_conclusive(&self) -> bool {
        matches!(self, Self::Eps | Self::Separated | Self::Single)
    }

    /// May further visits change this verdict?
    pub fn may_change(&self) -> bool {
        matches!(self, Self::Brief | Self::Unsteady)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eps => f.pad("eps"),
            Self::Separated => f.pad("separated"),
            Self::Single => f.pad("single"),
            Self::Budget => f.pad("budget"),
            Self::Short => f.pad("short"),
            Self::Undecided => f.pad("undecided"),
            Self::Brief => f.pad("brief"),
            Self::Unsteady => f.pad("unsteady"),
            Self::Contaminated => f.pad("contaminated"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

impl From<StopReason> for String {
    fn from(stop: StopReason) -> Self {
        stop.to_string()
    }
}

impl TryFrom<String> for StopReason {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "eps" => Ok(Self::Eps),
            "separated" => Ok(Self::Separated),
            "single" => Ok(Self::Single),
            "budget" => Ok(Self::Budget),
            "short" => Ok(Self::Short),
            "undecided" => Ok(Self::Undecided),
            "brief" => Ok(Self::Brief),
            "unsteady" => Ok(Self::Unsteady),
            "contaminated" => Ok(Self::Contaminated),
            other => match other.strip_prefix("failed: ") {
                Some(reason) => Ok(Self::Failed(reason.to_owned())),
                None => Err(format!(
                    "unknown stop reason `{other}` (known: eps, separated, single, budget, short, undecided, brief, unsteady, contaminated, `failed: …`)"
                )),
            },
        }
    }
}

/// Everything known about one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The workload's name.
    pub name: String,
    /// Whose kernels ran.
    #[serde(default)]
    pub backend: String,
    /// The revision of our kernels that ran; absent where earlier versions of threadtune measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<u32>,
    /// When it was measured (UTC); absent where earlier versions measured, whose conditions may be those of another run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Datetime>,
    /// Under which of the profile's `[[conditions]]`, by their number.
    #[serde(default)]
    pub conditions: u32,
    /// The id of the machine where it was measured, if that is another one with this processor. No file says so: it is
    /// found out when one is read.
    #[serde(skip)]
    pub elsewhere: Option<String>,
    /// The instruction set of those kernels, where a cap (`--isa`) kept it below the processor's highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isa_cap: Option<String>,
    /// Its shape; an entry whose shape differs from the catalogue's counts as missing.
    pub shape: String,
    /// Floating-point operations of one call.
    pub flops: u64,
    /// Bytes that one call reads and writes at least once.
    pub bytes: u64,
    /// Where the data lay.
    pub residency: Residency,
    /// The memory node of the CPU that first touched its data, as a program's first thread does; absent where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// The fastest count for a program whose threads are not bound; absent when nothing could be stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The fastest count and placement for threads that are bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// The very first call, page faults and thread start included, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_call_us: Option<f64>,
    /// The fewest threads within 5 % of `latency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efficient: Option<Efficient>,
    /// Instances × threads with the most calls a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Throughput>,
    /// What `libgomp` and `OpenBLAS` take where they are told nothing: all logical CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultChoice>,
    /// What `PyTorch`, MKL and llama.cpp take: all physical cores. Absent where there are as many logical CPUs, and in
    /// profiles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_cores: Option<DefaultChoice>,
    /// The count just above the CPU quota, where it raced against `latency`: it holds at that quota alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_quota: Option<AboveQuotaChoice>,
    /// How fast the kernel is with one thread; absent where that was not timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// That rate over the one that a core of this processor could attain; absent where nothing measured bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Counts that could not be told from the best, the best included.
    pub ties: Vec<ThreadCount>,
    /// Lower bound of the probability that `latency` is within 2 % of the best.
    pub p_within: f64,
    /// For how long all CPUs were kept busy before the race that `latency`, `efficient` and the timings bound or unbound
    /// as it is rest on, seconds; absent where bursts decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustained_s: Option<f64>,
    /// At how many times it was looked at; absent in profiles of earlier versions, which looked once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visits: Option<u32>,
    /// From the begin of the first of these visits to that of the last one, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_s: Option<f64>,
    /// What visits said that disagree by more than their samples explain; absent where they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regimes: Option<Regimes>,
    /// Why the tuning ended.
    pub stop: StopReason,
    /// Clean and dirty samples taken.
    pub samples: u64,
    /// Samples thrown away because of interference.
    pub rejected: u64,
    /// Time spent on this workload, sustained load apart.
    pub seconds: f64,
    /// Every arm that was timed, by count.
    pub curve: Vec<CurvePoint>,
}

/// What the visits to a workload say of one count that is not the one stated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regimes {
    /// That count, which is the better one at times, or loses more at some than at others.
    pub against: ThreadCount,
    /// Its time over that of `latency` in each visit that timed both, in their order.
    pub speedups: Vec<f64>,
}

/// The winner among unbound arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Threads.
    pub threads: ThreadCount,
    /// Trimmed mean of its log times, as a time per call in microseconds.
    pub median_us: f64,
    /// 95 % interval of that.
    pub ci95_us: [f64; 2],
}

/// The winner among bound arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// Threads.
    pub threads: ThreadCount,
    /// How they are placed.
    pub placement: Placement,
    /// On which CPUs they ran; empty where these have other numbers now.
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub cpus: CpuSet,
    /// Time per call, microseconds.
    pub median_us: f64,
    /// 95 % interval of that.
    pub ci95_us: [f64; 2],
}

/// The fewest threads that lose little.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Efficient {
    /// Threads.
    pub threads: ThreadCount,
    /// Time per call, microseconds.
    pub median_us: f64,
    /// How much slower than `latency`, percent (at most 5 by the upper bound).
    pub loss_percent: f64,
}

/// The best way to run several instances at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Instances running at once.
    pub instances: ThreadCount,
    /// Threads of each.
    pub threads: ThreadCount,
    /// Calls a second of all together.
    pub calls_per_s: f64,
}

/// What a program would have used that is told nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefaultChoice {
    /// All logical CPUs or all physical cores of the budget.
    pub threads: ThreadCount,
    /// Time per call, microseconds.
    pub median_us: f64,
    /// This time divided by that of `latency`.
    pub speedup: f64,
}

/// One thread more than a CPU quota pays in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AboveQuotaChoice {
    /// The quota, CPUs.
    pub quota: f64,
    /// Threads: the quota rounded up.
    pub threads: ThreadCount,
    /// Time per call, what it was stopped included, microseconds.
    pub median_us: f64,
    /// 95 % interval of that.
    pub ci95_us: [f64; 2],
    /// The time of `latency` divided by this time.
    pub speedup: f64,
    /// Was it proven to be the better of the two? It is used only then. Absent, and no, in profiles whose kernels are older.
    #[serde(default)]
    pub won: bool,
}

/// How fast a kernel is, in the unit of what bounds it: one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// 10⁹ floating-point operations a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    /// 10⁹ bytes read and written a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gb_per_s: Option<f64>,
}

/// One arm that was timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Threads.
    pub threads: ThreadCount,
    /// How they were placed.
    pub placement: Placement,
    /// On which CPUs they ran (those of the budget where unbound); empty where these have other numbers now.
    #[serde(default, skip_serializing_if = "CpuSet::is_empty")]
    pub cpus: CpuSet,
    /// Time per call, microseconds.
    pub median_us: f64,
    /// 95 % interval; absent where fewer than three samples were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_us: Option<[f64; 2]>,
    /// Samples behind it.
    pub samples: u64,
    /// Was it in a race, or only screened?
    pub raced: bool,
}
