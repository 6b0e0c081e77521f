//! Two clocks: the one that runs on through a suspend, for what is due; and the one of the day, for its jumps.

use super::Occurrence;
use crate::units::Nanos;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Fires once when the boot-time clock reaches a time.
#[derive(Debug)]
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        create(TimerfdClockId::Boottime).map(Self)
    }

    /// The next time to fire, in place of any earlier one; never where there is none.
    pub(super) fn set(&mut self, until: Option<Nanos>) -> io::Result<()> {
        // A value of zero would switch the timer off instead of firing at once.
        let at = until.map_or(0, |Nanos(at)| at.max(1));
        let at = Timespec {
            tv_sec: (at / NANOS_PER_SECOND).cast_signed(),
            tv_nsec: (at % NANOS_PER_SECOND).cast_signed(),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once(at))?;
        Ok(())
    }

    /// Readable when it has fired.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Has it fired since it was set or asked?
    pub(super) fn take(&mut self) -> io::Result<Option<Occurrence>> {
        match read(&self.0, &mut [0; 8]) {
            Ok(_) => Ok(Some(Occurrence::Due)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Notices when the clock of the day is set, by hand or by the kernel after a suspend.
#[derive(Debug)]
pub(super) struct ClockWatch(OwnedFd);

impl ClockWatch {
    pub(super) fn start() -> io::Result<Self> {
        let watch = Self(create(TimerfdClockId::Realtime)?);
        watch.arm()?;
        Ok(watch)
    }

    /// Readable when the clock was set.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Was it set since the last call?
    pub(super) fn take(&mut self) -> io::Result<Option<Occurrence>> {
        match read(&self.0, &mut [0; 8]) {
            Err(Errno::CANCELED) => {
                self.arm()?;
                Ok(Some(Occurrence::ClockSet))
            }
            // The end of time itself is of no interest.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A timer that never fires, so that only its cancellation is heard.
    fn arm(&self) -> io::Result<()> {
        let never = Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.0, flags, &once(never)) {
            // Cancelled is what the timer was before; it is armed all the same.
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn create(clock: TimerfdClockId) -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(timerfd_create(clock, flags)?)
}

fn once(at: Timespec) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: at,
    }
}
