//! Empty parallel regions timed by a worker process.

use super::regions::{RegionRequest, RegionTimer, Unmeasured};
use super::worker::{WorkerError, WorkerProcess};
use crate::machine::Placement;
use crate::tune::Arm;
use crate::units::Nanos;
use crate::worker::protocol::RegionOrder;
use std::time::{Duration, Instant};

/// A worker's team.
pub struct WorkerRegions<'a> {
    process: &'a mut WorkerProcess,
    /// The CPUs of an arm, one a thread in order.
    cpus: &'a dyn Fn(Arm) -> Vec<u32>,
    begun: Instant,
}

impl<'a> WorkerRegions<'a> {
    /// That of this worker, on these CPUs.
    pub fn new(process: &'a mut WorkerProcess, cpus: &'a dyn Fn(Arm) -> Vec<u32>) -> Self {
        Self {
            process,
            cpus,
            begun: Instant::now(),
        }
    }
}

impl RegionTimer for WorkerRegions<'_> {
    fn time(&mut self, request: &RegionRequest) -> Result<Vec<f64>, Unmeasured> {
        let settings = &self.process.settings;
        let may_go_on = settings.may_go_on.ask();
        may_go_on.map_err(|_| Unmeasured::Interrupted)?;
        let threads = request.threads;
        let limit = Duration::from_nanos(request.limit.0);
        let patience = settings.deadline + limit;
        let order = RegionOrder {
            threads,
            cpus: (self.cpus)(Arm {
                threads,
                placement: Placement::Close,
            }),
            pause_us: request.pause.as_us(),
            repetitions: request.repetitions,
            limit_us: limit.as_micros() as u64,
        };
        let times = self
            .process
            .regions(order, patience)
            .map_err(|error| match error {
                WorkerError::Refused(why) => Unmeasured::Refused(why),
                error => Unmeasured::Failed(error.to_string()),
            })?;
        if times.threads_ran != threads.get() {
            return Err(Unmeasured::Failed(format!(
                "{threads} threads were asked for and {} ran; is there a limit on threads?",
                times.threads_ran
            )));
        }
        Ok(times.each_us())
    }

    fn now(&self) -> Nanos {
        Nanos(self.begun.elapsed().as_nanos() as u64)
    }
}
