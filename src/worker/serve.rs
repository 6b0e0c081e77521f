//! The worker's loop: greet, then answer one request after another until standard input ends.

use super::kernel;
use super::kernel::isa::Isa;
use super::protocol::{Greeting, Kernels, Open, Opened, Order, Outcome, Reply, Request, VERSION};
use super::team::{self, TeamChoice, TeamError};
use super::timing::{Station, Stopwatch};
use crate::machine::{CoreCache, affinity};
use crate::units::CpuSet;
use crate::workload::{KERNEL_REVISION, Level};
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

/// Why a worker gave up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no team to measure with.
    #[error(transparent)]
    Team(#[from] TeamError),
    /// The supervisor's pipes broke.
    #[error("the supervisor cannot be reached")]
    Pipe(#[from] io::Error),
    /// The supervisor speaks another language.
    #[error("not a request")]
    Request(#[from] serde_json::Error),
}

/// How a worker is confined, and what it is told of the machine.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Which runtime forks the threads.
    pub team: TeamChoice,
    /// Kernels of no higher level.
    pub isa_cap: Option<Level>,
    /// A runtime is loaded only if root alone can change it, as it is for root in any case.
    pub trusted_libraries: bool,
    /// Files in which the kernel counts throttling of the control groups that this process is in.
    pub cpu_stat: Vec<PathBuf>,
    /// The data caches of a core, nearest first.
    pub caches: Vec<CoreCache>,
}

/// Serves the supervisor on these streams until the input ends.
pub fn serve(terms: Terms, input: impl BufRead, mut output: impl Write) -> Result<(), ServeError> {
    let isa = Isa::best(terms.isa_cap);
    let all_cpus = affinity::current()?;
    // Libraries are loaded before anything is measured: a worker that cannot say so soon.
    let (team, note) = team::open(terms.team, terms.trusted_libraries)?;
    let name = team.describe().to_owned();
    let mut station = Station::new(team, all_cpus.clone(), terms.cpu_stat);
    let greeting = Greeting {
        threadtune_worker: VERSION,
        team: name,
        note,
        clock: Some(station.clock().clone()),
        kernels: Some(Kernels {
            revision: KERNEL_REVISION,
            level: isa.level(),
            highest: Isa::best(None).level(),
            core: on_first_cpu(&all_cpus, || kernel::measure_core(isa, &terms.caches)),
        }),
    };
    say(&mut output, &greeting)?;
    let mut stopwatch = None;
    for line in input.lines() {
        let Request { id, order } = serde_json::from_str(&line?)?;
        let outcome = match order {
            Order::Open(open) => prepare(isa, &terms.caches, &open, &mut stopwatch),
            Order::Sample(order) => match &mut stopwatch {
                None => Err("no workload is open".to_owned()),
                Some(stopwatch) => stopwatch.sample(&mut station, &order).map(Outcome::Sampled),
            },
        };
        let outcome = outcome.unwrap_or_else(|reason| Outcome::Refused { reason });
        say(&mut output, &Reply { id, outcome })?;
    }
    Ok(())
}

/// Runs this on the CPU whose caches are known, where the system lets it.
fn on_first_cpu<T>(all_cpus: &CpuSet, measure: impl FnOnce() -> T) -> T {
    let first: CpuSet = all_cpus.first().into_iter().collect();
    let is_bound = affinity::set_current(&first).is_ok();
    let measured = measure();
    if is_bound && let Err(error) = affinity::set_current(all_cpus) {
        log::warn!("the CPU mask cannot be widened again: {error}");
    }
    measured
}

fn prepare(
    isa: Isa,
    caches: &[CoreCache],
    open: &Open,
    stopwatch: &mut Option<Stopwatch>,
) -> Result<Outcome, String> {
    // The data of the workload before goes first: both together may not fit.
    *stopwatch = None;
    let ready = kernel::prepare(isa, caches, open).map_err(|error| error.to_string())?;
    let opened = Opened {
        residency: ready.residency,
        pool_bytes: ready.pool_bytes,
    };
    *stopwatch = Some(Stopwatch::new(ready));
    Ok(Outcome::Opened(opened))
}

fn say(output: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    output.write_all(text.as_bytes())?;
    output.flush()
}
