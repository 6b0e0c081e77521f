//! What everybody must know of our kernels, without running them: their revision and the levels that they are compiled
//! for.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The revision of our kernels, to be raised whenever the speed of one of them changes on any level: a verdict about
/// slower kernels gives too many threads, one about faster kernels too few. Profiles record it; up to 1 they did not.
pub const KERNEL_REVISION: u32 = 9;

/// A set of vector instructions, from the plainest to the most powerful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What the compiler makes of plain code for the oldest processor of the architecture.
    Portable,
    /// 128 bits, without a fused multiply-add: every x86-64 processor.
    Sse2,
    /// 128 bits with a fused multiply-add: every 64-bit Arm processor.
    Neon,
    /// 256 bits with FMA: x86-64-v3.
    Avx2,
    /// 512 bits, F, BW, DQ and VL: x86-64-v4.
    Avx512,
}

impl Level {
    /// Every level, the most powerful first.
    pub const ALL: [Self; 5] = [
        Self::Avx512,
        Self::Avx2,
        Self::Neon,
        Self::Sse2,
        Self::Portable,
    ];

    /// Its name in protocols, profiles and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Sse2 => "sse2",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is not an instruction set; expected one of {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_written_as_they_are_read() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(
                serde_json::to_string(&level).unwrap(),
                format!("\"{level}\"")
            );
        }
        assert_eq!(
            "AVX".parse::<Level>().unwrap_err(),
            "`AVX` is not an instruction set; expected one of avx512, avx2, neon, sse2, portable"
        );
    }
}
