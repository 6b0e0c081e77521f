//! What a profile lacks, and putting fresh verdicts into it.

use super::schema::{BudgetRecord, Conditions, Entry, Profile, SCHEMA, StopReason};
use crate::machine::Fingerprint;
use crate::workload::Workload;
use toml::value::Datetime;

/// A verdict that was just reached.
#[derive(Debug, Clone, PartialEq)]
pub struct FreshEntry {
    /// What it says; the number of its conditions is given where it goes in.
    pub entry: Entry,
    /// Under what it was reached.
    pub conditions: Conditions,
}

impl FreshEntry {
    /// A verdict that was reached under these conditions, by whose backend it is known, at this time.
    pub fn new(entry: Entry, conditions: Conditions, measured: Option<Datetime>) -> Self {
        let entry = Entry {
            backend: conditions.backend.clone(),
            measured,
            ..entry
        };
        Self { entry, conditions }
    }
}

impl Profile {
    /// The profile to write: the old one's entries, today's machine.
    #[must_use]
    pub fn renewed(old: Option<Self>, machine: Fingerprint) -> Self {
        let generator = format!("threadtune {}", env!("CARGO_PKG_VERSION"));
        match old {
            Some(old) => Self {
                generator,
                machine,
                ..old
            },
            None => Self {
                schema: SCHEMA,
                generator,
                created: Datetime {
                    date: None,
                    time: None,
                    offset: None,
                },
                spent_s: 0.0,
                entries: 0,
                cut_short: Vec::new(),
                machine,
                conditions: Vec::new(),
                region_conditions: None,
                regions: Vec::new(),
                workloads: Vec::new(),
            },
        }
    }

    /// Does it say nothing useful about this workload, or nothing that is beyond doubt, or that it had too little time or was
    /// to be looked at again; or was it measured with less than the budget that there is now, where that is known?
    pub fn lacks(&self, workload: &Workload, budget: Option<&BudgetRecord>) -> bool {
        self.is_cut_short(&workload.name)
            || self.entry(&workload.name).is_none_or(|entry| {
                entry.shape != workload.shape.to_string()
                    || entry.latency.is_none()
                    || entry.doubt().is_some()
                    || entry.stop == StopReason::Brief
                    || budget.is_some_and(|budget| self.is_partial(entry, budget))
            })
    }

    /// Does it hold a sure verdict, one that serves with this budget, that a race under sustained load gave, of which bursts
    /// say nothing?
    pub fn is_sustained(&self, workload: &Workload, budget: Option<&BudgetRecord>) -> bool {
        let entry = self.entry(&workload.name);
        let is_sure = |entry: &Entry| entry.sustained_s.is_some() && entry.stop.is_conclusive();
        !self.lacks(workload, budget) && entry.is_some_and(is_sure)
    }

    /// Does it say more about a workload than this fresh verdict, which may have been cut short?
    ///
    /// A verdict without a count says less than one with a count. An inconclusive one says less than one that was conclusive
    /// with the same library and no smaller budget, or where it was cut short, than one that was surer. A doubtful one says
    /// less than any other.
    pub fn says_more(&self, FreshEntry { entry, conditions }: &FreshEntry, is_cut: bool) -> bool {
        self.entry(&entry.name).is_some_and(|old| {
            let answers_the_same = || {
                let then = self.conditions_of(old);
                old.sustained_s.is_some() == entry.sustained_s.is_some()
                    && then.is_some_and(|then| {
                        then.backend == conditions.backend
                            && then.library == conditions.library
                            && !then.budget.is_less_than(&conditions.budget)
                    })
            };
            let is_surer = match (old.stop.is_conclusive(), entry.stop.is_conclusive()) {
                (_, true) => false,
                (true, false) => true,
                (false, false) => is_cut && old.p_within > entry.p_within,
            };
            old.shape == entry.shape
                && old.latency.is_some()
                && (old.doubt().is_none() || old.doubt() == entry.doubt())
                && (entry.latency.is_none()
                    || is_surer && answers_the_same()
                    || old.doubt().is_none() && entry.doubt().is_some())
        })
    }

