//! A daemon that runs for real, in directories of its own, and ways to disturb it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use rustix::process::{Pid, Signal};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use threadtune::cli::this_machine::ThisMachine;
use threadtune::daemon::status::{Reason, State, Status, read};
use threadtune::profile::{Entry, Latency, Profile, StopReason, load, save};
use threadtune::units::ThreadCount;

/// Nothing takes so long but what will never happen.
const PATIENCE: Duration = Duration::from_mins(2);

/// One that takes as long as it may, and seconds at least.
pub const MANY: &str =
    "[[workload]]\nname = \"many\"\nshape = \"gemm:2048x2048x1024:f32\"\nresidency = \"cache\"\n";

/// One whose calls are short, with tens of megabytes to work on.
pub const LARGE: &str =
    "[[workload]]\nname = \"large\"\nshape = \"triad:4000000:f32\"\nresidency = \"cache\"\n";

/// Two workloads that are tuned within seconds.
pub const TINY: &str = "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\nresidency = \"cache\"\n\
                        [[workload]]\nname = \"b\"\nshape = \"triad:1000:f32\"\nresidency = \"cache\"\n";

/// One that keeps its worker busy for seconds with a single call.
pub const LONG: &str =
    "[[workload]]\nname = \"long\"\nshape = \"gemm:4096x4096x8192:f32\"\nresidency = \"cache\"\n";

/// A daemon that measures whatever else goes on: tests run side by side, and none of them must wait for an idle machine.
pub const EAGER: &str = "[daemon]\nquiet = \"0s\"\nidle_cpus = 4096\nidle_pressure_percent = 100\nmains_only = false\n\
                         workload_budget = \"2s\"\n";

/// As [`EAGER`], but a workload takes its time.
pub fn patient() -> String {
    EAGER.replace("2s", "60s")
}

/// Directories for a daemon, and perhaps one that runs there.
pub struct Home {
    pub directory: TempDir,
    child: Option<Child>,
}

