//! The text of a profile that is wrong: cut off, out of range, damaged. Errors name the line and the key.

mod made_up;

use made_up::{REGIONS, TEXT, edited, with_regions};
use std::fs;
use std::path::Path;
use threadtune::document::Fault;
use threadtune::profile::{StoreError, load, parse};

fn error(text: &str) -> StoreError {
    parse(Path::new("p.toml"), text).unwrap_err()
}

/// File, line and key of an error about one value.
fn place(text: &str) -> (usize, String, String) {
    match error(text) {
        StoreError::File(Fault::Malformed {
            line, key, message, ..
        }) => (line, key.unwrap_or_default(), message),
        other => panic!("unexpected error: {other}"),
    }
}

fn line_with(text: &str, part: &str) -> usize {
    1 + text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(part))
        .last()
        .unwrap()
        .0
}

#[test]
fn a_profile_cut_off_at_any_byte_is_an_error_with_a_place() {
    cut_off_at_any_byte(TEXT);
    cut_off_at_any_byte(&with_regions());
}

fn cut_off_at_any_byte(text: &str) {
    // Only the last newline is dispensable.
    for end in 0..text.len() - 1 {
        let cut = &text[..end];
        match error(cut) {
            StoreError::File(Fault::Malformed { line, .. }) => {
                assert!(
                    line >= 1 && line <= 1 + cut.lines().count(),
                    "{end}: line {line}"
                );
            }
            StoreError::MissingEntries {
                found, promised, ..
            } => {
                assert_eq!((found, promised), (cut.matches("[[workload]]").count(), 5));
            }
            other => panic!("{end}: {other}"),
        }
    }
    assert!(parse(Path::new("p.toml"), &text[..text.len() - 1]).is_ok());
}

#[test]
fn a_profile_cut_between_entries_says_how_many_are_missing() {
    let end = TEXT.find("\n[[workload]]\nname = \"softmax").unwrap();
    let cut = &TEXT[..end];
    let text = error(cut).to_string();
    let line = cut.lines().count();
    assert_eq!(
        text,
        format!(
            "p.toml ends at line {line} with 2 of 5 entries missing; run `threadtune tune --missing`"
        )
    );
    let surplus = edited("entries = 5", "entries = 4");
    assert_eq!(place(&surplus).1, "entries");
}

/// Each edit is an error at its line and at this key.
fn are_named(cases: &[(&str, &str, &str)]) {
    for (from, to, key) in cases {
        let text = edited(from, to);
        let (line, found, message) = place(&text);
        assert_eq!(
            (found.as_str(), line),
            (*key, line_with(&text, to.lines().last().unwrap())),
            "{to}: {message}"
        );
        assert!(!message.is_empty());
    }
}

#[test]
fn values_out_of_range_are_named_with_line_and_key() {
    let cases = [
        ("share = 0.71", "share = nan", "workload[0].share"),
        ("gflops = 83.89", "gflops = -1.0", "workload[0].rate.gflops"),
        ("kernels = 1001", "kernels = -1", "workload[0].kernels"),
        ("level = \"avx2\"", "level = \"\"", "conditions[0].level"),
        (
            "threads = 6, median_us = 101.0",
            "threads = 0, median_us = 101.0",
            "workload[0].latency.threads",
        ),
        (
            "threads = 6, median_us = 101.0",
            "threads = -3, median_us = 101.0",
            "workload[0].latency.threads",
        ),
        (
            "threads = 6, median_us = 101.0",
            "threads = 4097, median_us = 101.0",
            "workload[0].latency.threads",
        ),
        (
            "threads = 6, median_us = 101.0",
            "threads = 9223372036854775807, median_us = 101.0",
            "workload[0].latency.threads",
        ),
        (
            "threads = 6, median_us = 101.0",
            "threads = 6.5, median_us = 101.0",
            "workload[0].latency.threads",
        ),
        (
            "median_us = 530.0",
            "median_us = 0.0",
            "workload[1].efficient.median_us",
        ),
        (
            "median_us = 600.0",
            "median_us = nan",
            "workload[1].curve[5].median_us",
        ),
        (
            "median_us = 700.0",
            "median_us = -1",
            "workload[1].curve[6].median_us",
        ),
        (
            "median_us = 900.0, speedup",
            "median_us = inf, speedup",
            "workload[1].default.median_us",
        ),
        (
            "ci95_us = [499.95, 510.05]",
            "ci95_us = [510.05, 499.95]",
            "workload[1].latency.ci95_us",
        ),
        (
            "ci95_us = [499.95, 510.05]",
            "ci95_us = [499.95]",
            "workload[1].latency.ci95_us",
        ),
        ("p_within = 0.96", "p_within = 1.5", "workload[1].p_within"),
        ("p_within = 0.96", "p_within = nan", "workload[1].p_within"),
        ("seconds = 60.0", "seconds = -1.0", "workload[2].seconds"),
        ("stop = \"eps\"", "stop = \"whim\"", "workload[1].stop"),
        (
            "placement = \"close\"",
            "placement = \"cosy\"",
            "workload[0].pinned.placement",
        ),
        ("ties = [3, 4]", "ties = [3, 0]", "workload[1].ties"),
        (
            "name = \"gemv-2048x2048\"",
            "name = \"matmul-256\"",
            "workload[1].name",
        ),
        (
            "name = \"gemv-2048x2048\"",
            "name = \"a\\u001bb\"",
            "workload[1].name",
        ),
        ("id = \"made-up", "id = \"../made-up", "machine.id"),
        ("cpus = \"0-7\"", "cpus = \"0-9999\"", "machine.cpus"),
        ("spent_s = 41.2", "spent_s = -41.2", "spent_s"),
        ("schema = 2", "schema = 0", "schema"),
        ("entries = 5", "entries = -5", "entries"),
    ];
    are_named(&cases);
}

