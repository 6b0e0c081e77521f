//! The most multiply-adds that a core can do, in the processor's own instructions: whatever a compiler, a build or a
//! library makes of the kernels, this stays what they are held against.

#![allow(unsafe_code)]

use crate::workload::Level;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;

/// Loops of one go: some tens of microseconds.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const LOOPS: u64 = 4096;

/// Does many independent multiply-adds of this level, all of zeros; how many operations they were. Nothing for a level
/// that has no instructions of its own on this architecture.
///
/// # Safety
/// The processor has the level.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::too_many_lines)] // a line an instruction
pub unsafe fn multiply_adds(level: Level) -> Option<f64> {
    // Twelve chains are more than the latency of a multiply-add times as many as can begin at once.
    let lanes_and_chains = match level {
        Level::Avx512 => {
            // SAFETY: the processor has the instructions (the caller); they change the registers named and nothing else.
            unsafe {
                asm!(
                    "vzeroall",
                    "2:",
                    "vfmadd231ps zmm0, zmm12, zmm13",
                    "vfmadd231ps zmm1, zmm12, zmm13",
                    "vfmadd231ps zmm2, zmm12, zmm13",
                    "vfmadd231ps zmm3, zmm12, zmm13",
                    "vfmadd231ps zmm4, zmm12, zmm13",
                    "vfmadd231ps zmm5, zmm12, zmm13",
                    "vfmadd231ps zmm6, zmm12, zmm13",
                    "vfmadd231ps zmm7, zmm12, zmm13",
                    "vfmadd231ps zmm8, zmm12, zmm13",
                    "vfmadd231ps zmm9, zmm12, zmm13",
                    "vfmadd231ps zmm10, zmm12, zmm13",
                    "vfmadd231ps zmm11, zmm12, zmm13",
                    "dec {loops}",
                    "jnz 2b",
                    "vzeroupper",
                    loops = inout(reg) LOOPS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                );
            }
            (16, 12)
        }
        Level::Avx2 => {
            // SAFETY: as above.
            unsafe {
                asm!(
                    "vzeroall",
                    "2:",
                    "vfmadd231ps ymm0, ymm12, ymm13",
                    "vfmadd231ps ymm1, ymm12, ymm13",
                    "vfmadd231ps ymm2, ymm12, ymm13",
                    "vfmadd231ps ymm3, ymm12, ymm13",
                    "vfmadd231ps ymm4, ymm12, ymm13",
                    "vfmadd231ps ymm5, ymm12, ymm13",
                    "vfmadd231ps ymm6, ymm12, ymm13",
                    "vfmadd231ps ymm7, ymm12, ymm13",
                    "vfmadd231ps ymm8, ymm12, ymm13",
                    "vfmadd231ps ymm9, ymm12, ymm13",
                    "vfmadd231ps ymm10, ymm12, ymm13",
                    "vfmadd231ps ymm11, ymm12, ymm13",
                    "dec {loops}",
                    "jnz 2b",
                    "vzeroupper",
                    loops = inout(reg) LOOPS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                    options(nomem, nostack),
                );
            }
            (8, 12)
        }
        // A product and a sum are one multiply-add.
        Level::Sse2 | Level::Portable => {
            // SAFETY: as above.
            unsafe {
                asm!(
                    "xorps xmm0, xmm0",
                    "xorps xmm1, xmm1",
                    "xorps xmm2, xmm2",
                    "xorps xmm3, xmm3",
                    "xorps xmm4, xmm4",
                    "xorps xmm5, xmm5",
                    "xorps xmm6, xmm6",
                    "xorps xmm7, xmm7",
                    "xorps xmm8, xmm8",
                    "xorps xmm9, xmm9",
                    "xorps xmm10, xmm10",
                    "xorps xmm11, xmm11",
                    "xorps xmm12, xmm12",
                    "xorps xmm13, xmm13",
                    "2:",
                    "mulps xmm0, xmm12",
                    "addps xmm6, xmm13",
                    "mulps xmm1, xmm12",
                    "addps xmm7, xmm13",
                    "mulps xmm2, xmm12",
                    "addps xmm8, xmm13",
                    "mulps xmm3, xmm12",
                    "addps xmm9, xmm13",
                    "mulps xmm4, xmm12",
                    "addps xmm10, xmm13",
                    "mulps xmm5, xmm12",
                    "addps xmm11, xmm13",
                    "dec {loops}",
                    "jnz 2b",
                    loops = inout(reg) LOOPS => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                    out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _,
                    options(nomem, nostack),
                );
            }
            (4, 6)
        }
        Level::Neon => return None,
    };
    Some(operations(lanes_and_chains))
}

