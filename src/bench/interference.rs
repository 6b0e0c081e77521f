//! Was a sample disturbed? What a worker counted for its threads, and what the kernel counts for the CPUs and for the
//! control group.
//!
//! The difference between right and wrong: with a busy neighbour on one core, two threads look 2–3 times slower than one.
//! A bound arm is judged by its own threads; where threads may move, waiting for a CPU can be their own doing, so an
//! unbound arm, and whatever does not tell of its threads, is judged by what other processes used. That takes a while to
//! tell, so it is told late: [`Watch::end`] says what the last stretch of time looked like, [`Watch::disturbed`] which
//! stretches were disturbed, the one at hand included.

mod judge;
mod reading;
mod threads;
mod throttle;

use self::judge::{Counters, judge, others_disturb};
use self::reading::{Reading, Source};
use self::throttle::is_by_others;
use crate::machine::Placement;
use crate::tune::Interference;
use crate::units::CpuSet;
use crate::worker::protocol::Sampled;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// Other processes' CPU time on a few CPUs is judged over this long: the kernel counts idle time in steps of 10 ms.
const WINDOW: Duration = Duration::from_millis(250);
/// Over this long at least, where somebody waits for it: only more than a third of a CPU is seen so soon.
const LEAST_WINDOW: Duration = Duration::from_millis(100);
/// On so many CPUs; what the steps of more add up to needs a longer time.
const WINDOW_CPUS: f64 = 16.0;

/// Over how long other processes' CPU time on so many CPUs is judged: the error of a sum grows as the root of their
/// number.
fn on_cpus(window: Duration, cpus: usize) -> Duration {
    window.mul_f64((cpus as f64 / WINDOW_CPUS).sqrt().max(1.0))
}

/// Watches the machine around a worker.
#[derive(Debug)]
pub struct Watch {
    source: Source,
    /// The begin of the stretch over which other processes are judged next: it spans samples and the pauses between.
    window: Stretch,
    /// The begin of the one before: what used a quota up did so up to a period before it was seen.
    before: Option<Stretch>,
    /// What they used in the last one, in CPUs, and whether that is a disturbance.
    others: Option<(f64, bool)>,
    /// Was a sample since the begin of the stretch at hand judged by what they used?
    counts_others: bool,
    /// Stretches that they disturbed, of which nobody was told yet.
    disturbed: Vec<Range<Instant>>,
}

/// The begin of a stretch of time.
#[derive(Debug)]
struct Stretch {
    since: Instant,
    reading: Reading,
}

/// The begin of a sample as the machine saw it.
#[derive(Debug)]
pub struct Begun {
    at: Instant,
    reading: Reading,
}

impl Watch {
    /// Around the worker with this process id, which may use these CPUs.
    pub fn new(worker: u32, all_cpus: CpuSet) -> Self {
        Self::over(Source::new(Path::new("/"), worker, all_cpus))
    }

    fn over(source: Source) -> Self {
        Self {
            window: Stretch {
                since: Instant::now(),
                reading: source.read_all(),
            },
            source,
            before: None,
            others: None,
            counts_others: false,
            disturbed: Vec::new(),
        }
    }

    /// What others did up to now disturbs nothing of what follows: nothing was measured meanwhile.
    pub fn forget(&mut self) {
        self.window = Stretch {
            since: Instant::now(),
            reading: self.source.read_all(),
        };
        self.before = None;
        self.others = None;
        self.counts_others = false;
        self.disturbed.clear();
    }

    /// Before a sample on these CPUs.
    pub fn begin(&self, cpus: &CpuSet) -> Begun {
        Begun {
            at: Instant::now(),
            reading: self.source.read(cpus),
        }
    }

    /// After it: what disturbed an arm of this placement.
    pub fn end(
        &mut self,
        begun: &Begun,
        cpus: &CpuSet,
        placement: Placement,
        sampled: &Sampled,
    ) -> Interference {
        let now = self.source.read(cpus);
        let took = begun.at.elapsed();
        let is_bound = placement != Placement::Unbound && !sampled.threads.is_empty();
        self.counts_others |= !is_bound;
        if self.window.since.elapsed() >= on_cpus(WINDOW, self.source.cpus()) {
            self.close();
        }
        let (throttled_us, throttled_by_others_us) = self.throttled_us(&begun.reading, &now);
        let counters = Counters {
            threads: is_bound.then(|| threads::shares(&sampled.threads, sampled.elapsed_ns)),
            shares_cpu: sampled.shares_cpu,
            steal_ms: now.steal_ms.saturating_sub(begun.reading.steal_ms),
            throttled_us,
            throttled_by_others_us,
            others: self.others.filter(|_| !is_bound),
        };
        log::trace!("{counters:?}");
        // An unbound team may use more CPUs than it has threads, and is robbed of those that it uses.
        let busy = (sampled.threads_ran as usize).min(cpus.len());
        judge(&counters, busy, took)
    }

