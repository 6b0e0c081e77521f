//! `threadtune machine`: what this machine is, and what sets it apart from the one of a profile.

use super::configuration;
use super::output::print;
use crate::machine::{
    Beside, CpuInfo, Fingerprint, Host, Memory, Topology, bios, governor, is_live, kernel_release,
    microcode,
};
use crate::profile::{BudgetRecord, Comparison, Here, load};
use crate::report::{
    MachineReport, comparison_json, comparison_table, machine_json, machine_picture,
};
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `machine`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done; 1 the machine cannot be read (stderr says why); 2 wrong usage. With --diff: 0 the profile is used \
on this machine; 1 the profile belongs to another machine; 2 trouble: wrong usage, or the machine or the profile cannot \
be read.")]
pub struct MachineArgs {
    /// Print one JSON object; sets of CPUs are texts such as `0-3,8`.
    #[arg(long)]
    json: bool,
    /// Read a recorded tree of sysfs and procfs instead of this machine.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Compare with the machine and the conditions of this profile, and say what matters.
    #[arg(long, value_name = "PROFILE")]
    diff: Option<PathBuf>,
}

impl MachineArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Some(profile) = &self.diff else {
            return self.show(&self.host()?);
        };
        // As with diff(1), 1 tells what was found, and trouble must not look like it.
        let compared = self.host().and_then(|host| self.compare(host, profile));
        Ok(compared.unwrap_or_else(|error| {
            log::error!("{error:#}");
            ExitCode::from(2)
        }))
    }

    /// The live machine, or nothing but the tree under another root.
    fn host(&self) -> anyhow::Result<Host> {
        if !self.root.is_dir() {
            bail!(
                "there is no directory `{0}`; give --root the directory that holds `sys` and `proc` of a machine",
                self.root.display()
            );
        }
        let mut reserve = None;
        if is_live(&self.root) {
            let (configuration, problems) = configuration::read();
            for problem in problems {
                log::warn!("{problem}");
            }
            reserve = configuration.reserve;
        }
        let env = |name: &str| std::env::var(name).ok();
        let beside = Beside {
            reserve: reserve.as_ref(),
            // As a launch finds it.
            tasks: 0,
        };
        Ok(Host::read(&self.root, Some(&beside), env)?)
    }

    fn show(&self, Host { topology, budget }: &Host) -> anyhow::Result<ExitCode> {
        let known = topology
            .as_ref()
            .ok()
            .map(|topology| (topology, self.fingerprint(topology)));
        let mut notes = match topology {
            Ok(topology) => topology.notes.clone(),
            Err(error) => vec![format!("{error}; only limits are told")],
        };
        notes.extend(budget.remarks().cloned());
        let report = MachineReport {
            known: known.as_ref().map(|(topology, id)| (*topology, id)),
            budget,
            memory: &Memory::read(&self.root, topology.as_ref().ok()),
            notes: &notes,
        };
        let text = if self.json {
            machine_json(&report)?
        } else {
            machine_picture(&report)
        };
        print(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    fn compare(&self, Host { topology, budget }: Host, profile: &Path) -> anyhow::Result<ExitCode> {
        let topology = topology.context("there is nothing to compare the profile with")?;
        let here = Here {
            machine: self.fingerprint(&topology),
            kernel: kernel_release(&self.root),
            microcode: microcode(&self.root),
            bios: bios(&self.root),
            governor: governor(&self.root, &topology),
            budget: BudgetRecord::of(&budget, Some(&topology)),
        };
        let comparison = Comparison::of(&load(profile)?, &here);
        let text = if self.json {
            comparison_json(&comparison)?
        } else {
            comparison_table(&comparison)
        };
        print(text.as_bytes())?;
        Ok(if comparison.same_machine {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn fingerprint(&self, topology: &Topology) -> Fingerprint {
        Fingerprint::of(topology, &CpuInfo::read(&self.root))
    }
}
