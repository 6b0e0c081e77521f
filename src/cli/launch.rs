//! `threadtune launch`: starts a program with the number of threads that suits its work.

use super::configuration;
use super::output::print;
use super::this_machine::ThisMachine;
use crate::launch::{Orders, Pin, Plan, Request, exec, is_answered, plan};
use crate::machine::{CpuOrder, affinity};
use crate::profile::lookup::{Objective, Weighted};
use crate::profile::{Gathered, Profile, load_named};
use crate::report::plain;
use crate::workload::Shape;
use anyhow::bail;
use clap::{Args, ValueEnum};
use log::{error, info, warn};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code of wrong usage, and of threadtune's own failure where that stops the program.
pub const FAILED: u8 = 125;

/// The only backend so far.
const BACKEND: &str = "native";

/// Options of `launch`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own on the command line"
)]
#[command(after_help = "\
In the program's arguments {threads}, {threads:WORKLOAD} and {cpus} are replaced; with --pin, {cpus} is the list of \
the pinned CPUs, and {threads:WORKLOAD} is at most as many as they are.

Exit codes: that of the program; 125 wrong usage, or a failure with --strict; 126 the program cannot be run; \
127 it was not found.")]
pub struct LaunchArgs {
    /// What the program does; several make a mix, a weight is its share of the time (default 1).
    #[arg(short, long = "workload", value_name = "WORKLOAD[:WEIGHT]", value_parser = weighted)]
    workloads: Vec<Weighted>,
    /// A workload by its shape, e.g. `gemm:256x256x256:f32`.
    #[arg(long)]
    shape: Option<Shape>,
    /// What the count should be good for.
    #[arg(long, value_enum, default_value_t = ObjectiveArg::Latency)]
    objective: ObjectiveArg,
    /// Bind the program to as many CPUs as it gets threads: those on which bound threads were fastest, or others of
    /// this process's CPUs that lie alike. Its threads may move among them; without this nothing is bound.
    #[arg(long)]
    pin: bool,
    /// Overrule variables that are set already.
    #[arg(long)]
    force: bool,
    /// Print the assignments instead of starting anything.
    #[arg(long)]
    print: bool,
    /// Print the whole plan as JSON instead of starting anything.
    #[arg(long)]
    json: bool,
    /// Fail rather than start the program with a fallback count, or unpinned despite --pin.
    #[arg(long)]
    strict: bool,
    /// The profile to use; it must be of this machine, or of another one with the same processor.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(
        value_name = "PROGRAM",
        trailing_var_arg = true,
        required_unless_present_any = ["print", "json"]
    )]
    command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ObjectiveArg {
    /// The fastest call.
    Latency,
    /// The fewest threads within 5 % of that.
    Efficient,
}

