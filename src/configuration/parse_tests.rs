//! What each key may hold, and what is said of everything else.

use super::*;
use crate::configuration::Interval;
use crate::units::Nanos;

fn of(text: &str) -> Result<Option<usize>, String> {
    parse(Path::new("/c/threadtune.toml"), text)
        .map(|configuration| configuration.reserve.map(|reserve| reserve.cpus))
        .map_err(|error| error.to_string())
}

fn seconds(seconds: u64) -> Nanos {
    Nanos(seconds * 1_000_000_000)
}

/// The table of a text whose only section is `[daemon]`.
fn daemon(line: &str) -> Result<DaemonTable, String> {
    parse(Path::new("/c/t"), &format!("[daemon]\n{line}\n"))
        .map(|configuration| configuration.daemon)
        .map_err(|error| error.to_string())
}

#[test]
fn the_reserve_is_a_number_of_cpus() {
    assert_eq!(of(""), Ok(None));
    assert_eq!(of("# budget\n[budget]\n"), Ok(None));
    assert_eq!(of("[budget]\nreserve = 0\n"), Ok(Some(0)));
    assert_eq!(of("budget.reserve = 4096"), Ok(Some(4096)));
    assert_eq!(of("budget = { reserve = 2 }"), Ok(Some(2)));
}

#[test]
fn errors_name_file_line_and_key_and_say_what_is_expected() {
    for (text, place, says) in [
        (
            "[budget]\nreserve = -1\n",
            "line 2, key `budget.reserve`",
            "-1 is not a number of CPUs to leave free; expected 0 to 4096",
        ),
        (
            "\n\n[budget]\nreserve = 4097\n",
            "line 4, key `budget.reserve`",
            "0 to 4096",
        ),
        (
            "[budget]\nreserve = \"2\"\n",
            "line 2, key `budget.reserve`",
            "invalid type: string",
        ),
        (
            "[budget]\nreserve = 1.5\n",
            "line 2, key `budget.reserve`",
            "invalid type",
        ),
        (
            "[budget]\nreserve = 99999999999999999999\n",
            "line 2, key `budget.reserve`",
            "",
        ),
        (
            "[budget.reserve]\nn = 1\n",
            "line 1, key `budget.reserve`",
            "invalid type: map",
        ),
        ("budget = 2\n", "line 1, key `budget`", "expected a table"),
        ("[[budget]]\n", "line 1, key `budget`", "expected a table"),
        ("budget = [2]\n", "line 1, key `budget`", "expected a table"),
        (
            "[budget]\nreserv = 1\n",
            "line 2, key `budget.reserv`",
            "did you mean `budget.reserve`?); the keys are `budget.reserve`",
        ),
        (
            "[budget]\nreserve = 1\n[launch]\n",
            "line 3, key `launch`",
            "no such key; the keys are `budget.reserve`",
        ),
        (
            "[demon]\nquiet = '1s'\n",
            "line 1, key `demon`",
            "did you mean `daemon`?",
        ),
        ("\"\\n\" = 1\n", "line 1, key ``", "no such key; the keys"),
        (
            "[budget]\nreserve = 1\nreserve = 2\n",
            "line 3, key `reserve`",
            "duplicate key",
        ),
        ("[budget]\nreserve =\n", "line 2", ""),
    ] {
        let error = of(text).unwrap_err();
        let begins = format!("/c/threadtune.toml, {place}");
        assert!(error.starts_with(&begins), "{text}: {error}");
        assert!(error.contains(says), "{text}: {error}");
        assert!(
            error.ends_with("; correct it, or remove the line"),
            "{error}"
        );
    }
}

