//! A worker that stays alive between visits to one workload.

use super::measurer::Site;
use super::worker::{WorkerError, WorkerProcess, WorkerSettings};
use super::worker_bench::WorkerBench;
use crate::machine::Placement;
use crate::tune::{Arm, BenchError, Options, Warmed, visit};
use crate::units::{Nanos, ThreadCount};
use crate::workload::Workload;
use rand_pcg::Pcg32;

/// Visits one workload now and then, always with the same process and the same data.
pub struct Visitor {
    site: Site,
    process: WorkerProcess,
}

impl Visitor {
    /// Starts a worker and has it prepare the workload.
    pub fn start(
        settings: &WorkerSettings,
        site: Site,
        workload: &Workload,
    ) -> Result<Self, WorkerError> {
        let mut process = WorkerProcess::start(settings)?;
        process.open(&site.open_of(workload))?;
        Ok(Self { site, process })
    }

    /// Times both counts unbound in so many blocks, on a machine that has `rested` for so long: log time of the first less
    /// that of the second, for each block that nothing disturbed. `options` give the length of a sample.
    pub fn visit(
        &mut self,
        counts: [ThreadCount; 2],
        blocks: usize,
        rested: Nanos,
        options: &Options,
        rng: &mut Pcg32,
    ) -> Result<Vec<f64>, BenchError> {
        let widest = self.site.widest(self.process.greeting());
        let cpus = |arm| self.site.cpus_of(arm);
        let bench = WorkerBench::new(&mut self.process, &cpus);
        let mut bench = Warmed::new(bench, widest, rested, options);
        let arms = counts.map(|threads| Arm {
            threads,
            placement: Placement::Unbound,
        });
        visit(&mut bench, arms, blocks, options.sample, rng)
    }
}
