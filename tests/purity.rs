//! The pure folders touch no file, environment, thread, process or clock.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files (under `src`) that are pure; those that do not exist yet are passed over.
const PURE: [&str; 11] = [
    "stats",
    "tune",
    "workload",
    "environment",
    "configuration/hours.rs",
    "daemon/schedule.rs",
    "daemon/schedule",
    "daemon/settings.rs",
    "launch/plan.rs",
    "launch/pin.rs",
    "profile/lookup.rs",
];

/// What they must not name.
const IMPURE: [&str; 5] = [
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "::now()",
];

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|e| e == "rs") {
        found.push(path.to_owned());
    }
}

/// Lines of a source text that name something impure, with their numbers.
fn impure_lines(text: &str) -> Vec<(usize, &str)> {
    let bad = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        IMPURE.iter().any(|word| code.contains(word))
            || code.contains("std::{")
                && ["fs", "env", "thread", "process"].iter().any(|m| {
                    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                        .any(|w| w == *m)
                })
    };
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .filter(|(_, line)| bad(line))
        .collect()
}

#[test]
fn pure_folders_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for place in PURE {
        rust_files(&src.join(place), &mut files);
    }
    files.retain(|file| file.exists());
    assert!(files.len() > 10, "the folders were not found");
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).unwrap();
            impure_lines(&text)
                .into_iter()
                .map(|(line, code)| format!("{}:{line}: {}", file.display(), code.trim()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "impure:\n{}", found.join("\n"));
}

#[test]
fn the_check_sees_what_it_is_for() {
    let text = "use std::fs;\nuse std::{fmt, env};\nlet t = Instant::now();\nlet t = bench.now();\n// std::fs\n";
    let lines: Vec<usize> = impure_lines(text).into_iter().map(|(n, _)| n).collect();
    assert_eq!(lines, [1, 2, 3]);
}