    /// Puts in a fresh verdict, which a run's time budget may have cut short, unless the profile says more about that
    /// workload: then the answer is why that stays. `order` and `spent_s` as for [`Self::merge`].
    pub fn keep(
        &mut self,
        fresh: FreshEntry,
        is_cut: bool,
        order: &[&str],
        spent_s: f64,
    ) -> Option<String> {
        if !self.says_more(&fresh, is_cut) {
            self.replace(fresh, is_cut, order, spent_s);
            return None;
        }
        self.merge([], order, spent_s);
        let FreshEntry { entry, .. } = fresh;
        let had_its_time = entry.latency.is_some() && entry.stop != StopReason::Brief;
        if is_cut {
            self.set_cut_short(&entry.name, true, order);
        } else if had_its_time && entry.doubt().is_none() {
            // There was time now, and what was proven before is as good as ever.
            self.set_cut_short(&entry.name, false, order);
        }
        Some(match entry.doubt() {
            Some(doubt) => format!("it was {doubt}"),
            None if entry.latency.is_none() => format!("none was reached ({})", entry.stop),
            None => format!("it was inconclusive ({})", entry.stop),
        })
    }

    /// Puts in a fresh verdict, whatever the profile says about that workload.
    pub fn replace(
        &mut self,
        FreshEntry { entry, conditions }: FreshEntry,
        is_cut: bool,
        order: &[&str],
        spent_s: f64,
    ) {
        let name = entry.name.clone();
        let conditions = self.number_of(&conditions);
        let entry = Entry {
            conditions,
            ..entry
        };
        self.merge([entry], order, spent_s);
        self.set_cut_short(&name, is_cut, order);
    }

