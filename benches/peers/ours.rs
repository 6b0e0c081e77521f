//! Our kernels on the team that a tuning takes.

use crate::POOL_BYTES;
use crate::turns::Callee;
use std::path::Path;
use std::time::Duration;
use threadtune::machine::{CoreCache, Placement, affinity, core_caches};
use threadtune::units::{Calls, ThreadCount};
use threadtune::worker::kernel::isa::Isa;
use threadtune::worker::kernel::prepare;
use threadtune::worker::protocol::{Open, SampleOrder};
use threadtune::worker::station::Station;
use threadtune::worker::team::{self, TeamChoice};
use threadtune::worker::timing::Stopwatch;
use threadtune::workload::{Level, Residency, Shape};

/// Calls of one sample.
const BATCH: Duration = Duration::from_millis(10);

pub struct Ours {
    isa: Isa,
    caches: Vec<CoreCache>,
    station: Station,
    order: SampleOrder,
    stopwatch: Option<Stopwatch>,
}

impl Ours {
    pub fn new(level: &str, threads: &str) -> Self {
        let cap: Option<Level> = level.parse().ok();
        let all = affinity::current().expect("the CPU mask can be read");
        let (team, _) = team::open(TeamChoice::OpenMp, false).expect("OpenMP loads");
        Self {
            isa: Isa::best(cap),
            caches: core_caches(Path::new("/"), all.first().unwrap_or(0), &all),
            order: SampleOrder {
                threads: ThreadCount::clamped(threads.parse().unwrap_or(1)),
                placement: Placement::Unbound,
                cpus: all.iter().collect(),
                calls: Calls::ONE,
            },
            station: Station::new(team, all),
            stopwatch: None,
        }
    }

    fn sample(&mut self) -> Vec<f64> {
        let Some(stopwatch) = &mut self.stopwatch else {
            return Vec::new();
        };
        match stopwatch.sample(&mut self.station, &self.order) {
            Ok(sampled) => sampled
                .durations_ns
                .iter()
                .map(|ns| *ns as f64 / 1e3 / f64::from(sampled.calls_each.get()))
                .collect(),
            Err(why) => {
                eprintln!("ours: {why}");
                Vec::new()
            }
        }
    }
}

impl Callee for Ours {
    fn prepare(&mut self, shape: &Shape, residency: Residency) -> bool {
        let open = Open {
            shape: *shape,
            residency,
            pool_bytes: POOL_BYTES,
            memory_limit_bytes: 4 << 30,
            first_cpu: 0,
        };
        self.stopwatch = prepare(self.isa, &self.caches, &open)
            .ok()
            .map(Stopwatch::new);
        self.stopwatch.is_some()
    }

    fn calls(&mut self, time: Duration) -> Vec<f64> {
        self.order.calls = Calls::ONE;
        let one = self.sample().iter().sum::<f64>().max(1.0);
        self.order.calls =
            Calls::new((BATCH.as_secs_f64() * 1e6 / one).clamp(1.0, 10_000.0) as u32);
        let mut us = Vec::new();
        while us.len() < 3 || us.iter().sum::<f64>() < time.as_secs_f64() * 1e6 {
            let more = self.sample();
            if more.is_empty() {
                break;
            }
            us.extend(more);
        }
        us
    }
}
