//! `threadtune worker`: the measuring process; started by `tune`, not by hand.

use crate::machine::{affinity, core_caches};
use crate::worker::team::TeamChoice;
use crate::worker::{Terms, serve};
use crate::workload::Level;
use anyhow::Context;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Which runtime forks the threads.
    #[arg(long, default_value_t = TeamChoice::Auto)]
    team: TeamChoice,
    /// Run kernels of no higher instruction set than this: avx512, avx2, neon, sse2 or portable.
    #[arg(long, value_name = "LEVEL")]
    isa: Option<Level>,
    /// Load only libraries that root alone can change, as root always does.
    #[arg(long)]
    trusted_libraries: bool,
    /// Never use more memory than this for data, in bytes: what needs more ends this process, not the machine.
    #[arg(long, value_name = "BYTES")]
    memory_limit: Option<u64>,
}

impl WorkerArgs {
    /// Serves the supervisor on standard input and output.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // A worker must not outlive its supervisor, whatever ends that one.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .context("the worker cannot be tied to its supervisor")?;
        // Where memory runs out, the kernel must take what measures and not who keeps its verdicts. Anyone may raise it.
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
            log::info!("the worker is no more likely to be ended when memory runs out: {error}");
        }
        // Ctrl-C is the supervisor's to handle: it lets the running sample end.
        signal_hook::flag::register(
            signal_hook::consts::SIGINT,
            Arc::new(AtomicBool::new(false)),
        )?;
        if let Some(bytes) = self.memory_limit {
            limit_memory(bytes).context("the worker's memory cannot be limited")?;
        }
        let root = Path::new("/");
        let mask = affinity::current()?;
        let cpu = mask.first().unwrap_or(0);
        let terms = Terms {
            team: self.team,
            isa_cap: self.isa,
            trusted_libraries: self.trusted_libraries,
            caches: core_caches(root, cpu, &mask),
        };
        serve(&terms, io::stdin().lock(), io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// From now on an allocation that goes beyond this fails, which ends a process that has no answer to it. A lower limit
/// that is in force already stays.
fn limit_memory(bytes: u64) -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Data);
    let bytes = Some(maximum.map_or(bytes, |most| bytes.min(most)));
    let limit = Rlimit {
        current: bytes,
        maximum: bytes,
    };
    setrlimit(Resource::Data, limit)
}