impl Home {
    /// With this catalogue and [`EAGER`] settings.
    pub fn new(catalogue: &str) -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
            child: None,
        };
        fs::write(home.path("catalogue.toml"), catalogue).unwrap();
        home.configure(EAGER);
        home
    }

    /// Writes the configuration, which begins with the table `[daemon]`.
    pub fn configure(&self, daemon: &str) {
        let catalogue = self.path("catalogue.toml");
        let head = "[daemon]\n";
        let rest = daemon.strip_prefix(head).expect("`[daemon]` comes first");
        let text = format!("{head}catalogue = \"{}\"\n{rest}", catalogue.display());
        fs::write(self.path("threadtune.toml"), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command line of the daemon.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command
            .arg("daemon")
            .arg("--configuration")
            .arg(self.path("threadtune.toml"))
            .arg("--state")
            .arg(self.path("state"))
            .arg("--runtime")
            .arg(self.path("run"))
            .arg("--turns")
            .arg(self.directory.path())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn start(&mut self) {
        let mut command = self.command();
        self.start_as(&mut command);
    }

    /// Starts a command made of [`Self::command`]; what it logs goes on where the last daemon's log ended.
    pub fn start_as(&mut self, command: &mut Command) {
        assert!(self.child.is_none(), "one daemon at a time");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.child = Some(command.stderr(log).spawn().unwrap());
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a daemon runs").id()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Starts another daemon in the same place, which must end by itself; its exit code, and what it said.
    pub fn second(&self) -> (Option<i32>, String) {
        let log = self.path("second");
        let stderr = File::create(&log).unwrap();
        let mut second = self.command().stderr(stderr).spawn().unwrap();
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = second.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE / 6 {
                second.kill().unwrap();
                break second.wait().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        };
        (status.code(), fs::read_to_string(log).unwrap())
    }

    /// Waits for the end of the daemon.
    pub fn end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a daemon runs");
        let begin = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if begin.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("the daemon does not end:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells it to stop and waits for the end, which must be a good one.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.end();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log says this so many times.
    pub fn says(&self, what: &str, times: usize) {
        self.wait(&format!("`{what}` in the log"), || {
            self.log().matches(what).count() >= times
        });
    }

    pub fn status(&self) -> Option<Status> {
        read(&self.path("run/status.json")).ok()
    }

    /// Waits until the status is such.
    pub fn is(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let mut found = None;
        self.wait(what, || {
            found = self.status().filter(|status| is(status));
            found.is_some()
        });
        found.unwrap()
    }

    /// Starts the daemon, and stops it when nothing is left to be done.
    pub fn runs_until_idle(&mut self) {
        self.start();
        self.is_idle();
        self.stop();
    }

    /// Waits until all is measured.
    pub fn is_idle(&self) -> Status {
        self.is("an idle daemon", |status| {
            status.state == State::Idle && status.profile.is_some()
        })
    }

    /// Waits until this is so.
    pub fn wait(&self, what: &str, mut is: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is() {
            assert!(
                begin.elapsed() < PATIENCE,
                "waited in vain for {what}; the status is {:?} and the log\n{}",
                self.status(),
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn profile_path(&self) -> PathBuf {
        let machine = ThisMachine::read();
        let id = machine
            .id()
            .expect("the machine that runs the tests has an id");
        self.path("state/profiles").join(id).join("native.toml")
    }

    pub fn profile(&self) -> Profile {
        load(&self.profile_path()).unwrap()
    }

    /// What the profile says of a workload.
    pub fn entry(&self, name: &str) -> Entry {
        let entry = self.profile().entry(name).cloned();
        entry.unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }

    /// Makes up a count, beyond doubt, for each workload that states none: a busy machine may have left none, and what
    /// states none is measured again.
    pub fn state_counts(&self) {
        let mut profile = self.profile();
        for entry in &mut profile.workloads {
            if entry.latency.is_none() {
                entry.stop = StopReason::Separated;
                entry.p_within = 0.99;
                entry.latency = Some(Latency {
                    threads: ThreadCount::ONE,
                    median_us: 1.0,
                    ci95_us: [0.9, 1.1],
                });
            }
        }
        save(&self.profile_path(), &profile).unwrap();
    }

    pub fn names(&self) -> Vec<String> {
        let names = self.profile().workloads.into_iter().map(|e| e.name);
        names.collect()
    }

    /// Waits for the worker of the daemon, and gives its process.
    pub fn worker(&self) -> u32 {
        let mut found = None;
        self.wait("a worker", || {
            found = children(self.pid()).first().copied();
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits for a worker that holds the data of this workload, tens of megabytes, so that it has greeted; gives its
    /// process.
    pub fn worker_with_data(&self, workload: &str) -> u32 {
        let mut found = None;
        self.wait(&format!("a worker with the data of {workload}"), || {
            let status = self.status();
            let task = status.and_then(|status| status.task);
            let is_at_hand = task.is_some_and(|task| task.workload == workload);
            let worker = children(self.pid()).first().copied();
            found = worker.filter(|pid| is_at_hand && resident_mib(*pid) > 24);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until it has measured something of this workload: before that there is nothing to be put aside.
    pub fn has_begun(&self, workload: &str) {
        self.is(&format!("something measured of {workload}"), |status| {
            let task = status.task.as_ref();
            task.is_some_and(|task| task.workload == workload && task.progress > 0.0)
        });
    }

    /// Waits until it is stuck; gives the reason.
    pub fn is_stuck(&self) -> String {
        let status = self.is("a daemon that is stuck", |status| {
            matches!(status.reason, Some(Reason::Stuck { .. }))
        });
        match status.reason {
            Some(Reason::Stuck { why }) => why,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}

/// The processes whose parent this one is, whichever of its threads started them.
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let words = lists.iter().flat_map(|list| list.split_whitespace());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Memory of a process that is in use, MiB; nothing for one that is gone.
pub fn resident_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) >> 10
}
