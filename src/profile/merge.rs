//! Putting fresh verdicts into a profile. Pure.

use super::schema::{Entry, Profile};

impl Profile {
    /// Replaces entries of the same name and adds the others, adds the time spent, and counts the entries anew.
    ///
    /// Entries named in `order` (the catalogue's) come first and in that order; the others follow as they were.
    pub fn merge(&mut self, fresh: impl IntoIterator<Item = Entry>, order: &[&str], spent_s: f64) {
        for entry in fresh {
            match self.workloads.iter_mut().find(|e| e.name == entry.name) {
                Some(old) => *old = entry,
                None => self.workloads.push(entry),
            }
        }
        let rank = |entry: &Entry| order.iter().position(|name| *name == entry.name);
        self.workloads
            .sort_by_key(|entry| rank(entry).unwrap_or(order.len()));
        self.entries = self.workloads.len();
        // Milliseconds are exact enough, and readable.
        self.spent_s = ((self.spent_s + spent_s) * 1e3).round() / 1e3;
    }

    /// Notes whether a run's time budget cut this workload short, the names in the order of [`Self::merge`].
    pub fn set_cut_short(&mut self, name: &str, is_cut: bool, order: &[&str]) {
        self.cut_short.retain(|cut| cut != name);
        if is_cut {
            self.cut_short.push(name.to_owned());
        }
        let rank = |name: &String| order.iter().position(|known| known == name);
        self.cut_short
            .sort_by_key(|name| rank(name).unwrap_or(order.len()));
    }

    /// Did a run's time budget cut this workload short?
    pub fn is_cut_short(&self, name: &str) -> bool {
        self.cut_short.iter().any(|cut| cut == name)
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.workloads.iter().find(|entry| entry.name == name)
    }
}
