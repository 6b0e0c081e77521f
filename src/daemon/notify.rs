//! What the service manager is told (`man 3 sd_notify`), by way of the crate `sd-notify`.
//!
//! Without `NOTIFY_SOCKET` all of it is nothing. A socket that fails is a line in the log, never a reason to stop.

use crate::units::Nanos;
use sd_notify::NotifyState;
use std::time::Duration;

/// The service manager that started this process, where one did.
#[derive(Debug)]
pub struct ServiceManager {
    watchdog: Option<Duration>,
    failed: bool,
}

impl ServiceManager {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` tell.
    pub fn from_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()),
            failed: false,
        }
    }

    /// How often [`ServiceManager::alive`] is to be said: twice within the time after which the manager gives up on
    /// this process. Nothing where it does not watch, or watches another one.
    pub fn watchdog_interval(&self) -> Option<Nanos> {
        self.watchdog
            .map(|limit| Nanos(u64::try_from(limit.as_nanos() / 2).unwrap_or(u64::MAX)))
    }

    /// The daemon has started, or has finished to reload.
    pub fn ready(&mut self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// What the daemon does now, in a few words.
    pub fn status(&mut self, status: &str) {
        self.tell(&[NotifyState::Status(&one_line(status))]);
    }

    /// The event loop goes round.
    pub fn alive(&mut self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    /// The configuration is being read again; [`ServiceManager::ready`] ends it.
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            // A manager that waits for the time would wait in vain for the end of the reload, too.
            Err(error) => log::warn!("cannot tell when the reload began: {error}"),
        }
    }

    /// The daemon is about to end.
    pub fn stopping(&mut self, status: &str) {
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::Status(&one_line(status)),
        ]);
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        match sd_notify::notify(states) {
            Ok(()) => self.failed = false,
            // The watchdog would fill the log otherwise.
            Err(error) if self.failed => log::debug!("NOTIFY_SOCKET: {error}"),
            Err(error) => {
                self.failed = true;
                log::warn!(
                    "cannot tell the service manager how things are: NOTIFY_SOCKET: {error}"
                );
            }
        }
    }
}

/// A line break would begin another message of the protocol.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
