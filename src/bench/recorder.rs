//! Writes every sample that a bench gives, in the long format of recordings.

use crate::tune::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos};
use serde::Serialize;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A recording that is being written.
pub struct Recorder {
    path: PathBuf,
    writer: csv::Writer<File>,
    /// Requests so far: a request for samples is a block.
    blocks: u64,
    /// The first time that the bench of the visit at hand told, and of which visit of what that is.
    visit: Option<(String, u32, Nanos)>,
    samples: u64,
    /// The first refusal of the system; nothing is written after it.
    broken: Option<csv::Error>,
}

/// One row; the names of its fields are the header.
#[derive(Serialize)]
struct Row<'a> {
    workload: &'a str,
    threads: u32,
    seconds: f64,
    placement: String,
    flagged: u8,
    calls: u32,
    block: u64,
    time_s: f64,
    visit: u32,
}

impl Recorder {
    /// Begins a file; one that is there is replaced.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            writer: csv::Writer::from_writer(File::create(path)?),
            blocks: 0,
            visit: None,
            samples: 0,
            broken: None,
        })
    }

    /// A bench that gives the samples of `bench` and records them under this workload's name, as those of a visit of this
    /// number, from 1 on, that began so long after the first one.
    pub fn over<'a>(
        &'a mut self,
        bench: &'a mut dyn Bench,
        workload: &'a str,
        (visit, begun): (u32, Nanos),
    ) -> Recorded<'a> {
        // Each visit has a bench of its own, whose clock says nothing of those before.
        let known = self.visit.as_ref();
        let known = known.filter(|(of, number, _)| of == workload && *number == visit);
        let first = known.map_or_else(|| bench.now(), |(_, _, first)| *first);
        self.visit = Some((workload.to_owned(), visit, first));
        Recorded {
            recorder: self,
            bench,
            workload,
            visit,
            begun,
            first,
        }
    }

    /// Makes sure that everything lies in the file; how many samples that are. An error says that some are missing.
    pub fn finish(&mut self) -> io::Result<u64> {
        if let Some(error) = self.broken.take() {
            return Err(io::Error::other(error));
        }
        self.writer.flush()?;
        Ok(self.samples)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, row: &Row) {
        if self.broken.is_some() {
            return;
        }
        match self.writer.serialize(row) {
            Ok(()) => self.samples += 1,
            Err(error) => {
                // Measuring goes on: the profile matters more.
                log::warn!("{}: {error}; no more is recorded", self.path.display());
                self.broken = Some(error);
            }
        }
    }
}

/// A bench whose samples are recorded, those included that are thrown away later.
pub struct Recorded<'a> {
    recorder: &'a mut Recorder,
    bench: &'a mut dyn Bench,
    workload: &'a str,
    visit: u32,
    begun: Nanos,
    /// What the bench's clock told then.
    first: Nanos,
}

impl Bench for Recorded<'_> {
    /// Asks for one sample after the other, so that each has its time.
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        self.recorder.blocks += 1;
        let mut samples = Vec::with_capacity(plan.len());
        for request in plan {
            let (arm, _) = request;
            for sample in self.bench.block(std::slice::from_ref(request))? {
                self.recorder.write(&Row {
                    workload: self.workload,
                    threads: arm.threads.get(),
                    seconds: sample.seconds_per_call,
                    placement: arm.placement.to_string(),
                    flagged: u8::from(sample.interference.is_flagged()),
                    calls: sample.calls.get(),
                    block: self.recorder.blocks,
                    time_s: (self.begun + (self.bench.now() - self.first)).as_secs_f64(),
                    visit: self.visit,
                });
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.bench.idle(time)
    }

    fn settle(&mut self) -> Result<(), BenchError> {
        self.bench.settle()
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        self.bench.disturbed()
    }

    fn now(&self) -> Nanos {
        self.bench.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::simulated::{Machine, SimulatedBench};
    use crate::bench::{RecordedMachine, Recording, ReplayOptions, Times, replay};
    use crate::tune::{Options, Tuning};

    #[test]
    fn a_recorded_tuning_holds_every_sample_and_is_decided_alike_when_replayed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samples.csv");
        let machine = Machine::generate(5);
        let mut recorder = Recorder::create(&path).unwrap();
        let mut bench = SimulatedBench::new(&machine, 5);
        let mut tuning = Tuning::new(machine.layout(), Options::default());
        let verdict = tuning
            .run(&mut recorder.over(&mut bench, "w", (1, Nanos::ZERO)))
            .unwrap();
        assert_eq!(recorder.finish().unwrap(), verdict.samples);

        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("workload,threads,seconds,placement,flagged,calls,block,time_s,visit")
        );
        let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
        assert_eq!(rows.len() as u64, verdict.samples);
        // Blocks are numbered in order, those of the race hold several arms, and time goes on.
        let blocks: Vec<u64> = rows.iter().map(|row| row[6].parse().unwrap()).collect();
        assert_eq!(blocks[0], 1);
        assert!(blocks.windows(2).all(|pair| pair[1] - pair[0] <= 1));
        assert!(blocks.windows(2).any(|pair| pair[1] == pair[0]));
        let times: Vec<f64> = rows.iter().map(|row| row[7].parse().unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(times.last(), Some(&verdict.spent.as_secs_f64()));
        let flagged = rows.iter().filter(|row| row[4] == "1").count() as u64;
        assert!(flagged > 0 && flagged <= verdict.rejected);
        let recording = Recording::read(&[path]).unwrap();
        let Times::Repeated(arms) = &recording.workloads[0].times else {
            panic!("a long recording");
        };
        assert_eq!(
            arms.values().map(Vec::len).sum::<usize>() as u64,
            verdict.samples
        );
        let again = replay(
            &recording.workloads[0],
            &RecordedMachine::of(&machine.layout(), 1),
            &ReplayOptions {
                seed: 1,
                time_budget: Nanos(60_000_000_000),
                noise: 0.0,
            },
        )
        .unwrap();
        let chosen = again.verdict.latency.unwrap().arm;
        assert_eq!(chosen.placement, verdict.latency.unwrap().arm.placement);
        // Blocks are drawn anew: among counts that could not be told from each other, another may come first.
        assert!(verdict.ties.contains(&chosen.threads), "{:?}", verdict.ties);
        assert!(verdict.ties.len() < 4, "{:?}", verdict.ties);
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let Ok(mut recorder) = Recorder::create(Path::new("/dev/full")) else {
            println!("SKIPPED: there is no /dev/full here");
            return;
        };
        let machine = Machine::generate(4);
        let mut bench = SimulatedBench::new(&machine, 4);
        let mut tuning = Tuning::new(machine.layout(), Options::default());
        assert!(
            tuning
                .run(&mut recorder.over(&mut bench, "w", (1, Nanos::ZERO)))
                .is_ok()
        );
        assert!(recorder.finish().is_err());
    }
}
