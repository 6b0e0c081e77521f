//! Tunes one workload after another on a worker; a worker that breaks is replaced.

use super::apart::Apart;
use super::recorder::Recorder;
use super::regions::{Unmeasured, walk};
use super::unfinished::{Again, Unfinished};
use super::worker::{WorkerError, WorkerProcess, WorkerSettings};
use super::worker_bench::WorkerBench;
use super::worker_regions::WorkerRegions;
use crate::machine::{AboveQuota, CpuOrder, Layout, Node, Placement};
use crate::profile::{Entry, FreshRegions, RegionConditions, StopReason};
use crate::tune::{
    Arm, BenchError, DriftCheck, DriftStep, Finding, Options, Placements, Progress, Step, Subject,
    Verdict, Warmed, contenders, failed_entry,
};
use crate::units::{CpuSet, Nanos, ThreadCount};
use crate::worker::protocol::{Greeting, Open, Opened};
use crate::workload::{Residency, Roofline, Workload};
use std::time::{Duration, Instant};

/// For how long nothing has run, as far as is known, before the first workload.
const A_LONG_TIME: Nanos = Nanos(3_600_000_000_000);

/// What of the machine matters to measuring.
#[derive(Debug, Clone)]
pub struct Site {
    /// From which the counts worth trying follow.
    pub layout: Layout,
    /// Which CPUs a team gets.
    pub order: CpuOrder,
    /// The machine's memory nodes.
    pub nodes: Vec<Node>,
    /// Weights in memory rotate over more than this: twice the last-level cache, bytes.
    pub pool_bytes: u64,
    /// The data of a workload may take this much, bytes.
    pub memory_limit_bytes: u64,
    /// The count just above the CPU quota, where it is no whole number.
    pub above_quota: Option<AboveQuota>,
}

impl Site {
    /// The CPUs of an arm's threads: one each, in order, where they are bound; else all of them.
    pub(super) fn cpus_of(&self, arm: Arm) -> Vec<u32> {
        self.order.cpus_for(arm.placement, arm.threads)
    }

    /// The memory node that a CPU belongs to.
    fn node_of(&self, cpu: u32) -> Option<u32> {
        let is_home = |node: &&Node| node.cpus.contains(cpu);
        self.nodes.iter().find(is_home).map(|node| node.id)
    }

    /// The CPU of a program's first thread.
    fn first_cpu(&self) -> u32 {
        let first = self.order.cpus_for(Placement::Close, ThreadCount::ONE);
        first.first().copied().unwrap_or(0)
    }

    /// What a worker is told to prepare for a workload.
    pub(super) fn open_of(&self, workload: &Workload) -> Open {
        Open {
            shape: workload.shape,
            residency: workload.residency,
            pool_bytes: self.pool_bytes,
            memory_limit_bytes: self.memory_limit_bytes,
            first_cpu: self.first_cpu(),
        }
    }

    /// The arm that keeps most CPUs busy, as many as may be used; bound where threads can be.
    pub(super) fn widest(&self, worker: &Greeting) -> Arm {
        Arm {
            threads: self.layout.logical,
            placement: match worker.unbindable {
                None => Placement::Close,
                Some(_) => Placement::Unbound,
            },
        }
    }
}

/// What came of looking whether an entry still holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// This.
    Found(Finding),
    /// There is no other count than the one that it states.
    Needless,
    /// Nothing could be measured, for this reason.
    Failed(String),
}

/// Measuring was asked to stop; the workload has no verdict. What is known of it by then, if anything, is not lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped(pub Option<Box<Unfinished>>);

/// A workload that was tuned.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// What the profile says about it.
    pub entry: Entry,
    /// How long its tuning could take.
    pub allowed: Nanos,
    /// Where another visit may tell more.
    pub again: Option<Again>,
}

/// Tunes workloads on real threads.
pub struct Measurer {
    settings: WorkerSettings,
    site: Site,
    process: WorkerProcess,
    /// Where every sample is written, if anywhere.
    recorder: Option<Recorder>,
    /// When the last sample ended, if there was one.
    busy_until: Option<Instant>,
    /// Is this worker used for no other workload? So it is where it ran counts above the CPU budget, and where another one
    /// was asked for.
    is_stale: bool,
}

impl Measurer {
    /// Starts the first worker.
    pub fn start(settings: WorkerSettings, site: Site) -> Result<Self, WorkerError> {
        let process = WorkerProcess::start(&settings)?;
        Ok(Self {
            settings,
            site,
            process,
            recorder: None,
            busy_until: None,
            is_stale: false,
        })
    }