/// The same.
///
/// # Safety
/// The processor has the level.
#[cfg(target_arch = "aarch64")]
pub unsafe fn multiply_adds(level: Level) -> Option<f64> {
    if !matches!(level, Level::Neon | Level::Portable) {
        return None;
    }
    // SAFETY: every 64-bit Arm processor has the instructions; they change the registers named and nothing else.
    unsafe {
        asm!(
            "movi v0.4s, #0",
            "movi v1.4s, #0",
            "movi v2.4s, #0",
            "movi v3.4s, #0",
            "movi v4.4s, #0",
            "movi v5.4s, #0",
            "movi v6.4s, #0",
            "movi v7.4s, #0",
            "movi v8.4s, #0",
            "movi v9.4s, #0",
            "movi v10.4s, #0",
            "movi v11.4s, #0",
            "movi v12.4s, #0",
            "movi v13.4s, #0",
            "movi v14.4s, #0",
            "movi v15.4s, #0",
            "movi v16.4s, #0",
            "movi v17.4s, #0",
            "movi v18.4s, #0",
            "movi v19.4s, #0",
            "movi v20.4s, #0",
            "movi v21.4s, #0",
            "movi v22.4s, #0",
            "movi v23.4s, #0",
            "movi v24.4s, #0",
            "movi v25.4s, #0",
            "2:",
            "fmla v0.4s, v24.4s, v25.4s",
            "fmla v1.4s, v24.4s, v25.4s",
            "fmla v2.4s, v24.4s, v25.4s",
            "fmla v3.4s, v24.4s, v25.4s",
            "fmla v4.4s, v24.4s, v25.4s",
            "fmla v5.4s, v24.4s, v25.4s",
            "fmla v6.4s, v24.4s, v25.4s",
            "fmla v7.4s, v24.4s, v25.4s",
            "fmla v8.4s, v24.4s, v25.4s",
            "fmla v9.4s, v24.4s, v25.4s",
            "fmla v10.4s, v24.4s, v25.4s",
            "fmla v11.4s, v24.4s, v25.4s",
            "fmla v12.4s, v24.4s, v25.4s",
            "fmla v13.4s, v24.4s, v25.4s",
            "fmla v14.4s, v24.4s, v25.4s",
            "fmla v15.4s, v24.4s, v25.4s",
            "fmla v16.4s, v24.4s, v25.4s",
            "fmla v17.4s, v24.4s, v25.4s",
            "fmla v18.4s, v24.4s, v25.4s",
            "fmla v19.4s, v24.4s, v25.4s",
            "fmla v20.4s, v24.4s, v25.4s",
            "fmla v21.4s, v24.4s, v25.4s",
            "fmla v22.4s, v24.4s, v25.4s",
            "fmla v23.4s, v24.4s, v25.4s",
            "subs {loops}, {loops}, #1",
            "b.ne 2b",
            loops = inout(reg) LOOPS => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
            out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _,
            out("v18") _, out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _,
            options(nomem, nostack),
        );
    }
    Some(operations((4, 24)))
}

/// The same.
///
/// # Safety
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub unsafe fn multiply_adds(_level: Level) -> Option<f64> {
    None
}

/// Of lanes of a vector, and multiply-adds in a loop.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn operations((lanes, chains): (u64, u64)) -> f64 {
    (2 * lanes * chains * LOOPS) as f64
}
