//! `threadtune tune` as a process: real workers on tiny workloads, real signals, bad input.
//!
//! What is asserted is what was written and how it ended, never how fast anything was.

use rustix::process::{Pid, Signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use threadtune::cli::this_machine::ThisMachine;
use threadtune::machine::affinity;
use threadtune::profile::{Profile, StopReason, load};

const TINY: &str = "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\nresidency = \"cache\"\n\
                    [[workload]]\nname = \"b\"\nshape = \"triad:1000:f32\"\nresidency = \"cache\"\n";

/// The first workload keeps its worker busy for seconds; the second is done at once.
const LONG_THEN_TINY: &str = "[[workload]]\nname = \"long\"\nshape = \"gemm:4096x4096x8192:f32\"\nresidency = \"cache\"\n\
                              [[workload]]\nname = \"tiny\"\nshape = \"gemm:8x8x8:f32\"\nresidency = \"cache\"\n";

struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn catalog(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("catalog.toml");
        fs::write(&path, text).unwrap();
        path
    }

    fn profile_path(&self) -> PathBuf {
        let id = ThisMachine::read()
            .id
            .expect("the machine that runs the tests has an id");
        self.directory
            .path()
            .join("threadtune/profiles")
            .join(id)
            .join("native.toml")
    }

    fn profile(&self) -> Profile {
        load(&self.profile_path()).unwrap()
    }

    /// `tune` with a short budget: on a busy machine it must end, undecided or not.
    fn tune(&self, catalog: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_threadtune"));
        command.env("XDG_STATE_HOME", self.directory.path()).args([
            "tune",
            "--workload-budget",
            "2",
            "--catalog",
        ]);
        command.arg(self.catalog(catalog));
        command
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn names(profile: &Profile) -> Vec<&str> {
    profile.workloads.iter().map(|e| e.name.as_str()).collect()
}

/// Runs the command on the last CPU alone.
fn on_one_cpu(mut command: Command) -> Output {
    // A child inherits the mask of the thread that starts it.
    let alone = thread::spawn(move || {
        let cpus = affinity::current().unwrap();
        affinity::set_current(&cpus.iter().last().into_iter().collect()).unwrap();
        command.output().unwrap()
    });
    alone.join().unwrap()
}

/// Fails the test if the process does not end in time.
fn end_of(child: Child) -> Output {
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

fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The worker of a running `tune`, once it has begun to compute.
fn busy_worker(tune: &Child) -> u32 {
    let begin = Instant::now();
    loop {
        assert!(
            begin.elapsed() < Duration::from_mins(1),
            "no worker began to work"
        );
        thread::sleep(Duration::from_millis(20));
        let children = format!("/proc/{0}/task/{0}/children", tune.id());
        let Ok(list) = fs::read_to_string(children) else {
            continue;
        };
        let Some(worker) = list
            .split_whitespace()
            .next()
            .and_then(|id| id.parse().ok())
        else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        let ticks = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(11)?.parse().ok());
        // a second of user time: operands are filled and calls are under way, or soon will be
        if ticks.unwrap_or(0u64) > 100 {
            return worker;
        }
    }
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_tuning_prints_a_table_and_writes_a_profile() {
    let home = Home::new();
    let output = home.tune(TINY).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.starts_with("workload"), "{stdout}");
    assert!(
        stdout.ends_with(&format!("\nProfile: {}\n", home.profile_path().display())),
        "{stdout}"
    );
    let lines: Vec<&str> = stderr.lines().filter(|l| l.contains("] ")).collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("threadtune: [1/2] a: ")
            && lines[1].starts_with("threadtune: [2/2] b: "),
        "{stderr}"
    );
    let profile = home.profile();
    assert_eq!(names(&profile), ["a", "b"]);
    assert_eq!(profile.entries, 2);
    for entry in &profile.workloads {
        assert!(
            !matches!(entry.stop, StopReason::Failed(_)),
            "{:?}",
            entry.stop
        );
        assert!(entry.samples > 0 && !entry.curve.is_empty() && entry.first_call_us.is_some());
    }
}

#[test]
fn one_cpu_leaves_a_single_count() {
    let home = Home::new();
    let mut tune = home.tune(TINY);
    tune.arg("a");
    let output = on_one_cpu(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(
        (
            profile.conditions.budget.limit.get(),
            profile.conditions.budget.by.as_str()
        ),
        (1, "affinity")
    );
    let entry = profile.entry("a").unwrap();
    assert_eq!(entry.ties.len(), 1);
    assert_eq!(entry.latency.as_ref().unwrap().threads.get(), 1);
    assert!(
        matches!(
            entry.stop,
            StopReason::Single | StopReason::Contaminated | StopReason::Budget
        ),
        "{:?}",
        entry.stop
    );
    assert!(entry.curve.iter().all(|point| point.threads.get() == 1));
}

#[test]
fn what_the_caller_inherited_does_not_reach_the_worker() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .arg("a")
        .env("OMP_THREAD_LIMIT", "1")
        .env("OMP_DYNAMIC", "true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!matches!(
        home.profile().workloads[0].stop,
        StopReason::Failed(_)
    ));
}

