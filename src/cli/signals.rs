//! Ctrl-C and its relatives: the first ends the running sample, the second the program.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signals that this process ignores, signal n at bit n − 1; none where the kernel does not tell.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether and by which signal the user asked to stop.
pub struct StopRequest {
    stop: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

impl StopRequest {
    /// From now on the first of these signals sets the flag, and the next one exits at once.
    pub fn register() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let signal = Arc::new(AtomicUsize::new(0));
        let ignored = ignored_signals();
        // A signal that was ignored from the start (`nohup`, a script's `&`) is none of ours.
        for number in [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|n| ignored >> (n - 1) & 1 == 0)
        {
            // In this order: at the first signal the shutdown still sees an unset flag.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&stop))?;
            flag::register_usize(number, Arc::clone(&signal), number.unsigned_abs() as usize)?;
            flag::register(number, Arc::clone(&stop))?;
        }
        Ok(Self { stop, signal })
    }

    /// The flag, for whoever takes samples.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Has the user asked to stop?
    pub fn is_set(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// 128 and the signal's number, as shells have it: 130 after Ctrl-C.
    pub fn exit_code(&self) -> ExitCode {
        let number = u8::try_from(self.signal.load(Ordering::Relaxed)).unwrap_or(0);
        ExitCode::from(128u8.saturating_add(number))
    }
}
