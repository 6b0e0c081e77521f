//! Simulated machines with a virtual clock: topologies, scaling laws and noise from seeds, for proving a decision
//! procedure where the truth is known.
//!
//! What decides may use [`SimulatedBench`] through its trait only; [`Machine::true_seconds`] is for scoring.

mod disturbance;
mod placed;
mod power;
mod quota;
mod regimes;
mod sawtooth;
mod scaling;
mod topology;
mod variate;

pub use disturbance::{Disturbance, NoiseKind};
pub use regimes::RegimeKind;
pub use topology::{TOPOLOGIES, Topology};

use crate::machine::{Layout, Placement};
use crate::tune::{Arm, Bench, BenchError, Interference, Sample};
use crate::units::{Calls, Nanos, ThreadCount};
use disturbance::State;
use placed::Placed;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use scaling::{Scaling, true_curve};

/// Fewest calls of a sample of which the median is taken, else the mean.
const MEDIAN_FROM: u32 = 5;
/// Calls from this length on, in seconds, are not preceded by a discarded one …
pub(super) const LONG_CALL: f64 = 0.01;
/// … but by an empty region: seconds.
pub(super) const WAKE: f64 = 2e-4;
/// Seconds to change from one team to another on a machine of which nothing else is known.
pub(super) const SWITCH: f64 = 3e-5;
/// How much longer the first call after that is, as a share.
pub(super) const WARM_UP: f64 = 0.2;
/// Most outliers drawn one by one.
const MOST_OUTLIERS: u64 = 200;
/// Longest outlier, seconds.
const LONGEST_OUTLIER: f64 = 0.05;
/// A clean sample is flagged this often.
const FALSE_ALARM: f64 = 0.01;
/// Share of a sample's pieces that must be disturbed for it to count as such.
const DISTURBED: f64 = 0.02;

/// One workload on one machine: true times, and the noise on them.
#[derive(Debug, Clone)]
pub struct Machine {
    /// How its CPUs are built up.
    pub topology: Topology,
    /// The noise.
    pub disturbance: Disturbance,
    /// Seconds a call of threads placed close, from one thread to all logical CPUs.
    times: Vec<f64>,
    /// What other placements change; nothing, unless drawn.
    placed: Option<Placed>,
}

impl Machine {
    /// The case of this seed.
    pub fn generate(seed: u64) -> Self {
        Self::draw(seed, false)
    }

    /// The case of this seed, with truths of their own for threads that are spread and threads that are not bound.
    pub fn generate_placed(seed: u64) -> Self {
        Self::draw(seed, true)
    }

    /// The case of this seed among large machines on which neighbouring counts differ by 5 to 25 %: calls of 1 to 100 ms
    /// that scatter by 1 to 3 %, beside a little drift and few outliers.
    pub fn generate_sawtooth(seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let (topology, times) = sawtooth::draw(&mut rng);
        let call_spread = variate::uniform(0.01, 0.03, &mut rng);
        let noise = Disturbance::of_recording(&topology, call_spread);
        Self::with_times(topology, times, noise)
    }

