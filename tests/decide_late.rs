//! Tuning unbound threads on simulated machines whose other processes are noticed late, over seeds that development
//! never saw.
//!
//! What other processes used is known for whole stretches of time once they have passed: samples that seemed clean may
//! turn out to have been disturbed. `cargo test --test decide_late -- --nocapture` prints the figures.

use rayon::prelude::*;
use std::ops::Range;
use threadtune::bench::simulated::{Machine, NoiseKind, SimulatedBench};
use threadtune::tune::{Arm, Bench, BenchError, Interference, Options, Sample, Tuning};
use threadtune::units::{Calls, Nanos};

/// Seeds of the gates; those below 50 000 are for development.
const GATE: Range<u64> = 130_000..138_000;
/// A stretch ends after so long …
const STRETCH: Nanos = Nanos(250_000_000);
/// … and after so long where somebody waits for it.
const LEAST: Nanos = Nanos(100_000_000);

/// A bench that says of a sample whether the last stretch that has passed was disturbed, and of stretches when asked.
struct Late<'a> {
    bench: SimulatedBench<'a>,
    /// When the stretch at hand began, and whether a sample of it was disturbed.
    since: Nanos,
    is_disturbed: bool,
    /// Was the one before?
    was_disturbed: bool,
    disturbed: Vec<Range<Nanos>>,
    /// Does it tell of stretches?
    tells: bool,
}

impl Late<'_> {
    fn close(&mut self) {
        let now = self.bench.now();
        if self.is_disturbed {
            self.disturbed.push(self.since..now);
        }
        self.was_disturbed = std::mem::take(&mut self.is_disturbed);
        self.since = now;
    }
}

impl Bench for Late<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let mut samples = Vec::new();
        for request in plan {
            for mut sample in self.bench.block(std::slice::from_ref(request))? {
                self.is_disturbed |= sample.interference.is_flagged();
                if self.now() - self.since >= STRETCH {
                    self.close();
                }
                sample.interference = if self.was_disturbed {
                    Interference::OtherProcesses
                } else {
                    Interference::None
                };
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.bench.idle(time)
    }

    fn settle(&mut self) -> Result<(), BenchError> {
        if self.tells {
            self.bench.idle(LEAST - (self.bench.now() - self.since))?;
        }
        Ok(())
    }

    fn disturbed(&mut self) -> Vec<Range<Nanos>> {
        if !self.tells {
            return Vec::new();
        }
        self.close();
        std::mem::take(&mut self.disturbed)
    }

    fn now(&self) -> Nanos {
        self.bench.now()
    }
}

/// How many machines with neighbours that come and go were tuned, how many got a conclusive count, and how many of these
/// are more than 2 % slower than the best.
fn decide(tells: bool) -> [usize; 3] {
    let found = GATE.into_par_iter().filter_map(|seed| {
        let machine = Machine::generate(seed);
        if machine.disturbance.kind != NoiseKind::Contention {
            return None;
        }
        let options = Options {
            seed,
            efficient: false,
            ..Options::unbound_only()
        };
        let mut bench = Late {
            bench: SimulatedBench::new(&machine, seed).with_flags(1.0, 0.0),
            since: Nanos::ZERO,
            is_disturbed: false,
            was_disturbed: false,
            disturbed: Vec::new(),
            tells,
        };
        let verdict = Tuning::new(machine.layout(), options)
            .run(&mut bench)
            .expect("a simulated bench does not fail");
        let loss = verdict.latency.map(|l| machine.loss(l.arm.threads));
        let is_conclusive = verdict.stop.is_conclusive();
        let is_wrong = is_conclusive && loss.is_some_and(|loss| loss > 0.02);
        Some([1, usize::from(is_conclusive), usize::from(is_wrong)])
    });
    found.reduce(|| [0; 3], |a, b| std::array::from_fn(|i| a[i] + b[i]))
}

#[test]
fn what_is_known_late_is_asked_for_before_anything_is_concluded() {
    let [cases, conclusive, wrong] = decide(true);
    println!("asked: {cases} cases, conclusive {conclusive}, of these wrong {wrong}");
    let [_, unasked_conclusive, unasked_wrong] = decide(false);
    println!("never told: conclusive {unasked_conclusive}, of these wrong {unasked_wrong}");
    assert!(cases > 1000, "{cases}");
    assert!(wrong * 200 <= cases, "{wrong}");
    assert!(unasked_wrong > 2 * wrong, "{unasked_wrong}");
    // Most disturbances pass.
    assert!(conclusive * 10 >= cases * 7, "{conclusive}");
}
