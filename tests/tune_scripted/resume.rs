//! A tuning as a value: interruption, resumption, answers that are no time, and the profile's table.

use super::script::{Script, chosen, decide, jitter, layout, table};
use threadtune::machine::Placement;
use threadtune::profile::{Residency, StopReason};
use threadtune::tune::{Arm, Bench, BenchError, Options, Stage, Step, Subject, Tuning, Verdict};
use threadtune::units::{CpuSet, Nanos};

fn noisy() -> Script<'static> {
    let times = [4e-3, 2.1e-3, 2.05e-3, 2e-3];
    Script::new(move |place| times[place.arm.threads.as_usize() - 1] * jitter(place.sample, 0.02))
        .flagging(|place| place.sample % 13 == 0 || (90..120).contains(&place.sample))
}

#[test]
fn an_interrupted_step_leaves_everything_as_it_was() {
    let calm = decide(&mut noisy(), layout(4, 4), Options::default());
    let mut script = noisy();
    script.errors = (0..400)
        .map(|i| (3 * i + 1, BenchError::Interrupted))
        .collect();
    let mut tuning = Tuning::new(layout(4, 4), Options::default());
    let mut interruptions = 0;
    let verdict = loop {
        let before = tuning.clone();
        match tuning.step(&mut script) {
            Ok(Step::Rest(..)) => unreachable!("it is done in one go"),
            Ok(Step::Done(verdict)) => break verdict,
            Ok(Step::Progress(_)) => {}
            Err(error) => {
                assert_eq!(error, BenchError::Interrupted);
                assert_eq!(tuning, before);
                interruptions += 1;
            }
        }
    };
    assert!(interruptions > 20);
    assert_eq!(verdict, calm);
}

#[test]
fn a_tuning_resumes_from_its_serialised_form_after_every_step() {
    let calm = decide(&mut noisy(), layout(4, 4), Options::default());
    let mut script = noisy();
    let mut tuning = Tuning::new(layout(4, 4), Options::default());
    let (mut stages, mut last) = (Vec::new(), 0.0);
    let verdict = loop {
        let json = serde_json::to_string(&tuning).unwrap();
        tuning = serde_json::from_str(&json).unwrap();
        match tuning.step(&mut script).unwrap() {
            Step::Rest(..) => unreachable!("it is done in one go"),
            Step::Done(verdict) => break verdict,
            Step::Progress(progress) => {
                assert!(
                    progress.fraction >= last && progress.fraction <= 1.0,
                    "{progress:?}"
                );
                last = progress.fraction;
                stages.push(progress.stage);
            }
        }
    };
    assert_eq!(verdict, calm);
    stages.dedup();
    let expected = [
        Stage::Ladder,
        Stage::Narrowing,
        Stage::Race,
        Stage::UnboundRace,
        Stage::Efficient,
    ];
    assert_eq!(stages, expected);
}

#[test]
fn what_a_bench_tells_at_last_of_disturbances_is_not_lost_with_it() {
    // Put aside after so many blocks of the race; what was thrown away by the end.
    let rejected = |blocks: usize, is_disturbed: bool| {
        let times = table(&[2e-3, 1e-3]);
        let mut script = Script::new(&times);
        let mut tuning = Tuning::new(layout(2, 2), Options::counts_only());
        while script.sizes().len() < blocks {
            assert!(matches!(tuning.step(&mut script), Ok(Step::Progress(_))));
        }
        if is_disturbed {
            script.disturbed = vec![Nanos::ZERO..script.now()];
        }
        tuning.put_aside(&mut script);
        assert!(script.disturbed.is_empty());
        let verdict = tuning.run(&mut Script::new(&times)).unwrap();
        assert_eq!(verdict.stop, StopReason::Separated);
        verdict.rejected
    };
    assert_eq!(rejected(3, false), 0);
    // Two samples a block.
    assert_eq!(rejected(3, true), 6);
}

#[test]
fn time_spent_survives_a_new_bench() {
    let mut tuning = Tuning::new(layout(2, 2), Options::counts_only());
    let verdict = loop {
        // A bench opened afresh for every step: its clock starts at zero.
        if let Step::Done(verdict) = tuning.step(&mut Script::new(table(&[2e-3, 1e-3]))).unwrap() {
            break verdict;
        }
    };
    assert!(verdict.spent > Nanos(20_000_000));
}

#[test]
fn values_that_are_no_time_are_errors_and_never_samples() {
    for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut script = Script::new(move |place| if place.sample == 7 { nonsense } else { 1e-3 });
        let mut tuning = Tuning::new(layout(2, 2), Options::counts_only());
        let (error, before) = loop {
            let before = tuning.clone();
            if let Err(error) = tuning.step(&mut script) {
                break (error, before);
            }
        };
        assert!(matches!(error, BenchError::Nonsense(_)), "{error}");
        assert_eq!(tuning, before);
        assert!(tuning.run(&mut script).is_ok());
    }
}

#[test]
fn extreme_times_overflow_nothing() {
    for seconds in [1e-300, 1e-9, 1e5, 1e300] {
        for logical in [1, 2, 48] {
            let mut script = Script::new(|_| seconds);
            let verdict = decide(&mut script, layout(logical, logical), Options::default());
            let latency = verdict.latency.unwrap();
            assert!((latency.time.seconds_per_call / seconds - 1.0).abs() < 1e-9);
        }
    }
}

#[test]
fn a_verdict_becomes_the_profile_s_table() {
    let verdict = decide(&mut noisy(), layout(4, 4), Options::default());
    let subject = Subject {
        name: "matmul-256".into(),
        shape: "gemm:256x256x256:f32".into(),
        flops: 33_554_432,
        bytes: 786_432,
        residency: Residency::Cache,
        ..Subject::default()
    };
    let cpus = |arm: Arm| match arm.placement {
        Placement::Unbound => (0..4).collect(),
        _ => (0..arm.threads.get()).collect::<CpuSet>(),
    };
    let verdict = Verdict {
        first_call: Some(240e-6),
        ..verdict
    };
    let entry = verdict.clone().into_entry(subject, cpus);
    assert_eq!(entry.name, "matmul-256");
    assert_eq!(entry.first_call_us, Some(240.0));
    let latency = entry.latency.unwrap();
    assert_eq!(latency.threads.get(), chosen(&verdict));
    // six significant digits are written
    let exact_us = 1e6 * verdict.latency.unwrap().time.seconds_per_call;
    assert!((latency.median_us - exact_us).abs() <= 5e-6 * exact_us);
    assert!(latency.median_us.to_string().len() <= 7);
    let pinned = entry.pinned.unwrap();
    assert_eq!(pinned.cpus.len(), pinned.threads.as_usize());
    assert_eq!(entry.samples, verdict.samples);
    assert_eq!(entry.curve.len(), verdict.curve.len());
    let arms: Vec<_> = entry
        .curve
        .iter()
        .map(|p| (p.threads, p.placement))
        .collect();
    assert!(arms.is_sorted());
    assert!(entry.ties.contains(&latency.threads));
    assert!(entry.seconds > 0.0 && entry.rejected > 0);
}