#[test]
fn conditions_are_numbered_once_and_every_entry_names_some() {
    are_named(&[
        ("id = 1\n", "id = 0\n", "conditions[0].id"),
        (
            "level = \"avx2\"\n",
            "level = \"avx2\"\n\n[[conditions]]\nkernel = \"6\"\ngovernor = \"g\"\nbackend = \"b\"\nteam = \"t\"\n\
             budget = { cpus = \"0\", limit = 1, by = \"affinity\" }\nid = 1",
            "conditions[1].id",
        ),
        (
            "conditions = 1\nshape = \"gemv:2048x2048:f32\"",
            "shape = \"gemv:2048x2048:f32\"\nconditions = 3",
            "workload[1].conditions",
        ),
        (
            "limit = 8, by",
            "cores = 0, limit = 8, by",
            "conditions[0].budget.cores",
        ),
        (
            "measured = 2026-11-22T09:59:00Z",
            "measured = \"yesterday\"",
            "workload[0].measured",
        ),
    ]);
}

#[test]
fn what_load_and_quotas_leave_in_an_entry_is_in_range() {
    are_named(&[
        (
            "ties = [6]",
            "ties = [6]\nsustained_s = 0.0",
            "workload[0].sustained_s",
        ),
        (
            "ties = [6]",
            "ties = [6]\nabove_quota = { quota = 2.0, threads = 3, median_us = 1.0, ci95_us = [1.0, 1.0], speedup = 1.1 }",
            "workload[0].above_quota.quota",
        ),
        (
            "ties = [6]",
            "ties = [6]\nabove_quota = { quota = nan, threads = 3, median_us = 1.0, ci95_us = [1.0, 1.0], speedup = 1.1 }",
            "workload[0].above_quota.quota",
        ),
        (
            "ties = [6]",
            "ties = [6]\nabove_quota = { quota = 2.5, threads = 3, median_us = 1.0, ci95_us = [1.0, 1.0], speedup = 0.0 }",
            "workload[0].above_quota.speedup",
        ),
    ]);
}

#[test]
fn a_pinned_verdict_binds_each_of_its_threads_to_a_cpu() {
    for (from, to, key) in [
        ("\"close\"", "\"unbound\"", "placement"),
        ("cpus = \"0-5\"", "cpus = \"0-4,8-7\"", "cpus"),
        ("cpus = \"0-5\"", "cpus = \"1-5\"", "cpus"),
        ("cpus = \"0-5\"", "cpus = \"0-6\"", "cpus"),
    ] {
        let (line, found, message) = place(&edited(from, to));
        assert_eq!(
            found,
            format!("workload[0].pinned.{key}"),
            "{to}: {message}"
        );
        assert_eq!(line, line_with(TEXT, "pinned = { threads = 6"), "{to}");
        assert!(!message.is_empty());
    }
    // No list at all is one that was left out, as its CPUs have other numbers now.
    let left_out = edited("cpus = \"0-5\", ", "");
    let profile = parse(Path::new("p"), &left_out).unwrap();
    assert!(
        profile.workloads[0]
            .pinned
            .as_ref()
            .unwrap()
            .cpus
            .is_empty()
    );
}

#[test]
fn the_name_of_a_backend_is_plain_text() {
    let (_, found, _) = place(&TEXT.replacen(
        "name = \"matmul-256\"\nbackend = \"native\"",
        "name = \"matmul-256\"\nbackend = \"\\u001b]0;x\"",
        1,
    ));
    assert_eq!(found, "workload[0].backend");
}

