//! What wakes the daemon: one blocking `poll` over signals, kernel notices, timers and the measuring thread's word.
//!
//! Knows what happened, never what to do about it. There is no thread and no periodic wake-up here: whoever calls
//! [`Events::wait`] sleeps until something did happen.

mod limits;
mod signals;
mod timers;
mod uevents;
mod waker;

pub use waker::Waker;

use crate::units::Nanos;
use limits::LimitWatch;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use signals::Signals;
use std::io;
use std::path::Path;
use timers::{Alarm, ClockWatch};
use uevents::Uevents;
use waker::Wakes;

/// Something that happened; in the order in which a wait names those that came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occurrence {
    /// SIGTERM or SIGINT, for the first time: the second one ends the process by itself.
    Stop,
    /// SIGHUP: read the configuration again and look whether the profile still fits.
    Reload,
    /// SIGUSR1: tune now.
    TuneNow,
    /// SIGUSR2: tell the status.
    TellStatus,
    /// A CPU went offline or came online, or notices were lost and it may have.
    CpusChanged,
    /// The power supply changed, or notices were lost and it may have.
    PowerChanged,
    /// A quota or a cpuset of the own control group or of an ancestor was written.
    LimitsChanged,
    /// The clock of the day jumped, as it does after a suspend.
    ClockSet,
    /// A [`Waker`] was used.
    Woken,
    /// The time that the wait was given has come.
    Due,
}

/// Everything the daemon waits for.
#[derive(Debug)]
pub struct Events {
    signals: Signals,
    uevents: Option<Uevents>,
    limits: Option<LimitWatch>,
    clock: ClockWatch,
    alarm: Alarm,
    wakes: Wakes,
}

impl Events {
    /// Opens all sources; signals are caught from now on. `root` holds the control groups (`/` is the live system).
    ///
    /// What a sandbox forbids and the daemon can do without (hotplug notices, limits) is a warning, no error.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self {
            signals: Signals::catch()?,
            uevents: or_without(
                Uevents::open(),
                "CPU hotplug and power supply are not watched (a systemd unit needs RestrictAddressFamilies=AF_NETLINK)",
            ),
            limits: or_without(
                LimitWatch::open(root),
                "quotas and cpusets are not watched (fs.inotify.max_user_instances may be used up)",
            ),
            clock: ClockWatch::start()?,
            alarm: Alarm::new()?,
            wakes: Wakes::new()?,
        })
    }

    /// What another thread holds to end a wait.
    pub fn waker(&self) -> Waker {
        self.wakes.waker()
    }

    /// Sleeps until something happens or the boot-time clock (see [`BootTime`](crate::machine::BootTime)) reaches `until`; says what, each
    /// occurrence once however often it came, in [`Occurrence`]'s order, and never nothing.
    pub fn wait(&mut self, until: Option<Nanos>) -> io::Result<Vec<Occurrence>> {
        self.alarm.set(until)?;
        loop {
            let mut happened = self.poll()?;
            if !happened.is_empty() {
                happened.sort_unstable();
                happened.dedup();
                return Ok(happened);
            }
        }
    }

    /// One blocking `poll`; nothing where what arrived was of no interest.
    fn poll(&mut self) -> io::Result<Vec<Occurrence>> {
        let optional = [
            self.uevents.as_ref().map(Uevents::fd),
            self.limits.as_ref().map(LimitWatch::fd),
        ];
        let always = [
            self.signals.fd(),
            self.clock.fd(),
            self.alarm.fd(),
            self.wakes.fd(),
        ];
        let mut fds: Vec<PollFd<'_>> = always
            .into_iter()
            .chain(optional.into_iter().flatten())
            .map(readable)
            .collect();
        match poll(&mut fds, None) {
            // A signal was caught, and its pipe is readable now.
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // Each source is asked: none of them blocks, and a wake-up is rare.
        let mut happened = self.signals.take();
        happened.extend(self.clock.take()?);
        happened.extend(self.alarm.take()?);
        happened.extend(self.wakes.take()?);
        // A source that fails for good would end every later wait at once.
        take_or_drop(&mut self.uevents, Uevents::take, &mut happened);
        take_or_drop(&mut self.limits, LimitWatch::take, &mut happened);
        Ok(happened)
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

/// A source that the daemon can do without.
fn or_without<S>(source: rustix::io::Result<S>, without: &str) -> Option<S> {
    source
        .map_err(|errno| log::warn!("{without}: {errno}; SIGHUP makes the daemon look"))
        .ok()
}

/// Adds what a source has to tell; one that fails is given up.
fn take_or_drop<S>(
    source: &mut Option<S>,
    take: impl FnOnce(&mut S) -> rustix::io::Result<Vec<Occurrence>>,
    happened: &mut Vec<Occurrence>,
) {
    match source.as_mut().map(take) {
        None => {}
        Some(Ok(told)) => happened.extend(told),
        Some(Err(errno)) => {
            log::warn!("a source of events failed and is given up: {errno}; restart the daemon");
            *source = None;
        }
    }
}
