//! States of a machine that nothing tells of: for seconds or minutes some counts are slower than they usually are.

use super::variate::{exponential, ten_to, uniform};
use rand::RngExt;
use rand_pcg::Pcg64;

/// What makes the second of two regimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegimeKind {
    /// The host of a virtual machine runs its CPUs on half as many cores: wide teams lose what they gained.
    SharedCores,
    /// The clock is lower the more CPUs are busy.
    LowerClock,
    /// A neighbour uses a cache, which narrow teams feel most: wide ones have others, too.
    CacheNeighbour,
}

impl RegimeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::SharedCores, Self::LowerClock, Self::CacheNeighbour];
}

/// Two regimes that alternate, and what a process brings with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Regimes {
    pub kind: RegimeKind,
    /// How much slower the counts that it concerns most are in the second regime.
    slower: f64,
    /// Mean seconds in the first regime, and in the second.
    stay: [f64; 2],
    /// A process makes narrow teams by up to this much slower or faster (log time), and wide ones by another amount.
    process: f64,
}

impl Regimes {
    /// Stays of 1 to 60 s, processes that differ by up to 10 %.
    pub fn draw(rng: &mut Pcg64) -> Self {
        let kind = RegimeKind::ALL[rng.random_range(0..RegimeKind::ALL.len())];
        let slower = match kind {
            RegimeKind::SharedCores => uniform(0.2, 0.9, rng),
            RegimeKind::LowerClock => uniform(0.05, 0.4, rng),
            RegimeKind::CacheNeighbour => uniform(0.05, 0.3, rng),
        };
        let longest = 60.0_f64.log10();
        Self {
            kind,
            slower,
            stay: [ten_to(0.0, longest, rng), ten_to(0.0, longest, rng)],
            process: uniform(0.0, 0.05, rng),
        }
    }

    /// How much slower a team of this share of all logical CPUs is in the second regime than in the first.
    fn second(&self, share: f64) -> f64 {
        1.0 + self.slower
            * match self.kind {
                RegimeKind::SharedCores => (2.0 * share - 1.0).max(0.0),
                RegimeKind::LowerClock => share,
                RegimeKind::CacheNeighbour => 1.0 - share,
            }
    }

    /// How much slower it is on average over all time.
    pub fn long_run(&self, share: f64) -> f64 {
        let [first, second] = self.stay;
        (first + second * self.second(share)) / (first + second)
    }
}

/// Where the regimes are at the moment, and what this process brought with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regime {
    is_second: bool,
    until: f64,
    /// Log time that narrow and that wide teams take more.
    process: [f64; 2],
}

impl Regime {
    /// At a random moment, in a new process.
    pub fn draw(regimes: &Regimes, rng: &mut Pcg64) -> Self {
        let [first, second] = regimes.stay;
        let is_second = rng.random::<f64>() < second / (first + second);
        let mut regime = Self {
            is_second,
            until: exponential(regimes.stay[usize::from(is_second)], rng),
            process: [0.0; 2],
        };
        regime.renew(regimes, rng);
        regime
    }

    /// Another process takes the place of this one.
    pub fn renew(&mut self, regimes: &Regimes, rng: &mut Pcg64) {
        let most = regimes.process;
        self.process = [uniform(-most, most, rng), uniform(-most, most, rng)];
    }

    /// It is so late now.
    pub fn pass(&mut self, regimes: &Regimes, time: f64, rng: &mut Pcg64) {
        while time > self.until {
            self.is_second = !self.is_second;
            self.until += exponential(regimes.stay[usize::from(self.is_second)], rng);
        }
    }

    /// How much slower a team of this share of all logical CPUs is now.
    pub fn factor(&self, regimes: &Regimes, share: f64) -> f64 {
        let [narrow, wide] = self.process;
        let process = (narrow * (1.0 - share) + wide * share).exp();
        let regime = if self.is_second {
            regimes.second(share)
        } else {
            1.0
        };
        process * regime
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn over_a_long_time_teams_are_as_much_slower_as_is_said() {
        for seed in 0..20 {
            let mut rng = Pcg64::seed_from_u64(seed);
            let regimes = Regimes {
                process: 0.0,
                ..Regimes::draw(&mut rng)
            };
            let mut regime = Regime::draw(&regimes, &mut rng);
            let mut sum = 0.0;
            let steps = 400_000;
            for step in 0..steps {
                regime.pass(&regimes, f64::from(step) * 0.25, &mut rng);
                sum += regime.factor(&regimes, 0.75);
            }
            let (found, said) = (sum / f64::from(steps), regimes.long_run(0.75));
            assert!((found / said - 1.0).abs() < 0.01, "{seed}: {found}, {said}");
        }
    }

    #[test]
    fn each_kind_slows_the_teams_that_it_is_about() {
        use RegimeKind::{CacheNeighbour, LowerClock, SharedCores};
        let regimes = |kind| Regimes {
            kind,
            slower: 0.5,
            stay: [1.0, 1.0],
            process: 0.0,
        };
        let at = |kind, share| regimes(kind).second(share);
        assert_eq!([at(SharedCores, 0.5), at(SharedCores, 1.0)], [1.0, 1.5]);
        assert_eq!([at(LowerClock, 0.5), at(LowerClock, 1.0)], [1.25, 1.5]);
        assert_eq!(
            [at(CacheNeighbour, 0.5), at(CacheNeighbour, 1.0)],
            [1.25, 1.0]
        );
    }

    #[test]
    fn another_process_is_by_a_tenth_faster_or_slower_at_most() {
        let mut rng = Pcg64::seed_from_u64(1);
        let regimes = Regimes {
            kind: RegimeKind::LowerClock,
            slower: 0.0,
            stay: [1.0, 1.0],
            process: 0.05,
        };
        let mut regime = Regime::draw(&regimes, &mut rng);
        let mut gains = Vec::new();
        for _ in 0..1000 {
            let [narrow, wide] = [0.0, 1.0].map(|share| regime.factor(&regimes, share).ln());
            gains.push(wide - narrow);
            regime.renew(&regimes, &mut rng);
        }
        let most = gains
            .iter()
            .fold(0.0_f64, |most, gain| most.max(gain.abs()));
        assert!(most > 0.08 && most <= 0.1, "{most}");
    }
}
