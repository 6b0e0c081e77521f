//! `threadtune generate` as a process: which files it writes, and what a shell and a typesetter make of them.

use clap::CommandFactory as _;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use threadtune::cli::Cli;

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threadtune"))
        .env_clear()
        .arg("generate")
        .args(arguments)
        .output()
        .unwrap()
}

fn generated(what: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output = generate(&[what, directory.path().to_str().unwrap()]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "");
    assert!(output.status.success());
    directory
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The text of a page, without the marks of its font.
fn plain(directory: &Path, page: &str) -> String {
    fs::read_to_string(directory.join(page))
        .unwrap()
        .replace(r"\fB", "")
        .replace(r"\fI", "")
        .replace(r"\fR", "")
        .replace(r"\-", "-")
        .replace(r"\*(Aq", "'")
}

/// The lines of a section.
fn section<'a>(page: &'a str, title: &str) -> Vec<&'a str> {
    let heading = |line: &&str| line.trim_start_matches(".SH ").trim_matches('"') != title;
    page.lines()
        .skip_while(heading)
        .skip(1)
        .take_while(|line| !line.starts_with(".SH"))
        .collect()
}

/// The program if this machine has it.
fn installed(test: &str, program: &str) -> Option<Command> {
    if Command::new(program).arg("--version").output().is_ok() {
        return Some(Command::new(program));
    }
    eprintln!("skipped {test}: {program} is not installed");
    None
}

#[test]
fn every_visible_subcommand_has_a_page_and_no_hidden_one() {
    let directory = generated("man");
    let mut expected = BTreeSet::from([
        "threadtune.1".to_owned(),
        "threadtune-generate-man.1".to_owned(),
        "threadtune-generate-completions.1".to_owned(),
    ]);
    let help = Cli::command();
    let (hidden, visible): (Vec<_>, Vec<_>) = help.get_subcommands().partition(|c| c.is_hide_set());
    assert!(hidden.iter().any(|command| command.get_name() == "worker"));
    expected.extend(
        visible
            .iter()
            .map(|command| format!("threadtune-{}.1", command.get_name())),
    );
    assert_eq!(names(directory.path()), expected);
    let list = plain(directory.path(), "threadtune.1");
    for command in visible {
        let entry = format!("threadtune-{}(1)", command.get_name());
        assert!(section(&list, "SUBCOMMANDS").contains(&entry.as_str()));
    }
}

#[test]
fn every_option_of_the_help_is_in_the_page() {
    let directory = generated("man");
    for command in Cli::command()
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
    {
        let page = plain(
            directory.path(),
            &format!("threadtune-{}.1", command.get_name()),
        );
        let options = section(&page, "OPTIONS");
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        for long in shown.filter_map(clap::Arg::get_long) {
            let option = format!("--{long}");
            let told = |line: &&&str| line.split([' ', ',']).any(|word| word == option);
            assert!(options.iter().find(told).is_some(), "{option} in {page}");
        }
        assert!(
            options.iter().any(|line| line.contains("--verbose")),
            "{page}"
        );
    }
}

#[test]
fn pages_tell_usage_exit_codes_files_and_variables() {
    let directory = generated("man");
    let page = |name: &str| plain(directory.path(), name);
    for name in names(directory.path()) {
        if name != "threadtune.1" && name != "threadtune-generate.1" {
            let page = page(&name);
            assert_eq!(section(&page, "EXIT STATUS").len(), 1, "{page}");
        }
    }
    let launch = page("threadtune-launch.1");
    assert_eq!(
        section(&launch, "SYNOPSIS"),
        ["threadtune launch [OPTIONS] [PROGRAM]..."]
    );
    assert!(section(&launch, "EXIT STATUS")[0].contains("127 it was not found"));
    for family in threadtune::environment::FAMILIES {
        for variable in family.variables {
            let told = |line: &&str| line.split(", ").any(|word| word == variable.name);
            let environment = section(&launch, "ENVIRONMENT");
            assert!(environment.into_iter().any(|line| told(&line)), "{launch}");
        }
    }
    let main = page("threadtune.1");
    let files = section(&main, "FILES").join("\n");
    for path in [
        "/etc/threadtune/threadtune.toml",
        "$XDG_STATE_HOME/threadtune/profiles/",
        "/var/lib/threadtune/profiles/MACHINE/BACKEND.toml",
    ] {
        assert!(files.contains(path), "{path} in {main}");
    }
    assert!(
        section(&main, "ENVIRONMENT").contains(&"RUST_LOG"),
        "{main}"
    );
}

