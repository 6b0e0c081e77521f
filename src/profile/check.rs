//! Which values of a well-formed profile are out of range. Pure.

use super::region::{Region, expected_region_time, is_region_time};
use super::schema::{AboveQuotaChoice, Conditions, CurvePoint, Entry, Pinned, Profile, Rate};
use crate::document::locate::Step::{self, Index, Key};
use crate::machine::Placement;
use crate::units::ThreadCount;
use std::collections::HashSet;

/// A value out of range: where it stands, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Path from the document's root.
    pub path: Vec<Step>,
    /// What is wrong.
    pub message: String,
}

type Checked = Result<(), Violation>;

/// The first value out of range, in the order of the file.
pub(super) fn check(profile: &Profile) -> Checked {
    at_least_zero(profile.spent_s).map_err(|m| violation(&[Key("spent_s")], m))?;
    for (index, name) in profile.cut_short.iter().enumerate() {
        text(name).map_err(|m| violation(&[Key("cut_short"), Index(index)], m))?;
    }
    if !is_machine_id(&profile.machine.id) {
        let message = "a machine id is made of a-z, 0-9 and `-`".to_owned();
        return Err(violation(&[Key("machine"), Key("id")], message));
    }
    check_conditions(&profile.conditions)?;
    check_regions(profile)?;
    let mut names = HashSet::new();
    for (index, entry) in profile.workloads.iter().enumerate() {
        let prefix = [Key("workload"), Index(index)];
        let inside = |v: Violation| Violation {
            path: prefix.iter().cloned().chain(v.path).collect(),
            message: v.message,
        };
        if !names.insert(entry.name.as_str()) {
            let message = format!("a second entry is named `{}`", entry.name);
            return Err(inside(violation(&[Key("name")], message)));
        }
        check_entry(entry).map_err(inside)?;
        if profile.conditions_of(entry).is_none() {
            let message = format!("no `[[conditions]]` has the id {}", entry.conditions);
            return Err(inside(violation(&[Key("conditions")], message)));
        }
    }
    Ok(())
}

fn check_conditions(all: &[Conditions]) -> Checked {
    let mut ids = HashSet::new();
    for (index, conditions) in all.iter().enumerate() {
        let wrong = |key, message| {
            let at = [Key("conditions"), Index(index), Key(key)];
            violation(&at, message)
        };
        let id = conditions.id;
        if id == 0 {
            return Err(wrong("id", "expected a number from 1 on".to_owned()));
        }
        if !ids.insert(id) {
            let message = format!("a second `[[conditions]]` has the id {id}");
            return Err(wrong("id", message));
        }
        if let Some(level) = &conditions.level {
            text(level).map_err(|m| wrong("level", m))?;
        }
    }
    Ok(())
}

/// Is this `[a-z0-9-]+`, safe as the name of a directory?
pub(super) fn is_machine_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !id.is_empty() && id.len() <= 200 && id.bytes().all(allowed)
}

fn check_regions(profile: &Profile) -> Checked {
    let Some(conditions) = &profile.region_conditions else {
        return if profile.regions.is_empty() {
            Ok(())
        } else {
            let message =
                "`[region_conditions]` is missing, which says under what these were measured";
            Err(violation(&[Key("region")], message.to_owned()))
        };
    };
    for (key, value) in [
        ("team", Some(&conditions.team)),
        ("library", conditions.library.as_ref()),
    ] {
        value
            .map_or(Ok(()), |value| text(value))
            .map_err(|m| violation(&[Key("region_conditions"), Key(key)], m))?;
    }
    if profile.regions.is_empty() {
        let message = "no `[[region]]` follows that was measured under these".to_owned();
        return Err(violation(&[Key("region_conditions")], message));
    }
    let mut before = None;
    for (index, region) in profile.regions.iter().enumerate() {
        check_region(region, before, conditions.budget.limit)
            .map_err(|(key, m)| violation(&[Key("region"), Index(index), Key(key)], m))?;
        before = Some(region.threads);
    }
    Ok(())
}

/// `before`: the count of the region before; `most`: that of the CPU budget.
fn check_region(
    region: &Region,
    before: Option<ThreadCount>,
    most: ThreadCount,
) -> Result<(), (&'static str, String)> {
    let threads = region.threads;
    if let Some(before) = before.filter(|before| *before >= threads) {
        let message = format!("{threads} follows {before}; expected ascending counts, each once");
        return Err(("threads", message));
    }
    if threads > most {
        let message = format!("{threads} is more than the CPU budget of these regions, {most}");
        return Err(("threads", message));
    }
    if region.after_us.is_empty() {
        let message = "expected the time after one pause at least, as in `{ 0 = 1.5 }`".to_owned();
        return Err(("after_us", message));
    }
    for (pause, us) in &region.after_us {
        if !is_region_time(*us) {
            let message = format!("{us} {pause}: {}", expected_region_time());
            return Err(("after_us", message));
        }
    }
    Ok(())
}

