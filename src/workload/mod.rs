//! What is measured: shapes of work and the catalogue of named workloads. Pure: text and numbers only.

mod catalog;
mod kernels;
mod roofline;
mod shape;

pub use catalog::{Catalog, CatalogError, UnknownWorkload, Workload, closest};
pub use kernels::{KERNEL_REVISION, Level};
pub use roofline::{Bound, CoreRates, ReadRate, Roofline};
pub use shape::{DataType, InvalidShape, LayerShape, Shape};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a workload's data lies when a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residency {
    /// In a cache: the same data at each call.
    Cache,
    /// In memory: calls rotate over copies larger than twice the last-level cache.
    #[default]
    Memory,
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cache => "cache",
            Self::Memory => "memory",
        })
    }
}
