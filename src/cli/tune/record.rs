//! `--record`: every sample of a run in a file, and beside it the machine on which they were taken.

use crate::bench::{RecordedMachine, Recorder, Surroundings};
use crate::cli::logging::PROGRESS;
use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Begins the recording and writes the machine file beside it.
pub fn begin(path: &Path, around: &Surroundings) -> anyhow::Result<Recorder> {
    let recorder =
        Recorder::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    // A pipe or a device gets no companion.
    if path.is_file() {
        let machine = machine_path(path);
        let text = RecordedMachine::of(&around.layout, around.numa_nodes()).to_toml();
        fs::write(&machine, text).with_context(|| format!("cannot write {}", machine.display()))?;
    }
    Ok(recorder)
}

/// Ends the recording and says how to use it.
pub fn end(recorder: &mut Recorder) -> anyhow::Result<()> {
    let path = recorder.path().to_owned();
    let samples = recorder
        .finish()
        .with_context(|| format!("{} lacks samples", path.display()))?;
    log::info!(
        target: PROGRESS,
        "{samples} samples are in {}; `threadtune replay {} --machine {}` decides from them",
        path.display(),
        path.display(),
        machine_path(&path).display()
    );
    Ok(())
}

/// `samples.csv` is accompanied by `samples.machine.toml`.
fn machine_path(path: &Path) -> PathBuf {
    path.with_extension("machine.toml")
}
