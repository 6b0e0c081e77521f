//! What makes samples differ from the truth: noise of several kinds, and how it evolves on the virtual clock.

use super::power::PowerLimit;
use super::quota::{Quota, Used};
use super::regimes::{Regime, RegimeKind, Regimes};
use super::topology::Topology;
use super::variate::{exponential, normal, ten_to, uniform};
use super::{SWITCH, WARM_UP};
use rand::RngExt;
use rand_pcg::Pcg64;

/// The kinds of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoiseKind {
    /// A machine to itself.
    Quiet,
    /// Calls and samples scatter widely.
    Noisy,
    /// Many long outliers.
    Tail,
    /// Two speeds that alternate.
    Bimodal,
    /// Speed wanders and settles.
    Drift,
    /// Other processes take CPUs for a while.
    Contention,
    /// Several of these.
    Mixed,
}

impl NoiseKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Quiet,
        Self::Noisy,
        Self::Tail,
        Self::Bimodal,
        Self::Drift,
        Self::Contention,
        Self::Mixed,
    ];
}

/// Two speeds that alternate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TwoSpeeds {
    /// How much slower the slow one is.
    slower: f64,
    /// Mean seconds spent fast, and slow.
    stay: [f64; 2],
}

/// Other processes that come and go.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Neighbours {
    /// Mean seconds of their presence, and of their absence.
    stay: [f64; 2],
    /// CPUs they take.
    cpus: f64,
}

/// A clock that falls when the machine idles and rises again when it works.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ColdClock {
    /// The share of its full speed that it falls to.
    share: f64,
    /// Time constant of falling and rising, seconds.
    constant: f64,
}

/// The noise of one machine, as constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Disturbance {
    /// Which kind it is.
    pub kind: NoiseKind,
    /// Coefficient of variation of a call.
    call_spread: f64,
    /// Log spread of whole samples.
    sample_spread: f64,
    /// Outliers a second.
    pub(super) outliers_per_second: f64,
    /// Least length of an outlier, seconds (Pareto, exponent 1.5).
    pub(super) outlier: f64,
    two_speeds: Option<TwoSpeeds>,
    /// Stationary spread of the wandering, and its time constant in seconds.
    wander: [f64; 2],
    /// How much slower the machine becomes as it warms up, and the time constant in seconds.
    settle: [f64; 2],
    neighbours: Option<Neighbours>,
    cold_clock: Option<ColdClock>,
    power_limit: Option<PowerLimit>,
    quota: Option<Quota>,
    regimes: Option<Regimes>,
    /// Probability that a sample is slow for no reason, and by how much.
    pub(super) slow_chance: f64,
    pub(super) slow_by: f64,
    /// Does each thread get an equal share, so that the slowest decides?
    equal_shares: bool,
    /// Logical CPUs and cores of the machine.
    logical: f64,
    physical: f64,
    /// Seconds to wake another team.
    pub(super) switch: f64,
    /// How much longer the first call is.
    pub(super) warm_up: f64,
    /// Seconds that the clock can tell apart.
    pub(super) clock_grain: f64,
}

impl Disturbance {
    /// Noise of a random kind.
    pub(super) fn draw(topology: &Topology, equal_shares: bool, rng: &mut Pcg64) -> Self {
        use NoiseKind::{Bimodal, Contention, Drift, Mixed, Noisy, Quiet, Tail};
        let kind = NoiseKind::ALL[rng.random_range(0..NoiseKind::ALL.len())];
        let alternates = matches!(kind, Bimodal | Mixed);
        let drifts = matches!(kind, Drift | Mixed);
        let contended = kind == Contention || kind == Mixed && rng.random();
        let presence = ten_to(-1.5, 0.7, rng);
        Self {
            kind,
            call_spread: match kind {
                Quiet => uniform(0.005, 0.02, rng),
                Noisy => uniform(0.04, 0.10, rng),
                _ => ten_to(0.005_f64.log10(), 0.10_f64.log10(), rng),
            },
            sample_spread: match kind {
                Quiet => uniform(0.001, 0.004, rng),
                Noisy | Mixed => uniform(0.005, 0.03, rng),
                _ => uniform(0.001, 0.01, rng),
            },
            outliers_per_second: match kind {
                Quiet => 0.5,
                Tail => uniform(10.0, 60.0, rng),
                Mixed => uniform(3.0, 30.0, rng),
                _ => 2.0,
            },
            outlier: ten_to(-4.3, -2.7, rng),
            two_speeds: alternates.then(|| TwoSpeeds {
                slower: uniform(0.03, 0.18, rng),
                stay: [ten_to(-2.0, 0.5, rng), ten_to(-2.0, 0.5, rng)],
            }),
            slow_chance: if alternates {
                uniform(0.0, 0.4, rng)
            } else {
                0.0
            },
            slow_by: if alternates {
                uniform(0.0, 0.08, rng)
            } else {
                0.0
            },
            wander: [
                if drifts {
                    uniform(0.01, 0.05, rng)
                } else {
                    0.003
                },
                ten_to(-0.5, 1.5, rng),
            ],
            settle: [
                uniform(0.0, if drifts { 0.08 } else { 0.02 }, rng),
                ten_to(-0.5, 1.0, rng),
            ],
            neighbours: contended.then(|| Neighbours {
                stay: [presence, presence * ten_to(0.0, 1.2, rng)],
                cpus: f64::from(rng.random_range(1..(topology.logical() / 2 + 1).max(2))),
            }),
            cold_clock: None,
            power_limit: None,
            quota: None,
            regimes: None,
            equal_shares,
            logical: f64::from(topology.logical()),
            physical: f64::from(topology.physical()),
            switch: ten_to(-5.0, -3.5, rng),
            warm_up: uniform(0.05, 0.5, rng),
            clock_grain: if rng.random() { 2e-8 } else { 1e-7 },
        }
    }

