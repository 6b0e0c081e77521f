//! Plain code on four numbers at a time, for every processor.

use super::{Op, Simd};

/// Nothing needs to be proven.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Simd for Portable {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const TILE_ROWS: usize = 4;
    const DOT_SUMS: usize = 12;

    #[inline(never)]
    fn enter<O: Op>(self, op: O) -> O::Output {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }

    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }

    #[inline(always)]
    fn div(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        [a[0] / b[0], a[1] / b[1], a[2] / b[2], a[3] / b[3]]
    }

    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        // One instruction each, where `f32::max` takes three to look for a NaN.
        let max = |a: f32, b: f32| if a > b { a } else { b };
        [
            max(a[0], b[0]),
            max(a[1], b[1]),
            max(a[2], b[2]),
            max(a[3], b[3]),
        ]
    }

    #[inline(always)]
    fn min(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        let min = |a: f32, b: f32| if a < b { a } else { b };
        [
            min(a[0], b[0]),
            min(a[1], b[1]),
            min(a[2], b[2]),
            min(a[3], b[3]),
        ]
    }

    #[inline(always)]
    fn power_of_two(self, n: [f32; 4]) -> [f32; 4] {
        n.map(|n| f32::from_bits(n.to_bits().wrapping_shl(23).wrapping_add(0x3F80_0000)))
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        [
            a[0] * b[0] + c[0],
            a[1] * b[1] + c[1],
            a[2] * b[2] + c[2],
            a[3] * b[3] + c[3],
        ]
    }

    #[inline(always)]
    fn sum(self, v: [f32; 4]) -> f32 {
        // Written side by side, four numbers stay together in a register in the loop that summed them up; where only
        // their sum is seen, the compiler computes each by itself.
        let v = std::hint::black_box(v);
        (v[0] + v[2]) + (v[1] + v[3])
    }

    #[inline(always)]
    fn transpose_groups(self, [a, b, c, d]: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
        [
            [a[0], b[0], c[0], d[0]],
            [a[1], b[1], c[1], d[1]],
            [a[2], b[2], c[2], d[2]],
            [a[3], b[3], c[3], d[3]],
        ]
    }

    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: four numbers can be read (the caller).
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_groups(self, from: *const f32, _stride: usize) -> [f32; 4] {
        // SAFETY: as above.
        unsafe { self.load(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: [f32; 4]) {
        // SAFETY: four numbers can be written (the caller).
        unsafe { to.cast::<[f32; 4]>().write_unaligned(v) }
    }
}
