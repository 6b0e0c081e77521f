//! Which other processes use the CPU. Names are command names only: arguments may hold secrets.

use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System};

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

    /// Processes that used at least `from_cores` since the last look, busiest first, without this process, its own
    /// children and those in `except`.
    pub fn busy(&mut self, except: &[u32], from_cores: f64) -> Vec<BusyProcess> {
        self.look();
        let mut busy: Vec<BusyProcess> = self
            .system
            .processes()
            .iter()
            .filter(|(pid, process)| pid.as_u32() != self.own_pid && !self.is_child(process))
            .map(|(pid, process)| BusyProcess {
                pid: pid.as_u32(),
                name: printable(&process.name().to_string_lossy()),
                cores: f64::from(process.cpu_usage()) / 100.0,
            })
            .filter(|process| {
                !except.contains(&process.pid) && process.cores > 0.0 && process.cores >= from_cores
            })
            .collect();
        busy.sort_by(|a, b| b.cores.total_cmp(&a.cores).then(a.pid.cmp(&b.pid)));
        busy
    }

    /// The children of this process that were there at the last look.
    pub fn children(&self) -> impl Iterator<Item = u32> {
        let processes = self.system.processes().iter();
        processes
            .filter(|(_, process)| self.is_child(process))
            .map(|(pid, _)| pid.as_u32())
    }

    fn is_child(&self, process: &Process) -> bool {
        process
            .parent()
            .is_some_and(|pid| pid.as_u32() == self.own_pid)
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
pub(super) fn printable(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    const LOOP: &str = "while :; do :; done";

    /// Looks until one of these processes shows up; a loaded machine may give a loop little time at first.
    fn first_of(watch: &mut LoadWatch, pids: &[u32]) -> Option<BusyProcess> {
        (0..20).find_map(|_| {
            std::thread::sleep(Duration::from_millis(LoadWatch::LEAST_MS));
            let busy = watch.busy(&[], 0.01);
            busy.into_iter().find(|p| pids.contains(&p.pid))
        })
    }

    #[test]
    fn a_busy_process_is_named_unless_it_is_excepted_or_a_child() {
        let mut child = Command::new("sh")
            .args(["-c", LOOP])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Its parent ends at once, so that it is nobody's child here.
        let orphan = Command::new("sh")
            .args(["-c", &format!("({LOOP}) >/dev/null & echo $!")])
            .stderr(Stdio::null())
            .output()
            .unwrap();
        let orphan: u32 = String::from_utf8(orphan.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let mut watch = LoadWatch::start().unwrap();
        let found = first_of(&mut watch, &[orphan, child.id()]);
        let children: Vec<u32> = watch.children().collect();
        std::thread::sleep(Duration::from_millis(LoadWatch::LEAST_MS));
        let excepted = watch.busy(&[orphan], 0.0);
        child.kill().unwrap();
        child.wait().unwrap();
        let pid = rustix::process::Pid::from_raw(orphan.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let found = found.unwrap();
        assert_eq!((found.pid, found.name.as_str()), (orphan, "sh"));
        assert!(children.contains(&child.id()) && !children.contains(&orphan));
        let own = [orphan, child.id(), std::process::id()];
        assert!(excepted.iter().all(|p| !own.contains(&p.pid)));
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
