use super::*;

/// A made-up team in virtual time. A region of n threads takes n µs hot, and so much more as its pause.
struct MadeUp {
    now: f64,
    /// What all that was planned takes is multiplied by.
    slowness: f64,
    asked: Vec<RegionRequest>,
    /// What is said instead of times from this request on.
    ends: Option<(usize, Unmeasured)>,
}

impl MadeUp {
    fn new(slowness: f64) -> Self {
        Self {
            now: 7.0,
            slowness,
            asked: Vec::new(),
            ends: None,
        }
    }

    fn counts(&self) -> Vec<u32> {
        let mut counts: Vec<u32> = self.asked.iter().map(|r| r.threads.get()).collect();
        counts.dedup();
        counts
    }
}

impl RegionTimer for MadeUp {
    fn time(&mut self, request: &RegionRequest) -> Result<Vec<f64>, Unmeasured> {
        if let Some((at, error)) = &self.ends
            && *at == self.asked.len()
        {
            return Err(error.clone());
        }
        self.asked.push(*request);
        let begin = self.now;
        let mut times = Vec::new();
        for repetition in 0..request.repetitions {
            if repetition > 0 && self.now - begin >= request.limit.as_secs_f64() {
                break;
            }
            self.now += self.slowness * f64::from(request.pause.as_us().max(200)) * 1e-6;
            // Two of five are disturbed, which a median bears.
            let disturbed = if repetition % 5 < 2 { 1000.0 } else { 0.0 };
            let threads = f64::from(request.threads.get());
            times.push(threads + f64::from(request.pause.as_us()) * 1e-3 + disturbed);
        }
        Ok(times)
    }

    fn now(&self) -> Nanos {
        Nanos::from_secs_f64(self.now)
    }
}

fn layout(logical: usize, physical: usize) -> Layout {
    Layout {
        logical: ThreadCount::clamped(logical),
        physical: ThreadCount::clamped(physical),
        cores_of_kinds: vec![physical as u32],
        cores_per_package: physical as u32,
        threads_per_core: (logical / physical) as u32,
        cores_per_llc: physical as u32,
    }
}

fn threads(regions: &[Region]) -> Vec<u32> {
    regions.iter().map(|r| r.threads.get()).collect()
}

/// What a walk gives, and the seconds that it took.
fn walked(timer: &mut MadeUp, layout: &Layout, limit: Nanos) -> (Vec<Region>, f64) {
    let begin = timer.now;
    let regions = walk(timer, layout, limit).unwrap();
    (regions, timer.now - begin)
}

#[test]
fn each_count_is_timed_hot_and_after_both_pauses_in_ascending_order() {
    let mut timer = MadeUp::new(1.0);
    let (regions, _) = walked(&mut timer, &layout(4, 2), REGIONS_LIMIT);
    let asked: Vec<(u32, u32)> = timer
        .asked
        .iter()
        .map(|r| (r.threads.get(), r.pause.as_us()))
        .collect();
    let expected: Vec<(u32, u32)> = (1..=4)
        .flat_map(|n| [(n, 0), (n, 1000), (n, 10_000)])
        .collect();
    assert_eq!(asked, expected);
    assert!(timer.asked.iter().all(|r| r.repetitions == 31));
    assert_eq!(threads(&regions), [1, 2, 3, 4]);
    let third: Vec<(u32, f64)> = regions[2]
        .after_us
        .iter()
        .map(|(pause, us)| (pause.as_us(), *us))
        .collect();
    assert_eq!(third, [(0, 3.0), (1000, 4.0), (10_000, 13.0)]);
}

#[test]
fn a_large_machine_gets_fewer_repetitions_and_then_fewer_counts() {
    // Two packages of 24 cores with two threads each: sixteen counts.
    let server = Layout {
        cores_per_package: 24,
        cores_per_llc: 24,
        ..layout(96, 48)
    };
    let all: Vec<u32> = grid(&server).into_iter().map(ThreadCount::get).collect();
    let mut timer = MadeUp::new(1.0);
    let (regions, seconds) = walked(&mut timer, &server, REGIONS_LIMIT);
    assert_eq!(threads(&regions), all);
    let repetitions = |timer: &MadeUp| {
        let all = timer.asked.iter().map(|request| request.repetitions);
        (all.clone().min().unwrap(), all.max().unwrap())
    };
    assert_eq!(repetitions(&timer), (20, 31));
    assert!(seconds <= 5.0, "{seconds}");

    let mut timer = MadeUp::new(1.0);
    let (regions, seconds) = walked(&mut timer, &server, QUICK_REGIONS_LIMIT);
    assert_eq!(
        threads(&regions),
        [1, 2, 3, 4, 8, 12, 16, 24, 36, 47, 48, 64, 96]
    );
    assert_eq!(repetitions(&timer).0, 5);
    assert!(seconds <= 1.0, "{seconds}");
}