    fn draw(seed: u64, placed: bool) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let topology = TOPOLOGIES[rng.random_range(0..TOPOLOGIES.len())];
        let scaling = Scaling::draw(&topology, &mut rng);
        let times = true_curve(&topology, &scaling, &mut rng);
        let disturbance = Disturbance::draw(&topology, scaling.is_static(), &mut rng);
        let placed = placed.then(|| Placed::draw(&topology, &scaling, &times, &mut rng));
        Self {
            topology,
            disturbance,
            times,
            placed,
        }
    }

    /// A machine with these true times (from one thread upwards, at least one) and this noise.
    pub fn with_times(topology: Topology, times: Vec<f64>, disturbance: Disturbance) -> Self {
        Self {
            topology,
            disturbance,
            times,
            placed: None,
        }
    }

    /// The same machine after it has idled: its clock has fallen to this share of its full speed, and rises while it
    /// works and falls while it rests with this time constant in seconds.
    #[must_use]
    pub fn with_cold_clock(self, share: f64, constant: f64) -> Self {
        Self {
            disturbance: self.disturbance.with_cold_clock(share, constant),
            ..self
        }
    }

    /// The same machine whose processor sustains only this share of the power that all its CPUs draw at full clock, and
    /// may exceed it as long as the average over this time constant in seconds does not.
    #[must_use]
    pub fn with_power_limit(self, share: f64, constant: f64) -> Self {
        Self {
            disturbance: self.disturbance.with_power_limit(share, constant),
            ..self
        }
    }

    /// The same machine under a quota of so many CPUs, which the kernel pays anew after each period in seconds.
    #[must_use]
    pub fn with_quota(self, cpus: f64, period: f64) -> Self {
        Self {
            disturbance: self.disturbance.with_quota(cpus, period),
            ..self
        }
    }

    /// The same machine with other processes on so many of its CPUs, all the time.
    #[must_use]
    pub fn with_neighbours(self, cpus: u32) -> Self {
        Self {
            disturbance: self.disturbance.with_neighbours(cpus),
            ..self
        }
    }

    /// The same machine with hidden regimes of this seed, which last for 1 to 60 s and change what the counts take
    /// differently, and with processes that differ from each other by up to 10 %.
    #[must_use]
    pub fn with_regimes(self, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed ^ 0x4E61_3E50_0000_0000);
        Self {
            disturbance: self.disturbance.with_regimes(&mut rng),
            ..self
        }
    }

    /// The numbers from which candidates follow.
    pub fn layout(&self) -> Layout {
        self.topology.layout()
    }

    /// The true seconds a call of threads placed close, without noise; of the largest count known beyond that.
    pub fn true_seconds(&self, count: ThreadCount) -> f64 {
        self.true_seconds_of(Arm {
            threads: count,
            placement: Placement::Close,
        })
    }

    /// The true seconds a call without noise; of the largest count known beyond that.
    pub fn true_seconds_of(&self, arm: Arm) -> f64 {
        let placed = self.placed.as_ref().and_then(|p| p.curve(arm.placement));
        let times = placed.unwrap_or(&self.times);
        let i = (arm.threads.as_usize() - 1).min(times.len().saturating_sub(1));
        times.get(i).copied().unwrap_or(f64::NAN)
    }

    /// The fastest count.
    pub fn best(&self) -> ThreadCount {
        let fastest = (1..=self.times.len())
            .map(ThreadCount::clamped)
            .min_by(|a, b| self.true_seconds(*a).total_cmp(&self.true_seconds(*b)));
        fastest.unwrap_or(ThreadCount::ONE)
    }

    /// The true seconds a call of threads placed close that work for ever.
    pub fn sustained_seconds(&self, count: ThreadCount) -> f64 {
        let clock = self.disturbance.sustained_clock(f64::from(count.get()));
        self.true_seconds(count) / clock
    }

    /// The true seconds a call of threads placed close on average over all hidden regimes.
    pub fn long_run_seconds(&self, count: ThreadCount) -> f64 {
        self.true_seconds(count) * self.disturbance.long_run(f64::from(count.get()))
    }

    /// How much slower a count is than the fastest on average over all hidden regimes, as a ratio.
    pub fn long_run_loss(&self, count: ThreadCount) -> f64 {
        let all = (1..=self.times.len()).map(ThreadCount::clamped);
        let best = all
            .map(|n| self.long_run_seconds(n))
            .fold(f64::INFINITY, f64::min);
        self.long_run_seconds(count) / best - 1.0
    }

    /// The true seconds a call of threads placed close under the quota, what they are stopped included.
    pub fn seconds_under_quota(&self, count: ThreadCount) -> f64 {
        let paid = self.disturbance.quota_cpus().unwrap_or(f64::INFINITY);
        self.true_seconds(count) * (f64::from(count.get()) / paid).max(1.0)
    }

    /// How much slower a count is than the fastest where both work for ever, as a ratio.
    pub fn sustained_loss(&self, count: ThreadCount) -> f64 {
        let all = (1..=self.times.len()).map(ThreadCount::clamped);
        let best = all
            .map(|n| self.sustained_seconds(n))
            .fold(f64::INFINITY, f64::min);
        self.sustained_seconds(count) / best - 1.0
    }

    /// How much slower a count is than the fastest, as a ratio.
    pub fn loss(&self, count: ThreadCount) -> f64 {
        self.true_seconds(count) / self.true_seconds(self.best()) - 1.0
    }
}

/// Samples of a simulated workload, on a virtual clock that warm-up, switching, outliers and waiting advance too.
#[derive(Debug, Clone)]
pub struct SimulatedBench<'a> {
    machine: &'a Machine,
    rng: Pcg64,
    state: State,
    /// The arm that ran last.
    awake: Option<Arm>,
    /// Probability that a disturbed sample is flagged.
    sensitivity: f64,
    false_alarm: f64,
}

impl<'a> SimulatedBench<'a> {
    /// Opens the machine with a seed of its own for the noise; 95 % of disturbed samples are flagged, 1 % of the others.
    pub fn new(machine: &'a Machine, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed ^ 0x5EED_0F00_D15E_A5E5);
        let state = State::draw(&machine.disturbance, &mut rng);
        Self {
            machine,
            rng,
            state,
            awake: None,
            sensitivity: 0.95,
            false_alarm: FALSE_ALARM,
        }
    }

    /// With this probability of a flag on disturbed and on undisturbed samples.
    #[must_use]
    pub fn with_flags(mut self, sensitivity: f64, false_alarm: f64) -> Self {
        self.sensitivity = sensitivity;
        self.false_alarm = false_alarm;
        self
    }

