//! What is computed: kernels written as SPMD regions over a team, as OpenMP libraries are.
//!
//! Kernel speed matters for truth: a slow kernel scales better than a fast one and would be given too many threads.

#![allow(unsafe_code)]
// Loops over the constant sides of a tile index several arrays at once, and are unrolled.
#![allow(clippy::needless_range_loop)]

mod attention;
mod buffer;
mod core_rates;
mod dot;
mod gemm;
mod gemv;
pub mod isa;
mod layer;
mod loops;
mod norm;
mod packed;
mod partition;
mod peak;
mod stream;

pub use self::core_rates::measure as measure_core;

use self::buffer::{Buffer, OutOfMemory};
use self::isa::Isa;
use self::packed::Blocking;
use super::protocol::Open;
use super::team::Fork;
use crate::machine::CoreCache;
use crate::workload::{Residency, Shape};

/// The arithmetic of one workload.
trait Kernel: Send + Sync {
    /// Parallel and serial steps of one call; the team meets at the end of each.
    fn steps(&self) -> usize;

    /// Is this step run by the calling thread alone, without a fork (as libraries do with little work)?
    fn is_serial(&self, _step: usize) -> bool {
        false
    }

    /// One thread's share of a step of a call on copy number `copy`.
    ///
    /// # Safety
    /// One step of one call runs at a time, after the earlier ones have ended on every thread; each `thread < of` runs
    /// on one thread, all with the same `of`; serial steps run as thread 0 of 1.
    unsafe fn run(&self, step: usize, copy: usize, thread: usize, of: usize);

    /// How many distinct copies of its data there are, at least 1.
    fn copies(&self) -> usize;

    /// Called on each thread of a team before its first call: allocates what a thread needs for itself.
    fn reserve(&self) -> Result<(), OutOfMemory> {
        Ok(())
    }

    /// A few numbers of the last call's result.
    #[cfg(test)]
    fn result(&self, count: usize) -> Vec<f32>;
}

/// A kernel ready to run, and where its data lies.
pub struct Prepared {
    kernel: Box<dyn Kernel>,
    next_copy: usize,
    /// In memory only if the copies exceed the pool asked for.
    pub residency: Residency,
    /// Bytes of all copies.
    pub pool_bytes: u64,
}

impl Prepared {
    /// Parallel regions of one call.
    pub fn regions(&self) -> usize {
        (0..self.kernel.steps())
            .filter(|step| !self.kernel.is_serial(*step))
            .count()
    }

    /// Allocates what the calling thread needs for itself; each thread of a team calls it before its first call.
    pub(in crate::worker) fn reserve(&self) -> Result<(), PrepareError> {
        Ok(self.kernel.reserve()?)
    }

    /// One call on the next copy of the data; `around` is given each thread's share of each region, to run it.
    pub(in crate::worker) fn call(
        &mut self,
        fork: &dyn Fork,
        around: &(dyn Fn(usize, &dyn Fn()) + Sync),
    ) {
        let copy = self.next_copy;
        self.next_copy = (copy + 1) % self.kernel.copies();
        let kernel = &*self.kernel;
        for step in 0..kernel.steps() {
            if kernel.is_serial(step) {
                // SAFETY: the steps before have ended, as regions return when all threads are done; `&mut self` keeps
                // other calls away, and this is the only thread.
                unsafe { kernel.run(step, copy, 0, 1) };
            } else {
                fork.region(&|thread, of| {
                    // SAFETY: as above; a team numbers its threads from 0 to `of`, each once.
                    around(thread, &|| unsafe { kernel.run(step, copy, thread, of) });
                });
            }
        }
    }
}

/// Data rotates over no more copies than this, so that tiny shapes cannot fill the memory with their bookkeeping.
const MOST_COPIES: u64 = 1 << 18;

/// Why a workload's data could not be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// Not even one copy fits into what may be used.
    #[error("its data takes {} MiB and {} MiB may be used", needed.div_ceil(1 << 20), limit >> 20)]
    TooLarge {
        /// Bytes of one copy and of what the copies share.
        needed: u64,
        /// Bytes that may be used.
        limit: u64,
    },
    /// The system gave less than what may be used.
    #[error(
        "memory ran out ({0}); free some, or raise the limit of the control group or of `ulimit -d`"
    )]
    OutOfMemory(#[from] OutOfMemory),
}