    /// From now on every sample is written there.
    pub fn record_to(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// The recording of all samples so far.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// How the worker introduced itself.
    pub fn greeting(&self) -> &Greeting {
        self.process.greeting()
    }

    /// Tunes one workload. What cannot be measured gives an entry that says why; the next workload gets a new worker
    /// if this one broke. Its time is what is left until `until` where the options allow more: what opening it takes is
    /// lost to it. With what is `unfinished` of the same workload on the same machine it goes on from there, unless that
    /// was begun under other options.
    pub fn tune(
        &mut self,
        workload: &Workload,
        mut options: Options,
        until: Option<Instant>,
        unfinished: Option<Unfinished>,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<Tuned, Stopped> {
        let begin = Instant::now();
        let mut subject = Subject {
            name: workload.name.clone(),
            shape: workload.shape.to_string(),
            flops: workload.shape.flops(),
            bytes: workload.shape.bytes(),
            residency: workload.residency,
            ..Subject::default()
        };
        let verdict = self.verdict(
            workload,
            &mut options,
            until,
            unfinished,
            &mut subject,
            on_progress,
        );
        let (entry, again) = match verdict {
            Ok(found) => found,
            Err(Failure::Stopped(stopped)) => return Err(stopped),
            Err(Failure::Reason(reason)) => {
                let spent = Nanos(begin.elapsed().as_nanos() as u64);
                (failed_entry(subject, &reason, spent), None)
            }
        };
        Ok(Tuned {
            entry,
            allowed: options.time_budget,
            again,
        })
    }

    /// From now on another worker process measures.
    pub fn renew_worker(&mut self) {
        self.is_stale = true;
    }

    /// Looks again at a workload that rests. `None`, which is logged, where it could not be opened again: what was said of it
    /// before is all there is.
    pub fn revisit(
        &mut self,
        workload: &Workload,
        unfinished: Unfinished,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<Option<Tuned>, Stopped> {
        let options = unfinished.tuning.options().clone();
        let tuned = self.tune(workload, options, None, Some(unfinished), on_progress)?;
        if let StopReason::Failed(why) = &tuned.entry.stop {
            log::warn!("{}: not looked at again: {why}", workload.name);
            return Ok(None);
        }
        Ok(Some(tuned))
    }

    /// Times the count that this entry states beside others that may have become better. Nothing is resumed: what was
    /// interrupted is checked anew.
    pub fn check(
        &mut self,
        workload: &Workload,
        entry: &Entry,
        options: &Options,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<Checked, Stopped> {
        let Some(contenders) = contenders(entry, self.site.layout.logical) else {
            return Ok(Checked::Needless);
        };
        match self.open(workload) {
            Ok(_) => {}
            Err(WorkerError::Stopped) => return Err(Stopped(None)),
            Err(error) => return Ok(Checked::Failed(error.to_string())),
        }
        let rested = self.rested();
        let widest = self.site.widest(self.process.greeting());
        let cpus = |arm| self.site.cpus_of(arm);
        let bench = WorkerBench::new(&mut self.process, &cpus);
        let mut bench = Warmed::new(bench, widest, rested, options);
        let mut check = DriftCheck::new(contenders, options);
        loop {
            let stepped = check.step(&mut bench);
            self.busy_until = Some(Instant::now());
            match stepped {
                Ok(DriftStep::Progress(progress)) => on_progress(&progress),
                Ok(DriftStep::Done(finding)) => return Ok(Checked::Found(finding)),
                Err(BenchError::Interrupted) => return Err(Stopped(None)),
                Err(error) => return Ok(Checked::Failed(error.to_string())),
            }
        }
    }

    /// Measures within this time what an empty parallel region costs under these conditions, hot and after pauses; nothing
    /// where that cannot be measured, which no workload suffers from.
    pub fn regions(
        &mut self,
        conditions: RegionConditions,
        limit: Nanos,
    ) -> Result<Option<FreshRegions>, Stopped> {
        let begin = Instant::now();
        let cpus = |arm| self.site.cpus_of(arm);
        let walked = ready(&mut self.process, &self.settings, &mut self.is_stale)
            .map_err(|error| match error {
                WorkerError::Stopped => Unmeasured::Interrupted,
                error => Unmeasured::Failed(error.to_string()),
            })
            .and_then(|process| {
                let mut timer = WorkerRegions::new(process, &cpus);
                walk(&mut timer, &self.site.layout, limit)
            });
        match walked {
            Ok(regions) => Ok((!regions.is_empty()).then(|| FreshRegions {
                conditions,
                regions,
                spent_s: begin.elapsed().as_secs_f64(),
            })),
            Err(Unmeasured::Interrupted) => Err(Stopped(None)),
            Err(Unmeasured::Refused(why)) => {
                log::debug!("this worker times no empty regions: {why}");
                Ok(None)
            }
            Err(Unmeasured::Failed(why)) => {
                log::warn!("what an empty parallel region costs could not be measured: {why}");
                Ok(None)
            }
        }
    }

    /// For how long nothing has been timed: the machine may have idled as long.
    fn rested(&self) -> Nanos {
        self.busy_until.map_or(
            A_LONG_TIME,
            |until| Nanos(until.elapsed().as_nanos() as u64),
        )
    }

    /// Has a worker prepare a workload, a new one if the last one broke.
    fn open(&mut self, workload: &Workload) -> Result<Opened, WorkerError> {
        let open = self.site.open_of(workload);
        let opened = ready(&mut self.process, &self.settings, &mut self.is_stale)?.open(&open)?;
        if opened.residency == Residency::Cache && workload.residency == Residency::Memory {
            let name = &workload.name;
            let (is, should) = (opened.pool_bytes >> 20, self.site.pool_bytes >> 20);
            if self.site.memory_limit_bytes > self.site.pool_bytes + workload.shape.bytes() {
                log::warn!(
                    "{name}: its data is too small to be kept out of the cache ({is} MiB of copies, and the cache holds half \
                     of {should} MiB)"
                );
            } else {
                log::warn!(
                    "{name}: too little memory is free to keep its weights out of the cache ({is} MiB instead of {should} MiB)"
                );
            }
        }
        Ok(opened)
    }

    fn verdict(
        &mut self,
        workload: &Workload,
        options: &mut Options,
        until: Option<Instant>,
        unfinished: Option<Unfinished>,
        subject: &mut Subject,
        on_progress: &mut dyn FnMut(&Progress),
    ) -> Result<(Entry, Option<Again>), Failure> {
        let opened = self.open(workload)?;
        subject.residency = opened.residency;
        subject.node = opened.first_cpu.and_then(|cpu| self.site.node_of(cpu));
        if let Some(kernels) = &self.process.greeting().kernels {
            let is_capped = kernels.level < kernels.highest;
            subject.kernels = Some(kernels.revision);
            subject.isa_cap = is_capped.then(|| kernels.level.to_string());
            subject.roofline = Roofline::of(&workload.shape, opened.residency, &kernels.core);
        }
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            options.time_budget = options.time_budget.min(Nanos(left.as_nanos() as u64));
        }
        if let Some(why) = &self.process.greeting().unbindable {
            log::warn!("threads cannot be bound to CPUs here ({why}): only unbound ones are timed");
            options.time_unbound_only();
        } else {
            options.placements = Placements::of_order(&self.site.order);
        }
        // A recording is of counts within the budget, as its machine file says.
        let above = self.site.above_quota.filter(|_| self.recorder.is_none());
        options.above_quota = above;
        let rested = self.rested();
        let widest = self.site.widest(self.process.greeting());
        let open = self.site.open_of(workload);
        let cpus = |arm| self.site.cpus_of(arm);
        let period = above.map(|above| Duration::from_micros(above.period_us));
        let bench = WorkerBench::new(&mut self.process, &cpus).under_quota(period);
        let bench = Apart::new(bench, widest.threads, |bench: &mut WorkerBench| {
            bench.renew(&open)
        });
        let mut bench = Warmed::new(bench, widest, rested, options);
        let (layout, residency) = (&self.site.layout, opened.residency);
        let its = unfinished.filter(|begun| begun.is_of(layout, options, residency));
        let mut begun = match its {
            None => Unfinished::begin(layout.clone(), options.clone(), residency),
            Some(mut begun) => {
                begun.go_on();
                begun
            }
        };
        let into_entry = |verdict: Verdict, subject: &Subject| {
            verdict.into_entry(subject.clone(), |arm| CpuSet::from_iter(cpus(arm)))
        };
        loop {
            let tuning = &mut begun.tuning;
            let stepped = match &mut self.recorder {
                Some(recorder) if tuning.next_counts() => {
                    let visit = tuning.visit_at_hand();
                    tuning.step(&mut recorder.over(&mut bench, &workload.name, visit))
                }
                _ => tuning.step(&mut bench),
            };
            self.busy_until = Some(Instant::now());
            self.is_stale |= bench.inner().is_apart();
            match stepped {
                Ok(Step::Progress(progress)) => on_progress(&progress),
                Ok(Step::Done(verdict)) => return Ok((into_entry(verdict, subject), None)),
                Ok(Step::Rest(verdict, wait)) => {
                    return Ok((into_entry(verdict, subject), Some(begun.rest(wait))));
                }
                Err(BenchError::Interrupted) => {
                    tuning.put_aside(&mut bench);
                    let begun = Box::new(begun.interrupted());
                    return Err(Failure::Stopped(Stopped(Some(begun))));
                }
                Err(error) => {
                    // What is known without it is known.
                    let Some((verdict, what)) = tuning.give_up() else {
                        return Err(Failure::Reason(error.to_string()));
                    };
                    log::warn!("{}: not {what}: {error}", workload.name);
                    return Ok((into_entry(verdict, subject), None));
                }
            }
        }
    }
}

/// The worker, a new one if the last one broke or is not to be used any more.
fn ready<'p>(
    process: &'p mut WorkerProcess,
    settings: &WorkerSettings,
    is_stale: &mut bool,
) -> Result<&'p mut WorkerProcess, WorkerError> {
    if !process.is_usable() || *is_stale {
        *process = WorkerProcess::start(settings)?;
        *is_stale = false;
    }
    Ok(process)
}

enum Failure {
    Stopped(Stopped),
    Reason(String),
}

impl From<WorkerError> for Failure {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Stopped => Self::Stopped(Stopped(None)),
            error => Self::Reason(error.to_string()),
        }
    }
}
