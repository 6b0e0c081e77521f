//! Simulated workloads that were tuned, and what may become of them afterwards.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use threadtune::bench::simulated::{Machine, SimulatedBench};
use threadtune::machine::Placement;
use threadtune::profile::Residency;
use threadtune::tune::{
    Arm, Bench, BenchError, Contenders, DriftCheck, Finding, Options, Sample, Subject, Tuning,
    contenders,
};
use threadtune::units::{Calls, CpuSet, Nanos, ThreadCount};

/// A workload on a machine, and what its entry leads to.
pub struct Tuned {
    pub seed: u64,
    pub machine: Machine,
    pub contenders: Contenders,
}

impl Tuned {
    /// Tunes the machine of this seed; `None` where no count was stated, or there is but one.
    pub fn new(seed: u64) -> Option<Self> {
        let machine = Machine::generate_placed(seed);
        let options = Options {
            seed,
            efficient: false,
            ..Options::unbound_only()
        };
        let verdict = Tuning::new(machine.layout(), options)
            .run(&mut SimulatedBench::new(&machine, seed))
            .expect("a simulated bench does not fail");
        let subject = Subject {
            name: "simulated".into(),
            shape: "none".into(),
            flops: 0,
            bytes: 0,
            residency: Residency::Cache,
            ..Subject::default()
        };
        let entry = verdict.into_entry(subject, |_| CpuSet::new());
        Some(Self {
            contenders: contenders(&entry, machine.layout().logical)?,
            seed,
            machine,
        })
    }

    fn truth(&self, threads: ThreadCount) -> f64 {
        self.machine.true_seconds_of(Arm {
            threads,
            placement: Placement::Unbound,
        })
    }

    /// All counts of the machine, ascending.
    pub fn counts(&self) -> Vec<ThreadCount> {
        let all = 1..=self.machine.topology.logical();
        all.map(|n| ThreadCount::clamped(n as usize)).collect()
    }

    /// The true loss of the chosen count against the fastest of `among`, after this change.
    pub fn loss(&self, change: &Change, among: &[ThreadCount]) -> f64 {
        let seconds = |n: ThreadCount| self.truth(n) * change.factor(n);
        let fastest = among
            .iter()
            .map(|n| seconds(*n))
            .fold(f64::INFINITY, f64::min);
        seconds(self.contenders.chosen) / fastest - 1.0
    }

    /// The chosen count loses exactly this to the best of its contenders, which are as they were.
    pub fn slowed(&self, loss: f64) -> Change {
        let chosen = self.contenders.chosen;
        let now = 1.0 + self.loss(&Change::none(self), &self.contenders.others);
        let factor = (1.0 + loss) / now;
        Change::by_count(self, |n| if n == chosen { factor } else { 1.0 })
    }

    /// The chosen count loses exactly this to each of its contenders, which are all equal: the hardest case of a rule
    /// that compares it with several.
    pub fn level(&self, loss: f64) -> Change {
        let target = self.truth(self.contenders.chosen) / (1.0 + loss);
        Change::by_count(self, |n| {
            if self.contenders.others.contains(&n) {
                target / self.truth(n)
            } else {
                1.0
            }
        })
    }

    /// What may happen to a machine, of random strength: each with its name.
    pub fn drifts(&self) -> [(&'static str, Change); 5] {
        let mut rng = Pcg64::seed_from_u64(self.seed ^ 0x000D_51F7);
        let machine = &self.machine.topology;
        let (logical, physical) = (f64::from(machine.logical()), machine.physical());
        let chosen = self.contenders.chosen;
        let ratio = |n: ThreadCount| f64::from(n.get()) / f64::from(chosen.get());
        let fork = self.truth(chosen) * 0.05 * 40_f64.powf(rng.random()) / logical;
        let free = logical - (rng.random::<f64>() * logical / 3.0).ceil();
        let sibling = 0.7 + 0.6 * rng.random::<f64>();
        let tilt = 1.4 * rng.random::<f64>() - 0.7;
        let mut rough = || 0.29 * (rng.random::<f64>() + rng.random::<f64>() - 1.0);
        [
            (
                "forking costs more",
                Change::by_count(self, |n| {
                    1.0 + fork * f64::from(n.get() - 1) / self.truth(n)
                }),
            ),
            (
                "CPUs are taken",
                Change::by_count(self, |n| if f64::from(n.get()) > free { 1.8 } else { 1.0 }),
            ),
            (
                "second threads changed",
                Change::by_count(self, |n| if n.get() > physical { sibling } else { 1.0 }),
            ),
            (
                "the curve is tilted",
                Change::by_count(self, |n| ratio(n).powf(tilt)),
            ),
            (
                "each count changed",
                Change::by_count(self, |_| rough().exp()),
            ),
        ]
    }

    /// The machine after this change.
    pub fn bench(&self, change: Change) -> Changed<'_> {
        Changed {
            bench: SimulatedBench::new(&self.machine, self.seed ^ 0x00D8_1F70),
            change,
            extra: 0.0,
        }
    }

    /// A check that has not begun.
    pub fn drift_check(&self) -> DriftCheck {
        let options = Options {
            seed: self.seed,
            ..Options::drift_check()
        };
        DriftCheck::new(self.contenders.clone(), &options)
    }

    /// What a check finds after this change.
    pub fn check(&self, change: Change) -> Finding {
        self.drift_check()
            .run(&mut self.bench(change))
            .expect("a simulated bench does not fail")
    }
}

/// How many times slower each count has become, from one thread on.
#[derive(Debug, Clone)]
pub struct Change(Vec<f64>);

impl Change {
    pub fn none(tuned: &Tuned) -> Self {
        Self::by_count(tuned, |_| 1.0)
    }

    fn by_count(tuned: &Tuned, factor: impl FnMut(ThreadCount) -> f64) -> Self {
        Self(tuned.counts().into_iter().map(factor).collect())
    }

    fn factor(&self, threads: ThreadCount) -> f64 {
        self.0.get(threads.as_usize() - 1).copied().unwrap_or(1.0)
    }
}

/// A simulated machine after a change.
pub struct Changed<'a> {
    bench: SimulatedBench<'a>,
    change: Change,
    /// Seconds that its calls took longer than the simulated machine knows.
    extra: f64,
}

impl Bench for Changed<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let mut samples = self.bench.block(plan)?;
        for (sample, (arm, calls)) in samples.iter_mut().zip(plan) {
            let factor = self.change.factor(arm.threads);
            self.extra += sample.seconds_per_call * (factor - 1.0) * f64::from(calls.get());
            sample.seconds_per_call *= factor;
        }
        Ok(samples)
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        self.bench.idle(time)
    }

    fn now(&self) -> Nanos {
        Nanos::from_secs_f64(self.bench.now().as_secs_f64() + self.extra)
    }
}
