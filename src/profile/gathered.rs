//! One view of all profiles of a machine: of each workload the verdict that serves best, wherever it lies. Pure.
//!
//! A user's first try must not hide what the service has proven. Of several verdicts on a workload one of the backend that
//! is wanted goes before those of others, if it serves at all, one that serves before one that serves partly, a sure one before one that is not, one found under today's conditions before others, a
//! newer one before an older one; then the order of the directories decides.

use super::directories::Found;
use super::schema::{Conditions, Entry, Profile};
use super::standing::{Place, Standing};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// Where verdicts are to serve, and when.
pub struct Occasion<'a> {
    /// Whose verdicts are wanted; those of others serve where these do not.
    pub backend: &'a str,
    /// Where.
    pub place: &'a Place,
    /// Today's conditions, which are read only where verdicts compete.
    pub today: &'a dyn Fn() -> Conditions,
}

/// The best of several profiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// The best verdict on each workload; its head is that of the first profile.
    pub profile: Profile,
    /// The files that these come from, in the order of the directories; the first of all where there are no verdicts.
    pub paths: Vec<PathBuf>,
}

/// A verdict with the profile it is from, and the place of that among all.
type Candidate<'f> = (usize, &'f Found, &'f Entry);

impl Gathered {
    /// Of the profiles found, in the order of their directories; nothing where there are none.
    pub fn of(found: Vec<Found>, occasion: &Occasion<'_>) -> Option<Self> {
        let first = found.first()?;
        if found.len() == 1 {
            return found.into_iter().next().map(|only| Self {
                profile: only.profile,
                paths: vec![only.path],
            });
        }
        let mut profile = Profile {
            workloads: Vec::new(),
            conditions: Vec::new(),
            cut_short: Vec::new(),
            ..first.profile.clone()
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        let today = OnceCell::new();
        for name in names(&found) {
            let candidates = found.iter().enumerate().filter_map(|(directory, found)| {
                let entry = found.profile.entry(name)?;
                Some((directory, found, entry))
            });
            let is_unsure = |entry: &Entry| !entry.stop.is_conclusive() || entry.doubt().is_some();
            let is_of_other_days = |found: &Found, entry: &Entry| {
                let then = found.profile.conditions_of(entry);
                let today = today.get_or_init(occasion.today);
                then.is_none_or(|then| !today.changes_since(then).is_empty())
            };
            let by_rank = |a: &Candidate<'_>, b: &Candidate<'_>| {
                let standing = |(_, found, entry): &Candidate<'_>| {
                    found.profile.standing(entry, occasion.place)
                };
                let fails = |c: &Candidate<'_>| matches!(standing(c), Standing::Fails(_));
                let is_of_others = |(_, _, entry): &Candidate<'_>| {
                    !entry.backend.is_empty() && entry.backend != occasion.backend
                };
                let is_elsewhere = |(_, _, entry): &Candidate<'_>| entry.elsewhere.is_some();
                let first = fails(a).cmp(&fails(b));
                let first = first.then_with(|| is_elsewhere(a).cmp(&is_elsewhere(b)));
                let first = first.then_with(|| is_of_others(a).cmp(&is_of_others(b)));
                let first = first.then_with(|| standing(a).cmp(&standing(b)));
                let first = first.then_with(|| is_unsure(a.2).cmp(&is_unsure(b.2)));
                first
                    .then_with(|| is_of_other_days(a.1, a.2).cmp(&is_of_other_days(b.1, b.2)))
                    .then_with(|| b.2.measured.cmp(&a.2.measured))
                    .then_with(|| a.0.cmp(&b.0))
            };
            let Some((_, from, entry)) = candidates.min_by(by_rank) else {
                continue;
            };
            if from.profile.is_cut_short(name) {
                profile.cut_short.push(name.to_owned());
            }
            if let Some(conditions) = from.profile.conditions_of(entry) {
                let conditions = profile.number_of(conditions);
                profile.workloads.push(Entry {
                    conditions,
                    ..entry.clone()
                });
            }
            if !paths.contains(&from.path) {
                paths.push(from.path.clone());
            }
        }
        // What was never begun has no entry anywhere.
        for name in found.iter().flat_map(|found| &found.profile.cut_short) {
            if profile.entry(name).is_none() && !profile.is_cut_short(name) {
                profile.cut_short.push(name.clone());
            }
        }
        profile.entries = profile.workloads.len();
        let has_regions = |found: &&Found| !found.profile.regions.is_empty();
        if let Some(Found { profile: of, .. }) = found.iter().find(has_regions) {
            profile.regions.clone_from(&of.regions);
            profile.region_conditions.clone_from(&of.region_conditions);
        }
        let order = |path: &Path| found.iter().position(|found| found.path == path);
        paths.sort_by_key(|path| order(path));
        if paths.is_empty() {
            paths.push(first.path.clone());
        }
        Some(Self { profile, paths })
    }
}