#[test]
fn the_limits_of_the_daemons_values_are_allowed() {
    let table = |line| daemon(line).unwrap();
    assert_eq!(table(""), DaemonTable::default());
    assert_eq!(table("quiet = '0s'").quiet, Some(Nanos::ZERO));
    assert_eq!(table("quiet = '1d'").quiet, Some(seconds(86_400)));
    assert_eq!(table("idle_cpus = 4096").idle_cpus, Some(4096.0));
    assert_eq!(table("idle_cpus = 0.0").idle_cpus, Some(0.0));
    let pressure = table("idle_pressure_percent = 100").idle_pressure_percent;
    assert_eq!(pressure, Some(100.0));
    assert_eq!(table("mains_only = false").mains_only, Some(false));
    let daily = table("daily_cpu_seconds = 0.5").daily_cpu;
    assert_eq!(daily, Some(Nanos(500_000_000)));
    let never = table("drift_interval = 'never'").drift_interval;
    assert_eq!(never, Some(Interval::Never));
    let hourly = table("drift_interval = '1h'").drift_interval;
    assert_eq!(hourly, Some(Interval::Every(seconds(3600))));
    let visits = table("visit_interval = '1s'").visit_interval;
    assert_eq!(visits, Some(seconds(1)));
    let budget = table("workload_budget = '1m 30s'").workload_budget;
    assert_eq!(budget, Some(seconds(90)));
}