    /// The noise that is credited to a recording: calls that scatter by `call_spread`, a few outliers, a little drift.
    pub fn of_recording(topology: &Topology, call_spread: f64) -> Self {
        Self {
            kind: NoiseKind::Quiet,
            call_spread,
            sample_spread: 0.004,
            outliers_per_second: 2.0,
            outlier: 1e-4,
            two_speeds: None,
            wander: [0.01, 5.0],
            settle: [0.01, 1.0],
            neighbours: None,
            cold_clock: None,
            power_limit: None,
            quota: None,
            regimes: None,
            slow_chance: 0.0,
            slow_by: 0.0,
            equal_shares: false,
            logical: f64::from(topology.logical()),
            physical: f64::from(topology.physical()),
            switch: SWITCH,
            warm_up: WARM_UP,
            clock_grain: 2e-8,
        }
    }

    /// The same noise on a machine that has idled: its clock has fallen to this share of its full speed, and rises and
    /// falls with this time constant in seconds.
    #[must_use]
    pub(super) fn with_cold_clock(self, share: f64, constant: f64) -> Self {
        Self {
            cold_clock: Some(ColdClock { share, constant }),
            ..self
        }
    }

    /// The same noise on a machine that sustains this share of its full power, and may exceed it as long as the average
    /// over this time constant in seconds does not.
    #[must_use]
    pub(super) fn with_power_limit(self, share: f64, constant: f64) -> Self {
        Self {
            power_limit: Some(PowerLimit { share, constant }),
            ..self
        }
    }

    /// The same noise under a quota of so many CPUs in each period of seconds.
    #[must_use]
    pub(super) fn with_quota(self, cpus: f64, period: f64) -> Self {
        Self {
            quota: Some(Quota { cpus, period }),
            ..self
        }
    }

    /// The same noise on a machine with hidden regimes, drawn at random.
    #[must_use]
    pub(super) fn with_regimes(self, rng: &mut Pcg64) -> Self {
        Self {
            regimes: Some(Regimes::draw(rng)),
            ..self
        }
    }

    /// What makes the hidden regimes, where there are some.
    pub fn regimes(&self) -> Option<RegimeKind> {
        self.regimes.map(|regimes| regimes.kind)
    }

    /// How much slower so many threads are on average over all regimes.
    pub(super) fn long_run(&self, threads: f64) -> f64 {
        let regimes = self.regimes.as_ref();
        regimes.map_or(1.0, |regimes| regimes.long_run(threads / self.logical))
    }

    /// The quota, where there is one.
    pub(super) fn quota_cpus(&self) -> Option<f64> {
        self.quota.map(|quota| quota.cpus)
    }

    /// Does a sample of this length hold a whole period of a quota?
    pub(super) fn is_longer_than_a_period(&self, seconds: f64) -> bool {
        self.quota.is_some_and(|quota| seconds >= quota.period)
    }

    /// The clock that so many threads keep for ever, as a share of its full speed.
    pub(super) fn sustained_clock(&self, threads: f64) -> f64 {
        let limit = self.power_limit;
        limit.map_or(1.0, |limit| limit.sustained_clock(threads / self.logical))
    }

    /// The same noise beside neighbours that take so many CPUs and never leave.
    #[must_use]
    pub(super) fn with_neighbours(self, cpus: u32) -> Self {
        Self {
            neighbours: Some(Neighbours {
                stay: [f64::MAX, f64::MIN_POSITIVE],
                cpus: f64::from(cpus),
            }),
            ..self
        }
    }

    /// The random factor of a sample of `calls` calls; a median of many calls scatters √(π/2) times as a mean does.
    pub(super) fn sample_noise(&self, calls: f64, is_median: bool, rng: &mut Pcg64) -> f64 {
        let inefficiency = if is_median {
            std::f64::consts::FRAC_PI_2
        } else {
            1.0
        };
        let variance = self.sample_spread.powi(2) + self.call_spread.powi(2) * inefficiency / calls;
        (variance.sqrt() * normal(rng)).exp()
    }
}