    /// How long until the stretch at hand can be judged; no time where no sample needs that.
    pub fn until_judged(&self) -> Duration {
        if !self.source.counts_each || !self.counts_others {
            return Duration::ZERO;
        }
        let least = on_cpus(LEAST_WINDOW, self.source.cpus());
        least.saturating_sub(self.window.since.elapsed())
    }

    /// The stretches of time, up to now and since this was asked last, in which other processes disturbed samples that are
    /// judged by that.
    pub fn disturbed(&mut self) -> Vec<Range<Instant>> {
        if self.counts_others {
            self.close();
        }
        std::mem::take(&mut self.disturbed)
    }

    /// For how long groups were stopped between two readings, and of that what others had a part in.
    fn throttled_us(&self, then: &Reading, now: &Reading) -> (u64, u64) {
        let from = &self.before.as_ref().unwrap_or(&self.window).reading;
        let own_us = now.own_ms.saturating_sub(from.own_ms) * 1000;
        let mut sums = (0, 0);
        let groups = then.groups.iter().zip(&now.groups);
        for ((then, now), from) in groups.zip(&from.groups) {
            let throttled_us = now.throttled_us.saturating_sub(then.throttled_us);
            sums.0 += throttled_us;
            if is_by_others(*from, *now, own_us) {
                sums.1 += throttled_us;
            }
        }
        sums
    }

