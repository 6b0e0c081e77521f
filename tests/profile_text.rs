//! The text of a profile that is wrong: cut off, out of range, damaged. Errors name the line and the key.

mod made_up;

use made_up::{TEXT, edited};
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
    // Only the last newline is dispensable.
    for end in 0..TEXT.len() - 1 {
        let cut = &TEXT[..end];
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
    assert!(parse(Path::new("p.toml"), &TEXT[..TEXT.len() - 1]).is_ok());
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

#[test]
fn values_out_of_range_are_named_with_line_and_key() {
    let cases = [
        ("share = 0.71", "share = nan", "workload[0].share"),
        ("gflops = 83.89", "gflops = -1.0", "workload[0].rate.gflops"),
        ("kernels = 1001", "kernels = -1", "workload[0].kernels"),
        ("level = \"avx2\"", "level = \"\"", "conditions.level"),
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
        ("schema = 1", "schema = 0", "schema"),
        ("entries = 5", "entries = -5", "entries"),
    ];
    for (from, to, key) in cases {
        let text = edited(from, to);
        let (line, found, message) = place(&text);
        assert_eq!(
            (found.as_str(), line),
            (key, line_with(&text, to)),
            "{to}: {message}"
        );
        assert!(!message.is_empty());
    }
}

#[test]
fn a_pinned_verdict_binds_each_of_its_threads_to_a_cpu() {
    for (from, to, key) in [
        ("\"close\"", "\"unbound\"", "placement"),
        ("cpus = \"0-5\"", "cpus = \"0-4,8-7\"", "cpus"),
        ("cpus = \"0-5\"", "cpus = \"1-5\"", "cpus"),
        ("cpus = \"0-5\"", "cpus = \"0-6\"", "cpus"),
        ("cpus = \"0-5\"", "cpus = \"\"", "cpus"),
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
        "p.toml, line 35, key `workload[0].latency.threads`: 0 is not a thread count; expected a whole number from 1 \
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
