//! The CPU mask of the calling thread.

use super::system_calls::{sched_getaffinity, sched_setaffinity};
use crate::units::{CpuSet, MAX_CPUS};
use std::io;

/// The first mask holds [`MAX_CPUS`]; the kernel refuses masks smaller than its own CPU limit.
const FIRST_WORDS: usize = MAX_CPUS as usize / 64;
/// A mask of 512 Ki CPUs; no kernel is built for more.
const MOST_WORDS: usize = 8192;

/// The CPUs on which the calling thread may run (those below [`MAX_CPUS`]).
pub fn current() -> io::Result<CpuSet> {
    // The library's mask holds 1024 CPUs. It has no answer where the kernel's is larger.
    if let Some(cores) = core_affinity::get_core_ids() {
        let ids = cores
            .into_iter()
            .filter_map(|core| u32::try_from(core.id).ok());
        return Ok(ids.collect());
    }
    let mut words = vec![0u64; FIRST_WORDS];
    loop {
        let Err(error) = sched_getaffinity(&mut words) else {
            return Ok(CpuSet::from_words(words));
        };
        if error.raw_os_error() != Some(libc::EINVAL) || words.len() >= MOST_WORDS {
            return Err(error);
        }
        words = vec![0; words.len() * 2];
    }
}

/// Lets the calling thread run on these CPUs only. Fails with `EINVAL` where none of them is allowed.
pub fn set_current(cpus: &CpuSet) -> io::Result<()> {
    sched_setaffinity(cpus.words())
}

/// The same, but only within the CPUs on which it may run now: whoever narrowed them did so on purpose.
pub fn narrow_current(cpus: &CpuSet) -> io::Result<()> {
    let allowed = current()?;
    if cpus.is_subset(&allowed) {
        set_current(cpus)
    } else {
        Err(io::Error::other(format!(
            "this process may run on CPUs {allowed} only"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_sees_the_mask_it_set_and_others_keep_theirs() {
        let before = current().unwrap();
        let one: CpuSet = before.first().into_iter().collect();
        let inside = std::thread::spawn({
            let one = one.clone();
            move || {
                set_current(&one).unwrap();
                (current().unwrap(), rustix::thread::sched_getcpu())
            }
        })
        .join()
        .unwrap();
        assert_eq!(inside.0, one);
        assert!(one.contains(u32::try_from(inside.1).unwrap()));
        assert_eq!(current().unwrap(), before);
    }

    #[test]
    fn a_mask_is_not_left_by_narrowing_it() {
        let all = current().unwrap();
        let first: CpuSet = all.first().into_iter().collect();
        let (denied, after) = std::thread::spawn({
            let first = first.clone();
            move || {
                narrow_current(&first).unwrap();
                let wider: CpuSet = first.iter().chain([first.first().unwrap() + 1]).collect();
                (narrow_current(&wider), current().unwrap())
            }
        })
        .join()
        .unwrap();
        let told = format!("this process may run on CPUs {first} only");
        assert_eq!(denied.unwrap_err().to_string(), told);
        assert_eq!(after, first);
    }

    #[test]
    fn an_empty_mask_is_refused() {
        let error = set_current(&CpuSet::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