    /// Another process measures from now on, on the same machine at the same time.
    pub fn renew(&mut self) {
        self.awake = None;
        self.state.renew(&self.machine.disturbance, &mut self.rng);
    }

    /// One sample, as the worker takes it: wakes the team where the count changed, then times `calls` calls; their
    /// median from five on if `median`, else their mean.
    pub fn sample(&mut self, arm: Arm, calls: Calls, median: bool) -> Sample {
        let noise = &self.machine.disturbance;
        let truth = self.machine.true_seconds_of(arm);
        let threads = f64::from(arm.threads.get());
        let woken = self.wake(arm, truth);
        let k = f64::from(calls.get());
        let duration = k * truth;
        let pieces = (duration / 0.01).ceil().clamp(1.0, 8.0);
        let (mut factor, mut disturbed, mut stopped) = (0.0, 0.0, 0.0);
        for _ in 0..pieces as u32 {
            let (slower, hit) = self.state.factor(noise, threads);
            factor += slower / pieces;
            disturbed += f64::from(u8::from(hit)) / pieces;
            let works = duration / pieces * slower;
            let stop = self.state.stop(noise, threads, works);
            stopped += stop;
            self.state
                .advance(noise, threads, works + stop, &mut self.rng);
        }
        // As the worker's samples: where a quota may stop the team, those that last longer than a period are means.
        let is_long = noise.is_longer_than_a_period(duration);
        let is_median = median && calls.get() >= MEDIAN_FROM && !is_long;
        let mut seconds = truth * factor * noise.sample_noise(k, is_median, &mut self.rng);
        if self.rng.random::<f64>() < noise.slow_chance {
            seconds *= 1.0 + noise.slow_by;
        }
        if let Some(placed) = &self.machine.placed {
            seconds *= placed.luck(arm.placement, &mut self.rng);
        }
        seconds += self.outliers(threads, seconds, k, is_median) + woken / k;
        if !is_median {
            seconds += stopped / k;
        }
        let grain = noise.clock_grain;
        seconds = (seconds * k / grain).round().max(1.0) * grain / k;
        let flagged = disturbed > DISTURBED && self.rng.random::<f64>() < self.sensitivity
            || self.rng.random::<f64>() < self.false_alarm;
        Sample {
            seconds_per_call: seconds,
            calls,
            first_call: None,
            interference: if flagged {
                Interference::RunDelay
            } else {
                Interference::None
            },
        }
    }

    /// Wakes the team if another ran last; the seconds of that which fall into the first call.
    fn wake(&mut self, arm: Arm, truth: f64) -> f64 {
        if self.awake == Some(arm) {
            return 0.0;
        }
        self.awake = Some(arm);
        let noise = &self.machine.disturbance;
        let threads = f64::from(arm.threads.get());
        let (factor, _) = self.state.factor(noise, threads);
        if truth >= LONG_CALL {
            let rest = 1e-4 * noise.warm_up;
            self.state
                .advance(noise, threads, noise.switch + WAKE + rest, &mut self.rng);
            rest
        } else {
            let discarded = truth * factor * (1.0 + noise.warm_up);
            self.state
                .advance(noise, threads, noise.switch + discarded, &mut self.rng);
            0.0
        }
    }

    /// Seconds a call that outliers add; a median hides them unless nearly a third of the calls is hit.
    fn outliers(&mut self, threads: f64, seconds: f64, calls: f64, is_median: bool) -> f64 {
        let noise = &self.machine.disturbance;
        let hits = variate::poisson(noise.outliers_per_second * seconds * calls, &mut self.rng);
        let mut total = 0.0;
        for _ in 0..hits.min(MOST_OUTLIERS) {
            total += variate::pareto(noise.outlier, 1.5, &mut self.rng).min(LONGEST_OUTLIER);
        }
        if total <= 0.0 {
            return 0.0;
        }
        self.state.advance(noise, threads, total, &mut self.rng);
        if is_median && (hits as f64) < 0.3 * calls {
            0.0
        } else {
            total / calls
        }
    }
}

impl Bench for SimulatedBench<'_> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        Ok(plan
            .iter()
            .map(|(arm, calls)| self.sample(*arm, *calls, true))
            .collect())
    }

    fn idle(&mut self, time: Nanos) -> Result<(), BenchError> {
        let seconds = time.as_secs_f64();
        let pieces = (seconds / 0.02).clamp(1.0, 20.0).floor();
        for _ in 0..pieces as u32 {
            self.state
                .rest(&self.machine.disturbance, seconds / pieces, &mut self.rng);
        }
        Ok(())
    }

    fn now(&self) -> Nanos {
        Nanos::from_secs_f64(self.state.time)
    }
}
