//! How another thread ends a wait.

use super::Occurrence;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};
use std::io;
use std::sync::Arc;

/// Ends the wait of the loop it comes from, now or, where it does not wait, the next one.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Wakes the loop; it never blocks, and many calls before the loop looks are one occurrence.
    pub fn wake(&self) {
        // It fails only where the counter is full, and then the loop has yet to look anyway.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The loop's end of its wakers.
#[derive(Debug)]
pub(super) struct Wakes(Arc<OwnedFd>);

impl Wakes {
    pub(super) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(fd)))
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0))
    }

    /// Readable when a waker was used.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Was one used since the last call?
    pub(super) fn take(&mut self) -> io::Result<Option<Occurrence>> {
        let mut count = [0; 8];
        match read(&self.0, &mut count) {
            Ok(_) => Ok(Some(Occurrence::Woken)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
