//! A team of rayon's: one pool of exactly the asked threads, driven from inside.

use super::{Fork, Team, TeamError, Work};
use crate::units::ThreadCount;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// A rayon pool that is rebuilt when the count changes.
pub struct RayonTeam {
    pool: Option<ThreadPool>,
}

impl RayonTeam {
    /// No threads yet.
    pub fn new() -> Self {
        Self { pool: None }
    }
}

struct InsidePool;

impl Fork for InsidePool {
    /// A broadcast from a thread of the pool: the caller does its own part instead of sleeping, which makes a
    /// region some twenty times cheaper than one that is started from outside.
    fn region(&self, work: Work<'_>) {
        rayon::broadcast(|context| work(context.index(), context.num_threads()));
    }
}

impl Team for RayonTeam {
    fn describe(&self) -> &'static str {
        "rayon"
    }

    fn with(
        &mut self,
        threads: ThreadCount,
        body: &mut (dyn FnMut(&dyn Fork) + Send),
    ) -> Result<(), TeamError> {
        let pool = match self.pool.take() {
            Some(pool) if pool.current_num_threads() == threads.as_usize() => pool,
            // The count is explicit: a pool of 0 would read RAYON_NUM_THREADS.
            _ => ThreadPoolBuilder::new()
                .num_threads(threads.as_usize())
                .thread_name(|i| format!("threadtune-{i}"))
                .build()
                .map_err(|e| TeamError::Start {
                    threads,
                    reason: e.to_string(),
                })?,
        };
        pool.install(|| body(&InsidePool));
        self.pool = Some(pool);
        Ok(())
    }
}
