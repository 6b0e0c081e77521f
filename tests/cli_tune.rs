//! `threadtune tune` as a process: what it prints and writes, and bad input.
//!
//! What is asserted is what was written and how it ended, never how fast anything was.

mod tuned_home;

use std::fs;
use std::process::Command;
use threadtune::machine::affinity;
use threadtune::profile::{Entry, Residency, StopReason};
use threadtune::worker::kernel::isa::Isa;
use threadtune::workload::KERNEL_REVISION;
use tuned_home::*;

/// Other tests keep the CPUs busy: an entry may state no count, but then that is the reason it gives.
fn counted_unless_contaminated(entry: &Entry) {
    assert_eq!(entry.curve.is_empty(), entry.latency.is_none());
    assert!(
        entry.latency.is_some() || entry.stop == StopReason::Contaminated,
        "{:?}",
        entry.stop
    );
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
        assert!(entry.samples > 0 && entry.first_call_us.is_some());
        counted_unless_contaminated(entry);
    }
}

#[test]
fn a_recording_holds_every_sample_and_can_be_replayed() {
    let home = Home::new();
    let file = home.directory.path().join("samples.csv");
    let output = home.tune(TINY).arg("--record").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let recorded = fs::read_to_string(&file).unwrap();
    assert!(
        recorded.starts_with("workload,threads,seconds,placement,flagged,calls,block,time_s\na,"),
        "{recorded}"
    );
    let samples: u64 = home.profile().workloads.iter().map(|e| e.samples).sum();
    assert_eq!(recorded.lines().count() as u64, 1 + samples);
    let machine = home.directory.path().join("samples.machine.toml");
    let replay = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["replay", "--json", "--machine"])
        .args([&machine, &file])
        .output()
        .unwrap();
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay.stderr));
    let json: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    let names: Vec<_> = json["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| &w["workload"])
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_recording_that_cannot_be_written_is_told_before_measuring() {
    let home = Home::new();
    let output = home
        .tune(TINY)
        .args(["--record", "/nonexistent/r.csv"])
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("cannot write /nonexistent/r.csv"),
        "{stderr}"
    );
    assert!(!home.profile_path().exists());
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
    counted_unless_contaminated(entry);
    if let Some(latency) = &entry.latency {
        assert_eq!((latency.threads.get(), entry.ties.len()), (1, 1));
    }
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
    let output = home.tune(TINY).args(["b", "--seed", "5"]).output().unwrap();
    assert!(output.status.success());
    let after = home.profile();
    assert_eq!(names(&after), ["a", "b"]);
    assert_eq!(after.entry("a"), before.entry("a"));
    // On a busy machine it may have reached no verdict, and says so.
    let kept = text(&output.stderr).contains("the earlier verdict stays");
    assert_eq!(after.entry("b") == before.entry("b"), kept);
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
fn what_other_kernels_said_is_missing_and_measured_again() {
    let home = Home::new();
    let capped = home
        .tune(TINY)
        .args(["--isa", "portable"])
        .output()
        .unwrap();
    assert_eq!(capped.status.code(), Some(0), "{}", text(&capped.stderr));
    let highest = Isa::best(None).level();
    let profile = home.profile();
    assert_eq!(profile.conditions.level.as_deref(), Some(highest.name()));
    for entry in &profile.workloads {
        assert_eq!(entry.kernels, Some(KERNEL_REVISION));
        assert_eq!(entry.isa_cap.as_deref(), Some("portable"));
    }
    assert!(text(&capped.stdout).contains("capped at portable"));
    assert!(
        home.tune(TINY)
            .arg("--missing")
            .output()
            .unwrap()
            .status
            .success()
    );
    let profile = home.profile();
    assert!(
        profile
            .workloads
            .iter()
            .all(|entry| entry.isa_cap.is_none())
    );
    // As if an earlier version had measured them.
    let path = home.profile_path();
    let today = fs::read_to_string(&path).unwrap();
    let kernels = format!("kernels = {KERNEL_REVISION}\n");
    assert_eq!(today.matches(&kernels).count(), 2);
    fs::write(&path, today.replace(&kernels, "")).unwrap();
    let show = Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .args(["show", "--profile"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(text(&show.stdout).contains("? a, b: measured with kernels older than revision"));
    assert!(
        home.tune(TINY)
            .arg("--missing")
            .output()
            .unwrap()
            .status
            .success()
    );
    let again = fs::read_to_string(&path).unwrap();
    assert_eq!(again.matches(&kernels).count(), 2);
}

#[test]
fn a_level_that_is_none_is_wrong_usage() {
    let home = Home::new();
    let output = home.tune(TINY).args(["--isa", "avx"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("`avx` is not an instruction set; expected one of avx512"),
        "{}",
        text(&output.stderr)
    );
    assert!(!home.profile_path().exists());
}

#[test]
fn tiny_data_in_memory_neither_fills_it_nor_takes_long() {
    let home = Home::new();
    let one = "[[workload]]\nname = \"one\"\nshape = \"gemm:1x1x1:f32\"\n";
    let output = home.tune(one).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("one: its data is too small to be kept out of the cache"),
        "{stderr}"
    );
    let profile = home.profile();
    let entry = profile.entry("one").unwrap();
    assert_eq!(entry.residency, Residency::Cache);
    // A call of nothing is mostly the call itself: no kernel is slow for that.
    assert_eq!(entry.share, None);
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
        .env("XDG_CONFIG_HOME", home.directory.path())
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
fn a_broken_configuration_is_wrong_usage_and_nothing_is_measured() {
    let home = Home::new();
    let file = home.directory.path().join("threadtune/threadtune.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[budget]\nreserve = \"all\"\n").unwrap();
    let output = home.tune(TINY).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let place = format!("{}, line 2, key `budget.reserve`", file.display());
    assert!(stderr.contains(&place), "{stderr}");
    assert!(!home.profile_path().exists());
}

#[test]
fn the_configured_reserve_bounds_what_is_measured() {
    let home = Home::new();
    let file = home.directory.path().join("threadtune/threadtune.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[budget]\nreserve = 4096\n").unwrap();
    let output = home.tune(TINY).arg("a").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let profile = home.profile();
    assert_eq!(profile.conditions.budget.limit.get(), 1);
    let counts = profile.workloads[0].curve.iter().map(|p| p.threads.get());
    assert_eq!(counts.max(), Some(1));
    if affinity::current().unwrap().len() > 1 {
        assert_eq!(profile.conditions.budget.by, "reserve");
    }
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
fn who_keeps_the_machine_busy_is_named_before_measuring() {
    let home = Home::new();
    let mut neighbour = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .unwrap();
    computed(neighbour.id(), 20);
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
