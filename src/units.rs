//! Quantities with their units: times, thread counts, calls and sets of CPUs.
//!
//! Owns nothing but values; every other folder may use it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Add, AddAssign, Sub};
use std::str::FromStr;

/// The largest CPU number plus one, and the largest team, that threadtune handles.
pub const MAX_CPUS: u32 = 4096;

/// A length of time in whole nanoseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, Hash,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From seconds; negative and NaN become zero, too large saturates.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1e9).round() as u64)
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The difference, or zero where `other` is longer.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

/// A number of threads, 1 to [`MAX_CPUS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct ThreadCount(NonZeroU32);

/// A number that cannot be a thread count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a thread count; expected a whole number from 1 to {MAX_CPUS}")]
pub struct InvalidThreadCount(pub i64);

impl ThreadCount {
    /// One thread.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// `n` threads; 0 becomes 1 and what exceeds [`MAX_CPUS`] becomes that.
    pub fn clamped(n: usize) -> Self {
        let n = u32::try_from(n).unwrap_or(MAX_CPUS).clamp(1, MAX_CPUS);
        Self(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
    }

    /// The count as a `u32`.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The count as a `usize`.
    pub fn as_usize(self) -> usize {
        self.0.get() as usize
    }
}

impl TryFrom<i64> for ThreadCount {
    type Error = InvalidThreadCount;
    fn try_from(n: i64) -> Result<Self, Self::Error> {
        u32::try_from(n)
            .ok()
            .filter(|n| *n <= MAX_CPUS)
            .and_then(NonZeroU32::new)
            .map(Self)
            .ok_or(InvalidThreadCount(n))
    }
}

impl From<ThreadCount> for u32 {
    fn from(n: ThreadCount) -> Self {
        n.get()
    }
}

impl fmt::Display for ThreadCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many back-to-back calls make one sample; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calls(pub NonZeroU32);

impl Calls {
    /// One call.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// `n` calls; 0 becomes 1.
    pub fn new(n: u32) -> Self {
        Self(NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN))
    }

    /// The number of calls.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// A set of logical CPUs below [`MAX_CPUS`], written in the kernel's list format (`0-3,8`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet {
    /// 64 CPUs a word, lowest first, no trailing zero words (so that equal sets compare equal).
    words: Vec<u64>,
}

/// A text that is no CPU list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no CPU list: {why}")]
pub struct InvalidCpuList {
    /// The text as found, shortened.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl CpuSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a CPU; numbers of [`MAX_CPUS`] and more are left out.
    pub fn insert(&mut self, cpu: u32) {
        if cpu >= MAX_CPUS {
            return;
        }
        let word = cpu as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (cpu % 64);
    }

    /// Is this CPU in the set?
    pub fn contains(&self, cpu: u32) -> bool {
        self.words
            .get(cpu as usize / 64)
            .is_some_and(|w| w >> (cpu % 64) & 1 == 1)
    }

