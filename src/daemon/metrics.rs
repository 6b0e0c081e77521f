//! The status as Prometheus text, for the textfile collector of the node exporter.
//!
//! Processes are not named here: a label with ever new values makes ever new series.

use super::status::{State, Status, StatusError};
use crate::document::write::replace;
use std::fmt::Write;
use std::path::Path;

/// Puts the metrics of this status in the place of the file at `path`, whose name the collector wants to end in
/// `.prom`. Readable by everyone, and whole at any moment.
pub fn write(path: &Path, status: &Status) -> Result<(), StatusError> {
    Ok(replace(path, text(status).as_bytes())?)
}

/// The metrics of a status in the text format, version 0.0.4.
pub fn text(status: &Status) -> String {
    let mut text = Families(String::new());
    let about = [
        ("version", status.version.as_str()),
        ("machine", status.machine.as_deref().unwrap_or_default()),
        ("profile", status.profile.as_deref().unwrap_or_default()),
    ];
    text.head("info", "gauge", "What runs, where, and for which profile.");
    text.sample("info", &about, 1.0);
    text.head(
        "state",
        "gauge",
        "1 for the state of the daemon, 0 for the others.",
    );
    for state in State::ALL {
        let is = f64::from(u8::from(state == status.state));
        text.sample("state", &[("state", state.name())], is);
    }
    if let Some(reason) = &status.reason {
        text.head("reason", "gauge", "Why the daemon does not measure.");
        text.sample("reason", &[("reason", reason.name())], 1.0);
    }
    if let Some(task) = &status.task {
        text.head(
            "task_progress_ratio",
            "gauge",
            "How much of the workload at hand is done.",
        );
        text.sample("task_progress_ratio", &[], task.progress);
    }
    text.head(
        "workloads",
        "gauge",
        "Workloads by what is known about them.",
    );
    for (verdict, count) in [
        ("conclusive", status.workloads.conclusive),
        ("inconclusive", status.workloads.inconclusive),
        ("failed", status.workloads.failed),
        ("left", status.workloads.left),
    ] {
        text.sample("workloads", &[("verdict", verdict)], f64::from(count));
    }
    text.head(
        "cpu_seconds_total",
        "counter",
        "CPU time spent on measuring.",
    );
    text.sample("cpu_seconds_total", &[], status.spent.total_cpu_s);
    text.head(
        "cpu_today_seconds",
        "gauge",
        "CPU time spent on measuring since midnight.",
    );
    text.sample("cpu_today_seconds", &[], status.spent.today_cpu_s);
    for (name, help, time) in [
        (
            "start_time_seconds",
            "When the daemon was started.",
            Some(status.started),
        ),
        (
            "state_since_seconds",
            "When its state began.",
            Some(status.since),
        ),
        (
            "last_check_seconds",
            "When the profile was last checked.",
            status.last_check,
        ),
        (
            "next_wakeup_seconds",
            "When the daemon will look again.",
            status.next_wakeup,
        ),
    ] {
        if let Some(time) = time {
            text.head(name, "gauge", &format!("{help} Seconds since 1970."));
            text.sample(name, &[], time.unix_s() as f64);
        }
    }
    text.0
}

/// Metric families, all with the program's name before theirs.
struct Families(String);

impl Families {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP threadtune_{name} {help}"));
        self.line(format_args!("# TYPE threadtune_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("threadtune_{name} {value}"));
        } else {
            self.line(format_args!(
                "threadtune_{name}{{{}}} {value}",
                labels.join(",")
            ));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