/// A manual of the same version is the same file, whenever it was built.
#[test]
fn a_page_tells_its_version_and_no_date() {
    let directory = generated("man");
    let page = fs::read_to_string(directory.path().join("threadtune-tune.1")).unwrap();
    let title = format!(
        ".TH THREADTUNE-TUNE 1 \"\" \"threadtune {}\" \"User Commands\"",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        page.lines().find(|line| line.starts_with(".TH")),
        Some(&*title)
    );
}

#[test]
fn a_typesetter_has_nothing_to_complain_about() {
    let test = "a_typesetter_has_nothing_to_complain_about";
    let directory = generated("man");
    for name in names(directory.path()) {
        let Some(mut groff) = installed(test, "groff") else {
            return;
        };
        // The locale's encoding is guessed otherwise.
        let arguments = ["-Kutf8", "-ww", "-man", "-Tutf8"];
        let output = groff
            .args(arguments)
            .arg(directory.path().join(&name))
            .output()
            .unwrap();
        assert_eq!(text(&output.stderr), "", "{name}");
        assert!(output.status.success(), "{name}");
    }
}

#[test]
fn completions_have_the_names_by_which_shells_find_them() {
    let directory = generated("completions");
    let expected = ["_threadtune", "threadtune.bash", "threadtune.fish"];
    assert_eq!(names(directory.path()), expected.map(str::to_owned).into());
    for (shell, name) in [
        ("bash", "threadtune.bash"),
        ("zsh", "_threadtune"),
        ("fish", "threadtune.fish"),
    ] {
        let file = fs::read_to_string(directory.path().join(name)).unwrap();
        assert!(
            file.contains("missing") && file.contains("replay"),
            "{shell}"
        );
        // The hidden subcommand; the help of an option has the word too.
        let offered = [
            "__worker",
            "worker)",
            "(worker",
            "'worker:",
            "-a \"worker\"",
        ];
        for form in offered {
            assert!(!file.contains(form), "{shell} completes {form}");
        }
        let output = generate(&["completions", shell]);
        assert_eq!(text(&output.stdout), file);
    }
}

#[test]
fn bash_completes_subcommands_and_options() {
    let test = "bash_completes_subcommands_and_options";
    let directory = generated("completions");
    let Some(mut bash) = installed(test, "bash") else {
        return;
    };
    let script = r#"
        . ./threadtune.bash
        words() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _threadtune "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            echo "${COMPREPLY[*]}"
        }
        words threadtune la
        words threadtune wor
        words threadtune tune --qu
    "#;
    let output = bash
        .args(["--norc", "-c", script])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "launch\n\n--quick --quiet\n");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    for what in ["man", "completions"] {
        let output = generate(&[what, absent.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let told = format!(
            "threadtune: error: there is no directory `{}`; create it first, or name another one\n",
            absent.display()
        );
        assert_eq!(text(&output.stderr), told);
    }
    // A directory in a file's place stops root too.
    fs::create_dir(directory.path().join("threadtune.1")).unwrap();
    let output = generate(&["man", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("cannot write"), "{told}");
    assert!(told.contains("/threadtune.1: "), "{told}");
}

#[test]
fn wrong_usage_is_code_two() {
    for arguments in [&["man"][..], &["pages", "/"], &["man", "/", "/"], &[]] {
        let output = generate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
    }
}