    /// The count of this workload was proven to lose: it is to be chosen again, and is not surer than what will be found.
    pub fn refute(&mut self, name: &str, order: &[&str]) {
        self.set_cut_short(name, true, order);
        let its = self.workloads.iter_mut().find(|entry| entry.name == name);
        if let Some(entry) = its.filter(|entry| entry.stop.is_conclusive()) {
            entry.stop = StopReason::Unsteady;
        }
    }

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
        self.drop_unused_conditions();
        self.spend(spent_s);
    }

    /// Adds wall time that was spent on tuning, seconds.
    pub(super) fn spend(&mut self, more_s: f64) {
        // Milliseconds are exact enough, and readable.
        self.spent_s = ((self.spent_s + more_s) * 1e3).round() / 1e3;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{StopReason, parse};
    use crate::units::ThreadCount;
    use crate::workload::Catalog;
    use std::path::Path;

    /// With this verdict about `matmul-256` in the place of the conclusive one that it holds.
    fn made_up(change: impl FnOnce(&mut Entry)) -> (Profile, Entry) {
        let text = include_str!("../../tests/profiles/made-up.toml");
        let mut profile = parse(Path::new("made-up.toml"), text).unwrap();
        let stated = profile.entry("matmul-256").unwrap().clone();
        let mut changed = stated.clone();
        change(&mut changed);
        profile.merge([changed], &[], 0.0);
        (profile, stated)
    }

    /// Just reached under the conditions of the profile.
    fn fresh(profile: &Profile, entry: Entry) -> FreshEntry {
        let measured = entry.measured;
        FreshEntry::new(entry, profile.conditions[0].clone(), measured)
    }

    fn undecided(stated: &Entry, p_within: f64) -> Entry {
        Entry {
            stop: StopReason::Budget,
            p_within,
            ..stated.clone()
        }
    }

    #[test]
    fn a_verdict_is_not_replaced_by_none() {
        let (profile, stated) = made_up(|_| {});
        let nothing = Entry {
            latency: None,
            ..stated.clone()
        };
        assert!(profile.says_more(&fresh(&profile, nothing.clone()), false));
        let (without, _) = made_up(|entry| entry.latency = None);
        assert!(!without.says_more(&fresh(&without, stated.clone()), false));
        assert!(!without.says_more(&fresh(&without, nothing.clone()), false));
        let unknown = Entry {
            name: "unheard-of".to_owned(),
            ..nothing.clone()
        };
        assert!(!profile.says_more(&fresh(&profile, unknown.clone()), false));
        let (other, _) = made_up(|entry| entry.shape = "triad:1:f32".to_owned());
        assert!(!other.says_more(&fresh(&other, nothing.clone()), false));
    }

    #[test]
    fn what_was_cut_short_replaces_nothing_surer() {
        let (conclusive, stated) = made_up(|_| {});
        let cut = undecided(&stated, 0.5);
        assert!(conclusive.says_more(&fresh(&conclusive, cut.clone()), true));
        let less_sure = |p_within| {
            let (profile, _) = made_up(|entry| *entry = undecided(entry, p_within));
            profile.says_more(&fresh(&profile, cut.clone()), true)
        };
        assert!(less_sure(0.6));
        assert!(!less_sure(0.5));
        let (other, _) = made_up(|entry| entry.shape = "triad:1:f32".to_owned());
        assert!(!other.says_more(&fresh(&other, cut.clone()), true));
        // Nor does noise with all the time that it may have, which may replace noise.
        assert!(conclusive.says_more(&fresh(&conclusive, cut.clone()), false));
        let (noise, _) = made_up(|entry| *entry = undecided(entry, 0.6));
        assert!(!noise.says_more(&fresh(&noise, cut.clone()), false));
        assert!(!noise.says_more(&fresh(&noise, stated.clone()), false));
    }

    #[test]
    fn what_slow_kernels_said_is_never_surer() {
        let workload = Catalog::embedded().get("matmul-256").unwrap().clone();
        let (old, stated) = made_up(|entry| entry.kernels = None);
        assert!(old.lacks(&workload, None));
        let nothing = Entry {
            latency: None,
            ..stated.clone()
        };
        assert!(!old.says_more(&fresh(&old, nothing.clone()), false));
        assert!(!old.says_more(&fresh(&old, undecided(&stated, 0.1)), true));
        // Between two doubtful ones of a kind the surer one stays.
        let doubtful = Entry {
            kernels: None,
            ..undecided(&stated, 0.1)
        };
        assert!(old.says_more(&fresh(&old, doubtful.clone()), true));
        let (capped, stated) = made_up(|entry| entry.isa_cap = Some("sse2".to_owned()));
        assert!(capped.lacks(&workload, None));
        assert!(!capped.says_more(&fresh(&capped, undecided(&stated, 0.1)), true));
        // What a cap gives does not replace what was sure without.
        let (sure, stated) = made_up(|_| {});
        let cut = Entry {
            isa_cap: Some("sse2".to_owned()),
            ..undecided(&stated, 0.1)
        };
        assert!(sure.says_more(&fresh(&sure, cut.clone()), true));
        let capped = Entry {
            isa_cap: Some("sse2".to_owned()),
            ..stated
        };
        assert!(sure.says_more(&fresh(&sure, capped.clone()), false));
    }

    #[test]
    fn a_mark_goes_with_the_verdict_that_it_is_about() {
        let (mut profile, stated) = made_up(|_| {});
        let nothing = Entry {
            latency: None,
            ..stated.clone()
        };
        profile.set_cut_short("matmul-256", true, &[]);
        let spent_s = profile.spent_s;
        let why = profile.keep(fresh(&profile, nothing), false, &[], 1.0);
        assert_eq!(why.as_deref(), Some("none was reached (separated)"));
        assert_eq!(profile.entry("matmul-256"), Some(&stated));
        assert!(profile.is_cut_short("matmul-256"));
        assert_eq!(profile.spent_s, spent_s + 1.0);
        let today = Entry {
            p_within: 0.98,
            ..stated.clone()
        };
        let why = profile.keep(fresh(&profile, today.clone()), false, &[], 0.0);
        assert_eq!(why, None);
        assert_eq!(profile.entry("matmul-256"), Some(&today));
        assert!(!profile.is_cut_short("matmul-256"));
        // Cut short now, whether it goes in or not.
        let cut = fresh(&profile, undecided(&stated, 0.4));
        let why = profile.keep(cut.clone(), true, &[], 0.0);
        assert_eq!(why.as_deref(), Some("it was inconclusive (budget)"));
        assert!(profile.is_cut_short("matmul-256"));
        // Unless it is asked for.
        profile.replace(cut, false, &[], 0.0);
        assert_eq!(profile.entry("matmul-256").unwrap().p_within, 0.4);
        assert!(!profile.is_cut_short("matmul-256"));
    }

    #[test]
    fn noise_replaces_what_was_proven_of_something_else() {
        let (profile, stated) = made_up(|_| {});
        let noise = fresh(&profile, undecided(&stated, 0.4));
        let replaces = |change: &dyn Fn(&mut FreshEntry)| {
            let mut other = noise.clone();
            change(&mut other);
            !profile.says_more(&other, false)
        };
        assert!(!replaces(&|_| {}));
        assert!(!replaces(&|f| f.conditions.kernel = "6.12".to_owned()));
        assert!(replaces(
            &|f| f.conditions.library = Some("other".to_owned())
        ));
        assert!(replaces(
            &|f| f.conditions.budget.limit = ThreadCount::clamped(9)
        ));
        assert!(!replaces(&|f| f.conditions.budget.limit = ThreadCount::ONE));
        assert!(replaces(&|f| f.conditions.backend = "other".to_owned()));
        assert!(replaces(&|f| f.entry.shape = "triad:1:f32".to_owned()));
        assert!(replaces(&|f| f.entry.sustained_s = Some(30.0)));
        // What was proven to lose is no proof.
        let mut refuted = profile.clone();
        refuted.refute("matmul-256", &[]);
        assert!(!refuted.says_more(&noise, false));
        assert!(refuted.is_cut_short("matmul-256"));
    }

    #[test]
    fn only_a_sure_verdict_under_load_is_one_that_bursts_leave_alone() {
        let workload = Catalog::embedded().get("matmul-256").unwrap().clone();
        let is_sustained = |change: &dyn Fn(&mut Entry)| {
            let (profile, _) = made_up(|entry| {
                entry.sustained_s = Some(30.0);
                change(entry);
            });
            profile.is_sustained(&workload, None)
        };
        assert!(is_sustained(&|_| {}));
        assert!(!is_sustained(&|entry| entry.sustained_s = None));
        assert!(!is_sustained(&|entry| entry.stop = StopReason::Budget));
        assert!(!is_sustained(&|entry| entry.kernels = None));
        assert!(!is_sustained(
            &|entry| entry.shape = "triad:1:f32".to_owned()
        ));
    }

    #[test]
    fn what_was_cut_short_is_missing() {
        let catalog = Catalog::embedded();
        let workload = catalog.get("matmul-256").unwrap();
        let (mut profile, _) = made_up(|_| {});
        assert!(!profile.lacks(workload, None));
        profile.set_cut_short("matmul-256", true, &[]);
        assert!(profile.lacks(workload, None));
        assert!(
            made_up(|entry| entry.latency = None)
                .0
                .lacks(workload, None)
        );
        let (other, _) = made_up(|entry| entry.shape = "triad:1:f32".to_owned());
        assert!(other.lacks(workload, None));
        let (brief, _) = made_up(|entry| entry.stop = StopReason::Brief);
        assert!(brief.lacks(workload, None), "it was to be looked at again");
        let (once, _) = made_up(|entry| entry.visits = None);
        assert!(once.lacks(workload, None));
    }

    #[test]
    fn what_was_measured_with_less_is_missing() {
        let catalog = Catalog::embedded();
        let workload = catalog.get("matmul-256").unwrap();
        let (profile, _) = made_up(|_| {});
        let then = profile.conditions[0].budget.clone();
        assert!(!profile.lacks(workload, Some(&then)));
        let more = BudgetRecord {
            limit: ThreadCount::clamped(9),
            ..then.clone()
        };
        assert!(profile.lacks(workload, Some(&more)));
        let less = BudgetRecord {
            limit: ThreadCount::ONE,
            ..then
        };
        assert!(!profile.lacks(workload, Some(&less)));
    }
}
