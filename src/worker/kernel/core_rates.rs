//! What one core can do at most: multiply-adds, and reading from each cache and from memory. Measured in some 20 ms when
//! a worker starts, so that a kernel that is slow on this processor shows itself.

#![allow(unsafe_code)]
// Vector code is compiled per instruction set, so everything below the dispatch must be inlined there.
#![allow(clippy::inline_always)]

use super::buffer::Buffer;
use super::isa::{Isa, Op, Simd};
use super::peak::multiply_adds;
use crate::machine::CoreCache;
use crate::workload::{CoreRates, ReadRate};
use std::hint::black_box;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Independent sums: more than the latency of a multiply-add times as many as can begin at once.
const CHAINS: usize = 12;
/// Multiply-adds of a chain in one go: some tens of microseconds.
const STEPS: usize = 4096;
/// The peak is the best of what is seen for so long: a core that was idle needs some of it to reach its clock.
const PEAK_TIME: Duration = Duration::from_millis(5);
/// A rate of reading is the best of what is seen for so long.
const READ_TIME: Duration = Duration::from_millis(2);
/// Data in memory: enough for a reading of most of a millisecond.
const MEMORY_BYTES: u64 = 8 << 20;
/// Times that data are taken out of the caches and read again.
const FROM_MEMORY: usize = 2;
/// Vectors that are read side by side.
const LOADS: usize = 8;

/// Measures the core that this thread runs on, which has these caches. Rates that could not be measured are absent or 0.
pub fn measure(isa: Isa, caches: &[CoreCache]) -> CoreRates {
    let mut rates = CoreRates {
        gflops: peak(isa),
        reads: Vec::new(),
    };
    let Ok(data) = Buffer::noise(numbers(MEMORY_BYTES), 1) else {
        return rates;
    };
    for (i, cache) in caches.iter().enumerate() {
        let below = i.checked_sub(1).and_then(|i| caches.get(i));
        let is_last = i + 1 == caches.len();
        let holds_bytes = if is_last {
            cache.bytes
        } else {
            cache.share_bytes
        };
        // So much that it lies here, and little of it in the cache before.
        let most = (holds_bytes / 2).min(MEMORY_BYTES);
        let bytes = below.map_or(most, |below| most.min(4 * below.share_bytes));
        rates.reads.push(ReadRate {
            holds_bytes: Some(holds_bytes),
            gb_per_s: from_cache(isa, &data, numbers(bytes)),
        });
    }
    rates
        .reads
        .extend(from_memory(isa, &data).map(|gb_per_s| ReadRate {
            holds_bytes: None,
            gb_per_s,
        }));
    rates
}

fn numbers(bytes: u64) -> usize {
    bytes as usize / size_of::<f32>()
}

/// Work per second in units of 10⁹, the best of what is seen for so long.
fn best(time: Duration, mut work: impl FnMut() -> f64) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0f64;
    while begin.elapsed() < time {
        let start = Instant::now();
        let done = work();
        best = best.max(done / start.elapsed().as_nanos().max(1) as f64);
    }
    best
}

/// Of the processor's own instructions. Those of the kernels would be as slow as the kernels if a build made them slow;
/// they stand in where this architecture's are not written down.
fn peak(isa: Isa) -> f64 {
    best(PEAK_TIME, || {
        // SAFETY: an `Isa` is the proof that the processor has its level.
        let own = unsafe { multiply_adds(isa.level()) };
        own.unwrap_or_else(|| isa.run(MultiplyAdds))
    })
}

/// Many independent multiply-adds; how many operations they were.
struct MultiplyAdds;

impl Op for MultiplyAdds {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f64 {
        let (factor, term) = (simd.splat(black_box(0.5)), simd.splat(black_box(0.5)));
        // Each chain has numbers of its own, or a compiler might do one for all.
        let mut sums = [simd.splat(0.0); CHAINS];
        for i in 0..CHAINS {
            sums[i] = simd.splat(black_box(i as f32));
        }
        for _ in 0..STEPS {
            for i in 0..CHAINS {
                sums[i] = simd.mul_add(sums[i], factor, term);
            }
        }
        let mut sum = sums[0];
        for more in &sums[1..] {
            sum = simd.add(sum, *more);
        }
        black_box(simd.sum(sum));
        (2 * S::LANES * CHAINS * STEPS) as f64
    }
}

fn from_cache(isa: Isa, data: &Buffer, count: usize) -> f64 {
    let part = part(data, 0..count);
    // A small cache is read several times, so that the clock's own time does not count.
    let times = (numbers(256 << 10) / count.max(1)).max(1);
    isa.run(Read(part));
    best(READ_TIME, || {
        for _ in 0..times {
            black_box(isa.run(Read(black_box(part))));
        }
        (times * size_of_val(part)) as f64
    })
}