#[test]
fn every_machine_keeps_to_the_time_and_to_its_widest_teams() {
    for (logical, physical) in [(1, 1), (2, 2), (8, 4), (64, 64), (512, 256), (4096, 2048)] {
        for limit in [REGIONS_LIMIT, QUICK_REGIONS_LIMIT] {
            for slowness in [1.0, 3.0, 30.0] {
                let mut timer = MadeUp::new(slowness);
                let (regions, seconds) = walked(&mut timer, &layout(logical, physical), limit);
                let counts = threads(&regions);
                let case = format!("{logical}/{physical}, {limit:?}, {slowness}: {counts:?}");
                assert!(counts.contains(&(logical as u32)), "{case}");
                assert!(counts.contains(&(physical as u32)), "{case}");
                assert!(counts.is_sorted_by(|a, b| a < b), "{case}");
                assert_eq!(timer.counts(), counts, "{case}");
                assert!(timer.asked.iter().all(|r| r.limit.as_secs_f64() <= 0.5));
                // Where all takes longer than planned, the widest teams come late, and a timing has to end.
                let late = if slowness > 1.0 {
                    3.0 * (least_s() + slowness * 0.0112)
                } else {
                    0.0
                };
                assert!(seconds <= limit.as_secs_f64() + late, "{seconds} s, {case}");
            }
        }
    }
}

#[test]
fn a_machine_slower_than_planned_gives_up_the_counts_between() {
    let mut timer = MadeUp::new(30.0);
    let (regions, _) = walked(&mut timer, &layout(64, 32), QUICK_REGIONS_LIMIT);
    let counts = threads(&regions);
    assert!(counts.len() < 13, "{counts:?}");
    assert!(counts.contains(&32) && counts.contains(&64), "{counts:?}");
}

#[test]
fn without_time_for_the_widest_teams_nothing_is_asked() {
    for seconds in [0.0, 0.07, 0.149] {
        let mut timer = MadeUp::new(1.0);
        let (regions, _) = walked(&mut timer, &layout(64, 32), Nanos::from_secs_f64(seconds));
        assert_eq!((regions, timer.asked.len()), (Vec::new(), 0), "{seconds}");
    }
    let mut timer = MadeUp::new(1.0);
    let (regions, _) = walked(&mut timer, &layout(64, 32), Nanos::from_secs_f64(0.16));
    assert_eq!(threads(&regions), [32, 64]);
}

#[test]
fn an_interruption_a_refusal_or_a_failure_ends_it_without_regions() {
    for error in [
        Unmeasured::Interrupted,
        Unmeasured::Refused("unknown order".to_owned()),
        Unmeasured::Failed("gone".to_owned()),
    ] {
        for at in [0, 4] {
            let mut timer = MadeUp::new(1.0);
            timer.ends = Some((at, error.clone()));
            let ended = walk(&mut timer, &layout(4, 4), REGIONS_LIMIT);
            assert_eq!(ended, Err(error.clone()));
            assert_eq!(timer.asked.len(), at);
        }
    }
}

#[test]
fn only_times_are_taken_for_times() {
    assert_eq!(typical_us(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(typical_us(&[0.123_456_7]), Some(0.123));
    // Shorter than the clock can tell.
    assert_eq!(typical_us(&[0.0, 0.0, 0.0]), Some(0.001));
    for nonsense in [
        &[][..],
        &[f64::NAN],
        &[1.0, f64::NAN, 2.0],
        &[f64::INFINITY],
        &[-1.0],
        &[61e6],
    ] {
        assert_eq!(typical_us(nonsense), None, "{nonsense:?}");
    }
}
