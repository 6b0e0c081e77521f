//! What the daemon costs others: how long from its start until it is ready, how long until it stands back when another
//! process begins to work, and what an idle one takes.
//!
//! `cargo bench --bench daemon [-- SECONDS]`, on a machine that is quiet otherwise. The idle daemon is watched for so many
//! seconds, 60 unless said. Medians over rounds with a daemon each.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 7;

/// So many of them that measuring goes on.
const WORKLOADS: usize = 100;

/// With the shape of each: samples of about a millisecond as of most workloads, and single calls that take long.
const SUBJECTS: [(&str, &str); 2] = [
    ("short samples", "gemm:256x256x256:f32"),
    ("calls of about a second", "gemm:4096x4096x4096:f32"),
];

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|a| a.parse::<u64>().ok())
        .unwrap_or(60);
    let mut ready_ms = Vec::new();
    for (name, shape) in SUBJECTS {
        let mut back_ms = Vec::new();
        for _ in 0..ROUNDS {
            let daemon = Daemon::start(shape, WORKLOADS);
            ready_ms.push(daemon.ready_ms);
            daemon.wait_until("measuring");
            // Under way, and not with preparing.
            thread::sleep(Duration::from_secs(2));
            let begin = Instant::now();
            let mut busy = Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .spawn()
                .expect("a shell can be started");
            daemon.wait_until("waiting");
            back_ms.push(begin.elapsed().as_secs_f64() * 1e3);
            let _ = busy.kill();
            let _ = busy.wait();
        }
        print_line(&format!("stood back after, {name}"), &mut back_ms, "ms");
    }
    print_line("ready after its start", &mut ready_ms, "ms");
    idle(seconds);
}

fn print_line(what: &str, values: &mut [f64], unit: &str) {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    println!(
        "{what:<46}{median:>9.1} {unit} ({:.1} to {:.1}, {} rounds)",
        values[0],
        values[values.len() - 1],
        values.len()
    );
}

/// What a daemon takes that has nothing to do.
fn idle(seconds: u64) {
    let daemon = Daemon::start("gemm:8x8x8:f32", 3);
    daemon.wait_until("measuring");
    daemon.wait_until("idle");
    thread::sleep(Duration::from_secs(1));
    let pid = daemon.child.id();
    let (switches, ticks) = (switches(pid), ticks(pid));
    thread::sleep(Duration::from_secs(seconds));
    let more = self::switches(pid) - switches;
    println!(
        "idle for {seconds} s: RSS {} kB, PSS {} kB, {more} context switches ({:.2} a second), {} clock ticks of CPU time",
        field(pid, "smaps_rollup", "Rss:"),
        field(pid, "smaps_rollup", "Pss:"),
        more as f64 / seconds as f64,
        self::ticks(pid) - ticks
    );
}

struct Daemon {
    directory: tempfile::TempDir,
    child: Child,
    ready_ms: f64,
}

impl Daemon {
    /// Starts one that measures after a quiet second, and waits until it says that it is ready.
    fn start(shape: &str, workloads: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = |name: &str| directory.path().join(name);
        let write = |name: &str, text: &str| {
            fs::write(path(name), text).expect("a temporary file can be written");
        };
        let workload = |i| {
            format!("[[workload]]\nname = \"w{i}\"\nshape = \"{shape}\"\nresidency = \"cache\"\n")
        };
        write(
            "catalogue.toml",
            &(0..workloads).map(workload).collect::<String>(),
        );
        write(
            "threadtune.toml",
            &format!(
                "[daemon]\nquiet = \"1s\"\nidle_pressure_percent = 100\nworkload_budget = \"1d\"\ncatalogue = \"{}\"\n",
                path("catalogue.toml").display()
            ),
        );
        let socket = UnixDatagram::bind(path("notify")).expect("a socket can be made");
        let begin = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_threadtune"))
            .arg("--quiet")
            .arg("daemon")
            .arg("--configuration")
            .arg(path("threadtune.toml"))
            .arg("--state")
            .arg(path("state"))
            .arg("--runtime")
            .arg(path("run"))
            .env("NOTIFY_SOCKET", path("notify"))
            .stderr(Stdio::null())
            .spawn()
            .expect("the daemon can be started");
        let mut message = [0; 4096];
        loop {
            let length = socket.recv(&mut message).expect("the daemon speaks");
            if message[..length].starts_with(b"READY=1") {
                break;
            }
        }
        Self {
            ready_ms: begin.elapsed().as_secs_f64() * 1e3,
            directory,
            child,
        }
    }

    /// Waits until the status file tells this state.
    fn wait_until(&self, state: &str) {
        let told = format!("\"state\": \"{state}\"");
        let file = self.directory.path().join("run/status.json");
        while !fs::read_to_string(&file).is_ok_and(|text| text.contains(&told)) {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of a file below `/proc/PID`.
fn field(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn switches(pid: u32) -> u64 {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
        .iter()
        .map(|name| field(pid, "status", name))
        .sum()
}

/// User and system time, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
