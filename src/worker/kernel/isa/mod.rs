//! The instruction sets that kernels are compiled for, all in one binary, and the choice among them when it runs.
//!
//! A kernel is an [`Op`]: arithmetic written once over [`Simd`], compiled once for each level. An [`Isa`] is the proof
//! that the processor has the level, so nothing else can run its instructions. A multiply-add is one instruction where
//! the level has one and otherwise a product and a sum: the C library's emulation of the fused one is a hundred times
//! slower.

// Vector code is compiled for the features of the function into which it is inlined, so all of it must be.
#![allow(clippy::inline_always)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

use crate::workload::Level;

/// A level that this processor has.
#[derive(Debug, Clone, Copy)]
pub enum Isa {
    /// [`Level::Avx512`].
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// [`Level::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// [`Level::Sse2`].
    #[cfg(target_arch = "x86_64")]
    Sse2(sse2::Sse2),
    /// [`Level::Neon`].
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    /// [`Level::Portable`].
    Portable(portable::Portable),
}

/// Arithmetic that is compiled for each level.
pub trait Op {
    /// What it gives.
    type Output;

    /// Runs it. `#[inline(always)]` in every implementation, and whatever it calls with `simd`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Isa {
    /// Every level that this processor has, the most powerful first.
    pub fn all() -> Vec<Self> {
        Level::ALL.into_iter().filter_map(Self::of).collect()
    }

    /// The most powerful level, or the most powerful one that is not above `cap`.
    pub fn best(cap: Option<Level>) -> Self {
        Self::all()
            .into_iter()
            .find(|isa| cap.is_none_or(|cap| isa.level() <= cap))
            .unwrap_or(Self::Portable(portable::Portable))
    }

    /// This level, if the processor has it.
    fn of(level: Level) -> Option<Self> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Level::Sse2 => sse2::Sse2::detect().map(Self::Sse2),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => neon::Neon::detect().map(Self::Neon),
            Level::Portable => Some(Self::Portable(portable::Portable)),
            #[allow(unreachable_patterns)] // the levels of other architectures
            _ => None,
        }
    }

    /// Which one it is.
    pub fn level(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Level::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Sse2(_) => Level::Sse2,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => Level::Neon,
            Self::Portable(_) => Level::Portable,
        }
    }

    /// Runs `op` compiled for this level.
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.enter(op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.enter(op),
            #[cfg(target_arch = "x86_64")]
            Self::Sse2(simd) => simd.enter(op),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => simd.enter(op),
            Self::Portable(simd) => simd.enter(op),
        }
    }
}

/// The vector instructions of one level on `f32`s. A value of the type proves that the processor has them.
pub trait Simd: Copy {
    /// One register.
    type Vector: Copy;
    /// `f32`s of a vector, a multiple of 4.
    const LANES: usize;
    /// Rows of the tile that the matrix product keeps in registers, two vectors wide: sums, two vectors of weights and
    /// an activation must fit, at most [`MOST_ROWS`].
    const TILE_ROWS: usize;
    /// Sums of products of rows by rows that are kept in registers, beside a vector of a few rows of weights and one of an
    /// activation.
    const DOT_SUMS: usize;

    /// Runs `op` in a function of its own that is compiled for this level, as [`Isa::run`] does. An innermost loop that
    /// needs all registers must have them to itself: inlined, the compiler moves into it what is computed around it.
    fn enter<O: Op>(self, op: O) -> O::Output;

    /// The same number in each lane.
    fn splat(self, value: f32) -> Self::Vector;
    /// a + b.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a · b.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a / b.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger one in each lane; either where one is a NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller one in each lane; either where one is a NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// 2ⁿ in each lane, n the whole number from −126 to 127 that stands in its low bits (two's complement).
    fn power_of_two(self, n: Self::Vector) -> Self::Vector;
    /// a · b + c, rounded once where the level has an instruction for it and twice otherwise.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The sum of the lanes.
    fn sum(self, v: Self::Vector) -> f32;
    /// Of four vectors, each of groups of four lanes: lane j of group g of result i is lane i of group g of argument j.
    fn transpose_groups(self, v: [Self::Vector; 4]) -> [Self::Vector; 4];

    /// Asks for the cache line of an address, which need not be one of this process.
    fn prefetch(self, address: *const f32);

    /// Reads [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// All of them can be read. They need no alignment.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Reads four numbers for each group of four lanes, the groups `stride` numbers apart.
    ///
    /// # Safety
    /// As for [`Self::load`].
    unsafe fn load_groups(self, from: *const f32, stride: usize) -> Self::Vector;
    /// Writes [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// All of them can be written. They need no alignment.
    unsafe fn store(self, to: *mut f32, v: Self::Vector);
}

