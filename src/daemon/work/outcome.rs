//! What came of a task, and what follows from it.

use super::{Work, stuck};
use crate::bench::{Checked, Tuned};
use crate::daemon::measuring::Outcome;
use crate::daemon::schedule::{Event, Task};
use crate::machine::BootTime;
use crate::profile::{FreshRegions, StopReason};
use crate::report::{counted, rough, time};
use crate::tune::Drift;
use crate::units::Nanos;
use crate::worker::protocol::Greeting;
use std::time::{Duration, SystemTime};

impl Work {
    /// The measuring thread has ended; `is_last_check`: no other check is left; `is_stale`: something changed meanwhile,
    /// which is yet to be looked at.
    pub fn ended(
        &mut self,
        outcome: Outcome,
        cpu: Nanos,
        is_last_check: bool,
        is_stale: bool,
    ) -> Option<Event> {
        let at_work = self.at_work.take()?;
        at_work.thread.join();
        let all_cpu = at_work.cpu + cpu;
        let event = match outcome {
            // A CPU that went away makes a workload fail, and says nothing about it.
            Outcome::Tuned(tuned, _)
                if is_stale && matches!(tuned.entry.stop, StopReason::Failed(_)) =>
            {
                log::info!("{}: {}; it begins anew", tuned.entry.name, tuned.entry.stop);
                self.unfinished.remove(&tuned.entry.name);
                Event::PutAside { cpu }
            }
            // So does memory that was short for a moment: what was seen before is no worse for it.
            Outcome::Tuned(tuned, _)
                if matches!(tuned.entry.stop, StopReason::Failed(_))
                    && self.unfinished.postpone(&tuned.entry.name, BootTime::now()) =>
            {
                log::warn!(
                    "{}: {}; it is looked at again later",
                    tuned.entry.name,
                    tuned.entry.stop
                );
                self.finished(cpu, Vec::new())
            }
            Outcome::Tuned(mut tuned, greeting) => {
                log_verdict(&tuned, all_cpu);
                let again = tuned.again.take();
                let kept = self.kept.as_ref();
                let workload = kept.and_then(|kept| kept.workload(&tuned.entry.name));
                if let (Some(workload), Some(again)) = (workload, again) {
                    self.unfinished.put(workload, again.unfinished);
                    // Before the profile says so: without it, a power cut would have the workload begin anew.
                    self.remember();
                } else {
                    self.unfinished.remove(&tuned.entry.name);
                }
                // Another count than the one that lost, or the same one proven anew.
                self.memory.forget_loss(&tuned.entry.name);
                self.tuned(*tuned, &greeting, at_work.began.elapsed(), cpu)
            }
            Outcome::Checked(checked) => {
                self.checked(at_work.task.workload(), &checked, is_last_check, cpu)
            }
            Outcome::PutAside(unfinished) => {
                let workload = self
                    .kept
                    .as_ref()
                    .and_then(|kept| kept.workload(at_work.task.workload()));
                if let (Some(workload), Some(unfinished)) = (workload, unfinished) {
                    self.unfinished.put(workload, *unfinished);
                }
                Event::PutAside { cpu }
            }
            Outcome::Impossible(why) => {
                stuck(&mut self.told_of_task, &anyhow::Error::msg(why), cpu)
            }
            Outcome::Panicked => {
                // It may have been what was put aside.
                self.unfinished.remove(at_work.task.workload());
                let why = "the measuring thread panicked, which is a fault of threadtune: please report it";
                stuck(&mut self.told_of_task, &anyhow::Error::msg(why), cpu)
            }
        };
        Some(event)
    }

    /// What empty regions cost was measured, too. The verdicts matter more: what cannot be written now is with the next.
    pub fn put_regions(&mut self, regions: FreshRegions) {
        let counts = regions.regions.len();
        let Some(kept) = &mut self.kept else {
            return;
        };
        match kept.put_regions(&self.state, regions) {
            Ok(()) => log::info!(
                "what an empty parallel region costs was measured on {}",
                counted(counts, "count")
            ),
            Err(error) => log::warn!("{error:#}; what regions cost is not kept yet"),
        }
    }

    fn tuned(&mut self, tuned: Tuned, greeting: &Greeting, spent: Duration, cpu: Nanos) -> Event {
        let name = tuned.entry.name.clone();
        let Some(kept) = &mut self.kept else {
            return Event::PutAside { cpu };
        };
        let put = kept.put(&self.state, tuned, greeting, spent);
        self.workloads = kept.workloads();
        // What is lacking after all that could be done is not tried again before somebody asks.
        if let Some(workload) = kept.workload(&name)
            && kept.lacks(workload)
            && self.unfinished.of(workload).is_none()
        {
            self.given_up.add(name);
        }
        match put {
            Ok(()) => self.finished(cpu, Vec::new()),
            Err(error) => stuck(&mut self.told_of_task, &error, cpu),
        }
    }

    fn checked(&mut self, name: &str, checked: &Checked, is_last: bool, cpu: Nanos) -> Event {
        let Some(kept) = &mut self.kept else {
            return Event::PutAside { cpu };
        };
        let result = match checked {
            Checked::Found(finding) => {
                // What holds for seconds may not hold for hours.
                let is_confirmed = match finding.verdict {
                    Drift::Lost => {
                        let interval = self.scope.visit_interval;
                        self.memory.lost(name, interval, BootTime::now())
                    }
                    Drift::Holds => {
                        self.memory.forget_loss(name);
                        false
                    }
                    Drift::Unknown(_) => {
                        self.memory.postpone_suspect(name, BootTime::now());
                        false
                    }
                };
                if is_confirmed {
                    // It is tuned from the beginning.
                    self.unfinished.remove(name);
                }
                kept.checked(&self.state, name, finding, is_confirmed)
            }
            Checked::Needless => {
                self.memory.forget_loss(name);
                Ok(Vec::new())
            }
            Checked::Failed(why) => {
                self.memory.postpone_suspect(name, BootTime::now());
                log::warn!("{name} could not be checked: {why}");
                kept.check_failed();
                Ok(Vec::new())
            }
        };
        let result = result.and_then(|then| {
            if is_last && !then.iter().any(Task::is_check) && kept.settle(&self.state)? {
                self.memory.checked(SystemTime::now());
            }
            Ok(then)
        });
        match result {
            Ok(then) => self.finished(cpu, then),
            Err(error) => stuck(&mut self.told_of_task, &error, cpu),
        }
    }
}

fn log_verdict(tuned: &Tuned, cpu: Nanos) {
    let entry = &tuned.entry;
    let verdict = entry.latency.as_ref().map_or_else(
        || "no count stated".to_owned(),
        |best| {
            let s = if best.threads.get() == 1 { "" } else { "s" };
            format!(
                "{} thread{s}, {} a call",
                best.threads,
                time(best.median_us)
            )
        },
    );
    let again = tuned.again.as_ref().map_or_else(String::new, |again| {
        format!("; looked at again in {}", rough(again.wait.as_secs_f64()))
    });
    log::info!(
        "{}: {verdict} ({}; {:.1} s of CPU time){again}",
        entry.name,
        entry.stop,
        cpu.as_secs_f64()
    );
    if entry.is_slow() {
        log::warn!(
            "{}: its kernel is slow on this processor; such counts come out too high",
            entry.name
        );
    }
}