/// Allocates and fills a workload's data for kernels of this level, all of it first touched by this one thread, as
/// frameworks that load a checkpoint do.
///
/// In memory: as many copies as exceed `pool_bytes`, but no more than fit into `memory_limit_bytes`, and at most 2¹⁸;
/// where that is too little to rotate, the residency says `cache`. An error if not even one copy fits. `caches`: those of
/// a core, as far as they are known.
pub fn prepare(isa: Isa, caches: &[CoreCache], open: &Open) -> Result<Prepared, PrepareError> {
    let shape = &open.shape;
    let one = shape.rotating_bytes().next_multiple_of(Buffer::bytes(1));
    let shared = shape.bytes().saturating_sub(one);
    if shared + one > open.memory_limit_bytes {
        return Err(PrepareError::TooLarge {
            needed: shared + one,
            limit: open.memory_limit_bytes,
        });
    }
    let wanted = match open.residency {
        Residency::Cache => 1,
        Residency::Memory => open.pool_bytes / one + 1,
    };
    let copies = wanted
        .min((open.memory_limit_bytes - shared) / one)
        .clamp(1, MOST_COPIES) as usize;
    let kernel: Box<dyn Kernel> = match *shape {
        Shape::Gemm { m, n, k, .. } => {
            let blocking = Blocking::of(isa, caches);
            let sides = [m, n, k].map(|side| side as usize);
            Box::new(gemm::Gemm::new(blocking, sides, copies)?)
        }
        Shape::Gemv { n, k, .. } => Box::new(gemv::Gemv::new(isa, n as usize, k as usize, copies)?),
        Shape::Triad { n, .. } => Box::new(stream::Triad::new(isa, n as usize, copies)?),
        Shape::RmsNorm { rows, columns, .. } => Box::new(norm::RmsNorm::new(
            isa,
            rows as usize,
            columns as usize,
            copies,
        )?),
        Shape::Softmax { rows, columns, .. } => Box::new(norm::Softmax::new(
            isa,
            rows as usize,
            columns as usize,
            copies,
        )?),
        Shape::Layer { layer, .. } => Box::new(layer::Layer::new(isa, &layer, copies)?),
    };
    let pool = one * copies as u64;
    let rotates = open.residency == Residency::Memory && pool > open.pool_bytes;
    Ok(Prepared {
        kernel,
        next_copy: 0,
        residency: if rotates {
            Residency::Memory
        } else {
            Residency::Cache
        },
        pool_bytes: pool,
    })
}

#[cfg(test)]
mod reference_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str, residency: Residency, pool_bytes: u64, memory_limit_bytes: u64) -> Open {
        Open {
            shape: text.parse().unwrap(),
            residency,
            pool_bytes,
            memory_limit_bytes,
            first_cpu: 0,
        }
    }

    fn ready(
        text: &str,
        residency: Residency,
        pool_bytes: u64,
        memory_limit_bytes: u64,
    ) -> Result<Prepared, PrepareError> {
        prepare(
            Isa::best(None),
            &[],
            &open(text, residency, pool_bytes, memory_limit_bytes),
        )
    }

    /// Bytes of one copy of the weights of `gemv:64x64:f32`.
    const ONE: u64 = 4 * 64 * 64;

    fn copies_and_residency(ready: &Prepared) -> (usize, Residency) {
        (ready.kernel.copies(), ready.residency)
    }

    #[test]
    fn rotation_takes_as_many_copies_as_exceed_the_pool() {
        let gemv = "gemv:64x64:f32";
        let memory = ready(gemv, Residency::Memory, 10 * ONE, 1 << 30).unwrap();
        assert_eq!(copies_and_residency(&memory), (11, Residency::Memory));
        let cache = ready(gemv, Residency::Cache, 10 * ONE, 1 << 30).unwrap();
        assert_eq!(copies_and_residency(&cache), (1, Residency::Cache));
    }

    #[test]
    fn only_what_rotates_counts_against_the_cache() {
        // 1 MiB of weights under 16 MiB of activations and results
        let ready = ready("gemm:4096x512x512:f32", Residency::Memory, 8 << 20, 1 << 30).unwrap();
        assert_eq!(copies_and_residency(&ready), (9, Residency::Memory));
        assert_eq!(ready.pool_bytes, 9 << 20);
    }

    #[test]
    fn too_little_memory_is_said_never_hidden() {
        let gemv = "gemv:64x64:f32";
        let few = ready(gemv, Residency::Memory, 10 * ONE, 5 * ONE + 4 * 128).unwrap();
        assert_eq!(copies_and_residency(&few), (5, Residency::Cache));
        let error = ready(gemv, Residency::Memory, 10 * ONE, ONE - 1)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "its data takes 1 MiB and 0 MiB may be used"
        );
        // More than any address space holds: the system refuses, which must not end the process.
        let huge = Buffer::zeros(1 << 60).err().unwrap();
        assert_eq!(
            PrepareError::from(huge).to_string(),
            "memory ran out (the system refused another 4398046511104 MiB of memory); free some, or raise the limit of \
             the control group or of `ulimit -d`"
        );
    }

    #[test]
    fn tiny_data_does_not_fill_the_memory_with_copies() {
        let tiny = ready("gemm:1x1x1:f32", Residency::Memory, 512 << 20, 1 << 34).unwrap();
        assert_eq!(copies_and_residency(&tiny), (1 << 18, Residency::Cache));
        assert_eq!(tiny.pool_bytes, 64 << 18);
    }
}
