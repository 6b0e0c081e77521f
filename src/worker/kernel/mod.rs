//! What is computed: kernels written as SPMD regions over a team, as OpenMP libraries are.
//!
//! Kernel speed matters for truth: a slow kernel scales better than a fast one and would be given too many threads.

#![allow(unsafe_code)]

mod attention;
mod buffer;
mod gemm;
mod gemv;
mod layer;
mod norm;
mod partition;
mod simd;
mod skinny;
mod stream;

use super::team::Fork;
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

/// Allocates and fills a workload's data, all of it first touched by this one thread, as frameworks that load a
/// checkpoint do.
///
/// In memory: as many copies as exceed `pool_bytes`, but no more than fit into `memory_limit_bytes`; where that is
/// too little to rotate, the residency says `cache`. An error if not even one copy fits.
pub fn prepare(
    shape: &Shape,
    residency: Residency,
    pool_bytes: u64,
    memory_limit_bytes: u64,
) -> Result<Prepared, String> {
    let one = shape.rotating_bytes();
    let shared = shape.bytes().saturating_sub(one);
    if shared + one > memory_limit_bytes {
        return Err(format!(
            "its data takes {} MiB and {} MiB may be used",
            (shared + one).div_ceil(1 << 20),
            memory_limit_bytes >> 20
        ));
    }
    let wanted = match residency {
        Residency::Cache => 1,
        Residency::Memory => pool_bytes / one + 1,
    };
    let copies = wanted.min((memory_limit_bytes - shared) / one).max(1) as usize;
    let kernel: Box<dyn Kernel> = match *shape {
        Shape::Gemm { m, n, k, .. } => {
            Box::new(gemm::Gemm::new(m as usize, n as usize, k as usize, copies))
        }
        Shape::Gemv { n, k, .. } => Box::new(gemv::Gemv::new(n as usize, k as usize, copies)),
        Shape::Triad { n, .. } => Box::new(stream::Triad::new(n as usize, copies)),
        Shape::RmsNorm { rows, columns, .. } => {
            Box::new(norm::RmsNorm::new(rows as usize, columns as usize, copies))
        }
        Shape::Softmax { rows, columns, .. } => {
            Box::new(norm::Softmax::new(rows as usize, columns as usize, copies))
        }
        Shape::Layer { layer, .. } => Box::new(layer::Layer::new(&layer, copies)),
    };
    let pool = one * copies as u64;
    let rotates = residency == Residency::Memory && pool > pool_bytes;
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
mod tests {
    use super::*;

    /// Runs one call as a team of `of` would, one thread after another.
    fn call(kernel: &dyn Kernel, of: usize) -> Vec<f32> {
        for step in 0..kernel.steps() {
            let of = if kernel.is_serial(step) { 1 } else { of };
            for thread in 0..of {
                // SAFETY: one thread runs one share after another.
                unsafe { kernel.run(step, 0, thread, of) };
            }
        }
        kernel.result(usize::MAX)
    }

    #[test]
    fn every_team_size_computes_what_one_thread_computes() {
        for text in [
            "gemm:64x64x64:f32",
            "gemm:4x96x80:f32",
            "gemm:33x17x29:f32",
            "gemm:3x1030x1024:f32",
            "gemv:200x72:f32",
            "triad:1000:f32",
            "rmsnorm:13x100:f32",
            "softmax:7x50:f32",
            "layer:1x64x96:h4x2x16:c20:f32",
        ] {
            let shape: Shape = text.parse().unwrap();
            let alone = call(
                &*prepare(&shape, Residency::Cache, 0, 1 << 30)
                    .unwrap()
                    .kernel,
                1,
            );
            assert!(alone.iter().all(|v| v.is_finite()), "{text}");
            assert!(alone.iter().any(|v| v.abs() > 1e-6), "{text}: all zero");
            for of in [2, 3, 7, 64] {
                let team = call(
                    &*prepare(&shape, Residency::Cache, 0, 1 << 30)
                        .unwrap()
                        .kernel,
                    of,
                );
                assert_eq!(team.len(), alone.len());
                for (i, (a, b)) in alone.iter().zip(&team).enumerate() {
                    let close = (a - b).abs() <= 1e-4 * a.abs().max(1.0);
                    assert!(close, "{text} on {of} threads: element {i} is {b}, not {a}");
                }
            }
        }
    }

    #[test]
    fn rotation_takes_as_many_copies_as_exceed_the_pool() {
        let shape: Shape = "gemv:64x64:f32".parse().unwrap();
        let one = shape.bytes();
        let ready = prepare(&shape, Residency::Memory, 10 * one, 1 << 30).unwrap();
        assert_eq!(
            (ready.kernel.copies(), ready.residency),
            (11, Residency::Memory)
        );
        let ready = prepare(&shape, Residency::Cache, 10 * one, 1 << 30).unwrap();
        assert_eq!(
            (ready.kernel.copies(), ready.residency),
            (1, Residency::Cache)
        );
    }

    #[test]
    fn only_what_rotates_counts_against_the_cache() {
        // 1 MiB of weights under 16 MiB of activations and results
        let shape: Shape = "gemm:4096x512x512:f32".parse().unwrap();
        let ready = prepare(&shape, Residency::Memory, 8 << 20, 1 << 30).unwrap();
        assert_eq!(
            (ready.kernel.copies(), ready.residency),
            (9, Residency::Memory)
        );
        assert_eq!(ready.pool_bytes, 9 << 20);
    }

    #[test]
    fn too_little_memory_is_said_never_hidden() {
        let shape: Shape = "gemv:64x64:f32".parse().unwrap();
        let one = shape.bytes();
        let ready = prepare(&shape, Residency::Memory, 10 * one, 5 * one).unwrap();
        assert_eq!(
            (ready.kernel.copies(), ready.residency),
            (5, Residency::Cache)
        );
        assert!(prepare(&shape, Residency::Memory, 10 * one, one - 1).is_err());
    }
}
