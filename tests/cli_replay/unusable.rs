//! Every kind of unusable file is an error with its place, and nothing is printed.

use super::files::{Files, text};

#[test]
fn an_unusable_recording_is_an_error_with_file_line_and_column() {
    let files = Files::new();
    let header = "workload,threads,seconds\n";
    let wide = "m,k,n,1,2\n";
    let no_count = |text: &str| {
        format!("`{text}` is not a number of threads; expected a whole number from 1 to 4096")
    };
    let no_time = |text: &str| format!("`{text}` is not a time; expected a positive number");
    for (content, place, problem) in [
        (String::new(), "line 1, column 1", "the file is empty; a recording begins with a header, `workload,threads,seconds` or `m,k,n` and counts".to_owned()),
        (header.to_owned(), "line 2, column 1 (`workload`)", "no row follows the header; nothing was recorded".to_owned()),
        (wide.to_owned(), "line 2, column 1 (`m`)", "no row follows the header; nothing was recorded".to_owned()),
        ("a,b\n1,2\n".to_owned(), "line 1, column 1", "this is the header of no recording: one has `workload,threads,seconds`, the other `m,k,n` and then counts".to_owned()),
        ("workload,threads\na,1\n".to_owned(), "line 1, column 3", "the column `seconds` is missing".to_owned()),
        ("workload,threads,seconds,threads\na,1,1,1\n".to_owned(), "line 1, column 4", "a second column `threads`".to_owned()),
        (format!("{header}a,0,1\n"), "line 2, column 2 (`threads`)", no_count("0")),
        (format!("{header}a,1,1\na,-2,1\n"), "line 3, column 2 (`threads`)", no_count("-2")),
        (format!("{header}a,1.5,1\n"), "line 2, column 2 (`threads`)", no_count("1.5")),
        (format!("{header}a,5000,1\n"), "line 2, column 2 (`threads`)", no_count("5000")),
        (format!("{header}a,two,1\n"), "line 2, column 2 (`threads`)", no_count("two")),
        (format!("{header}a,,1\n"), "line 2, column 2 (`threads`)", "the cell is empty".to_owned()),
        (format!("{header},1,1\n"), "line 2, column 1 (`workload`)", "the cell is empty".to_owned()),
        (format!("{header}a,1,\n"), "line 2, column 3 (`seconds`)", "the cell is empty".to_owned()),
        (format!("{header}a,1,0\n"), "line 2, column 3 (`seconds`)", no_time("0")),
        (format!("{header}a,1,-1e-3\n"), "line 2, column 3 (`seconds`)", no_time("-1e-3")),
        (format!("{header}a,1,NaN\n"), "line 2, column 3 (`seconds`)", no_time("NaN")),
        (format!("{header}a,1,inf\n"), "line 2, column 3 (`seconds`)", no_time("inf")),
        (format!("{header}a,1,fast\n"), "line 2, column 3 (`seconds`)", no_time("fast")),
        (format!("{header}a,1\n"), "line 2, column 3 (`seconds`)", "the row has 2 cells and the header 3; each row has one for each column".to_owned()),
        (format!("{header}a,1,1,1\n"), "line 2, column 4", "the row has 4 cells and the header 3; each row has one for each column".to_owned()),
        ("workload,threads,seconds,block\na,1,1,\n".to_owned(), "line 2, column 4 (`block`)", "the cell is empty".to_owned()),
        ("workload,threads,seconds,placement\na,1,1,near\n".to_owned(), "line 2, column 4 (`placement`)", "`near` is not a placement; expected unbound, close or spread".to_owned()),
        ("workload,threads,seconds,flagged\na,1,1,maybe\n".to_owned(), "line 2, column 4 (`flagged`)", "`maybe` is neither 0 nor 1".to_owned()),
        ("workload,threads,seconds,calls\na,1,1,0\n".to_owned(), "line 2, column 4 (`calls`)", "`0` is out of place; a whole number from 1 on is expected".to_owned()),
        ("workload,threads,seconds,visit\na,1,1,0\n".to_owned(), "line 2, column 4 (`visit`)", "`0` is out of place; a whole number from 1 on is expected".to_owned()),
        ("workload,threads,seconds,time_s\na,1,1,soon\n".to_owned(), "line 2, column 4 (`time_s`)", "`soon` is not a time since the beginning; expected seconds, 0 or more".to_owned()),
        ("workload,threads,seconds,time_s\na,1,1,-1\n".to_owned(), "line 2, column 4 (`time_s`)", "`-1` is not a time since the beginning; expected seconds, 0 or more".to_owned()),
        ("m,k,n\n1,1,1\n".to_owned(), "line 1, column 4", "no count of threads follows `m,k,n`".to_owned()),
        ("m,k,n,1,x\n1,1,1,1,1\n".to_owned(), "line 1, column 5 (`x`)", no_count("x")),
        ("m,k,n,1,01\n1,1,1,1,1\n".to_owned(), "line 1, column 5 (`01`)", "a second column for 1 threads".to_owned()),
        (format!("{wide}0,1,1,1,1\n"), "line 2, column 1 (`m`)", "`0` is out of place; a whole number from 1 on is expected".to_owned()),
        (format!("{wide}1,1,1,5,\n"), "line 2, column 5 (`2`)", "the cell is empty".to_owned()),
        (format!("{wide}1,1,1,5,-3\n"), "line 2, column 5 (`2`)", no_time("-3")),
        (format!("{wide}1,1,1,5\n"), "line 2, column 5 (`2`)", "the row has 4 cells and the header 5; each row has one for each column".to_owned()),
        (format!("{wide}1,1,1,5,5\n1,1,1,5,5\n"), "line 3, column 1 (`m`)", "`gemm:1x1x1:f32` stands also in r.csv, line 2; leave out one of them".to_owned()),
    ] {
        files.write("r.csv", &content);
        files.refuses(&["r.csv"], &format!("r.csv, {place}: {problem}"));
    }
    files.write("r.csv", b"workload,threads,seconds\na,1,1\n\xff,1,1\n");
    files.refuses(
        &["r.csv"],
        "r.csv, line 3, column 1 (`workload`): this cell is not UTF-8 text",
    );
    for (content, place) in [
        ("\n\nworkload,threads,seconds\n\na,1,1\n\n\na,2,x\n", 8),
        ("workload,threads,seconds\r\n\r\na,1,1\r\na,2,x\r\n", 4),
        ("workload,threads,seconds\r\ra,2,x\r", 3),
        ("workload,threads,seconds\n\"a\nb\",1,1\na,2,x\n", 2),
        ("\u{feff}workload,threads,seconds\na,2,x\n", 2),
    ] {
        files.write("r.csv", content);
        let output = files.replay(&["r.csv"]);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(&format!("r.csv, line {place}, column")),
            "{content:?}: {stderr}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
    files.write("r.csv", "workload,threads,seconds\na\u{1b}[31m,1,1\n");
    files.refuses(
        &["r.csv"],
        "r.csv, line 2, column 1 (`workload`): this cell holds a control character",
    );
    let missing = files.replay(&["absent.csv"]);
    assert!(
        text(&missing.stderr).contains("cannot read absent.csv: No such file"),
        "{}",
        text(&missing.stderr)
    );
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn a_name_in_two_files_is_an_error() {
    let files = Files::new();
    files.write("a.csv", "workload,threads,seconds\nx,1,1\n\nx,2,1\n");
    files.write("b.csv", "workload,threads,seconds\ny,1,1\nx,2,1\n");
    files.refuses(
        &["a.csv", "b.csv"],
        "b.csv, line 3, column 1 (`workload`): `x` stands also in a.csv, line 2; leave out one of them",
    );
}

#[test]
fn a_machine_file_must_be_right_and_fit_the_recording() {
    let files = Files::new();
    files.write("r.csv", "workload,threads,seconds\na,1,1\na,7,1\na,8,1\n");
    files.refuses(
        &["r.csv"],
        "r.csv, line 4, column 2 (`threads`): 8 threads were recorded and the machine file gives 6 logical CPUs; correct one of them",
    );
    files.write("w.csv", "m,k,n,12,1\n1,1,1,1,1\n");
    files.refuses(
        &["w.csv"],
        "w.csv, line 1, column 4 (`12`): 12 threads were recorded and the machine file gives 6 logical CPUs; correct one of them",
    );
    for (content, says) in [
        (
            "packages = 0\ncores_per_package = 6\n",
            "line 1, column 12: `packages` is 0; it must be 1 to 4096",
        ),
        (
            "packages = 1\ncores_per_package = -6\n",
            "line 2, column 21: invalid value: integer `-6`, expected u32",
        ),
        (
            "packages = 1\n",
            "line 1, column 1: missing field `cores_per_package`",
        ),
        (
            "packages = 1\ncores_per_package = 6\nsockets = 2\n",
            "line 3, column 1: unknown field `sockets`",
        ),
        (
            "packages = 64\ncores_per_package = 65\n",
            "line 1, column 12: these make 4160 logical CPUs; 4096 are the most",
        ),
        (
            "packages = 1\ncores_per_package = 6\nlogical_cpus = 7\n",
            "line 3, column 16: `logical_cpus` is 7; it must be 1 to 6",
        ),
        (
            "packages = 1\ncores_per_package = 6\ncores_per_llc = 7\n",
            "line 3, column 17: `cores_per_llc` is 7; it must be 1 to 6",
        ),
        ("packages = one\n", "line 1, column 12: "),
    ] {
        files.write("machine.toml", content);
        let output = files.replay(&["r.csv"]);
        let stderr = text(&output.stderr);
        assert!(
            stderr.starts_with(&format!("threadtune: error: machine.toml, {says}")),
            "{stderr}"
        );
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}
