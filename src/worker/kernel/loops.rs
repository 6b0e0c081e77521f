//! What several kernels do to each element of rows, vector by vector.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::buffer::LINE;
use super::isa::Simd;

/// No vector is longer.
const MOST_LANES: usize = 16;

/// Vectors that are summed side by side, so that the latencies of the sums overlap.
const CHAINS: usize = 4;

/// A vector of these numbers, at most as many as it has lanes, and of `fill` where there are fewer.
#[inline(always)]
fn load_part<S: Simd>(simd: S, values: &[f32], fill: f32) -> S::Vector {
    let mut all = [fill; MOST_LANES];
    all[..values.len()].copy_from_slice(values);
    // SAFETY: `all` has room for the longest vectors.
    unsafe { simd.load(all.as_ptr()) }
}

/// The first lanes of a vector.
#[inline(always)]
fn store_part<S: Simd>(simd: S, to: &mut [f32], v: S::Vector) {
    let mut all = [0.0; MOST_LANES];
    // SAFETY: `all` has room for the longest vectors.
    unsafe { simd.store(all.as_mut_ptr(), v) };
    to.copy_from_slice(&all[..to.len()]);
}

/// `out[i]` = f(`inputs[0][i]`, `inputs[1][i]`, …). All slices are equally long. `f` must be inlined; it sees zeros beyond
/// their ends.
#[inline(always)]
pub fn map<S: Simd, const N: usize>(
    simd: S,
    inputs: [&[f32]; N],
    out: &mut [f32],
    mut f: impl FnMut([S::Vector; N]) -> S::Vector,
) {
    let len = out.len();
    assert!(inputs.iter().all(|input| input.len() == len));
    let mut at = 0;
    while at + S::LANES <= len {
        let mut values = [simd.splat(0.0); N];
        for i in 0..N {
            // SAFETY: the slices are `len` long, at least `at` + LANES.
            values[i] = unsafe { simd.load(inputs[i].as_ptr().add(at)) };
        }
        // SAFETY: as above.
        unsafe { simd.store(out.as_mut_ptr().add(at), f(values)) };
        at += S::LANES;
    }
    if at < len {
        let mut values = [simd.splat(0.0); N];
        for i in 0..N {
            values[i] = load_part(simd, &inputs[i][at..], 0.0);
        }
        store_part(simd, &mut out[at..], f(values));
    }
}

/// `values[i]` = f(`values[i]`), otherwise as [`map`].
#[inline(always)]
pub fn map_in_place<S: Simd>(
    simd: S,
    values: &mut [f32],
    mut f: impl FnMut(S::Vector) -> S::Vector,
) {
    let mut chunks = values.chunks_exact_mut(S::LANES);
    for chunk in &mut chunks {
        // SAFETY: a chunk is as long as a vector.
        unsafe { simd.store(chunk.as_mut_ptr(), f(simd.load(chunk.as_ptr()))) };
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let value = load_part(simd, rest, 0.0);
        store_part(simd, rest, f(value));
    }
}

/// Folds the vectors of a row side by side in a few chains, then the chains; `start` fills up the last vector, too. `f`
/// and `join` must be inlined.
#[inline(always)]
pub fn fold<S: Simd>(
    simd: S,
    values: &[f32],
    start: f32,
    f: impl Fn(S::Vector, S::Vector) -> S::Vector,
    join: impl Fn(S::Vector, S::Vector) -> S::Vector,
) -> S::Vector {
    let mut chains = [simd.splat(start); CHAINS];
    let mut at = 0;
    while at + CHAINS * S::LANES <= values.len() {
        for (i, chain) in chains.iter_mut().enumerate() {
            // SAFETY: CHAINS vectors from `at` on lie in `values`.
            *chain = f(*chain, unsafe {
                simd.load(values.as_ptr().add(at + i * S::LANES))
            });
        }
        at += CHAINS * S::LANES;
    }
    for rest in values[at..].chunks(S::LANES) {
        chains[0] = f(chains[0], load_part(simd, rest, start));
    }
    join(join(chains[0], chains[1]), join(chains[2], chains[3]))
}