#[test]
fn errors_about_the_daemon_say_what_is_expected() {
    for (line, key, says) in [
        (
            "quiet = 60",
            "quiet",
            "invalid type: integer `60`, expected a duration such as \"90s\"",
        ),
        (
            "quiet = '25h'",
            "quiet",
            "`25h` is not allowed; expected \"0s\" to \"1d\"",
        ),
        (
            "quiet = 'soon'",
            "quiet",
            "`soon` is not a duration; expected \"0s\" to \"1d\"",
        ),
        (
            "quiet = '99999999999999999999d'",
            "quiet",
            "is not a duration",
        ),
        (
            "idle_cpus = -0.1",
            "idle_cpus",
            "-0.1 is not a number of CPUs; expected 0 to 4096",
        ),
        (
            "idle_cpus = nan",
            "idle_cpus",
            "NaN is not a number of CPUs",
        ),
        ("idle_cpus = 'few'", "idle_cpus", "invalid type: string"),
        (
            "idle_pressure_percent = 100.1",
            "idle_pressure_percent",
            "100.1 is not a percentage; expected 0 to 100",
        ),
        ("mains_only = 1", "mains_only", "expected a boolean"),
        (
            "hours = '22'",
            "hours",
            "`22` is not a part of a day; expected hours such as `22-6`",
        ),
        ("hours = 22", "hours", "expected hours such as \"22-6\""),
        (
            "daily_cpu_seconds = 0",
            "daily_cpu_seconds",
            "expected more than 0",
        ),
        (
            "daily_cpu_seconds = inf",
            "daily_cpu_seconds",
            "expected 0 to 1000000000",
        ),
        (
            "catalogue = 'c.toml'",
            "catalogue",
            "`c.toml` does not begin with `/`",
        ),
        (
            "backends = []",
            "backends",
            "the list is empty: there are `native`",
        ),
        (
            "backends = ['natve']",
            "backends",
            "`natve` is not a backend (did you mean `native`?): there are `native`",
        ),
        (
            "backends = ['native', 'native']",
            "backends",
            "`native` stands there twice",
        ),
        ("backends = 'native'", "backends", "expected a sequence"),
        (
            "drift_interval = '59m'",
            "drift_interval",
            "`59m` is not allowed; expected \"1h\" to \"3650d\", or \"never\"",
        ),
        (
            "drift_interval = false",
            "drift_interval",
            "expected a duration such as \"7d\", or \"never\"",
        ),
        (
            "workload_budget = '999ms'",
            "workload_budget",
            "\"1s\" to \"1d\"",
        ),
        ("quit = '1s'", "quit", "did you mean `daemon.quiet`?"),
    ] {
        let error = daemon(line).unwrap_err();
        let begins = format!("/c/t, line 2, key `daemon.{key}`: ");
        assert!(error.starts_with(&begins), "{line}: {error}");
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn the_time_between_visits_has_limits() {
    for value in ["0s", "999ms", "25h"] {
        let error = daemon(&format!("visit_interval = '{value}'")).unwrap_err();
        let begins = format!("/c/t, line 2, key `daemon.visit_interval`: `{value}` is not allowed");
        assert!(error.starts_with(&begins), "{error}");
        assert!(error.contains("; expected \"1s\" to \"1d\""), "{error}");
    }
}

#[test]
fn the_metrics_go_to_a_file_that_their_reader_looks_at() {
    let textfile = |value: &str| {
        let text = format!("metrics.textfile = '{value}'");
        parse(Path::new("/c/t"), &text)
            .map(|configuration| configuration.textfile)
            .map_err(|error| error.to_string())
    };
    assert_eq!(textfile("/m/t.prom"), Ok(Some("/m/t.prom".into())));
    for (value, says) in [
        ("t.prom", "`t.prom` does not begin with `/`"),
        ("/m/t.txt", "`/m/t.txt` is not read by the node exporter"),
        ("/m/.prom", "`/m/.prom` is not read by the node exporter"),
    ] {
        let error = textfile(value).unwrap_err();
        assert!(
            error.starts_with("/c/t, line 1, key `metrics.textfile`: "),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn each_key_of_the_daemon_is_merged_by_itself() {
    let all = "quiet = '1s'\nidle_cpus = 1\nidle_pressure_percent = 1\nmains_only = false\nhours = '1-2'\n\
               daily_cpu_seconds = 1\ncatalogue = '/1'\nbackends = ['native']\ndrift_interval = '1h'\n\
               visit_interval = '1s'\nworkload_budget = '1s'";
    let full = daemon(all).unwrap();
    for line in all.lines() {
        let one = daemon(line).unwrap();
        assert_ne!(one, DaemonTable::default(), "{line}");
        assert_eq!(DaemonTable::default().or(one.clone()), one, "{line}");
    }
    assert_eq!(DaemonTable::default().or(full.clone()), full);
    let own = daemon("quiet = '2s'").unwrap();
    let merged = own.or(full.clone());
    assert_eq!(merged.quiet, Some(seconds(2)));
    assert_eq!(
        DaemonTable {
            quiet: full.quiet,
            ..merged
        },
        full
    );
}

#[test]
fn the_first_unknown_key_of_the_text_is_named() {
    let error = of("[budget]\nz = 1\na = 1\n[a]\nb = 1\n").unwrap_err();
    assert!(error.contains("line 2, key `budget.z`"), "{error}");
}

/// The example is what users copy: it must hold as it is, and with every setting in force.
#[test]
fn the_example_holds_every_key_and_only_what_is_understood() {
    let example = include_str!("../../systemd/threadtune.toml");
    assert_eq!(
        parse(Path::new("example"), example).unwrap(),
        Configuration::default()
    );
    // A setting is a comment without a space after its mark.
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting,
            _ => line,
        })
        .map(|line| line.to_owned() + "\n")
        .collect();
    let configuration = parse(Path::new("example"), &uncommented).unwrap();
    assert_eq!(configuration.reserve.as_ref().map(|r| r.cpus), Some(2));
    // The example shows the usual values, but where there is none to show.
    let usual = Configuration {
        reserve: configuration.reserve.clone(),
        daemon: DaemonTable {
            quiet: Some(seconds(60)),
            idle_cpus: Some(0.2),
            idle_pressure_percent: Some(5.0),
            mains_only: Some(true),
            hours: Some("22:30-06:00".parse().unwrap()),
            daily_cpu: Some(seconds(3600)),
            catalogue: Some("/etc/threadtune/catalogue.toml".into()),
            backends: Some(vec!["native".to_owned()]),
            drift_interval: Some(Interval::Every(seconds(7 * 86_400))),
            visit_interval: Some(seconds(3600)),
            workload_budget: Some(seconds(60)),
        },
        textfile: Some("/var/lib/prometheus/node-exporter/threadtune.prom".into()),
    };
    assert_eq!(configuration, usual);
    let table: toml::Table = uncommented.parse().unwrap();
    for known in KEYS {
        let mut keys = known.split('.');
        let first = table.get(keys.next().unwrap());
        let found = keys.try_fold(first.unwrap(), |value, key| value.get(key));
        assert!(found.is_some(), "the example lacks `{known}`");
    }
}
