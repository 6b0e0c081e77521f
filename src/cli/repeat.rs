//! `threadtune repeat`: tunes workloads again and again, and shows how well the answers agree.

use super::configuration;
use super::logging::PROGRESS;
use super::measuring::MeasuringArgs;
use super::signals::StopRequest;
use crate::bench::{
    Answer, Measurer, Repeated, Site, Stopped, Surroundings, Visitor, Visits, WorkerError,
    WorkerSettings,
};
use crate::profile::Entry;
use crate::report::{repeated_json, repeated_text, time};
use crate::tune::{BenchError, Options, VisitPlan, contenders};
use crate::units::{Nanos, ThreadCount};
use crate::workload::Workload;
use clap::Args;
use rand::SeedableRng as _;
use rand_pcg::Pcg32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Processes that stay alive and are visited in turn.
const PROCESSES: usize = 3;
/// Blocks of a visit.
const BLOCKS: usize = 8;
/// While a tuning rests, signals are looked for this often.
const A_MOMENT: Duration = Duration::from_millis(50);

/// Tune workloads again and again, and show how well the answers agree. No profile is written.
///
/// Each tuning has a worker of its own. After each of them three workers that stay alive time the count that the first
/// tuning chose against another one, which tells what time, and what a process, does to the difference. All of them hold
/// their data at once, each in a quarter of the memory that `tune` would use.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 a workload could not be measured, 2 wrong usage, 75 another one measures (with --no-wait), 130 stopped by Ctrl-C"
)]
pub struct RepeatArgs {
    /// How often.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    times: u32,
    /// Workloads of the catalogue; all of its quick ones where none is named.
    workloads: Vec<String>,
    #[command(flatten)]
    measuring: MeasuringArgs,
    /// Measure each in one go, as if what is true now were true for ever: what looking again is good for shows beside it.
    #[arg(long)]
    once: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl RepeatArgs {
    /// Runs the subcommand.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let is_quick = self.workloads.is_empty();
        let Some((_, selected)) = self.measuring.selection(&self.workloads, is_quick) else {
            return Ok(ExitCode::from(2));
        };
        let Some(configuration) = configuration::sound() else {
            return Ok(ExitCode::from(2));
        };
        let stop = StopRequest::register()?;
        let _turn = match self.measuring.turn.take(&stop) {
            Ok(turn) => turn,
            Err(code) => return Ok(code),
        };
        let around = Surroundings::read(&configuration, self.measuring.team)?;
        let settings = self.measuring.worker_settings(&around, &stop);
        let mut all = Vec::new();
        let mut is_failed = false;
        for workload in &selected {
            let begin = Instant::now();
            let mut repetition = Repetition::new(self, &settings, &stop, around.site(), workload);
            let ended = repetition.run();
            is_failed |= matches!(ended, Err(Ended::Failed));
            all.push(repetition.into_repeated(begin.elapsed()));
            if matches!(ended, Err(Ended::Stopped)) {
                break;
            }
        }
        let text = if self.json {
            repeated_json(&all)?
        } else {
            all.iter().map(repeated_text).collect::<Vec<_>>().join("\n")
        };
        super::output::print(text.as_bytes())?;
        Ok(if stop.is_set() {
            stop.exit_code()
        } else if is_failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Why a workload is not tuned as often as was asked for.
enum Ended {
    Stopped,
    Failed,
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// One workload, again and again.
struct Repetition<'a> {
    args: &'a RepeatArgs,
    settings: &'a WorkerSettings,
    stop: &'a StopRequest,
    site: Site,
    workload: &'a Workload,
    options: Options,
    rng: Pcg32,
    answers: Vec<Answer>,
    visitors: Vec<Visitor>,
    visits: Option<Visits>,
    /// When something ran last.
    busy_until: Instant,
}

impl<'a> Repetition<'a> {
    fn new(
        args: &'a RepeatArgs,
        settings: &'a WorkerSettings,
        stop: &'a StopRequest,
        mut site: Site,
        workload: &'a Workload,
    ) -> Self {
        // All processes hold their data at once.
        site.memory_limit_bytes /= PROCESSES as u64 + 1;
        Self {
            args,
            settings,
            stop,
            site,
            workload,
            options: Options {
                time_budget: args.measuring.time_budget(),
                visit_plan: (!args.once).then(VisitPlan::default),
                ..Options::default()
            },
            rng: Pcg32::seed_from_u64(args.measuring.seed),
            answers: Vec::new(),
            visitors: Vec::new(),
            visits: None,
            busy_until: Instant::now(),
        }
    }

    fn into_repeated(self, took: Duration) -> Repeated {
        Repeated {
            name: self.workload.name.clone(),
            answers: self.answers,
            visits: self.visits,
            seconds: took.as_secs_f64(),
        }
    }

    fn run(&mut self) -> Result<(), Ended> {
        for number in 0..self.args.times {
            let entry = self.tune(number)?;
            self.say(number, &entry);
            let answer = Answer::from(&entry);
            let is_failed = matches!(answer.stop, crate::profile::StopReason::Failed(_));
            self.answers.push(answer);
            if is_failed {
                return Err(Ended::Failed);
            }
            if self.visits.is_none() {
                self.begin_visits(&entry)?;
            }
            self.visit()?;
        }
        Ok(())
    }

    /// A tuning with a worker of its own.
    fn tune(&mut self, number: u32) -> Result<Entry, Ended> {
        let options = Options {
            seed: self.args.measuring.seed.wrapping_add(u64::from(number)),
            ..self.options.clone()
        };
        let mut measurer = Measurer::start(self.settings.clone(), self.site.clone())
            .map_err(|error| said(&self.workload.name, &error))?;
        let mut tuned = measurer.tune(self.workload, options, None, None, &mut |_| {})?;
        // As `tune` does, it waits no longer than a workload may take.
        let mut patience = self.args.measuring.time_budget();
        while let Some(again) = tuned.again.take() {
            if again.wait > patience {
                break;
            }
            patience = patience.saturating_sub(again.wait);
            let due = Instant::now() + Duration::from_nanos(again.wait.0);
            while Instant::now() < due {
                if self.stop.is_set() {
                    return Err(Ended::Stopped);
                }
                thread::sleep(A_MOMENT);
            }
            measurer.renew_worker();
            match measurer.revisit(self.workload, again.unfinished, &mut |_| {})? {
                Some(seen) => tuned = seen,
                None => break,
            }
        }
        self.busy_until = Instant::now();
        Ok(tuned.entry)
    }

    /// Starts the processes that are visited from now on, if there are two counts to compare.
    fn begin_visits(&mut self, entry: &Entry) -> Result<(), Ended> {
        let Some(contenders) = contenders(entry, self.site.layout.logical) else {
            return Ok(());
        };
        let Some(other) = contenders.others.first() else {
            return Ok(());
        };
        for _ in 0..PROCESSES {
            let visitor = Visitor::start(self.settings, self.site.clone(), self.workload)
                .map_err(|error| said(&self.workload.name, &error))?;
            self.visitors.push(visitor);
        }
        self.visits = Some(Visits {
            counts: [contenders.chosen, *other],
            processes: PROCESSES,
            rounds: Vec::new(),
        });
        Ok(())
    }

    /// Visits each of them.
    fn visit(&mut self) -> Result<(), Ended> {
        let Some(visits) = &mut self.visits else {
            return Ok(());
        };
        let counts: [ThreadCount; 2] = visits.counts;
        let mut round = Vec::new();
        for visitor in &mut self.visitors {
            let rested = Nanos(self.busy_until.elapsed().as_nanos() as u64);
            let blocks = visitor.visit(counts, BLOCKS, rested, &self.options, &mut self.rng);
            self.busy_until = Instant::now();
            round.push(blocks.map_err(|error| match error {
                BenchError::Interrupted => Ended::Stopped,
                error => {
                    log::error!("{}: {error}", self.workload.name);
                    Ended::Failed
                }
            })?);
        }
        visits.rounds.push(round);
        Ok(())
    }

    fn say(&self, number: u32, entry: &Entry) {
        let answer = match &entry.latency {
            Some(latency) => format!("{}, {} a call", latency.threads, time(latency.median_us)),
            None => "no count stated".to_owned(),
        };
        log::info!(
            target: PROGRESS,
            "{} [{}/{}]: {answer} ({}, {:.1} s)",
            self.workload.name,
            number + 1,
            self.args.times,
            entry.stop,
            entry.seconds
        );
    }
}

/// Why a worker could not be started, told; unless the user stopped it.
fn said(name: &str, error: &WorkerError) -> Ended {
    if matches!(error, WorkerError::Stopped) {
        return Ended::Stopped;
    }
    log::error!("{name}: {error}");
    Ended::Failed
}
