//! 128-bit vectors of every x86-64 processor. There is no fused multiply-add.

use super::{Op, Simd};
use std::arch::x86_64::{
    __m128, _MM_HINT_T1, _mm_add_epi32, _mm_add_ps, _mm_add_ss, _mm_castps_si128, _mm_castsi128_ps,
    _mm_cvtss_f32, _mm_div_ps, _mm_loadu_ps, _mm_max_ps, _mm_min_ps, _mm_movehl_ps, _mm_movelh_ps,
    _mm_mul_ps, _mm_prefetch, _mm_set1_epi32, _mm_set1_ps, _mm_shuffle_ps, _mm_slli_epi32,
    _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps,
};

/// Proof that the processor has them.
#[derive(Debug, Clone, Copy)]
pub struct Sse2(());

impl Sse2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("sse2").then_some(Self(()))
    }
}

impl Simd for Sse2 {
    type Vector = __m128;
    const LANES: usize = 4;
    // 12 sums, two vectors of weights, an activation and a product: all 16 registers.
    const TILE_ROWS: usize = 6;
    const DOT_SUMS: usize = 12;

    fn enter<O: Op>(self, op: O) -> O::Output {
        #[inline(never)]
        #[target_feature(enable = "sse2")]
        fn inside<O: Op>(simd: Sse2, op: O) -> O::Output {
            op.run(simd)
        }
        // SAFETY: `self` exists only where it was detected.
        unsafe { inside(self, op) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m128 {
        // SAFETY: here and below, `self` exists only where the instructions were detected.
        unsafe { _mm_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_div_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m128, b: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_min_ps(a, b) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe {
            let exponent = _mm_slli_epi32::<23>(_mm_castps_si128(n));
            _mm_castsi128_ps(_mm_add_epi32(exponent, _mm_set1_epi32(0x3F80_0000)))
        }
    }

    #[inline(always)]
    fn mul_add(self, a: __m128, b: __m128, c: __m128) -> __m128 {
        // SAFETY: as above.
        unsafe { _mm_add_ps(_mm_mul_ps(a, b), c) }
    }

    #[inline(always)]
    fn sum(self, v: __m128) -> f32 {
        // SAFETY: as above.
        unsafe {
            let two = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn transpose_groups(self, [a, b, c, d]: [__m128; 4]) -> [__m128; 4] {
        // SAFETY: as above.
        unsafe {
            let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            [
                _mm_movelh_ps(ab_low, cd_low),
                _mm_movehl_ps(cd_low, ab_low),
                _mm_movelh_ps(ab_high, cd_high),
                _mm_movehl_ps(cd_high, ab_high),
            ]
        }
    }

    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        // SAFETY: a prefetch reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m128 {
        // SAFETY: as above, and the numbers can be read (the caller).
        unsafe { _mm_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_groups(self, from: *const f32, _stride: usize) -> __m128 {
        // SAFETY: as above, and the numbers can be read (the caller).
        unsafe { _mm_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m128) {
        // SAFETY: as above, and the numbers can be written (the caller).
        unsafe { _mm_storeu_ps(to, v) }
    }
}
