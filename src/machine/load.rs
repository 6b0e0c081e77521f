//! Which other processes use the CPU. Names are command names only: arguments may hold secrets.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// A process that used the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct BusyProcess {
    /// Process id.
    pub pid: u32,
    /// Command name, at most 15 bytes as the kernel keeps it; other characters than printable ones are replaced.
    pub name: String,
    /// CPU time in cores: 1.0 is one core all the time.
    pub cores: f64,
}

/// Why processes cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell which processes use the CPU; is /proc mounted?")]
pub struct LoadError(#[source] sysinfo::Error);

/// Looks at all processes now and then; what is reported is the use since the look before.
#[derive(Debug)]
pub struct LoadWatch {
    system: System,
    own_pid: u32,
}

impl LoadWatch {
    /// The first look. Wait [`LoadWatch::LEAST_MS`] or more before [`LoadWatch::busy`].
    pub fn start() -> Result<Self, LoadError> {
        let mut watch = Self {
            system: System::new().map_err(LoadError)?,
            own_pid: std::process::id(),
        };
        watch.look();
        Ok(watch)
    }

    /// The kernel counts CPU time in ticks of 4 to 10 ms: a shorter wait tells little.
    pub const LEAST_MS: u64 = 200;

    /// Processes that used at least `from_cores` since the last look, busiest first, without this process and those
    /// in `except` (its own children).
    pub fn busy(&mut self, except: &[u32], from_cores: f64) -> Vec<BusyProcess> {
        self.look();
        let mut busy: Vec<BusyProcess> = self
            .system
            .processes()
            .iter()
            .map(|(pid, process)| BusyProcess {
                pid: pid.as_u32(),
                name: printable(&process.name().to_string_lossy()),
                cores: f64::from(process.cpu_usage()) / 100.0,
            })
            .filter(|process| {
                process.pid != self.own_pid
                    && !except.contains(&process.pid)
                    && process.cores > 0.0
                    && process.cores >= from_cores
            })
            .collect();
        busy.sort_by(|a, b| b.cores.total_cmp(&a.cores).then(a.pid.cmp(&b.pid)));
        busy
    }

    fn look(&mut self) {
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().without_tasks(),
        );
    }
}

/// A process may name itself with terminal escapes.
fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn a_busy_process_is_named_unless_it_is_excepted() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut watch = LoadWatch::start().unwrap();
        let mut found = None;
        // A loaded machine may give the loop little time at first.
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(LoadWatch::LEAST_MS));
            found = watch
                .busy(&[], 0.01)
                .into_iter()
                .find(|p| p.pid == child.id());
            if found.is_some() {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(LoadWatch::LEAST_MS));
        let excepted = watch.busy(&[child.id()], 0.0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap().name, "sh");
        let own = std::process::id();
        assert!(excepted.iter().all(|p| p.pid != child.id() && p.pid != own));
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
