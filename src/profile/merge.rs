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

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.workloads.iter().find(|entry| entry.name == name)
    }
}
