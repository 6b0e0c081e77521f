//! Signals as occurrences, however many come; and the second request to stop, which ends the process at once.

use super::Occurrence;
use rustix::fd::{AsFd, BorrowedFd};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The signals that are caught, and what they ask for.
const CAUGHT: [(i32, Occurrence); 5] = [
    (SIGHUP, Occurrence::Reload),
    (SIGUSR1, Occurrence::TuneNow),
    (SIGUSR2, Occurrence::TellStatus),
    (SIGTERM, Occurrence::Stop),
    (SIGINT, Occurrence::Stop),
];

/// The caught signals that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    /// Catches them from now on.
    pub(super) fn catch() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // In the handler itself, since the loop may be busy. In this order: the first signal still sees no flag.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        let (read, write) = UnixStream::pair()?;
        let numbers = CAUGHT.map(|(signal, _)| signal);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?;
        Ok(Self { delivery })
    }

    /// Readable when a signal has come.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// Those that came since the last call, each once.
    pub(super) fn take(&mut self) -> Vec<Occurrence> {
        self.delivery
            .pending()
            .filter_map(|number| CAUGHT.iter().find(|(signal, _)| *signal == number))
            .map(|(_, occurrence)| *occurrence)
            .collect()
    }
}
