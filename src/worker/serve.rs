//! The worker's loop: greet, then answer one request after another until standard input ends.

use super::kernel;
use super::kernel::isa::Isa;
use super::protocol::{Greeting, Kernels, Open, Opened, Order, Outcome, Reply, Request, VERSION};
use super::station::Station;
use super::team::{self, TeamChoice, TeamError};
use super::timing::Stopwatch;
use crate::machine::{CoreCache, affinity};
use crate::workload::{KERNEL_REVISION, Level};
use std::io::{self, BufRead, Write};

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
    /// The data caches of a core, nearest first.
    pub caches: Vec<CoreCache>,
}

/// Serves the supervisor on these streams until the input ends.
pub fn serve(terms: &Terms, input: impl BufRead, mut output: impl Write) -> Result<(), ServeError> {
    let isa = Isa::best(terms.isa_cap);
    let all_cpus = affinity::current()?;
    // Libraries are loaded before anything is measured: a worker that cannot say so soon.
    let (team, note) = team::open(terms.team, terms.trusted_libraries)?;
    let (name, library) = (
        team.describe().to_owned(),
        team.library().map(str::to_owned),
    );
    let first = all_cpus.first();
    let mut station = Station::new(team, all_cpus);
    let (core, _) = station.on_cpu(first, || kernel::measure_core(isa, &terms.caches));
    let greeting = Greeting {
        threadtune_worker: VERSION,
        team: name,
        library,
        wait: team::wait_policy(|name| std::env::var(name).ok()),
        unbindable: station.unbindable().map(str::to_owned),
        note,
        clock: Some(station.clock().clone()),
        kernels: Some(Kernels {
            revision: KERNEL_REVISION,
            level: isa.level(),
            highest: Isa::best(None).level(),
            core,
        }),
    };
    say(&mut output, &greeting)?;
    let mut stopwatch = None;
    for line in input.lines() {
        let (id, order) = understood(&line?)?;
        let outcome = order.and_then(|order| match order {
            Order::Open(open) => {
                // The data of the workload before goes first: both together may not fit.
                stopwatch = None;
                prepare(isa, &terms.caches, &open, &mut station).map(|(ready, opened)| {
                    stopwatch = Some(ready);
                    Outcome::Opened(opened)
                })
            }
            Order::Sample(order) => match &mut stopwatch {
                None => Err("no workload is open".to_owned()),
                Some(stopwatch) => stopwatch.sample(&mut station, &order).map(Outcome::Sampled),
            },
            Order::Regions(order) => station.regions(&order).map(Outcome::Regions),
        });
        let outcome = outcome.unwrap_or_else(|reason| Outcome::Refused { reason });
        say(&mut output, &Reply { id, outcome })?;
    }
    Ok(())
}

/// A request's id, and its order or why this worker cannot follow it: later supervisors may know more orders than it.
fn understood(line: &str) -> Result<(u64, Result<Order, String>), serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        id: u64,
    }
    match serde_json::from_str(line) {
        Ok(Request { id, order }) => Ok((id, Ok(order))),
        Err(error) => {
            let Numbered { id } = serde_json::from_str(line)?;
            Ok((id, Err(format!("the request is not understood: {error}"))))
        }
    }
}

/// Prepares a workload's data on the CPU that is asked for.
fn prepare(
    isa: Isa,
    caches: &[CoreCache],
    open: &Open,
    station: &mut Station,
) -> Result<(Stopwatch, Opened), String> {
    let cpu = Some(open.first_cpu);
    let (ready, first_cpu) = station.on_cpu(cpu, || kernel::prepare(isa, caches, open));
    let ready = ready.map_err(|error| error.to_string())?;
    let opened = Opened {
        residency: ready.residency,
        pool_bytes: ready.pool_bytes,
        first_cpu,
    };
    Ok((Stopwatch::new(ready), opened))
}

fn say(output: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    output.write_all(text.as_bytes())?;
    output.flush()
}