fn check_entry(entry: &Entry) -> Checked {
    text(&entry.name).map_err(|m| violation(&[Key("name")], m))?;
    text(&entry.shape).map_err(|m| violation(&[Key("shape")], m))?;
    if !entry.backend.is_empty() {
        text(&entry.backend).map_err(|m| violation(&[Key("backend")], m))?;
    }
    if let Some(latency) = &entry.latency {
        timing("latency", latency.median_us, Some(latency.ci95_us))?;
    }
    if let Some(pinned) = &entry.pinned {
        timing("pinned", pinned.median_us, Some(pinned.ci95_us))?;
        bound(pinned).map_err(|(key, m)| violation(&[Key("pinned"), Key(key)], m))?;
    }
    if let Some(first) = entry.first_call_us {
        positive(first).map_err(|m| violation(&[Key("first_call_us")], m))?;
    }
    if let Some(efficient) = &entry.efficient {
        timing("efficient", efficient.median_us, None)?;
        finite(efficient.loss_percent)
            .map_err(|m| violation(&[Key("efficient"), Key("loss_percent")], m))?;
    }
    if let Some(throughput) = &entry.throughput {
        positive(throughput.calls_per_s)
            .map_err(|m| violation(&[Key("throughput"), Key("calls_per_s")], m))?;
    }
    let defaults = [
        ("default", &entry.default),
        ("default_cores", &entry.default_cores),
    ];
    for (key, default) in defaults {
        if let Some(default) = default {
            timing(key, default.median_us, None)?;
            positive(default.speedup).map_err(|m| violation(&[Key(key), Key("speedup")], m))?;
        }
    }
    if let Some(above) = &entry.above_quota {
        timing("above_quota", above.median_us, Some(above.ci95_us))?;
        positive(above.speedup).map_err(|m| violation(&[Key("above_quota"), Key("speedup")], m))?;
        rounded_up(above).map_err(|m| violation(&[Key("above_quota"), Key("quota")], m))?;
    }
    if let Some(level) = &entry.isa_cap {
        text(level).map_err(|m| violation(&[Key("isa_cap")], m))?;
    }
    if let Some(Rate { gflops, gb_per_s }) = entry.rate {
        for (key, value) in [("gflops", gflops), ("gb_per_s", gb_per_s)] {
            value
                .map_or(Ok(()), positive)
                .map_err(|m| violation(&[Key("rate"), Key(key)], m))?;
        }
    }
    if let Some(share) = entry.share {
        positive(share).map_err(|m| violation(&[Key("share")], m))?;
    }
    if let Some(seconds) = entry.sustained_s {
        positive(seconds).map_err(|m| violation(&[Key("sustained_s")], m))?;
    }
    if !(0.0..=1.0).contains(&entry.p_within) {
        let message = format!("{} is not a probability from 0 to 1", entry.p_within);
        return Err(violation(&[Key("p_within")], message));
    }
    at_least_zero(entry.seconds).map_err(|m| violation(&[Key("seconds")], m))?;
    entry.curve.iter().enumerate().try_for_each(check_point)
}

/// A program is pinned by these: they must be what their names say.
fn bound(pinned: &Pinned) -> Result<(), (&'static str, String)> {
    if pinned.placement == Placement::Unbound {
        let message = "expected `close` or `spread`, as these threads are bound".to_owned();
        return Err(("placement", message));
    }
    if !pinned.cpus.is_empty() && pinned.cpus.len() != pinned.threads.as_usize() {
        let message = format!(
            "`{}` names {} CPUs for {} threads, which get one each",
            pinned.cpus,
            pinned.cpus.len(),
            pinned.threads
        );
        return Err(("cpus", message));
    }
    Ok(())
}

/// Such a count is used at its quota: it must be the one just above.
fn rounded_up(above: &AboveQuotaChoice) -> Result<(), String> {
    let threads = f64::from(above.threads.get());
    if above.quota > threads - 1.0 && above.quota < threads {
        return Ok(());
    }
    Err(format!(
        "{} threads are not the quota of {} CPUs rounded up",
        above.threads, above.quota
    ))
}

fn check_point((index, point): (usize, &CurvePoint)) -> Checked {
    let at = |key| [Key("curve"), Index(index), Key(key)];
    positive(point.median_us).map_err(|m| violation(&at("median_us"), m))?;
    point.ci95_us.map_or(Ok(()), |bounds| {
        interval(bounds).map_err(|m| violation(&at("ci95_us"), m))
    })
}

fn timing(table: &'static str, median_us: f64, ci95_us: Option<[f64; 2]>) -> Checked {
    positive(median_us).map_err(|m| violation(&[Key(table), Key("median_us")], m))?;
    ci95_us.map_or(Ok(()), |bounds| {
        interval(bounds).map_err(|m| violation(&[Key(table), Key("ci95_us")], m))
    })
}

fn violation(path: &[Step], message: String) -> Violation {
    Violation {
        path: path.to_vec(),
        message,
    }
}

fn text(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err("expected 1 to 200 bytes without control characters".to_owned());
    }
    Ok(())
}

fn finite(value: f64) -> Result<(), String> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(format!("{value} is not a finite number"))
    }
}

fn positive(value: f64) -> Result<(), String> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(format!("{value} must be finite and greater than 0"))
    }
}

fn at_least_zero(value: f64) -> Result<(), String> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(format!("{value} must be finite and not negative"))
    }
}

fn interval([low, high]: [f64; 2]) -> Result<(), String> {
    positive(low)?;
    positive(high)?;
    if low > high {
        return Err(format!("the interval {low} to {high} runs backwards"));
    }
    Ok(())
}
