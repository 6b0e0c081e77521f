//! `threadtune launch --pin` as a process: which CPUs the program may use, and that it starts whatever is lacking.

mod launch_home;
mod made_up;
mod unbindable;

use launch_home::{Home, fallback, mine, text};
use made_up::TEXT;
use std::process::{Command, Output};
use threadtune::cli::this_machine::ThisMachine;
use threadtune::machine::{CpuOrder, Placement};
use threadtune::units::{CpuSet, ThreadCount};
use unbindable::{can_be_denied, denied};

/// The workload of the made-up profile whose verdict is one thread; here it gets another pinned one.
const WORKLOAD: &str = "gemm-bf16-64";

/// What a program finds out about itself.
const SCRIPT: &str = "echo $OMP_NUM_THREADS; sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status";

/// The CPUs that this test may use, in ascending order, and how many threads at once.
fn allowed() -> (Vec<u32>, usize) {
    let cpus = ThisMachine::read().cpus;
    (
        cpus.allowed.unwrap().iter().collect(),
        cpus.limit.unwrap().as_usize(),
    )
}

/// The first and the last CPU, or a reason why there are no two.
fn two_cpus(test: &str) -> Option<[u32; 2]> {
    let (cpus, limit) = allowed();
    if limit < 2 {
        eprintln!("skipped {test}: needs a budget of two CPUs");
        return None;
    }
    Some([cpus[0], *cpus.last().unwrap()])
}

/// Any list of CPUs as the kernel writes it.
fn list(cpus: &[u32]) -> String {
    cpus.iter().copied().collect::<CpuSet>().to_string()
}

/// The first CPUs of this process's own in the order of a placement.
fn first_of(placement: Placement, threads: usize) -> String {
    let machine = ThisMachine::read();
    let cpus = machine.budget.unwrap().cpus;
    let order = CpuOrder::of(&machine.topology.unwrap(), &cpus);
    list(&order.cpus_for(placement, ThreadCount::clamped(threads)))
}

/// A home whose profile has this pinned verdict, timed at one thread and at two, `close` and `spread`, by a process that
/// had just the CPUs of the verdict: any list is one that `tune` takes then.
fn home(threads: usize, placement: &str, cpus: &str) -> Home {
    let verdict = "pinned = { threads = 1, placement = \"close\", cpus = \"0\", median_us = 3.0";
    let point = "    { threads = 2, placement = \"close\", cpus = \"0-1\", median_us = 5.0, samples = 2, raced = false },\n";
    assert_eq!(
        (TEXT.matches(verdict).count(), TEXT.matches(point).count()),
        (1, 1)
    );
    let spread = point.replace("close", "spread");
    let points = [
        point,
        &spread,
        &spread.replace("threads = 2", "threads = 1"),
    ]
    .concat();
    let new = format!(
        "pinned = {{ threads = {threads}, placement = \"{placement}\", cpus = \"{cpus}\", median_us = 3.0"
    );
    let home = Home::empty();
    let budget = "budget = { cpus = \"0-7\"";
    assert_eq!(TEXT.matches(budget).count(), 1);
    let own = budget.replace("0-7", cpus);
    let text = TEXT
        .replace(verdict, &new)
        .replace(point, &points)
        .replace(budget, &own);
    home.write(&mine(&text));
    home
}

/// The command, with its process on these CPUs only.
fn on(cpus: &str, command: &Command) -> Command {
    let mut masked = Command::new("taskset");
    masked
        .args(["-c", cpus])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    masked
}

fn pin(home: &Home) -> Command {
    let mut command = home.launch();
    command.args(["--pin", "-w", WORKLOAD]);
    command
}

/// Threads and CPUs of a started program, and what stands on stderr.
fn started(command: &mut Command) -> (String, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.args(["--", "sh", "-c", SCRIPT]).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    let (threads, cpus) = text(&stdout).trim().split_once('\n').unwrap();
    (
        threads.to_owned(),
        cpus.to_owned(),
        text(&stderr).to_owned(),
    )
}

fn quietly(threads: usize, cpus: &str) -> (String, String, String) {
    (threads.to_string(), cpus.to_owned(), String::new())
}

/// The CPUs of a program that is started directly.
fn unpinned() -> String {
    let output = Command::new("sh").args(["-c", SCRIPT]).output().unwrap();
    text(&output.stdout).trim().to_owned()
}