/// The largest lane.
#[inline(always)]
pub fn largest<S: Simd>(simd: S, v: S::Vector) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; MOST_LANES];
    store_part(simd, &mut lanes[..S::LANES], v);
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Has the processor fetch a row that is needed next, while another one is worked on.
#[inline(always)]
pub fn fetch<S: Simd>(simd: S, row: &[f32]) {
    for line in row.chunks(LINE) {
        simd.prefetch(line.as_ptr());
    }
}

/// eˣ to about 2·10⁻⁷ relative, where x is between −87 and 87; beyond that the result is held at e⁻⁸⁷ (10⁻³⁸), which a sum
/// of such terms does not notice, or at e⁸⁷.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, eʳ by its Taylor polynomial of degree 7, 2ⁿ by the exponent's bits.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    /// Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const TAYLOR: [f32; 7] = [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let x = simd.min(simd.max(x, simd.splat(-87.0)), simd.splat(87.0));
    let log2_e = simd.splat(std::f32::consts::LOG2_E);
    let rounded = simd.mul_add(x, log2_e, simd.splat(ROUND));
    let n = simd.add(rounded, simd.splat(-ROUND));
    let r = simd.mul_add(n, simd.splat(-LN2_HIGH), x);
    let r = simd.mul_add(n, simd.splat(-LN2_LOW), r);
    let mut p = simd.splat(1.0 / 5040.0);
    for c in TAYLOR {
        p = simd.mul_add(p, r, simd.splat(c));
    }
    simd.mul(p, simd.power_of_two(rounded))
}

#[cfg(test)]
mod tests {
    use super::super::isa::{Isa, Op};
    use super::*;

    struct Exponentials<'a>(&'a [f32], &'a mut [f32]);

    impl Op for Exponentials<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            map(simd, [self.0], self.1, |[x]| exp(simd, x));
        }
    }

    #[test]
    fn the_exponential_is_right_to_single_precision() {
        let x: Vec<f32> = (-8700..=8700).map(|i| i as f32 / 100.0).collect();
        for isa in Isa::all() {
            let mut y = vec![f32::NAN; x.len()];
            isa.run(Exponentials(&x, &mut y));
            for (x, y) in x.iter().zip(y) {
                let exact = f64::from(*x).exp();
                let error = (f64::from(y) - exact).abs() / exact;
                assert!(error < 5e-7, "{}: exp({x}) is off by {error}", isa.level());
            }
            let mut ends = [f32::NAN; 3];
            isa.run(Exponentials(&[-1e9, f32::NEG_INFINITY, 1e9], &mut ends));
            assert!(ends[0] < 2e-38 && ends[1] < 2e-38, "{ends:?}");
            assert!(ends[2] > 6e37 && ends[2].is_finite(), "{ends:?}");
        }
    }

    struct Folded<'a>(&'a [f32]);

    impl Op for Folded<'_> {
        type Output = (f32, f32);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> (f32, f32) {
            let add = |a, b| simd.add(a, b);
            let max = |a, b| simd.max(a, b);
            let top = fold(simd, self.0, f32::NEG_INFINITY, max, max);
            (
                simd.sum(fold(simd, self.0, 0.0, add, add)),
                largest(simd, top),
            )
        }
    }

    #[test]
    fn folds_see_every_element_once() {
        for isa in Isa::all() {
            for len in [1, 3, 4, 15, 16, 17, 64, 77, 200] {
                let values: Vec<f32> = (1..=len).map(|i| i as f32).collect();
                let sum = (len * (len + 1) / 2) as f32;
                assert_eq!(
                    isa.run(Folded(&values)),
                    (sum, len as f32),
                    "{}",
                    isa.level()
                );
            }
        }
    }
}
