//! How fast a kernel could be on one core: the roofline model (Williams, Waterman and Patterson 2009).

use super::{Residency, Shape};
use serde::{Deserialize, Serialize};

/// A call that could be as short as this is mostly the call itself: its kernel's share of what is attainable says nothing.
const LEAST_SECONDS: f64 = 1e-6;

/// What one core of a machine can do, as measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CoreRates {
    /// Most single-precision multiply-adds, each counted as two operations, in 10⁹ operations a second.
    pub gflops: f64,
    /// Reading from each cache, the nearest first, and from memory, last.
    pub reads: Vec<ReadRate>,
}

/// Reading from one cache, or from memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadRate {
    /// Data of so many bytes stay there; absent for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_bytes: Option<u64>,
    /// 10⁹ bytes a second.
    pub gb_per_s: f64,
}

/// What bounds a kernel's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Multiply-adds.
    Arithmetic,
    /// Reading and writing its data.
    Traffic,
}

/// The best that one core could do with a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// What bounds it.
    pub bound: Bound,
    /// It takes no less than this, seconds; absent for kernels that are bounded by something else, as by exponentials, and
    /// where the call itself counts for more.
    pub seconds: Option<f64>,
}

impl Roofline {
    /// Of a call on one core whose data lie there at its beginning. Nothing where what bounds it was not measured.
    ///
    /// No less than the larger of operations over peak, and bytes over the bandwidth of where they lie: what rotates
    /// comes from memory, what does not, from the smallest cache that holds it.
    pub fn of(shape: &Shape, residency: Residency, core: &CoreRates) -> Option<Self> {
        let rotating = match residency {
            Residency::Memory => shape.rotating_bytes().min(shape.bytes()),
            Residency::Cache => 0,
        };
        let staying = shape.bytes() - rotating;
        // Where no cache is known, what lies in one is read at a rate that nobody knows.
        let knows_caches = core.reads.iter().any(|read| read.holds_bytes.is_some());
        if residency == Residency::Cache && !knows_caches {
            return None;
        }
        let rate = |holds: &dyn Fn(u64) -> bool| {
            let reads = core.reads.iter();
            let mut fitting = reads.filter(|read| read.holds_bytes.is_none_or(holds));
            fitting.next().map_or(0.0, |read| read.gb_per_s * 1e9)
        };
        let seconds = |amount: u64, per_second: f64| match amount {
            0 => Some(0.0),
            _ => Some(amount as f64 / per_second).filter(|seconds| seconds.is_finite()),
        };
        let arithmetic = seconds(shape.flops(), core.gflops * 1e9)?;
        let traffic = seconds(rotating, rate(&|_| false))?
            + seconds(staying, rate(&|bytes| bytes >= staying))?;
        let bound = if arithmetic > traffic {
            Bound::Arithmetic
        } else {
            Bound::Traffic
        };
        let least = arithmetic.max(traffic);
        let is_exponential = matches!(shape, Shape::Softmax { .. });
        Some(Self {
            bound: if is_exponential {
                Bound::Traffic
            } else {
                bound
            },
            seconds: (least >= LEAST_SECONDS && !is_exponential).then_some(least),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 GFLOP/s; 32 KiB at 200 GB/s, 1 MiB at 50, 32 MiB at 20, memory at 10.
    fn core() -> CoreRates {
        let read = |holds_bytes, gb_per_s| ReadRate {
            holds_bytes,
            gb_per_s,
        };
        CoreRates {
            gflops: 100.0,
            reads: vec![
                read(Some(32 << 10), 200.0),
                read(Some(1 << 20), 50.0),
                read(Some(32 << 20), 20.0),
                read(None, 10.0),
            ],
        }
    }

    fn of(text: &str, residency: Residency) -> Roofline {
        Roofline::of(&text.parse().unwrap(), residency, &core()).unwrap()
    }

    #[track_caller]
    fn assert_is(roofline: Roofline, bound: Bound, us: f64) {
        assert_eq!(roofline.bound, bound);
        let found = roofline.seconds.unwrap() * 1e6;
        assert!((found - us).abs() < 1e-3 * us, "{found} µs instead of {us}");
    }

    #[test]
    fn a_call_is_bounded_by_what_takes_longest() {
        // 2 · 256³ operations at 100 GFLOP/s, against 768 KiB at 50 GB/s
        assert_is(
            of("gemm:256x256x256:f32", Residency::Cache),
            Bound::Arithmetic,
            335.544,
        );
        // 16 MiB of weights at 10 GB/s and 16 KiB of vectors at 200, against 8.4 · 10⁶ operations
        let us = 1677.722 + 0.082;
        assert_is(
            of("gemv:2048x2048:f32", Residency::Memory),
            Bound::Traffic,
            us,
        );
        // the same in the cache that holds it
        let us = f64::from(4 * (2048 * 2048 + 4096)) / 20e3;
        assert_is(
            of("gemv:2048x2048:f32", Residency::Cache),
            Bound::Traffic,
            us,
        );
        // larger than every cache: it lies in memory all the same
        let us = f64::from(12 * 4_194_304) / 10e3;
        assert_is(
            of("triad:4194304:f32", Residency::Cache),
            Bound::Traffic,
            us,
        );
    }

    #[test]
    fn no_share_is_stated_of_what_nothing_measured_bounds() {
        let softmax = of("softmax:512x512:f32", Residency::Memory);
        assert_eq!((softmax.bound, softmax.seconds), (Bound::Traffic, None));
        // 2 · 8³ operations take 10 ns, less than a call
        assert_eq!(of("gemm:8x8x8:f32", Residency::Cache).seconds, None);
        let shape = "gemm:256x256x256:f32".parse().unwrap();
        let blind = CoreRates {
            reads: vec![ReadRate {
                holds_bytes: None,
                gb_per_s: 10.0,
            }],
            ..core()
        };
        assert_eq!(Roofline::of(&shape, Residency::Cache, &blind), None);
        assert!(Roofline::of(&shape, Residency::Memory, &blind).is_some());
        let mut no_memory = core();
        no_memory.reads.pop();
        assert!(Roofline::of(&shape, Residency::Cache, &no_memory).is_some());
        assert_eq!(Roofline::of(&shape, Residency::Memory, &no_memory), None);
        let unmeasured = CoreRates::default();
        assert_eq!(Roofline::of(&shape, Residency::Cache, &unmeasured), None);
        let no_peak = CoreRates {
            gflops: 0.0,
            ..core()
        };
        assert_eq!(Roofline::of(&shape, Residency::Cache, &no_peak), None);
    }
}
