//! A team of rayon's: one pool of exactly the asked threads, driven from inside.

use super::{Fork, Team, TeamError, Work};
use crate::units::ThreadCount;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::thread;
use std::time::{Duration, Instant};

/// How it describes itself.
pub(super) const NAME: &str = "rayon";

/// Threads of the pool before end by themselves once it is dropped, and count against limits on tasks until then.
const ENDING: Duration = Duration::from_secs(1);

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
        NAME
    }

    fn library(&self) -> Option<&'static str> {
        None
    }

    fn disband(&mut self) {
        self.pool = None;
    }

    fn with(
        &mut self,
        threads: ThreadCount,
        body: &mut (dyn FnMut(&dyn Fork) + Send),
    ) -> Result<(), TeamError> {
        let fits = |pool: &ThreadPool| pool.current_num_threads() == threads.as_usize();
        // One that does not fit is gone before the next begins: there may be room for one of them only.
        let pool = match self.pool.take().filter(fits) {
            Some(pool) => pool,
            None => started(threads).map_err(|e| TeamError::Start {
                threads,
                reason: e.to_string(),
            })?,
        };
        pool.install(|| body(&InsidePool));
        self.pool = Some(pool);
        Ok(())
    }
}

/// A new pool; where there is no room for it, tried again until the threads of the one before have ended.
fn started(threads: ThreadCount) -> Result<ThreadPool, ThreadPoolBuildError> {
    let begin = Instant::now();
    loop {
        // The count is explicit: a pool of 0 would read RAYON_NUM_THREADS.
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.as_usize())
            .thread_name(|i| format!("threadtune-{i}"))
            .build();
        if pool.is_ok() || begin.elapsed() > ENDING {
            return pool;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