    /// How many CPUs are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Is no CPU in the set?
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The CPUs, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            (0..64u32)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| i as u32 * 64 + bit)
        })
    }

    /// The lowest CPU.
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// CPUs in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self::from_words(
            self.words
                .iter()
                .zip(&other.words)
                .map(|(a, b)| a & b)
                .collect(),
        )
    }

    /// CPUs in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (long, short) = if self.words.len() >= other.words.len() {
            (self, other)
        } else {
            (other, self)
        };
        let mut words = long.words.clone();
        for (a, b) in words.iter_mut().zip(&short.words) {
            *a |= b;
        }
        Self::from_words(words)
    }

    /// CPUs of this set that are not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut words = self.words.clone();
        for (a, b) in words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
        Self::from_words(words)
    }

    /// Are all of this set's CPUs in the other?
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// From words of 64 CPUs, lowest first (the layout of the kernel's affinity masks).
    pub fn from_words(mut words: Vec<u64>) -> Self {
        words.truncate(MAX_CPUS as usize / 64);
        while words.last() == Some(&0) {
            words.pop();
        }
        Self { words }
    }

    /// Words of 64 CPUs, lowest first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Parses the kernel's list format, stride groups (`0-31:2/8`) included; empty text is the empty set.
    pub fn parse_list(text: &str) -> Result<Self, InvalidCpuList> {
        let fail = |why| InvalidCpuList {
            text: text.chars().take(60).collect(),
            why,
        };
        let number = |s: &str| {
            s.trim()
                .parse::<u32>()
                .map_err(|_| fail("expected a CPU number"))
        };
        let mut set = Self::new();
        for part in text.trim().split(',').filter(|p| !p.trim().is_empty()) {
            let (range, group) = match part.split_once(':') {
                None => (part, None),
                Some((range, group)) => {
                    let (used, of) = group
                        .split_once('/')
                        .ok_or_else(|| fail("a group is written USED/SIZE"))?;
                    (range, Some((number(used)?, number(of)?)))
                }
            };
            let (first, last) = match range.split_once('-') {
                None => (number(range)?, number(range)?),
                Some((a, b)) => (number(a)?, number(b)?),
            };
            let (used, of) = group.unwrap_or((1, 1));
            if last < first {
                return Err(fail("a range runs backwards"));
            }
            if last >= MAX_CPUS {
                return Err(fail("CPU numbers of 4096 and more are not supported"));
            }
            if of == 0 || used == 0 || used > of {
                return Err(fail("a group must use 1 to SIZE of its CPUs"));
            }
            (first..=last)
                .filter(|cpu| (cpu - first) % of < used)
                .for_each(|cpu| set.insert(cpu));
        }
        Ok(set)
    }

    /// Parses the kernel's mask format: hexadecimal groups of 32 CPUs, highest first (`ff,00000000`).
    pub fn parse_mask(text: &str) -> Result<Self, InvalidCpuList> {
        let fail = |why| InvalidCpuList {
            text: text.chars().take(60).collect(),
            why,
        };
        let mut words = Vec::new();
        for (i, group) in text.trim().rsplit(',').enumerate() {
            let digits = group.trim().trim_start_matches("0x");
            let bits = u32::from_str_radix(digits, 16)
                .map_err(|_| fail("expected a group of hexadecimal digits"))?;
            if i % 2 == 0 {
                words.push(u64::from(bits));
            } else if let Some(word) = words.last_mut() {
                *word |= u64::from(bits) << 32;
            }
        }
        Ok(Self::from_words(words))
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        let mut set = Self::new();
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }
}

impl FromStr for CpuSet {
    type Err = InvalidCpuList;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_list(text)
    }
}

impl TryFrom<String> for CpuSet {
    type Error = InvalidCpuList;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse_list(&text)
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus: Vec<u32> = self.iter().collect();
        for (i, run) in cpus.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match run {
                [one] => write!(f, "{comma}{one}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_parse_and_print_the_same() {
        for text in ["", "0", "0-3", "0-3,8", "1,3,5-6,4095"] {
            assert_eq!(CpuSet::parse_list(text).unwrap().to_string(), text);
        }
        assert_eq!(
            CpuSet::parse_list("0-15:2/8\n").unwrap().to_string(),
            "0-1,8-9"
        );
        assert_eq!(CpuSet::parse_list("0-3").unwrap().len(), 4);
    }

    #[test]
    fn malformed_cpu_lists_are_errors_never_panics() {
        for text in [
            "x",
            "1-",
            "-1",
            "3-1",
            "0-4096",
            "99999999999",
            "0:1",
            "0-7:0/2",
            "0-7:3/2",
            "0-7:1/0",
        ] {
            assert!(CpuSet::parse_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn masks_are_groups_of_32_cpus_highest_first() {
        assert_eq!(CpuSet::parse_mask("ff").unwrap().to_string(), "0-7");
        assert_eq!(
            CpuSet::parse_mask("1,00000000,80000000\n")
                .unwrap()
                .to_string(),
            "31,64"
        );
        assert!(CpuSet::parse_mask("xyz").is_err());
        assert!(CpuSet::parse_mask("").is_err());
    }

    #[test]
    fn set_algebra_leaves_equal_sets_equal() {
        let a = CpuSet::parse_list("0-3,100").unwrap();
        let b = CpuSet::parse_list("2-5").unwrap();
        assert_eq!(a.intersection(&b), CpuSet::parse_list("2-3").unwrap());
        assert_eq!(a.union(&b), CpuSet::parse_list("0-5,100").unwrap());
        assert_eq!(
            a.difference(&CpuSet::parse_list("100").unwrap()),
            CpuSet::parse_list("0-3").unwrap()
        );
        assert!(CpuSet::parse_list("2").unwrap().is_subset(&b));
    }

    #[test]
    fn thread_counts_hold_1_to_4096_only() {
        assert_eq!(ThreadCount::try_from(4096).unwrap().get(), 4096);
        for n in [0, -1, 4097, i64::MAX] {
            assert_eq!(ThreadCount::try_from(n), Err(InvalidThreadCount(n)));
        }
        assert_eq!(ThreadCount::clamped(0), ThreadCount::ONE);
    }
}
