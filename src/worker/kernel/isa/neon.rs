//! 128-bit vectors of every 64-bit Arm processor, with a fused multiply-add.

use super::{Op, Simd};
use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vaddq_s32, vaddvq_f32, vdivq_f32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32,
    vld1q_f32, vmaxq_f32, vminq_f32, vmulq_f32, vreinterpretq_f32_f64, vreinterpretq_f32_s32,
    vreinterpretq_f64_f32, vreinterpretq_s32_f32, vshlq_n_s32, vst1q_f32, vtrn1q_f32, vtrn2q_f32,
    vzip1q_f64, vzip2q_f64,
};
use std::arch::asm;

/// Proof that the processor has them.
#[derive(Debug, Clone, Copy)]
pub struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Simd for Neon {
    type Vector = float32x4_t;
    const LANES: usize = 4;
    // 24 sums, two vectors of weights, and activations in what is left of 32 registers.
    const TILE_ROWS: usize = 12;
    const DOT_SUMS: usize = 16;

    fn enter<O: Op>(self, op: O) -> O::Output {
        #[inline(never)]
        #[target_feature(enable = "neon")]
        fn inside<O: Op>(simd: Neon, op: O) -> O::Output {
            op.run(simd)
        }
        // SAFETY: `self` exists only where it was detected.
        unsafe { inside(self, op) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: here and below, `self` exists only where the instructions were detected.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vmaxq_f32(a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vminq_f32(a, b) }
    }

    #[inline(always)]
    fn power_of_two(self, n: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe {
            let exponent = vshlq_n_s32::<23>(vreinterpretq_s32_f32(n));
            vreinterpretq_f32_s32(vaddq_s32(exponent, vdupq_n_s32(0x3F80_0000)))
        }
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: as above.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        // SAFETY: as above.
        unsafe { vaddvq_f32(v) }
    }

    #[inline(always)]
    fn transpose_groups(self, [a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: as above.
        unsafe {
            let ab = [vtrn1q_f32(a, b), vtrn2q_f32(a, b)].map(|v| vreinterpretq_f64_f32(v));
            let cd = [vtrn1q_f32(c, d), vtrn2q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
            [
                vreinterpretq_f32_f64(vzip1q_f64(ab[0], cd[0])),
                vreinterpretq_f32_f64(vzip1q_f64(ab[1], cd[1])),
                vreinterpretq_f32_f64(vzip2q_f64(ab[0], cd[0])),
                vreinterpretq_f32_f64(vzip2q_f64(ab[1], cd[1])),
            ]
        }
    }

    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        // SAFETY: a prefetch changes no register and no memory, and never faults.
        unsafe {
            asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: as above, and the numbers can be read (the caller).
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn load_groups(self, from: *const f32, _stride: usize) -> float32x4_t {
        // SAFETY: as above, and the numbers can be read (the caller).
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: as above, and the numbers can be written (the caller).
        unsafe { vst1q_f32(to, v) }
    }
}
