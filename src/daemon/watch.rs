//! What others do to the machine: how they use it, and whether one of them has the turn to measure.

use super::schedule::Load;
use crate::machine::{OthersWatch, TurnHolder};
use std::path::{Path, PathBuf};

/// Looks at others now and then.
#[derive(Debug)]
pub struct Watch {
    /// Absent where the kernel shows no processes.
    others: Option<OthersWatch>,
    turns: PathBuf,
}

impl Watch {
    /// The first look, from which the next one counts. `turns` is the directory of the turn to measure.
    pub fn start(turns: &Path) -> Self {
        let others = OthersWatch::start(Path::new("/"))
            .map_err(|error| log::warn!("{error}; it is not seen when others need the CPU"))
            .ok();
        Self {
            others,
            turns: turns.to_owned(),
        }
    }

    /// What happened since the last look. The daemon takes no turn itself: whoever has it is somebody else.
    pub fn look(&mut self) -> Load {
        let load = self.others.as_mut().map(|others| others.look().into());
        Load {
            measured_by: TurnHolder::of(&self.turns).map(TurnHolder::into_command),
            ..load.unwrap_or_else(Load::nobody)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Turn;

    #[test]
    fn whoever_has_the_turn_is_seen_as_long_as_they_have_it() {
        let turns = tempfile::tempdir().unwrap();
        let mut watch = Watch::start(turns.path());
        assert_eq!(watch.look().measured_by, None);
        let turn = Turn::take(turns.path()).unwrap();
        let by = watch.look().measured_by;
        assert!(by.is_some_and(|by| !by.is_empty()));
        drop(turn);
        assert_eq!(watch.look().measured_by, None);
    }
}