/// Where the noise is at the moment.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Seconds on the virtual clock.
    pub time: f64,
    wander: f64,
    slow: bool,
    /// The clock as a share of its full speed.
    clock: f64,
    /// Average power as a share of full power, where that is limited.
    power: f64,
    /// How much of the present period's quota is used up.
    used: Used,
    regime: Option<Regime>,
    /// Are the neighbours here, and until when do they stay or stay away?
    busy: bool,
    until: f64,
}

impl State {
    pub fn draw(noise: &Disturbance, rng: &mut Pcg64) -> Self {
        Self {
            time: 0.0,
            wander: noise.wander[0] * normal(rng),
            slow: false,
            clock: noise.cold_clock.map_or(1.0, |clock| clock.share),
            power: 0.0,
            used: Used::default(),
            regime: noise
                .regimes
                .as_ref()
                .map(|regimes| Regime::draw(regimes, rng)),
            busy: false,
            until: match &noise.neighbours {
                Some(neighbours) => exponential(neighbours.stay[1], rng),
                None => f64::INFINITY,
            },
        }
    }

    /// Another process measures from now on.
    pub fn renew(&mut self, noise: &Disturbance, rng: &mut Pcg64) {
        if let (Some(regimes), Some(regime)) = (&noise.regimes, &mut self.regime) {
            regime.renew(regimes, rng);
        }
    }

    /// For how long a quota stops so many threads that are about to work for so many seconds.
    pub fn stop(&mut self, noise: &Disturbance, threads: f64, seconds: f64) -> f64 {
        let quota = noise.quota.as_ref();
        quota.map_or(0.0, |quota| {
            self.used.stop(quota, self.time, threads, seconds)
        })
    }

    /// Time passes while so many threads work.
    pub fn advance(&mut self, noise: &Disturbance, threads: f64, seconds: f64, rng: &mut Pcg64) {
        self.pass(noise, threads, seconds, rng);
        if let Some(ColdClock { constant, .. }) = noise.cold_clock {
            self.clock = 1.0 - (1.0 - self.clock) * (-seconds / constant).exp();
        }
    }

    /// Time passes while it idles.
    pub fn rest(&mut self, noise: &Disturbance, seconds: f64, rng: &mut Pcg64) {
        self.pass(noise, 0.0, seconds, rng);
        if let Some(ColdClock { share, constant }) = noise.cold_clock {
            self.clock = share + (self.clock - share) * (-seconds / constant).exp();
        }
    }

    fn pass(&mut self, noise: &Disturbance, threads: f64, seconds: f64, rng: &mut Pcg64) {
        self.time += seconds;
        if let Some(limit) = &noise.power_limit {
            self.power = limit.average(self.power, threads / noise.logical, seconds);
        }
        let [spread, constant] = noise.wander;
        let kept = (-seconds / constant).exp();
        self.wander = self.wander * kept + spread * (1.0 - kept * kept).sqrt() * normal(rng);
        if let Some(TwoSpeeds { stay, .. }) = &noise.two_speeds {
            let rate = stay[0].recip() + stay[1].recip();
            let share = stay[1] / (stay[0] + stay[1]);
            let now = f64::from(u8::from(self.slow));
            let chance = share + (now - share) * (-seconds * rate).exp();
            self.slow = rng.random::<f64>() < chance;
        }
        if let (Some(regimes), Some(regime)) = (&noise.regimes, &mut self.regime) {
            regime.pass(regimes, self.time, rng);
        }
        if let Some(neighbours) = &noise.neighbours {
            while self.time > self.until {
                self.busy = !self.busy;
                let mean = neighbours.stay[usize::from(!self.busy)];
                self.until += exponential(mean, rng);
            }
        }
    }

    /// How much slower a call on so many threads is now, and whether neighbours take CPUs from it.
    pub fn factor(&self, noise: &Disturbance, threads: f64) -> (f64, bool) {
        let share = threads / noise.logical;
        let [by, constant] = noise.settle;
        let settled = by * (1.0 - (-self.time / constant).exp());
        // Wide teams feel a slower machine more.
        let mut factor = ((0.5 + 0.5 * share) * (self.wander + settled)).exp() / self.clock;
        if let Some(limit) = &noise.power_limit {
            factor /= limit.clock(self.power, share);
        }
        if let (Some(regimes), Some(regime)) = (&noise.regimes, &self.regime) {
            factor *= regime.factor(regimes, share);
        }
        if let (true, Some(two)) = (self.slow, &noise.two_speeds) {
            factor *= 1.0 + two.slower * (0.7 + 0.3 * share);
        }
        let (true, Some(neighbours)) = (self.busy, &noise.neighbours) else {
            return (factor, false);
        };
        let free = noise.logical - neighbours.cpus;
        if threads > free {
            let slower = if noise.equal_shares {
                1.8
            } else {
                threads / if free > 0.0 { free } else { 1.0 }
            };
            (factor * slower, true)
        } else if threads > noise.physical - neighbours.cpus {
            (factor * 1.12, false)
        } else {
            (factor * 1.01, false)
        }
    }
}
