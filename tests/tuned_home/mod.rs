//! A home directory for a `tune` that runs for real, and ways to disturb it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use rustix::process::{Pid, Signal};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use threadtune::cli::this_machine::ThisMachine;
use threadtune::machine::affinity;
use threadtune::profile::{Profile, load};

pub const TINY: &str = "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\nresidency = \"cache\"\n\
                    [[workload]]\nname = \"b\"\nshape = \"triad:1000:f32\"\nresidency = \"cache\"\n";

/// The first workload keeps its worker busy for seconds; the second is done at once.
pub const LONG_THEN_TINY: &str = "[[workload]]\nname = \"long\"\nshape = \"gemm:8192x4096x8192:f32\"\nresidency = \"cache\"\n\
                              [[workload]]\nname = \"tiny\"\nshape = \"gemm:8x8x8:f32\"\nresidency = \"cache\"\n";

/// Whoever measures at the moment: tunings side by side disturb each other until nothing can be stated.
static TURN: Mutex<()> = Mutex::new(());

/// As long as it lives no other test of this binary has one.
pub struct Home {
    pub directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Home {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub fn catalog(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("catalog.toml");
        fs::write(&path, text).unwrap();
        path
    }

    pub fn profile_path(&self) -> PathBuf {
        let machine = ThisMachine::read();
        let id = machine
            .id()
            .expect("the machine that runs the tests has an id");
        self.directory
            .path()
            .join("threadtune/profiles")
            .join(id)
            .join("native.toml")
    }

    pub fn profile(&self) -> Profile {
        load(&self.profile_path()).unwrap()
    }

    /// `tune` with a short budget: on a busy machine it must end, undecided or not.
    pub fn tune(&self, catalog: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command
            .env("XDG_STATE_HOME", self.directory.path())
            .env("XDG_CONFIG_HOME", self.directory.path())
            .args(["tune", "--workload-budget", "2"])
            .arg("--turns")
            .arg(self.directory.path())
            .arg("--catalog")
            .arg(self.catalog(catalog));
        command
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn names(profile: &Profile) -> Vec<&str> {
    profile.workloads.iter().map(|e| e.name.as_str()).collect()
}

/// Runs the command on the last CPU alone.
pub fn on_one_cpu(mut command: Command) -> Output {
    // A child inherits the mask of the thread that starts it.
    let alone = thread::spawn(move || {
        let cpus = affinity::current().unwrap();
        affinity::set_current(&cpus.iter().last().into_iter().collect()).unwrap();
        command.output().unwrap()
    });
    alone.join().unwrap()
}

/// Fails the test if the process does not end in time.
pub fn end_of(child: Child) -> Output {
    let id = child.id();
    let watchdog = thread::spawn(move || child.wait_with_output());
    let begin = Instant::now();
    while !watchdog.is_finished() {
        if begin.elapsed() > Duration::from_mins(2) {
            signal(id, Signal::KILL);
            panic!("process {id} did not end within two minutes");
        }
        thread::sleep(Duration::from_millis(10));
    }
    watchdog.join().unwrap().unwrap()
}

pub fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Clock ticks that a process has computed so far; they are a hundred a second.
pub fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let user = fields
        .split_whitespace()
        .nth(11)
        .and_then(|field| field.parse().ok());
    user.unwrap_or(0)
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "{what}: not within a minute"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a process has computed for so many ticks.
pub fn computed(process: u32, least: u64) {
    wait_for("a process computes", || {
        (ticks(process) >= least).then_some(())
    });
}

/// Waits until the profile holds a first workload; how long that takes depends on who else is busy.
pub fn has_saved(home: &Home) {
    wait_for("a workload is saved", || {
        home.profile_path().exists().then_some(())
    });
}

/// The worker of a running `tune`.
pub fn worker_of(tune: &Child) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", tune.id());
    wait_for("a worker starts", || {
        fs::read_to_string(&children)
            .ok()?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

/// That worker after a second of computing: operands are filled and calls are under way.
pub fn busy_worker(tune: &Child) -> u32 {
    let worker = worker_of(tune);
    computed(worker, ticks(worker) + 100);
    worker
}

pub fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