    /// Ends the stretch at hand and begins the next.
    fn close(&mut self) {
        let next = Stretch {
            since: Instant::now(),
            reading: self.source.read_all(),
        };
        let last = std::mem::replace(&mut self.window, next);
        let took = self.window.since.duration_since(last.since);
        let cpus = self.source.cpus();
        self.others = self
            .source
            .counts_each
            .then(|| self.window.reading.others_cpus(&last.reading, took, cpus))
            .map(|others| (others, others_disturb(others, took, cpus)));
        let is_disturbed = self
            .others
            .is_some_and(|(_, is_disturbance)| is_disturbance);
        if std::mem::take(&mut self.counts_others) && is_disturbed {
            self.disturbed.push(last.since..self.window.since);
        }
        self.before = Some(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_judged_for_longer_the_more_cpus_there_are() {
        assert_eq!(on_cpus(WINDOW, 2), WINDOW);
        assert_eq!(on_cpus(WINDOW, 16), WINDOW);
        assert_eq!(on_cpus(WINDOW, 64), 2 * WINDOW);
        assert_eq!(on_cpus(WINDOW, 1024), 8 * WINDOW);
    }

    /// A machine of two CPUs and a worker in files, whose counters are set.
    struct MadeUp {
        root: tempfile::TempDir,
    }

    impl MadeUp {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(root.path().join("proc/7")).unwrap();
            Self { root }
        }

        /// Idle ticks of both CPUs, and ticks that the worker used.
        fn set(&self, idle: [u64; 2], used: u64) {
            let [first, second] = idle;
            let stat = format!(
                "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 {first} 0 0 0 0\ncpu1 0 0 0 {second} 0 0 0 0\n"
            );
            let worker =
                format!("7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 {used} 0 0 0 20 0 1 0 5 0 0\n");
            std::fs::write(self.root.path().join("proc/stat"), stat).unwrap();
            std::fs::write(self.root.path().join("proc/7/stat"), worker).unwrap();
        }

        fn watch(&self) -> Watch {
            let cpus = CpuSet::parse_list("0-1").unwrap();
            Watch::over(Source::new(self.root.path(), 7, cpus))
        }
    }

    impl Watch {
        fn begun_a_minute_ago(&mut self) {
            self.window.since -= Duration::from_mins(1);
            self.counts_others = true;
        }
    }

    #[test]
    fn what_disturbed_a_stretch_is_told_once_and_of_the_one_at_hand_too() {
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let mut watch = machine.watch();
        watch.begun_a_minute_ago();
        // Nobody idles and the worker uses nothing: others use both CPUs.
        let begun = watch.window.since;
        let disturbed = watch.disturbed();
        assert_eq!(disturbed.len(), 1);
        assert_eq!(disturbed[0], begun..watch.window.since);
        // Both idle.
        machine.set([6000, 6000], 0);
        watch.begun_a_minute_ago();
        assert_eq!(watch.disturbed(), []);
        // The worker uses the time of one that is not idle.
        machine.set([6000, 12_000], 6000);
        watch.begun_a_minute_ago();
        assert_eq!(watch.disturbed(), []);
        // Of so short a time nothing is known.
        assert_eq!(watch.disturbed(), []);
    }

    #[test]
    fn what_others_did_while_nothing_was_measured_is_forgotten() {
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let mut watch = machine.watch();
        watch.begun_a_minute_ago();
        watch.close();
        watch.begun_a_minute_ago();
        assert!(watch.others.is_some_and(|(_, disturbs)| disturbs));
        assert!(watch.disturbed.len() == 1 && watch.counts_others && watch.before.is_some());
        watch.forget();
        assert!(watch.before.is_none());
        assert_eq!((watch.others, watch.disturbed()), (None, Vec::new()));
        assert!(watch.window.since.elapsed() < Duration::from_secs(30));
        assert_eq!(watch.until_judged(), Duration::ZERO);
    }

    #[test]
    fn an_unbound_arm_and_one_of_silent_threads_are_judged_by_others() {
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let mut watch = machine.watch();
        watch.begun_a_minute_ago();
        watch.close();
        let all = CpuSet::parse_list("0-1").unwrap();
        let sampled = |threads: &str| -> Sampled {
            let line = format!(
                r#"{{"durations_ns":[1000000],"threads_ran":1,"elapsed_ns":1000000,"threads":[{threads}]}}"#
            );
            serde_json::from_str(&line).unwrap()
        };
        let silent = sampled("");
        let told = sampled(r#"{"wall_ns":900000,"cpu_ns":900000,"run_delay_ns":0}"#);
        let mut of = |placement, sampled| {
            let begun = watch.begin(&all);
            watch.end(&begun, &all, placement, sampled)
        };
        assert_eq!(of(Placement::Close, &told), Interference::None);
        assert_eq!(of(Placement::Close, &silent), Interference::OtherProcesses);
        assert_eq!(of(Placement::Unbound, &told), Interference::OtherProcesses);
        // Late, too; what the threads of a bound team tell is all there is to know of it.
        for (placement, sampled, is_judged_late) in [
            (Placement::Close, &told, false),
            (Placement::Close, &silent, true),
            (Placement::Unbound, &told, true),
        ] {
            let mut watch = machine.watch();
            let begun = watch.begin(&all);
            watch.end(&begun, &all, placement, sampled);
            assert_eq!(watch.until_judged() > Duration::ZERO, is_judged_late);
            watch.window.since -= Duration::from_mins(1);
            assert_eq!(watch.disturbed().len(), usize::from(is_judged_late));
        }
    }

    #[test]
    fn time_is_stolen_from_as_many_cpus_as_there_are_threads() {
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let mut watch = machine.watch();
        let all = CpuSet::parse_list("0-1").unwrap();
        let mut of = |threads: u32| {
            machine.set([0, 0], 0);
            let mut begun = watch.begin(&all);
            begun.at -= Duration::from_secs(1);
            // 40 ms: beyond a tick, 3 % of a CPU's second, 1.5 % of two.
            let stolen = 40 / reading::tick_ms();
            let stat = format!("cpu0 0 0 0 0 0 0 0 {stolen}\ncpu1 0 0 0 0 0 0 0 0\n");
            std::fs::write(machine.root.path().join("proc/stat"), stat).unwrap();
            let line = format!(r#"{{"durations_ns":[1],"threads_ran":{threads},"elapsed_ns":1}}"#);
            let sampled: Sampled = serde_json::from_str(&line).unwrap();
            watch.others = None;
            watch.end(&begun, &all, Placement::Unbound, &sampled)
        };
        assert_eq!(of(1), Interference::Steal);
        assert_eq!(of(2), Interference::None);
    }

    #[test]
    fn where_cpus_have_no_line_of_their_own_nothing_is_judged_and_nothing_waited_for() {
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let source = Source::new(machine.root.path(), 7, CpuSet::parse_list("0-5").unwrap());
        let mut watch = Watch::over(source);
        assert_eq!(watch.until_judged(), Duration::ZERO);
        assert_eq!(watch.disturbed(), []);
        assert_eq!(watch.others, None);
    }

    #[test]
    fn a_quota_that_others_used_up_is_told_from_one_that_the_worker_did() {
        let group = |throttled_us, used_us| throttle::GroupReading {
            throttled_us,
            used_us: Some(used_us),
        };
        let reading = |own_ms, group| Reading {
            own_ms,
            groups: vec![group],
            ..Reading::default()
        };
        let machine = MadeUp::new();
        machine.set([0, 0], 0);
        let mut watch = machine.watch();
        watch.window.reading = reading(0, group(0, 0));
        let then = reading(0, group(0, 0));
        let of = |now: Reading| watch.throttled_us(&then, &now);
        assert_eq!(of(reading(100, group(0, 100_000))), (0, 0));
        assert_eq!(of(reading(100, group(700, 100_000))), (700, 0));
        assert_eq!(of(reading(50, group(700, 100_000))), (700, 700));
    }
}
