//! Workloads of which no count could be stated, under the circumstances in which that was tried.

use crate::daemon::state::Begun;
use std::collections::BTreeSet;

/// What is not tried again before somebody asks, the next check, or other circumstances: what failed or was disturbed on a
/// machine of one CPU less, say, need not be on this one.
#[derive(Debug, Default)]
pub struct GivenUp {
    under: Option<Begun>,
    names: BTreeSet<String>,
}

impl GivenUp {
    /// These are the circumstances from now on.
    pub fn settle(&mut self, under: Begun) {
        if self.under.as_ref() != Some(&under) {
            self.names.clear();
            self.under = Some(under);
        }
    }

    /// This one is given up under them.
    pub fn add(&mut self, name: String) {
        self.names.insert(name);
    }

    /// Is it given up under these?
    pub fn holds(&self, under: &Begun, name: &str) -> bool {
        self.under.as_ref() == Some(under) && self.names.contains(name)
    }

    /// All are tried again.
    pub fn clear(&mut self) {
        self.names.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use std::path::Path;

    #[test]
    fn what_is_given_up_on_one_machine_is_tried_on_another() {
        let text = include_str!("../../../tests/profiles/made-up.toml");
        let profile = parse(Path::new("made-up.toml"), text).unwrap();
        let whole = Begun::now("whole", &profile.conditions[0]);
        let smaller = Begun::now("smaller", &profile.conditions[0]);
        let mut given_up = GivenUp::default();
        given_up.settle(whole.clone());
        given_up.add("a".to_owned());
        assert!(given_up.holds(&whole, "a") && !given_up.holds(&whole, "b"));
        // Before anything is settled: what is to be done there is asked first.
        assert!(!given_up.holds(&smaller, "a"));
        given_up.settle(whole.clone());
        assert!(given_up.holds(&whole, "a"));
        given_up.settle(smaller.clone());
        assert!(!given_up.holds(&smaller, "a") && !given_up.holds(&whole, "a"));
        given_up.add("b".to_owned());
        given_up.clear();
        assert!(!given_up.holds(&smaller, "b"));
    }
}
