//! From profile, CPU budget and environment to what a launched program gets. Pure.

use super::pin::{Orders, Pin, pin};
use crate::environment::{self, Placeholder, assignments, expand};
use crate::machine::{AboveQuota, Topology};
use crate::profile::lookup::{Answered, Basis, Choice, Missed, Objective, Terms, Weighted, choose};
use crate::profile::{BudgetRecord, Doubt, Place, Profile};
use crate::units::{CpuSet, ThreadCount};
use crate::workload::{Catalog, Shape, UnknownWorkload};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The program's workloads; none means the default mix.
    pub workloads: Vec<Weighted>,
    /// A shape instead of a name.
    pub shape: Option<Shape>,
    /// What the count should be good for.
    pub objective: Objective,
    /// Bind the program to the CPUs that its threads were fastest on.
    pub pin: bool,
    /// Overrule variables that are set.
    pub force: bool,
    /// The program and its arguments; may be empty when nothing is to be started.
    pub command: Vec<OsString>,
}

impl Request {
    /// The workloads whose entries a plan needs; none where it needs all of them, for the default mix or for a shape.
    pub fn names(&self) -> Vec<String> {
        if self.workloads.is_empty() || self.shape.is_some() {
            return Vec::new();
        }
        let mut names: Vec<String> = self.workloads.iter().map(|w| w.name.clone()).collect();
        for argument in self.command.iter().skip(1) {
            expand(argument, &mut |placeholder| {
                if let Placeholder::ThreadsOf(name) = placeholder {
                    names.push(name.to_owned());
                }
                None
            });
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What is known of the CPUs that this process may use.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cpus {
    /// Those allowed.
    pub allowed: Option<CpuSet>,
    /// How many threads may run at once: the CPU budget.
    pub limit: Option<ThreadCount>,
    /// Physical cores among those allowed.
    pub physical: Option<ThreadCount>,
    /// Those of the strongest kind among them.
    pub strongest: Option<ThreadCount>,
    /// The count just above the budget's CPU quota, where it is no whole number.
    pub above_quota: Option<AboveQuota>,
    /// How the CPUs of the machine hang together, where that is known.
    pub topology: Option<Arc<Topology>>,
}

impl Cpus {
    /// The count where no profile tells: physical cores of the strongest kind inside the budget, else what is known of the
    /// two. Weak cores would keep the strong ones waiting, and siblings share what a core has.
    pub fn fallback(&self) -> Option<ThreadCount> {
        match (self.strongest.or(self.physical), self.limit) {
            (Some(cores), Some(limit)) => Some(cores.min(limit)),
            (cores, limit) => cores.or(limit),
        }
    }

    /// Where verdicts are to serve.
    pub fn place(&self) -> Place {
        let known = self.topology.as_ref().zip(self.allowed.as_ref());
        let budget = self.limit.map(|limit| BudgetRecord {
            cpus: self.allowed.clone().unwrap_or_default(),
            grouping: known.map(|(topology, cpus)| topology.grouping_of(cpus)),
            cores: self.physical,
            limit,
            by: String::new(),
        });
        Place {
            budget,
            fallback: self.fallback(),
            is_pinned: false,
            topology: self.topology.clone(),
        }
    }

    /// What is left of them to a program that is pinned to these CPUs.
    fn within(&self, pinned: &CpuSet) -> Self {
        let most = ThreadCount::clamped(pinned.len());
        Self {
            allowed: Some(pinned.clone()),
            limit: Some(self.limit.map_or(most, |limit| limit.min(most))),
            physical: None,
            strongest: None,
            above_quota: None,
            topology: self.topology.clone(),
        }
    }
}

/// What a launched program gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The count, unknown where neither profile nor machine tell.
    pub threads: Option<ThreadCount>,
    /// Where the count comes from, for people.
    pub reason: String,
    /// Variables to set, and those kept.
    pub environment: environment::Plan,
    /// The CPUs to bind the program to, where that was asked for and can be done.
    pub pin: Option<Pin>,
    /// The program and its arguments, placeholders replaced.
    pub command: Vec<OsString>,
    /// What threadtune lacked or found broken. None of it stops a program, unless the user asked for that.
    pub warnings: Vec<String>,
    /// What is to be known of the verdicts that were used.
    pub remarks: Vec<String>,
}

impl Plan {
    /// What is to be known of the verdicts that were used, and what the user has set by hand and stays in force beside the
    /// plan. It stops no program, not even a strict launch.
    pub fn notices(&self) -> Vec<&str> {
        let of_pin = self.pin.iter().flat_map(|pin| &pin.notices);
        let of_environment = self.environment.notice.iter();
        let all = self.remarks.iter().chain(of_environment).chain(of_pin);
        all.map(String::as_str).collect()
    }
}

/// Plans a launch. `profile` is the machine's profile, or why there is none; `orders` are those of the CPUs,
/// which only a pinned launch needs, and which are unknown where the build of the machine is.
pub fn plan(
    request: &Request,
    profile: Result<&Profile, String>,
    cpus: &Cpus,
    orders: Option<&Orders>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Plan {
    let mut warnings = Vec::new();
    let profile = match profile {
        Ok(profile) => Some(profile),
        Err(why) => {
            warnings.push(why);
            None
        }
    };
    let wanted = wanted(request);
    // Timings of bound threads tell about a program that will be bound, and about no other.
    let bound = request.pin && orders.is_some();
    let place = Place {
        is_pinned: bound,
        ..cpus.place()
    };
    let Answered {
        choice: answer,
        missed,
    } = profile.map_or_else(Answered::default, |profile| {
        answer(profile, &wanted, request.objective, cpus, &place)
    });
    match profile {
        Some(_) => warnings.extend(missed.iter().map(|missed| told(missed, profile))),
        None => warnings.extend(wanted.iter().filter_map(|w| unknown(&w.name, None))),
    }
    if profile.is_some() && answer.is_none() && missed.is_empty() {
        warnings.push("no verdict of the profile serves here; run `threadtune tune`".to_owned());
    }
    let (threads, reason) = match &answer {
        Some(choice) => (Some(choice.threads), reason(choice)),
        None => fallback(cpus, &mut warnings),
    };
    let remarks = answer.as_ref().map(remarks).unwrap_or_default();
    let planned = threads
        .map(|threads| assignments(threads, environment, request.force))
        .unwrap_or_default();
    let pin = request.pin.then(|| {
        let choice = answer.as_ref();
        pin(
            choice,
            threads,
            orders,
            &planned,
            environment,
            &mut warnings,
        )
    });
    let pin = pin.flatten();
    let cpus = pin
        .as_ref()
        .map_or_else(|| cpus.clone(), |pin| cpus.within(&pin.cpus));
    let command = arguments(request, profile, &cpus, &place, threads, &mut warnings);
    Plan {
        threads,
        reason,
        environment: planned,
        pin,
        command,
        warnings,
        remarks,
    }
}

/// Does this profile alone answer all that is asked for, by the very verdicts?
pub fn is_answered(request: &Request, profile: &Profile, cpus: &Cpus, is_bound: bool) -> bool {
    let place = Place {
        is_pinned: is_bound,
        ..cpus.place()
    };
    let answers = |wanted: &[Weighted]| {
        let answered = answer(profile, wanted, request.objective, cpus, &place);
        answered.choice.is_some() && answered.missed.is_empty()
    };
    let each = |name: &String| {
        answers(&[Weighted {
            name: name.clone(),
            weight: 1.0,
        }])
    };
    answers(&wanted(request)) && request.names().iter().all(each)
}

/// The names asked for, a shape being one.
fn wanted(request: &Request) -> Vec<Weighted> {
    let shape = request.shape.iter().map(|shape| Weighted {
        name: shape.to_string(),
        weight: 1.0,
    });
    request.workloads.iter().cloned().chain(shape).collect()
}

/// `cpus` are those that the program gets; `place` is where it is started, and verdicts are to serve.
fn answer(
    profile: &Profile,
    wanted: &[Weighted],
    objective: Objective,
    cpus: &Cpus,
    place: &Place,
) -> Answered {
    let terms = Terms {
        objective,
        // Without a known budget the profile's own is the best guess of what this machine allows.
        limit: cpus.limit.unwrap_or(profile.widest_limit()),
        pin: cpus.allowed.as_ref().filter(|_| place.is_pinned),
        above_quota: cpus.above_quota,
        place,
    };
    choose(profile, wanted, &terms)
}

/// Why the verdict on a workload that was asked for does not decide, and what does instead.
fn told(missed: &Missed, profile: Option<&Profile>) -> String {
    let Missed {
        name,
        why,
        stand_in,
    } = missed;
    let mut text = match why {
        Some(why) => {
            format!("the verdict on `{name}` is not used: {why}; run `threadtune tune {name}`")
        }
        None if name.parse::<Shape>().is_ok() => {
            format!("no workload of the profile has the shape `{name}`")
        }
        None => unknown(name, profile).unwrap_or_else(|| {
            format!("the profile holds no verdict on `{name}`; run `threadtune tune {name}`")
        }),
    };
    if let Some(other) = stand_in {
        let _ = write!(text, "; `{other}`, the nearest of its kind, stands in");
    }
    text
}

/// What to say of a name that neither the profile nor the catalogue knows.
fn unknown(name: &str, profile: Option<&Profile>) -> Option<String> {
    let catalog = Catalog::embedded();
    if catalog.get(name).is_ok() || name.parse::<Shape>().is_ok() {
        return None;
    }
    let entries = profile.into_iter().flat_map(|profile| &profile.workloads);
    let mut names: Vec<&str> = entries.map(|entry| entry.name.as_str()).collect();
    names.extend(catalog.names());
    names.sort_unstable();
    names.dedup();
    Some(UnknownWorkload::among(name, names.into_iter()).to_string())
}

/// What is to be known of the verdicts that a count was taken from.
fn remarks(choice: &Choice) -> Vec<String> {
    let mut remarks = Vec::new();
    if !choice.partial.is_empty() {
        remarks.push(format!(
            "{} measured with fewer CPUs than there are now, and did not want all of them; `threadtune tune --missing` \
             measures anew",
            subject(&choice.partial)
        ));
    }
    for (name, backend) in &choice.other_backends {
        remarks.push(format!(
            "`{name}`: measured with `{backend}`; no verdict of threadtune's own kernels serves"
        ));
    }
    if !choice.regrouped.is_empty() {
        remarks.push(format!(
            "{} measured on as many cores, but these share caches or memory in another way; `threadtune tune` measures on \
             these",
            subject(&choice.regrouped)
        ));
    }
    if !choice.elsewhere.is_empty() {
        remarks.push(format!(
            "{} measured on other CPUs of this processor; `threadtune tune` measures on these",
            subject(&choice.elsewhere)
        ));
    }
    if !choice.inconclusive.is_empty() {
        remarks.push(format!(
            "{} inconclusive; `threadtune show WORKLOAD` tells why",
            subject(&choice.inconclusive)
        ));
    }
    remarks
}

/// `a` is or was what follows; of many the first three are named.
fn subject(names: &[String]) -> String {
    let first = names.iter().take(3).map(String::as_str);
    let first: Vec<&str> = first.collect();
    match (first.as_slice(), names.len().saturating_sub(3)) {
        ([one], _) => format!("`{one}`:"),
        (some, 0) => format!("`{}`:", some.join("`, `")),
        (some, more) => format!("`{}` and {more} more:", some.join("`, `")),
    }
}

fn reason(choice: &Choice) -> String {
    let names = choice.workloads.join("`, `");
    let basis = match choice.basis {
        Basis::Verdict => format!("the verdict on `{names}`"),
        Basis::AboveQuota => format!("the verdict on `{names}` at this very CPU quota"),
        Basis::Curve => format!("the best of `{names}` inside the CPU budget"),
        Basis::Cores => {
            format!("the verdict on `{names}`, cut down to the cores inside the CPU budget")
        }
        Basis::Mix => format!("the mix of `{names}`"),
        Basis::Heaviest => format!("the heaviest of `{names}`, which share no count"),
    };
    basis + &to_be_measured_again(choice)
}

/// Which of the verdicts are doubtful, and why.
fn to_be_measured_again(choice: &Choice) -> String {
    let mut text = String::new();
    let mut told: Vec<&Doubt> = Vec::new();
    for (_, doubt) in &choice.doubtful {
        if told.contains(&doubt) {
            continue;
        }
        told.push(doubt);
        let alike = choice.doubtful.iter().filter(|(_, other)| other == doubt);
        let names: Vec<&str> = alike.map(|(name, _)| name.as_str()).collect();
        let _ = write!(
            text,
            " (`{}`: {doubt}; run `threadtune tune --missing`)",
            names.join("`, `")
        );
    }
    text
}

fn fallback(cpus: &Cpus, warnings: &mut Vec<String>) -> (Option<ThreadCount>, String) {
    let threads = cpus.fallback();
    let reason = match (threads, cpus.physical) {
        (None, _) => "the number of CPUs is unknown, too: nothing is set",
        (Some(_), Some(_)) if cpus.strongest != cpus.physical => {
            "the strongest physical cores inside the CPU budget"
        }
        (Some(_), Some(_)) => "the physical cores inside the CPU budget",
        (Some(_), None) => "the whole CPU budget, as the number of cores is unknown",
    };
    warnings.push(match threads {
        Some(threads) => format!("using OMP_NUM_THREADS={threads}: {reason}"),
        None => reason.to_owned(),
    });
    (threads, reason.to_owned())
}

/// The command with its placeholders replaced; the program's own name stays as it is. `cpus` are those of the program:
/// a workload that an argument names gets the best count for as many as are pinned.
fn arguments(
    request: &Request,
    profile: Option<&Profile>,
    cpus: &Cpus,
    place: &Place,
    threads: Option<ThreadCount>,
    warnings: &mut Vec<String>,
) -> Vec<OsString> {
    let mut value = |placeholder: Placeholder<'_>| match placeholder {
        Placeholder::Threads => threads.map(|n| n.to_string()),
        Placeholder::Cpus => cpus.allowed.as_ref().map(ToString::to_string),
        Placeholder::ThreadsOf(name) => {
            let wanted = [Weighted {
                name: name.to_owned(),
                weight: 1.0,
            }];
            let Answered { choice, missed } = profile.map_or_else(Answered::default, |profile| {
                answer(profile, &wanted, request.objective, cpus, place)
            });
            for missed in &missed {
                let warning = told(missed, profile);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            let threads = choice.map(|choice| choice.threads).or(threads);
            threads.map(|n| n.to_string())
        }
    };
    let mut command = request.command.iter();
    command
        .next()
        .cloned()
        .into_iter()
        .chain(command.map(|argument| expand(argument, &mut value)))
        .collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