fn json(command: &mut Command) -> serde_json::Value {
    let output = command.arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_program_and_its_children_run_on_the_cpus_of_the_verdict() {
    let last = *allowed().0.last().unwrap();
    let home = home(1, "close", &last.to_string());
    assert_eq!(started(&mut pin(&home)), quietly(1, &last.to_string()));
    // Nothing is lacking, so `--strict` starts it as well.
    let strict = started(pin(&home).arg("--strict"));
    assert_eq!(strict, quietly(1, &last.to_string()));
    let nested = format!("( sh -c \"{SCRIPT}\" )").replace('$', "\\$");
    let output = pin(&home)
        .args(["--", "sh", "-c", &nested])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), format!("1\n{last}\n"));
    // Without the option nothing is bound.
    let (_, cpus, _) = started(home.launch().args(["-w", WORKLOAD]));
    assert_eq!(cpus, unpinned());
}

#[test]
fn a_spread_verdict_binds_to_its_own_list() {
    let Some(cpus) = two_cpus("a_spread_verdict_binds_to_its_own_list") else {
        return;
    };
    let home = home(2, "spread", &list(&cpus));
    assert_eq!(started(&mut pin(&home)), quietly(2, &list(&cpus)));
    let (_, _, stderr) = started(pin(&home).arg("-v"));
    let line = format!("pinned to CPUs {} (spread)", list(&cpus));
    assert!(stderr.contains(&line), "{stderr}");
}

#[test]
fn cpus_out_of_reach_are_replaced_by_own_ones() {
    let far = home(1, "spread", "4000");
    let own = first_of(Placement::Spread, 1);
    assert_eq!(started(&mut pin(&far)), quietly(1, &own));
    let plan = json(&mut pin(&far));
    assert_eq!(
        plan["pin"],
        serde_json::json!({"placement": "spread", "cpus": own})
    );
    assert_eq!(plan["reason"], "the verdict on `gemm-bf16-64`");
}

#[test]
fn a_mask_smaller_than_the_list_keeps_the_kind_and_chooses_the_count_again() {
    let Some([first, last]) =
        two_cpus("a_mask_smaller_than_the_list_keeps_the_kind_and_chooses_the_count_again")
    else {
        return;
    };
    for kind in ["close", "spread"] {
        let home = home(2, kind, &list(&[first, last]));
        for own in [first, last] {
            let own = own.to_string();
            assert_eq!(started(&mut on(&own, &pin(&home))), quietly(1, &own));
            let plan = json(&mut on(&own, &pin(&home)));
            assert_eq!(
                plan["pin"],
                serde_json::json!({"placement": kind, "cpus": own})
            );
            assert_eq!(
                plan["reason"],
                "the best of `gemm-bf16-64` inside the CPU budget"
            );
        }
    }
    // As many CPUs as threads, but another one.
    let home = home(1, "close", &last.to_string());
    let own = first.to_string();
    assert_eq!(started(&mut on(&own, &pin(&home))), quietly(1, &own));
}

#[test]
fn fewer_threads_on_the_same_cpus_take_the_faster_kind() {
    let Some(cpus) = two_cpus("fewer_threads_on_the_same_cpus_take_the_faster_kind") else {
        return;
    };
    let home = home(2, "spread", &list(&cpus));
    let limited = || {
        let mut command = pin(&home);
        command.env("SLURM_CPUS_PER_TASK", "1");
        command
    };
    let own = first_of(Placement::Close, 1);
    assert_eq!(started(&mut limited()), quietly(1, &own));
    // One thread took 3 µs close, and 5 spread.
    let pin = serde_json::json!({"placement": "close", "cpus": own});
    assert_eq!(json(&mut limited())["pin"], pin);
}

#[test]
fn without_a_sound_profile_neighbours_are_taken() {
    let empty = Home::empty();
    let broken = Home::with_profile();
    broken.write(&mine(&TEXT[..2000]));
    let threads = fallback().parse().unwrap();
    let own = first_of(Placement::Close, threads);
    assert_eq!(own.parse::<CpuSet>().unwrap().len(), threads);
    // The budget counts, not only the CPUs in it: one of them is taken where one thread is all there may be.
    let one = started(pin(&empty).env("SLURM_CPUS_PER_TASK", "1"));
    assert_eq!(
        (one.0.as_str(), one.1),
        ("1", first_of(Placement::Close, 1))
    );
    for (home, why) in [
        (empty, "no profile of this machine"),
        (broken, "native.toml"),
    ] {
        let (count, cpus, stderr) = started(&mut pin(&home));
        assert_eq!((count, &cpus), (fallback(), &own));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        let strict = pin(&home).args(["--strict", "--", "echo", "x"]).output();
        let strict = strict.unwrap();
        assert_eq!(
            (strict.status.code(), text(&strict.stdout)),
            (Some(125), "")
        );
    }
}

