//! System calls that no library wraps; the one file of `machine` with `unsafe` code.
#![allow(unsafe_code)]

use std::fs;
use std::io;

/// Writes the CPU mask of the calling thread.
pub(super) fn sched_getaffinity(mask: &mut [u64]) -> io::Result<()> {
    // SAFETY: the kernel writes at most the given number of bytes to the pointer, which are the bytes of `mask`; a pid
    // of 0 names the calling thread.
    let written = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(mask),
            mask.as_mut_ptr(),
        )
    };
    done(written)
}

/// Sets the CPU mask of the calling thread.
pub(super) fn sched_setaffinity(mask: &[u64]) -> io::Result<()> {
    // SAFETY: the kernel reads the given number of bytes from the pointer, which are the bytes of `mask`; a pid of 0
    // names the calling thread.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            size_of_val(mask),
            mask.as_ptr(),
        )
    };
    done(result)
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result >= 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes code and constants out of the memory of this process, which are read from their files again as they are needed;
/// how many bytes were asked for. For a process that will sleep long: what starting took is of no use to it.
pub fn release_file_pages() -> usize {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let mut released = 0;
    for (start, end) in unmodified_file_ranges(&maps) {
        // SAFETY: the range is a mapping of this process, private, not writable, and without a page that differs from
        // its file, so that the kernel gives back the same bytes when they are next used. Nothing of this process
        // unmaps or changes the protection of a mapping meanwhile: libraries are loaded in workers only.
        let result =
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
        if result == 0 {
            released += end - start;
        }
    }
    released
}

/// The private mappings of files that cannot be written and never were (relocation writes to some before they are
/// protected), of the text of `/proc/PID/smaps`.
fn unmodified_file_ranges(smaps: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(range) = range(line) {
            candidate = is_constant_file(line).then_some(range);
        } else if let Some(size) = line.strip_prefix("Anonymous:") {
            ranges.extend(candidate.take().filter(|_| size.trim() == "0 kB"));
        }
    }
    ranges
}

/// The addresses of a mapping, of its first line: `7f00-7f10 r-xp 00000000 fe:00 5457192 /usr/bin/x`.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?)).filter(|(start, end)| start < end)
}

/// Is it a private mapping of a file, and not to be written?
fn is_constant_file(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let permissions = words.next();
    let inode = words.nth(2);
    matches!(permissions, Some("r-xp" | "r--p")) && inode.is_some_and(|inode| inode != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form of proc(5).
    const SMAPS: &str = "\
5590a000-5590c000 r-xp 00001000 fe:00 54 /usr/bin/x
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
5590c000-5590d000 r--p 00003000 fe:00 54 /usr/bin/x
Anonymous:             4 kB
5590d000-5590e000 rw-p 00004000 fe:00 54 /usr/bin/x
Anonymous:             0 kB
7f000000-7f001000 r--s 00000000 fe:00 60 /var/cache/fonts
Anonymous:             0 kB
7f001000-7f002000 r--p 00000000 00:00 0
Anonymous:             0 kB
7f002000-7f003000 r--p 00000000 fe:00 77 /usr/lib/with a name
Anonymous:             0 kB
7ffe0000-7ffe1000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_private_unwritable_mappings_of_files_that_were_never_written_are_released() {
        assert_eq!(
            unmodified_file_ranges(SMAPS),
            [(0x5590_a000, 0x5590_c000), (0x7f00_2000, 0x7f00_3000)]
        );
        for text in [
            "",
            "Anonymous: 0 kB",
            "-",
            "1-2",
            "zz-7 r-xp 0 0 1",
            "2-1 r-xp 0 0 1 /x\nAnonymous: 0 kB",
        ] {
            assert_eq!(unmodified_file_ranges(text), [], "{text}");
        }
    }

    #[test]
    fn what_was_released_comes_back_as_it_is_needed() {
        let digits = || (0..1000).map(|n: u32| n.to_string()).collect::<String>();
        let before = digits();
        assert!(release_file_pages() > 0);
        assert_eq!(digits(), before);
    }
}