/// Nothing where this architecture has no way to take data out of the caches.
fn from_memory(isa: Isa, data: &Buffer) -> Option<f64> {
    let all = part(data, 0..data.len());
    let mut rate = 0.0f64;
    for _ in 0..FROM_MEMORY {
        flush(all)?;
        let start = Instant::now();
        black_box(isa.run(Read(all)));
        let ns = start.elapsed().as_nanos().max(1) as f64;
        rate = rate.max(size_of_val(all) as f64 / ns);
    }
    Some(rate)
}

fn part(data: &Buffer, range: Range<usize>) -> &[f32] {
    // SAFETY: nobody writes to it once it is filled.
    unsafe { data.read(range) }
}

/// Reads everything once.
struct Read<'a>(&'a [f32]);

impl Op for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut sums = [simd.splat(0.0); LOADS];
        let step = LOADS * S::LANES;
        let mut at = 0;
        while at + step <= self.0.len() {
            for i in 0..LOADS {
                // SAFETY: LOADS vectors from `at` on lie in the slice.
                let v = unsafe { simd.load(self.0.as_ptr().add(at + i * S::LANES)) };
                sums[i] = simd.add(sums[i], v);
            }
            at += step;
        }
        let mut sum = sums[0];
        for more in &sums[1..] {
            sum = simd.add(sum, *more);
        }
        simd.sum(sum)
    }
}

/// Takes data out of all caches.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::unnecessary_wraps)] // elsewhere it cannot be done
fn flush(data: &[f32]) -> Option<()> {
    use std::arch::x86_64::{_mm_clflush, _mm_mfence};
    for line in data.chunks(super::buffer::LINE) {
        // SAFETY: every x86-64 processor has it; it changes no data, and the address is that of a reference.
        unsafe { _mm_clflush(line.as_ptr().cast()) };
    }
    // SAFETY: every x86-64 processor has it.
    unsafe { _mm_mfence() };
    Some(())
}

/// Takes data out of all caches, as user programs may under Linux.
#[cfg(target_arch = "aarch64")]
#[allow(clippy::unnecessary_wraps)] // elsewhere it cannot be done
fn flush(data: &[f32]) -> Option<()> {
    use std::arch::asm;
    for line in data.chunks(super::buffer::LINE) {
        // SAFETY: it writes a line back and forgets it, which changes no data; the address is that of a reference.
        unsafe { asm!("dc civac, {}", in(reg) line.as_ptr(), options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier changes nothing.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    Some(())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn flush(_data: &[f32]) -> Option<()> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Level;

    #[test]
    fn there_is_a_rate_for_each_cache_and_for_memory() {
        let cache = |level, bytes, share_bytes| CoreCache {
            level,
            bytes,
            share_bytes,
        };
        let caches = [
            cache(1, 32 << 10, 32 << 10),
            cache(2, 4 << 20, 1 << 20),
            cache(3, 32 << 20, 4 << 20),
        ];
        for isa in Isa::all() {
            let rates = measure(isa, &caches);
            assert!(rates.gflops > 0.0 && rates.gflops.is_finite());
            let holds: Vec<Option<u64>> = rates.reads.iter().map(|read| read.holds_bytes).collect();
            // The last one is not shared out: one core may fill it.
            assert_eq!(holds, [Some(32 << 10), Some(1 << 20), Some(32 << 20), None]);
            assert!(rates.reads.iter().all(|read| read.gb_per_s > 0.0));
        }
        let blind = measure(Isa::best(None), &[]);
        assert_eq!(blind.reads.len(), 1);
        assert_eq!(blind.reads[0].holds_bytes, None);
    }

    #[test]
    fn work_is_counted_as_it_is_done() {
        for isa in Isa::all() {
            // SAFETY: an `Isa` is the proof that the processor has its level.
            let own = unsafe { multiply_adds(isa.level()) };
            let lanes = match isa.level() {
                Level::Avx512 => 16.0,
                Level::Avx2 => 8.0,
                Level::Sse2 | Level::Neon | Level::Portable => 4.0,
            };
            let chains = if cfg!(target_arch = "aarch64") {
                24.0
            } else if lanes == 4.0 {
                6.0
            } else {
                12.0
            };
            assert_eq!(own, Some(2.0 * lanes * chains * 4096.0), "{}", isa.level());
        }
        let expected = |lanes: usize| (2 * lanes * CHAINS * STEPS) as f64;
        let lanes = |isa: Isa| isa.run(MultiplyAdds) / expected(1);
        assert_eq!(lanes(Isa::best(Some(Level::Portable))), 4.0);
        let data = Buffer::filled(4096, |i| (i % 3) as f32).unwrap();
        for isa in Isa::all() {
            assert_eq!(isa.run(Read(part(&data, 0..4096))), 4095.0);
        }
    }
}