impl LaunchArgs {
    /// Becomes the program; comes back only if nothing is to be started, or cannot be.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (configuration, problems) = configuration::read();
        let machine = ThisMachine::configured(&configuration);
        let request = Request {
            workloads: self.workloads.clone(),
            shape: self.shape,
            objective: match self.objective {
                ObjectiveArg::Latency => Objective::Latency,
                ObjectiveArg::Efficient => Objective::Efficient,
            },
            pin: self.pin,
            force: self.force,
            command: self.command.clone(),
        };
        let names = request.names();
        let profile = self.find_profile(&machine, &request);
        let mut plan = plan(
            &request,
            profile.as_ref().map_err(Clone::clone),
            &machine.cpus,
            self.cpu_orders(&machine, profile.as_ref().ok(), &names)
                .as_ref(),
            &|name| std::env::var_os(name),
        );
        plan.warnings
            .splice(..0, problems.iter().map(ToString::to_string));
        if !plan.warnings.is_empty() {
            let warning = plan.warnings.join("; ");
            if self.strict {
                bail!("{warning}; not started because of --strict");
            }
            warn!("{warning}");
        }
        let mut notices = machine.cautions(plan.threads);
        notices.extend(plan.notices());
        if !notices.is_empty() {
            warn!("{}", notices.join("; "));
        }
        for note in machine.notes() {
            info!("{}", plain(note));
        }
        if let Some(threads) = plan.threads {
            info!("OMP_NUM_THREADS={threads}: {}", plan.reason);
        }
        if let Some(Pin {
            placement, cpus, ..
        }) = &plan.pin
        {
            info!("pinned to CPUs {cpus} ({placement})");
        }
        if self.json {
            print(&as_json(&plan, &machine)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.print {
            if let Some(Pin { cpus, .. }) = &plan.pin {
                warn!(
                    "the CPUs to pin to are no variable: start the program by `taskset -c {cpus}`"
                );
            }
            print(as_assignments(&plan).as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let arguments = plan.command.split_off(1);
        let Some(program) = plan.command.pop() else {
            bail!("no program was named");
        };
        // A program keeps the mask of the thread that becomes it, and hands it on to its children.
        if let Some(Pin { cpus, .. }) = &plan.pin
            && let Err(error) = affinity::narrow_current(cpus)
        {
            let failure = format!("cannot pin to CPUs {cpus}: {error}");
            if self.strict {
                bail!("{failure}; not started because of --strict");
            }
            warn!("{failure}; the program starts unpinned");
        }
        if plan.pin.is_none()
            && let Some(cpus) = machine.without_isolated()
            && let Err(error) = affinity::narrow_current(cpus)
        {
            warn!("cannot leave out isolated CPUs: {error}");
        }
        let failure = exec(program, &arguments, &plan.environment.assignments);
        error!("{failure}");
        Ok(ExitCode::from(failure.exit_code()))
    }

    /// In which order a pinned program takes the CPUs of this process, and `tune` would take those it had.
    fn cpu_orders(
        &self,
        machine: &ThisMachine,
        profile: Option<&Profile>,
        names: &[String],
    ) -> Option<Orders> {
        let (topology, budget) = (machine.topology.as_ref()?, machine.budget.as_ref()?);
        let tuned = profile.and_then(|profile| profile.common_cpus(names));
        self.pin.then(|| Orders {
            own: CpuOrder::of(topology, &budget.cpus),
            tuned: tuned.map(|cpus| CpuOrder::of(topology, cpus)),
        })
    }

    /// What all profiles of this machine say, or one text about why there is nothing.
    fn find_profile(&self, machine: &ThisMachine, request: &Request) -> Result<Profile, String> {
        let Some(fingerprint) = &machine.fingerprint else {
            return Err("this machine could not be identified, so no profile is its".to_owned());
        };
        let names = request.names();
        let is_bound = self.pin && machine.topology.is_some();
        let is_enough = |profile: &Profile| is_answered(request, profile, &machine.cpus, is_bound);
        if let Some(path) = &self.profile {
            let load = |names| {
                let profile = load_named(path, fingerprint, names);
                profile.map_err(|error| error.to_string())
            };
            let profile = load(&names)?;
            // Another workload may stand in for one whose verdict does not serve.
            return if is_enough(&profile) {
                Ok(profile)
            } else {
                load(&[])
            };
        }
        let (gathered, problems) = machine.gather(fingerprint, BACKEND, &names, &is_enough);
        match gathered {
            Some(Gathered { profile, paths }) => {
                let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
                info!("profile {}", paths.join(", "));
                // A sound profile beside a broken one serves as well; the broken one is the user's to see.
                if !problems.is_empty() {
                    warn!("passed over: {}", problems.join("; "));
                }
                Ok(profile)
            }
            None if problems.is_empty() => Err(format!(
                "no profile of this machine (`{}`); run `threadtune tune`",
                fingerprint.id
            )),
            None => Err(problems.join("; ")),
        }
    }
}

/// Parses `NAME` or `NAME:WEIGHT`.
fn weighted(text: &str) -> Result<Weighted, String> {
    let (name, weight) = match text.rsplit_once(':') {
        None => (text, 1.0),
        Some((name, weight)) => {
            let weight = weight
                .parse::<f64>()
                .ok()
                .filter(|weight| weight.is_finite() && *weight > 0.0)
                .ok_or_else(|| format!("`{weight}` is not a weight; expected a number above 0"))?;
            (name, weight)
        }
    };
    if name.is_empty() {
        return Err("the workload's name is missing".to_owned());
    }
    Ok(Weighted {
        name: name.to_owned(),
        weight,
    })
}

/// One assignment a line. The values are counts, so the shell needs no quotes.
fn as_assignments(plan: &Plan) -> String {
    plan.environment
        .assignments
        .iter()
        .map(|a| [a.variable, "=", &a.value.to_string_lossy(), "\n"].concat())
        .collect()
}

fn as_json(plan: &Plan, machine: &ThisMachine) -> anyhow::Result<Vec<u8>> {
    let variables: serde_json::Map<String, serde_json::Value> = plan
        .environment
        .assignments
        .iter()
        .map(|a| (a.variable.to_owned(), a.value.to_string_lossy().into()))
        .collect();
    let kept: serde_json::Map<String, serde_json::Value> = plan
        .environment
        .kept
        .iter()
        .map(|k| (k.variable.to_owned(), k.value.to_string_lossy().into()))
        .collect();
    let command: Vec<_> = plan.command.iter().map(|a| a.to_string_lossy()).collect();
    let notices = [machine.cautions(plan.threads), plan.notices()].concat();
    let json = serde_json::json!({
        "threads": plan.threads,
        "reason": plan.reason,
        "machine": machine.id(),
        "budget": {
            "limit": machine.cpus.limit,
            "cpus": machine.cpus.allowed,
            "notes": machine.notes().collect::<Vec<_>>(),
        },
        "environment": variables,
        "kept": kept,
        "pin": plan.pin.as_ref().map(|pin| serde_json::json!({
            "placement": pin.placement,
            "cpus": pin.cpus,
        })),
        "command": command,
        "warnings": plan.warnings,
        "notices": notices,
    });
    let mut bytes = serde_json::to_vec_pretty(&json)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_follows_the_last_colon() {
        let parsed = |text| weighted(text).map(|w| (w.name, w.weight));
        assert_eq!(
            parsed("llama3.2-1b/decode"),
            Ok(("llama3.2-1b/decode".to_owned(), 1.0))
        );
        assert_eq!(
            parsed("matmul-256:0.25"),
            Ok(("matmul-256".to_owned(), 0.25))
        );
        for text in ["", ":1", "a:", "a:0", "a:-1", "a:nan", "a:inf", "a:b"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
