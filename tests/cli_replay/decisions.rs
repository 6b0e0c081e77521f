//! What is drawn from a recording, decided and printed.

use super::files::{Files, text};
use serde_json::Value;
use std::fmt::Write as _;

fn counts(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap())
        .collect()
}

/// Repetitions of a workload that takes `seconds[i]` at count i + 1, each a little off; block b is `drift(b)` times slower.
fn long(
    name: &str,
    seconds: &[f64],
    blocks: usize,
    drift: impl Fn(usize) -> f64,
    with_blocks: bool,
) -> String {
    let mut rows = String::new();
    for block in 0..blocks {
        for (i, seconds) in seconds.iter().enumerate() {
            let off = 1.0 + 0.004 * (((7 * block + 5 * i) % 11) as f64 - 5.0) / 5.0;
            let _ = write!(rows, "{name},{},{}", i + 1, seconds * off * drift(block));
            if with_blocks {
                let _ = write!(rows, ",b{block}");
            }
            rows.push('\n');
        }
    }
    rows
}

const FOUR_IS_BEST: [f64; 6] = [4e-3, 2.2e-3, 1.6e-3, 1e-3, 1.1e-3, 1.2e-3];

#[test]
fn a_long_recording_is_decided_and_scored() {
    let files = Files::new();
    let steady = |_| 1.0;
    let rows = long("a/b", &FOUR_IS_BEST, 12, steady, false)
        + &long("flat", &[1e-3; 6], 12, steady, false);
    files.write("r.csv", format!("workload,threads,seconds\n{rows}"));
    let json = files.json(&["r.csv"]);
    let [a, flat] = json["workloads"].as_array().unwrap().as_slice() else {
        panic!("two workloads")
    };
    assert_eq!(a["workload"], "a/b");
    assert_eq!(
        (&a["threads"], &a["stop"]),
        (&Value::from(4), &Value::from("separated"))
    );
    assert_eq!(counts(&a["ties"]), [4]);
    assert_eq!(counts(&a["candidates"]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(a["regret_in_recording"], 0.0);
    assert!(a["p_within"].as_f64().unwrap() > 0.99);
    assert!(a["samples"].as_u64().unwrap() > 20 && a["virtual_seconds"].as_f64().unwrap() > 0.02);
    assert!((a["speedup_over_physical"].as_f64().unwrap() - 1.2).abs() < 0.01);
    assert_eq!(
        (&flat["workload"], &flat["stop"]),
        (&Value::from("flat"), &Value::from("eps"))
    );
    assert!(counts(&flat["ties"]).len() > 1);
    let summary = &json["summary"];
    assert_eq!(
        (&summary["workloads"], &summary["conclusive"]),
        (&Value::from(2), &Value::from(2))
    );
    assert_eq!(summary["within_2_percent"], 1.0);
    let total = a["virtual_seconds"].as_f64().unwrap() + flat["virtual_seconds"].as_f64().unwrap();
    assert_eq!(summary["virtual_seconds"], total);
    let ratio = 1.0 + flat["regret_in_recording"].as_f64().unwrap();
    assert!((summary["ratio_to_best"].as_f64().unwrap() - ratio.sqrt()).abs() < 1e-12);
}

#[test]
fn the_table_ends_with_the_summary_and_the_seed_decides_everything() {
    let files = Files::new();
    files.write(
        "r.csv",
        format!(
            "workload,threads,seconds\n{}",
            long("a", &FOUR_IS_BEST, 12, |_| 1.0, false)
        ),
    );
    let run = |seed: &str| text(&files.replay(&["r.csv", "--seed", seed]).stdout);
    let first = run("1");
    let lines: Vec<&str> = first.lines().collect();
    assert!(
        lines[0].starts_with("workload  threads  best   ratio  stop"),
        "{first}"
    );
    assert!(
        lines[1].starts_with("a              4      4  1.0000  separated"),
        "{first}"
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("1 workload, 1 conclusive, 0 not (0 of these with over a quarter of the time left): 1.0000 × the best time in geometric mean (p95 1.0000), 100.00 % within 2 %, 100.00 % within 5 %; "),
        "{last}"
    );
    assert!(
        last.ends_with(
            "1.200 × faster than all physical cores; 1.200 × faster than all logical CPUs"
        ),
        "{last}"
    );
    assert_eq!(first, run("1"));
    assert_ne!(first, run("2"));
}

#[test]
fn one_workload_is_decided_as_it_is_among_all() {
    let files = Files::new();
    let rows =
        long("a", &FOUR_IS_BEST, 9, |_| 1.0, false) + &long("b", &[2e-3; 6], 9, |_| 1.0, false);
    files.write("r.csv", format!("workload,threads,seconds\n{rows}"));
    let all = files.json(&["r.csv"]);
    let one = files.json(&["r.csv", "--workload", "b"]);
    assert_eq!(one["workloads"].as_array().unwrap().len(), 1);
    assert_eq!(one["workloads"][0], all["workloads"][1]);
    files.refuses(
        &["r.csv", "-w", "c"],
        "unknown workload `c`; the recordings hold a, b",
    );
}

#[test]
fn counts_that_were_not_recorded_are_no_candidates() {
    let files = Files::new();
    let all = long("a", &FOUR_IS_BEST, 8, |_| 1.0, false);
    let some: String = all
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("a,4,"))
        .collect();
    files.write("r.csv", format!("workload,threads,seconds\n{some}"));
    let json = files.json(&["r.csv"]);
    let workload = &json["workloads"][0];
    assert_eq!(counts(&workload["candidates"]), [1, 2, 3, 5, 6]);
    assert_eq!(
        (&workload["threads"], &workload["best_in_recording"]),
        (&Value::from(5), &Value::from(5))
    );
}

#[test]
fn whole_blocks_keep_drift_out_of_the_comparison() {
    let files = Files::new();
    // Blocks differ by up to a factor of two, counts by 10 %.
    let drift = |block: usize| 1.0 + (block * 7 % 10) as f64 / 10.0;
    let near = [1.5e-3, 1.1e-3, 1e-3, 1.1e-3, 1.2e-3, 1.3e-3];
    // One call makes a sample, so that nothing is averaged within one.
    let near = near.map(|seconds| 20.0 * seconds);
    files.write(
        "with.csv",
        format!(
            "workload,threads,seconds,block\n{}",
            long("a", &near, 30, drift, true)
        ),
    );
    files.write(
        "without.csv",
        format!(
            "workload,threads,seconds\n{}",
            long("a", &near, 30, drift, false)
        ),
    );
    let with = &files.json(&["with.csv"])["workloads"][0];
    let without = &files.json(&["without.csv"])["workloads"][0];
    assert_eq!(
        (&with["threads"], &with["stop"]),
        (&Value::from(3), &Value::from("separated"))
    );
    let samples = |value: &Value| value["samples"].as_u64().unwrap();
    assert!(samples(without) > 3 * samples(with), "{without} {with}");
}

#[test]
fn flagged_samples_stay_flagged_and_placements_apart() {
    let files = Files::new();
    let rows = long("a", &FOUR_IS_BEST, 6, |_| 1.0, false);
    let flagged = rows.replace('\n', ",1\n");
    files.write(
        "r.csv",
        format!("workload,threads,seconds,flagged\n{flagged}"),
    );
    let json = files.json(&["r.csv"]);
    let workload = &json["workloads"][0];
    assert_eq!(
        (&workload["threads"], &workload["stop"]),
        (&Value::Null, &Value::from("contaminated"))
    );
    assert_eq!(
        (
            &json["summary"]["stated"],
            &json["summary"]["ratio_to_best"]
        ),
        (&Value::from(0), &Value::Null)
    );

    // Bound, four threads are best; unbound, six.
    let close = rows.replace('\n', ",close\n");
    let turned = [8e-3, 4.4e-3, 3.2e-3, 3e-3, 2.4e-3, 2e-3];
    let unbound = long("a", &turned, 6, |_| 1.0, false);
    let unbound = unbound.replace('\n', ",unbound\n");
    files.write(
        "p.csv",
        format!("workload,threads,seconds,placement\n{close}{unbound}"),
    );
    let json = files.json(&["p.csv"]);
    assert_eq!(json["workloads"][0]["threads"], 6);
    assert_eq!(json["workloads"][0]["regret_in_recording"], 0.0);
}

#[test]
fn a_wide_recording_names_its_shapes_and_spreads_its_values() {
    let files = Files::new();
    files.write(
        "w.csv",
        "m,k,n,1,2,4,6\n64,32,128,4000,2200,1000,1100\n8,8,8,1000,1300,1500,1600\n",
    );
    let json = files.json(&["w.csv", "--noise", "0.02"]);
    let [first, second] = json["workloads"].as_array().unwrap().as_slice() else {
        panic!("two workloads")
    };
    assert_eq!(
        (&first["workload"], &first["threads"]),
        (&Value::from("gemm:64x128x32:f32"), &Value::from(4))
    );
    assert_eq!(counts(&first["candidates"]), [1, 2, 4, 6]);
    assert_eq!(
        (&second["workload"], &second["threads"]),
        (&Value::from("gemm:8x8x8:f32"), &Value::from(1))
    );
    let noisy = files.json(&["w.csv", "--noise", "0.5"]);
    let samples = |json: &Value| json["workloads"][0]["samples"].as_u64().unwrap();
    assert!(samples(&noisy) > samples(&json));
    for noise in ["-0.1", "NaN", "1.5", "x"] {
        let output = files.replay(&["w.csv", &format!("--noise={noise}")]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    }
}

#[test]
fn what_is_not_known_about_scatter_is_said() {
    let files = Files::new();
    files.write("r.csv", "workload,threads,seconds\na,1,2\na,2,1\n");
    let output = files.replay(&["r.csv", "--noise", "0.1"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr.contains("--noise changes nothing here"), "{stderr}");
    assert!(
        stderr.contains("1 of 1 workloads (a, …) hold counts with one timing only"),
        "{stderr}"
    );
}

#[test]
fn few_blocks_are_said_to_be_drawn_apart() {
    let files = Files::new();
    for (blocks, warned) in [(4, true), (5, false)] {
        let rows = long("a", &FOUR_IS_BEST, blocks, |_| 1.0, true);
        files.write("r.csv", format!("workload,threads,seconds,block\n{rows}"));
        let stderr = text(&files.replay(&["r.csv"]).stderr);
        let says = "1 of 1 workloads (a, …) hold fewer than 5 blocks";
        assert_eq!(stderr.contains(says), warned, "{blocks}: {stderr}");
    }
}

/// A recording of visits to two counts, seconds apart, in which two threads take this share of the time of one.
fn visits(shares: &[f64], apart: f64) -> String {
    let mut rows = "workload,threads,seconds,block,visit,time_s\n".to_owned();
    for (visit, share) in shares.iter().enumerate() {
        let times = [1e-3, 1e-3 * share];
        for row in long("w", &times, 12, |_| 1.0, true).lines() {
            // Before the very first sample a machine is brought up to its speed.
            let time = apart * visit as f64 + if visit == 0 { 0.2 } else { 0.01 };
            let _ = writeln!(rows, "{row}v{visit},{},{time}", visit + 1);
        }
    }
    rows
}

#[test]
fn visits_are_decided_one_after_another() {
    let files = Files::new();
    let decided = |shares: &[f64], apart: f64| {
        files.write("r.csv", visits(shares, apart));
        let json = files.json(&["r.csv"]);
        let one = &json["workloads"][0];
        (
            one["threads"].as_u64().unwrap(),
            one["stop"].as_str().unwrap().to_owned(),
        )
    };
    let said = |threads, stop: &str| (threads, stop.to_owned());
    assert_eq!(decided(&[0.7, 0.7, 0.7], 4.0), said(2, "separated"));
    // What is written as one visit was seen once.
    assert_eq!(decided(&[0.7], 4.0), said(2, "separated"));
    assert_eq!(decided(&[0.7, 0.7], 9.0), said(2, "brief"));
    assert_eq!(decided(&[0.7, 0.7, 0.7], 1.0), said(2, "brief"));
    assert_eq!(decided(&[0.7, 1.2, 0.7], 4.0), said(2, "unsteady"));
    // Nobody looks at more than is needed.
    assert_eq!(decided(&[0.7, 0.7, 0.7, 1.4], 4.0), said(2, "separated"));
}
