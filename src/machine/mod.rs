//! What this machine is: topology, CPU budget, fingerprint, load. Every reader takes a root path.

pub mod affinity;
mod budget;
mod cache;
mod cgroup;
mod conditions;
mod core;
pub mod cpu_time;
mod cpuinfo;
mod fingerprint;
mod host;
mod kind;
mod layout;
mod load;
mod memory;
mod others;
mod partition;
mod placement;
mod power;
mod ranks;
mod tasks;
mod topology;
mod tree;

pub use budget::{Beside, Budget, Limit, LimitKind, Reserve};
pub use cgroup::{cpu_limit_files, cpu_stat_files};
pub use conditions::{UNKNOWN, bios, cpu_pressure_percent, governor, kernel_release, microcode};
pub use cpuinfo::CpuInfo;
pub use fingerprint::Fingerprint;
pub(crate) use fingerprint::fnv1a;
pub use host::{Host, is_live};
pub use layout::Layout;
pub use load::{BusyProcess, LoadError, LoadWatch};
pub use memory::Memory;
pub use others::{OthersLoad, OthersWatch};
pub use placement::{CpuOrder, Placement};
pub use power::on_mains;
pub use topology::{CacheGroup, CoreKind, Node, Topology, TopologyError};