#[test]
fn a_profile_without_bound_timings_pins_close_with_a_warning() {
    let home = Home::empty();
    let without: String = mine(TEXT)
        .lines()
        .filter(|line| !line.starts_with("pinned") && !line.contains("placement = \"close\""))
        .map(|line| line.to_owned() + "\n")
        .collect();
    home.write(&without);
    let (count, cpus, stderr) = started(&mut pin(&home));
    assert_eq!((count.as_str(), cpus), ("1", first_of(Placement::Close, 1)));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("no timing of bound threads"), "{stderr}");
    let strict = pin(&home).args(["--strict", "--", "true"]).status();
    assert_eq!(strict.unwrap().code(), Some(125));
}

#[test]
fn a_users_own_count_gets_as_many_cpus() {
    let last = allowed().0.last().unwrap().to_string();
    let home = home(1, "close", &last);
    let with = |value: &str, options: &[&str]| {
        started(pin(&home).env("OMP_NUM_THREADS", value).args(options))
    };
    // On a machine with one CPU that is all there is.
    let own = first_of(Placement::Close, 2);
    let line = format!(
        "threadtune: warning: kept as set already: OMP_NUM_THREADS=\"2\"; chosen was 1 (`--force` overrides); pinned \
         to CPUs {own} because of 2 threads\n"
    );
    assert_eq!(with("2", &[]), ("2".to_owned(), own.clone(), line.clone()));
    // What the user wants is no lack.
    assert_eq!(with("2", &["--strict"]), ("2".to_owned(), own, line));
    assert_eq!(with("1", &[]), quietly(1, &last));
    assert_eq!(with("2", &["--force"]), quietly(1, &last));
}

#[test]
fn what_binds_threads_inside_the_pinned_cpus_is_said() {
    let last = allowed().0.last().unwrap().to_string();
    let home = home(1, "close", &last);
    let (_, cpus, stderr) = started(pin(&home).env("OMP_PROC_BIND", "close"));
    assert_eq!(cpus, last);
    assert_eq!(
        stderr,
        format!(
            "threadtune: warning: OMP_PROC_BIND may bind threads inside the pinned CPUs {last}\n"
        )
    );
    let (_, _, stderr) = started(
        home.launch()
            .env("OMP_PROC_BIND", "close")
            .args(["-w", WORKLOAD]),
    );
    assert_eq!(stderr, "");
}

#[test]
fn print_gives_variables_only_and_names_the_list_beside_them() {
    let last = allowed().0.last().unwrap().to_string();
    let home = home(1, "close", &last);
    let plain = home
        .launch()
        .args(["-w", WORKLOAD, "--print"])
        .output()
        .unwrap();
    let pinned = pin(&home).arg("--print").output().unwrap();
    assert!(pinned.stdout.starts_with(b"OMP_NUM_THREADS=1\n"));
    assert_eq!(text(&pinned.stdout), text(&plain.stdout));
    assert_eq!(text(&plain.stderr), "");
    assert_eq!(
        text(&pinned.stderr),
        format!(
            "threadtune: warning: the CPUs to pin to are no variable: start the program by `taskset -c {last}`\n"
        )
    );
}

#[test]
fn json_has_the_pin_or_null() {
    let last = allowed().0.last().unwrap().to_string();
    let home = home(1, "close", &last);
    let plan = json(&mut pin(&home));
    assert_eq!(
        plan["pin"],
        serde_json::json!({"placement": "close", "cpus": last})
    );
    let plan = json(home.launch().args(["-w", WORKLOAD]));
    assert_eq!(plan.get("pin"), Some(&serde_json::Value::Null));
    // Options follow each other, the command comes last.
    let output = pin(&home)
        .args(["--json", "--", "app", "{cpus}", "{threads}"])
        .output()
        .unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["command"], serde_json::json!(["app", last, "1"]));
}

#[test]
fn a_system_call_that_fails_leaves_the_program_unpinned() {
    if !can_be_denied("a_system_call_that_fails_leaves_the_program_unpinned") {
        return;
    }
    let last = allowed().0.last().unwrap().to_string();
    let home = home(1, "close", &last);
    let traced = |options: &[&str]| {
        let mut launch = pin(&home);
        launch.args(options).args(["--", "sh", "-c", SCRIPT]);
        denied(&launch).output().unwrap()
    };
    let failure = format!("cannot pin to CPUs {last}: Operation not permitted (os error 1)");
    let output = traced(&[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).trim(), format!("1\n{}", unpinned()));
    assert_eq!(
        text(&output.stderr),
        format!("threadtune: warning: {failure}; the program starts unpinned\n")
    );
    let output = traced(&["--strict"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(125), "")
    );
    assert_eq!(
        text(&output.stderr),
        format!("threadtune: error: {failure}; not started because of --strict\n")
    );
}
