//! What is computed: kernels written as SPMD regions over a team, as OpenMP libraries are.
//!
//! Kernel speed matters for truth: a slow kernel scales better than a fast one and would be given too many threads.

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

use crate::workload::{Residency, Shape};

/// One prepared workload.
pub trait Kernel: Send + Sync {
    /// Parallel and serial steps of one call; the team meets at the end of each.
    fn steps(&self) -> usize;

    /// Is this step run by the calling thread alone, without a fork (as libraries do with little work)?
    fn is_serial(&self, _step: usize) -> bool {
        false
    }

    /// One thread's share of a step of a call on copy number `copy`.
    fn run(&self, step: usize, copy: usize, thread: usize, of: usize);

    /// How many distinct copies of its data there are, at least 1.
    fn copies(&self) -> usize;

    /// A few numbers of the last call's result, for tests.
    fn result(&self, count: usize) -> Vec<f32>;
}

/// A kernel ready to run, and where its data lies.
pub struct Prepared {
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// In memory only if the copies exceed the pool asked for.
    pub residency: Residency,
    /// Bytes of all copies.
    pub pool_bytes: u64,
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
    let one = shape.bytes();
    if one > memory_limit_bytes {
        return Err(format!(
            "its data takes {} MiB and {} MiB may be used",
            one.div_ceil(1 << 20),
            memory_limit_bytes >> 20
        ));
    }
    let wanted = match residency {
        Residency::Cache => 1,
        Residency::Memory => pool_bytes / one + 1,
    };
    let copies = wanted.min(memory_limit_bytes / one).max(1) as usize;
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
                kernel.run(step, 0, thread, of);
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
