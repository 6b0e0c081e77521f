//! Threads of a runtime that have no work: do they still spin?

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Waits until no thread of this process but the calling one runs, at most for so long.
///
/// The state of a thread tells at once; its CPU time moves only at scheduler ticks.
pub fn until_others_sleep(most: Duration) {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let begin = Instant::now();
    while running_beside(Path::new("/proc/self/task"), own) {
        if begin.elapsed() > most {
            log::debug!("threads without work still spin after {most:?}");
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Does any of these tasks run, but for this one?
fn running_beside(tasks: &Path, own: i32) -> bool {
    let Ok(entries) = fs::read_dir(tasks) else {
        return false;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str() != Some(&own.to_string()))
        .any(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            is_running(&stat)
        })
}

/// Does its `stat` say that it runs, or could? Its name may hold anything.
fn is_running(stat: &str) -> bool {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.trim_start().starts_with('R')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_spins_beside_this_one_is_seen() {
        let tasks = tempfile::tempdir().unwrap();
        let task = |id: u32, state: &str| {
            let directory = tasks.path().join(id.to_string());
            fs::create_dir_all(&directory).unwrap();
            let stat = format!("{id} (a) R (b)) {state} 1 1 0\n");
            fs::write(directory.join("stat"), stat).unwrap();
        };
        task(7, "R");
        task(8, "S");
        assert!(!running_beside(tasks.path(), 7));
        assert!(running_beside(tasks.path(), 8));
        task(9, "R");
        assert!(running_beside(tasks.path(), 7));
        // One that ended between the list and the look.
        task(9, "");
        fs::create_dir(tasks.path().join("10")).unwrap();
        assert!(!running_beside(tasks.path(), 7));
        assert!(!running_beside(&tasks.path().join("none"), 7));
    }
}