#[test]
fn a_rayon_team_is_recorded_as_such() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .args(["a", "--team", "rayon"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(home.profile().conditions.team, "rayon");
}

#[test]
fn named_workloads_replace_their_entries_and_nothing_else() {
    let home = Home::new();
    assert!(home.tune(TINY).output().unwrap().status.success());
    let path = home.profile_path();
    let marked = fs::read_to_string(&path)
        .unwrap()
        .replace("[machine]\n", "[machine]\nnote = \"kept\"\n");
    fs::write(&path, marked).unwrap();
    let before = home.profile();
    assert!(
        home.tune(TINY)
            .args(["b", "--seed", "5"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let after = home.profile();
    assert_eq!(names(&after), ["a", "b"]);
    assert_eq!(after.entry("a"), before.entry("a"));
    assert_ne!(after.entry("b"), before.entry("b"));
    assert!(after.spent_s > before.spent_s);
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("note = \"kept\"\n")
    );
}

#[test]
fn missing_takes_only_what_the_profile_lacks() {
    let home = Home::new();
    assert!(home.tune(TINY).arg("a").output().unwrap().status.success());
    // the shape of `a` changes: its entry counts as missing, too
    let changed = TINY.replace("8x8x8", "8x8x9");
    let output = home.tune(&changed).arg("--missing").output().unwrap();
    assert!(output.status.success());
    let profile = home.profile();
    assert_eq!(names(&profile), ["a", "b"]);
    assert_eq!(profile.entry("a").unwrap().shape, "gemm:8x8x9:f32");
    if profile
        .workloads
        .iter()
        .all(|entry| entry.latency.is_some())
    {
        let before = fs::read_to_string(home.profile_path()).unwrap();
        let output = home.tune(&changed).arg("--missing").output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            (
                text(&output.stdout),
                fs::read_to_string(home.profile_path()).unwrap()
            ),
            (
                format!("{} lacks nothing\n", home.profile_path().display()),
                before
            )
        );
    }
}

#[test]
fn unknown_workloads_and_bad_catalogues_are_wrong_usage() {
    let home = Home::new();
    let entry = "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8x8:f32\"\n";
    for (catalog, argument, says) in [
        (TINY, "c", "unknown workload `c`"),
        (
            &*format!("{entry}{entry}"),
            "a",
            "line 4: the name `a` stands twice",
        ),
        (
            "[[workload]]\nname = \"a\"\nshape = \"gemm:8x8:f32\"\n",
            "a",
            "gemm is written gemm:MxNxK:TYPE",
        ),
        ("nonsense", "a", "catalog.toml"),
        ("", "a", "no [[workload]]"),
    ] {
        let output = home.tune(catalog).arg(argument).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["tune", "matmul-265"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("`matmul-256`"),
        "{}",
        text(&output.stderr)
    );
    let output = home
        .tune(TINY)
        .args(["--catalog", "/nowhere/catalog.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_directory_that_cannot_be_written_is_told_before_measuring() {
    let home = Home::new();
    let file = home.directory.path().join("file");
    fs::write(&file, "").unwrap();
    let output = home
        .tune(TINY)
        .env("XDG_STATE_HOME", &file)
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("nothing is measured") && stderr.contains(&*file.to_string_lossy()),
        "{stderr}"
    );
    assert!(
        !stderr.contains("[1/2]") && output.stdout.is_empty(),
        "{stderr}"
    );
}

#[test]
fn a_broken_profile_makes_way_and_a_newer_one_stays() {
    let home = Home::new();
    let path = home.profile_path();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "schema = 1\nentries = 3\n").unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a"]);
    assert_eq!(
        fs::read_to_string(path.with_extension("toml.broken")).unwrap(),
        "schema = 1\nentries = 3\n"
    );

    let newer = fs::read_to_string(&path)
        .unwrap()
        .replace("schema = 1", "schema = 2");
    fs::write(&path, &newer).unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
}

#[test]
fn a_killed_worker_costs_its_workload_alone() {
    let home = Home::new();
    let tune = spawn(&mut home.tune(LONG_THEN_TINY));
    signal(busy_worker(&tune), Signal::KILL);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(names(&profile), ["long", "tiny"]);
    let StopReason::Failed(reason) = &profile.workloads[0].stop else {
        panic!("{:?}", profile.workloads[0].stop);
    };
    assert!(
        reason.contains("was ended by signal 9 (SIGKILL)"),
        "{reason}"
    );
    assert_eq!(profile.workloads[0].latency, None);
    assert!(!matches!(profile.workloads[1].stop, StopReason::Failed(_)));
}

#[test]
fn a_worker_that_hangs_is_ended_at_the_deadline() {
    let home = Home::new();
    let tune = spawn(home.tune(LONG_THEN_TINY).args(["--deadline", "20", "long"]));
    let worker = busy_worker(&tune);
    signal(worker, Signal::STOP);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let stop = home.profile().workloads[0].stop.to_string();
    assert!(
        stop.contains("did not answer within") && stop.contains("and was ended"),
        "{stop}"
    );
    assert!(
        !Path::new(&format!("/proc/{worker}")).exists(),
        "the worker is still there"
    );
}

#[test]
fn a_signal_to_stop_keeps_what_is_finished() {
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = Home::new();
        // the tiny one first
        let (long, tiny) = LONG_THEN_TINY.split_at(LONG_THEN_TINY.rfind("[[").unwrap());
        let tune = spawn(&mut home.tune(&format!("{tiny}{long}")));
        let worker = busy_worker(&tune);
        signal(tune.id(), number);
        let output = end_of(tune);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(names(&home.profile()), ["tiny"]);
        assert!(text(&output.stdout).contains("tiny"));
        assert!(
            text(&output.stderr).contains("1 of 2 workloads"),
            "{}",
            text(&output.stderr)
        );
        assert!(
            !Path::new(&format!("/proc/{worker}")).exists(),
            "the worker is still there"
        );
    }
}

#[test]
fn what_was_ignored_from_the_start_stays_ignored() {
    let home = Home::new();
    let tune = home.tune(TINY);
    let mut nohup = Command::new("sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(tune.get_program())
        .args(tune.get_args());
    let tune = spawn(nohup.env("XDG_STATE_HOME", home.directory.path()));
    // the shell has become threadtune: from here on, whenever the signal arrives, it changes nothing
    let comm = format!("/proc/{}/comm", tune.id());
    while fs::read_to_string(&comm).is_ok_and(|name| name.trim() == "sh") {
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..20 {
        let _ = Pid::from_raw(tune.id().cast_signed())
            .map(|pid| rustix::process::kill_process(pid, Signal::HUP));
        thread::sleep(Duration::from_millis(5));
    }
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a", "b"]);
}

#[test]
fn who_keeps_the_machine_busy_is_named_before_measuring() {
    let home = Home::new();
    let mut neighbour = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let stderr = text(&output.stderr);
    let warning = stderr.lines().next().unwrap();
    assert!(
        warning.contains("other processes use") && warning.contains(" CPUs: "),
        "{stderr}"
    );
}

#[test]
fn a_second_ctrl_c_exits_at_once() {
    let home = Home::new();
    let tune = spawn(
        home.tune(LONG_THEN_TINY)
            .args(["--deadline", "86400", "long"]),
    );
    let worker = busy_worker(&tune);
    // the sample never ends
    signal(worker, Signal::STOP);
    signal(tune.id(), Signal::INT);
    thread::sleep(Duration::from_millis(100));
    signal(tune.id(), Signal::INT);
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn a_closed_or_broken_stdout_is_no_failure_of_the_tuning() {
    let home = Home::new();
    let mut closed = Command::new("sh");
    let tune = home.tune(TINY);
    closed
        .args(["-c", "exec \"$@\" >&-", "sh"])
        .arg(tune.get_program())
        .args(tune.get_args())
        .arg("a");
    closed.env("XDG_STATE_HOME", home.directory.path());
    let output = end_of(spawn(&mut closed));
    assert!(
        !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(names(&home.profile()), ["a"]);

    let mut tune = spawn(home.tune(TINY).arg("b"));
    drop(tune.stdout.take());
    let output = end_of(tune);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(&home.profile()), ["a", "b"]);
}