/// The names of all entries, those of the first profile first.
fn names(found: &[Found]) -> Vec<&str> {
    let mut names = Vec::new();
    for entry in found.iter().flat_map(|found| &found.profile.workloads) {
        if !names.contains(&entry.name.as_str()) {
            names.push(entry.name.as_str());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Placement;
    use crate::profile::{BudgetRecord, StopReason, parse};
    use crate::units::ThreadCount;

    fn made_up() -> Profile {
        let text = include_str!("../../tests/profiles/made-up.toml");
        parse(Path::new("made-up.toml"), text).unwrap()
    }

    const NAME: &str = "matmul-256";

    /// Where the best verdict on `matmul-256` comes from of a user's and the service's, each edited.
    fn best(
        user: impl FnOnce(&mut Profile),
        service: impl FnOnce(&mut Profile),
    ) -> (String, Option<String>) {
        let found = |path: &str, edit: &mut dyn FnMut(&mut Profile)| {
            let mut profile = made_up();
            edit(&mut profile);
            Found {
                path: PathBuf::from(path),
                profile,
            }
        };
        let (mut user, mut service) = (Some(user), Some(service));
        let found = vec![
            found("user", &mut |profile| user.take().unwrap()(profile)),
            found("service", &mut |profile| service.take().unwrap()(profile)),
        ];
        let today = made_up().conditions[0].clone();
        let place = Place {
            budget: Some(BudgetRecord {
                limit: ThreadCount::clamped(8),
                ..today.budget.clone()
            }),
            fallback: Some(ThreadCount::clamped(8)),
            is_pinned: false,
            topology: None,
        };
        let occasion = Occasion {
            backend: "native",
            place: &place,
            today: &|| today.clone(),
        };
        let Gathered { profile, paths } = Gathered::of(found, &occasion).unwrap();
        let entry = profile.entry(NAME).unwrap();
        // Each verdict is marked by where it came from.
        let conditions = profile.conditions_of(entry).unwrap();
        let from = conditions.wait.clone().unwrap_or_default();
        let cut = profile.cut_short.first().cloned();
        assert_eq!(profile.entries, profile.workloads.len());
        assert!(paths.contains(&PathBuf::from(&from)), "{paths:?} {from}");
        (from, cut)
    }

    fn from(name: &'static str) -> impl Fn(&mut Profile) {
        move |profile| {
            // The wait policy is the mark: today's is unknown, and so it is no change.
            profile.conditions[0].wait = Some(name.to_owned());
        }
    }

    fn with(name: &'static str, edit: impl Fn(&mut Profile, usize)) -> impl Fn(&mut Profile) {
        move |profile| {
            from(name)(profile);
            let place = profile.workloads.iter().position(|e| e.name == NAME);
            edit(profile, place.unwrap());
        }
    }

    fn of_two(user: impl Fn(&mut Profile), service: impl Fn(&mut Profile)) -> String {
        best(user, service).0
    }

    #[test]
    fn the_order_of_directories_decides_between_equals() {
        assert_eq!(of_two(from("user"), from("service")), "user");
    }

    #[test]
    fn what_serves_goes_before_what_serves_partly_or_not() {
        let fewer = with("user", |profile, _| {
            profile.conditions[0].budget.limit = ThreadCount::clamped(7);
        });
        assert_eq!(of_two(fewer, from("service")), "service");
        let nothing = with("user", |profile, i| profile.workloads[i].latency = None);
        assert_eq!(of_two(&nothing, from("service")), "service");
        // Proof for fewer CPUs is worth less than a guess for those at hand.
        let partly = with("user", |profile, _| {
            profile.conditions[0].budget.limit = ThreadCount::clamped(7);
        });
        let unproven = with("service", |profile, i| {
            profile.workloads[i].stop = StopReason::Undecided;
            let curve = &mut profile.workloads[i].curve;
            let all = curve.iter_mut().find(|p| p.threads.get() == 8).unwrap();
            (all.placement, all.ci95_us) = (Placement::Unbound, Some([220.0, 230.0]));
        });
        assert_eq!(of_two(partly, unproven), "service");
        assert_eq!(
            of_two(
                &nothing,
                with("service", |p, i| p.workloads[i].latency = None)
            ),
            "user"
        );
    }

    #[test]
    fn another_backend_serves_where_the_wanted_one_does_not() {
        let of_another = with("service", |profile, i| {
            profile.workloads[i].backend = "openblas".to_owned();
            profile.workloads[i].measured = Some("2027-01-01T00:00:00Z".parse().unwrap());
        });
        assert_eq!(of_two(from("user"), &of_another), "user");
        let partly = with("user", |profile, _| {
            profile.conditions[0].budget.limit = ThreadCount::clamped(7);
        });
        assert_eq!(of_two(partly, &of_another), "user");
        let nothing = with("user", |profile, i| profile.workloads[i].latency = None);
        assert_eq!(of_two(nothing, &of_another), "service");
    }

    #[test]
    fn what_is_sure_goes_before_noise() {
        let noise = with("user", |profile, i| {
            profile.workloads[i].stop = StopReason::Unsteady;
        });
        assert_eq!(of_two(noise, from("service")), "service");
        let doubtful = with("user", |profile, i| profile.workloads[i].kernels = None);
        assert_eq!(of_two(doubtful, from("service")), "service");
    }

    #[test]
    fn today_goes_before_other_days_and_new_before_old() {
        let newer = |profile: &mut Profile, i: usize| {
            profile.workloads[i].measured = Some("2027-01-01T00:00:00Z".parse().unwrap());
        };
        assert_eq!(of_two(from("user"), with("service", newer)), "service");
        let other_kernel = with("service", move |profile, i| {
            newer(profile, i);
            profile.conditions[0].kernel = "6.12".to_owned();
        });
        assert_eq!(of_two(from("user"), other_kernel), "user");
    }

    #[test]
    fn what_only_one_knows_is_found_and_marks_stay_with_their_verdicts() {
        let less = with("user", |profile, i| {
            profile.workloads.remove(i);
            profile.regions.clear();
        });
        let cut = with("service", |profile, _| {
            profile.cut_short = vec![NAME.to_owned()];
        });
        let (from, mark) = best(less, cut);
        assert_eq!((from.as_str(), mark.as_deref()), ("service", Some(NAME)));
        let cut = with("service", |profile, _| {
            profile.cut_short = vec![NAME.to_owned()];
        });
        assert_eq!(best(self::from("user"), cut), ("user".to_owned(), None));
    }

    #[test]
    fn one_profile_is_itself() {
        let occasion = Occasion {
            backend: "native",
            place: &Place::default(),
            today: &|| unreachable!("nothing competes"),
        };
        assert_eq!(Gathered::of(Vec::new(), &occasion), None);
        let only = Found {
            path: PathBuf::from("p"),
            profile: made_up(),
        };
        let gathered = Gathered::of(vec![only.clone()], &occasion).unwrap();
        assert_eq!(gathered.profile, only.profile);
        assert_eq!(gathered.paths, [only.path]);
    }
}
