//! Counts above the CPU budget run in a child of their own: libgomp stays slow for milliseconds after a region of more
//! threads than CPUs.

use crate::tune::{Arm, Bench, BenchError, Sample};
use crate::units::{Calls, Nanos, ThreadCount};
use std::ops::Range;

/// A bench that is renewed before its first block with a count above the budget, and takes all later ones anew as well:
/// what is compared is compared in one child.
pub struct Apart<B, F> {
    bench: B,
    limit: ThreadCount,
    renew: F,
    is_apart: bool,
}

impl<B: Bench, F: FnMut(&mut B) -> Result<(), BenchError>> Apart<B, F> {
    /// This bench under a budget of so many threads; `renew` gives it another child.
    pub fn new(bench: B, limit: ThreadCount, renew: F) -> Self {
        Self {
            bench,
            limit,
            renew,
            is_apart: false,
        }
    }

    /// Has a count above the budget run?
    pub fn is_apart(&self) -> bool {
        self.is_apart
    }
}

impl<B: Bench, F: FnMut(&mut B) -> Result<(), BenchError>> Bench for Apart<B, F> {
    fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
        let is_above = |(arm, _): &(Arm, Calls)| arm.threads > self.limit;
        if !self.is_apart && plan.iter().any(is_above) {
            (self.renew)(&mut self.bench)?;
            self.is_apart = true;
        }
        self.bench.block(plan)
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
    use crate::machine::Placement;

    /// Remembers which child ran which counts.
    #[derive(Default)]
    struct Children(Vec<Vec<u32>>);

    impl Bench for Children {
        fn block(&mut self, plan: &[(Arm, Calls)]) -> Result<Vec<Sample>, BenchError> {
            let counts = plan.iter().map(|(arm, _)| arm.threads.get());
            self.0.last_mut().unwrap().extend(counts);
            Ok(Vec::new())
        }

        fn idle(&mut self, _: Nanos) -> Result<(), BenchError> {
            Ok(())
        }

        fn now(&self) -> Nanos {
            Nanos::ZERO
        }
    }

    fn plan(counts: &[usize]) -> Vec<(Arm, Calls)> {
        let arm = |n: &usize| Arm {
            threads: ThreadCount::clamped(*n),
            placement: Placement::Unbound,
        };
        counts.iter().map(|n| (arm(n), Calls::ONE)).collect()
    }

    #[test]
    fn from_the_first_block_above_the_budget_on_all_run_in_another_child() {
        let children = Children(vec![Vec::new()]);
        let limit = ThreadCount::clamped(3);
        let mut failures = 1;
        let mut bench = Apart::new(children, limit, |children: &mut Children| {
            if failures > 0 {
                failures -= 1;
                return Err(BenchError::Interrupted);
            }
            children.0.push(Vec::new());
            Ok(())
        });
        bench.block(&plan(&[1, 3])).unwrap();
        // Nothing of a block is taken where the other child does not come.
        assert!(bench.block(&plan(&[3, 4])).is_err());
        assert!(!bench.is_apart());
        bench.block(&plan(&[2])).unwrap();
        bench.block(&plan(&[3, 4])).unwrap();
        bench.block(&plan(&[3])).unwrap();
        bench.block(&plan(&[4, 3])).unwrap();
        assert!(bench.is_apart());
        assert_eq!(bench.bench.0, [vec![1, 3, 2], vec![3, 4, 3, 4, 3]]);
    }
}