/// No level's tile has more rows.
pub const MOST_ROWS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the instructions of one level do to numbers that tell lanes and operands apart.
    struct Instructions;

    impl Op for Instructions {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let n = S::LANES;
            let numbers: Vec<f32> = (0..64).map(|i| i as f32).collect();
            let lanes = |v: S::Vector| {
                let mut out = vec![f32::NAN; n];
                // SAFETY: `out` has as many numbers as a vector.
                unsafe { simd.store(out.as_mut_ptr(), v) };
                out
            };
            // SAFETY: no vector is longer than 16 numbers, and 64 are there.
            let load = |at: usize| unsafe { simd.load(numbers[at..].as_ptr()) };
            let each = |f: &dyn Fn(usize) -> f32| (0..n).map(f).collect::<Vec<f32>>();
            assert_eq!(lanes(simd.splat(2.5)), vec![2.5; n]);
            assert_eq!(lanes(load(3)), &numbers[3..3 + n]);
            assert_eq!(
                lanes(simd.add(load(0), load(7))),
                each(&|i| 2.0 * i as f32 + 7.0)
            );
            assert_eq!(
                lanes(simd.mul(load(0), load(7))),
                each(&|i| (i * (i + 7)) as f32)
            );
            assert_eq!(
                lanes(simd.div(load(0), simd.splat(4.0))),
                each(&|i| i as f32 / 4.0)
            );
            let middle = n as f32 / 2.0;
            let large = simd.max(load(0), simd.splat(middle));
            assert_eq!(lanes(large), each(&|i| (i as f32).max(middle)));
            let small = simd.min(load(0), simd.splat(middle));
            assert_eq!(lanes(small), each(&|i| (i as f32).min(middle)));
            let bits = |i: usize| f32::from_bits((i as u32).wrapping_sub(120));
            let exponents: Vec<f32> = (0..16).map(bits).collect();
            // SAFETY: 16 numbers are there, as many as in the longest vector.
            let powers = simd.power_of_two(unsafe { simd.load(exponents.as_ptr()) });
            assert_eq!(lanes(powers), each(&|i| (i as f32 - 120.0).exp2()));
            let product = simd.mul_add(load(1), load(2), load(5));
            assert_eq!(
                lanes(product),
                each(&|i| ((i + 1) * (i + 2) + i + 5) as f32)
            );
            assert_eq!(simd.sum(load(1)), (n * (n + 1) / 2) as f32);
            // SAFETY: four groups at most, 9 apart, of 4 each: 31 numbers.
            let groups = |at: usize| unsafe { simd.load_groups(numbers[at..].as_ptr(), 9) };
            assert_eq!(lanes(groups(2)), each(&|i| (2 + i / 4 * 9 + i % 4) as f32));
            let transposed = simd.transpose_groups([load(0), load(16), load(32), load(48)]);
            for (i, v) in transposed.into_iter().enumerate() {
                assert_eq!(
                    lanes(v),
                    each(&|lane| (16 * (lane % 4) + lane / 4 * 4 + i) as f32)
                );
            }
        }
    }

    #[test]
    fn every_instruction_of_every_level_does_what_it_says() {
        for isa in Isa::all() {
            isa.run(Instructions);
        }
    }

    /// (1 + 2⁻¹²)² − 1 in one rounding and in two.
    struct Rounding;

    impl Op for Rounding {
        type Output = f32;

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> f32 {
            let a = simd.splat(std::hint::black_box(1.0 + 1.0 / 4096.0));
            simd.sum(simd.mul_add(a, a, simd.splat(-1.0))) / S::LANES as f32
        }
    }

    #[test]
    fn a_level_without_a_fused_multiply_add_does_not_emulate_one() {
        let twice = 1.0 / 2048.0;
        let once = twice + 1.0 / 16_777_216.0;
        for isa in Isa::all() {
            let fused = !matches!(isa.level(), Level::Sse2 | Level::Portable);
            let expected = if fused { once } else { twice };
            assert_eq!(isa.run(Rounding), expected, "{}", isa.level());
        }
    }

    /// The kernel's word for what the processor has, so that a build or a dependency that loses a level shows here.
    #[test]
    fn the_level_chosen_is_the_highest_that_the_kernel_lists() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let words: Vec<&str> = cpuinfo
            .lines()
            .find(|line| line.starts_with("flags") || line.starts_with("Features"))
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let has = |all: &[&str]| all.iter().all(|word| words.contains(word));
        let highest = if cfg!(target_arch = "aarch64") {
            Level::Neon
        } else if has(&["avx512f", "avx512bw", "avx512dq", "avx512vl"]) {
            Level::Avx512
        } else if has(&["avx2", "fma"]) {
            Level::Avx2
        } else if cfg!(target_arch = "x86_64") {
            Level::Sse2
        } else {
            Level::Portable
        };
        assert_eq!(Isa::best(None).level(), highest);
        let all: Vec<Level> = Isa::all().into_iter().map(Isa::level).collect();
        assert_eq!(all.first(), Some(&highest));
        assert_eq!(all.last(), Some(&Level::Portable));
        if cfg!(target_arch = "x86_64") {
            // Each level includes those below it.
            let below = [Level::Avx512, Level::Avx2, Level::Sse2, Level::Portable];
            let from = below.iter().position(|level| *level == highest).unwrap();
            assert_eq!(all, below[from..]);
        }
    }

    #[test]
    fn a_cap_takes_the_highest_level_below_it() {
        for isa in Isa::all() {
            assert_eq!(Isa::best(Some(isa.level())).level(), isa.level());
        }
        assert_eq!(Isa::best(Some(Level::Portable)).level(), Level::Portable);
        assert_eq!(
            Isa::best(Some(Level::Avx512)).level(),
            Isa::best(None).level()
        );
    }
}