#[test]
fn regions_out_of_range_are_named_with_line_key_and_what_was_expected() {
    let second = "after_us = { 0 = 0.9, 1000 = 4.0, 10000 = 55.0 }";
    let time = "expected more than 0 and at most 60000000 microseconds";
    let cases = [
        (
            second,
            "after_us = { 0 = -0.9 }",
            "region[1].after_us",
            &*format!("-0.9 hot: {time}"),
        ),
        (
            second,
            "after_us = { 0 = 0.9, 1000 = 0.0 }",
            "region[1].after_us",
            &format!("0 after 1 ms: {time}"),
        ),
        (
            second,
            "after_us = { 10000 = nan }",
            "region[1].after_us",
            &format!("NaN after 10 ms: {time}"),
        ),
        (
            second,
            "after_us = { 10000 = inf }",
            "region[1].after_us",
            &format!("inf after 10 ms: {time}"),
        ),
        (
            second,
            "after_us = { 500 = 60000000.5 }",
            "region[1].after_us",
            &format!("60000000.5 after 500 µs: {time}"),
        ),
        (
            second,
            "after_us = {}",
            "region[1].after_us",
            "expected the time after one pause at least, as in `{ 0 = 1.5 }`",
        ),
        (
            second,
            "after_us = { soon = 1.0 }",
            "region[1].after_us",
            "`soon` is not a pause; expected whole microseconds from 0 to 1000000",
        ),
        (
            second,
            "after_us = { 0 = 1.0, 1000001 = 1.0 }",
            "region[1].after_us",
            "`1000001` is not a pause; expected whole microseconds from 0 to 1000000",
        ),
        (
            "threads = 2\nafter_us",
            "threads = 1\nafter_us",
            "region[1].threads",
            "1 follows 1; expected ascending counts, each once",
        ),
        (
            "threads = 8\nafter_us",
            "threads = 2\nafter_us",
            "region[2].threads",
            "2 follows 2; expected ascending counts, each once",
        ),
        (
            "threads = 8\nafter_us",
            "threads = 9\nafter_us",
            "region[2].threads",
            "9 is more than the CPU budget of these regions, 8",
        ),
        (
            "threads = 8\nafter_us",
            "threads = 0\nafter_us",
            "region[2].threads",
            "0 is not a thread count; expected a whole number from 1 to 4096",
        ),
        (
            "team = \"libgomp 4.5\"\nlibrary",
            "team = \"\"\nlibrary",
            "region_conditions.team",
            "expected 1 to 200 bytes without control characters",
        ),
        (
            "library = \"libgomp.so.1.0.0 5f3a9c01\"",
            "library = \"a\\u001b\"",
            "region_conditions.library",
            "expected 1 to 200 bytes without control characters",
        ),
    ];
    let whole = with_regions();
    for (from, to, key, message) in cases {
        assert_eq!(whole.matches(from).count(), 1, "{from}");
        let at = whole.find(from).unwrap() + to.find(key.rsplit('.').next().unwrap()).unwrap();
        let line = 1 + whole[..at].matches('\n').count();
        let found = place(&whole.replacen(from, to, 1));
        assert_eq!(found, (line, key.to_owned(), message.to_owned()), "{to}");
    }
}

#[test]
fn regions_and_their_conditions_come_together() {
    let (conditions, regions) = REGIONS.split_at(REGIONS.find("[[region]]").unwrap());
    let with = |text: &str| edited("[[workload]]", &format!("{text}[[workload]]"));
    let (_, key, message) = place(&with(regions));
    assert_eq!(key, "region");
    assert_eq!(
        message,
        "`[region_conditions]` is missing, which says under what these were measured"
    );
    let alone = with(conditions);
    let (line, key, message) = place(&alone);
    assert_eq!(key, "region_conditions");
    assert_eq!(line, line_with(&alone, "[region_conditions]"));
    assert_eq!(
        message,
        "no `[[region]]` follows that was measured under these"
    );
}

#[test]
fn names_cut_short_are_an_array_of_names() {
    for (value, key) in [
        ("\"matmul-256\"", "cut_short"),
        ("[\"matmul-256\", 7]", "cut_short[1]"),
        ("[\"a\\u001bb\"]", "cut_short[0]"),
        ("[\"a\", \"\"]", "cut_short[1]"),
    ] {
        let line = format!("cut_short = {value}");
        let text = edited("entries = 5", &format!("entries = 5\n{line}"));
        let (at, found, message) = place(&text);
        assert_eq!((found.as_str(), at), (key, line_with(&text, &line)));
        assert!(!message.is_empty());
    }
}

#[test]
fn an_error_reads_as_a_sentence_with_advice() {
    let text = edited(
        "threads = 6, median_us = 101.0",
        "threads = 0, median_us = 101.0",
    );
    assert_eq!(
        error(&text).to_string(),
        "p.toml, line 39, key `workload[0].latency.threads`: 0 is not a thread count; expected a whole number from 1 \
         to 4096; correct it, or remove the file and run `threadtune tune`"
    );
}

#[test]
fn damaged_bytes_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("native.toml");
    // Every 7th byte, one of eight replacements in turn.
    for (turn, at) in (0..TEXT.len()).step_by(7).enumerate() {
        let mut bytes = TEXT.as_bytes().to_vec();
        bytes[at] = [0, b'"', b'[', b'}', b'-', b'\n', 0xff, b'9'][turn % 8];
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = load(&path) {
            assert!(error.to_string().contains("native.toml"), "{at}: {error}");
        }
    }
    for deep in [
        "[".repeat(100_000),
        "a=[".repeat(100_000),
        "a={b=".repeat(100_000),
        format!("1\n{}a = 1", "a.".repeat(100_000)),
        format!("1\n[{}a]", "a.".repeat(100_000)),
    ] {
        let text = format!("schema = 1\nx = {deep}");
        assert!(matches!(
            error(&text),
            StoreError::File(Fault::Malformed { .. })
        ));
    }
}
