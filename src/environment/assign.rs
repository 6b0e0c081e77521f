//! From a count to assignments that never overrule what the user set by hand.

use super::family::{FAMILIES, LIMIT, Variable};
use crate::units::ThreadCount;
use std::ffi::{OsStr, OsString};

/// A variable to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its name.
    pub variable: &'static str,
    /// Its value.
    pub value: OsString,
}

/// A variable that the user has set and that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub variable: &'static str,
    /// The user's value.
    pub value: OsString,
    /// The number of threads that the value means, if it means one.
    pub threads: Option<ThreadCount>,
}

/// What to do with the environment of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What to set, in the order of the table of families.
    pub assignments: Vec<Assignment>,
    /// What stays.
    pub kept: Vec<Kept>,
    /// One line for the user if something that stays differs from the count, or is no count.
    pub notice: Option<String>,
}

impl Plan {
    /// The largest team that any family gets, by our count or the user's. A variable that is only the maximum of
    /// another one starts no threads by itself.
    pub fn most_threads(&self) -> Option<ThreadCount> {
        let ours = self
            .assignments
            .iter()
            .map(|a| (a.variable, first_count(&a.value)));
        let users = self.kept.iter().map(|kept| (kept.variable, kept.threads));
        ours.chain(users)
            .filter(|(name, _)| !is_a_maximum(name))
            .filter_map(|(_, threads)| threads)
            .max()
    }
}

/// The assignments that give every family this count, given the environment as it is.
///
/// A variable that is set is left alone. If it is absent and the library would fall back on one that the user has set,
/// it gets that one's value, so that theirs stays in force. With `force` everything gets the count.
pub fn assignments(
    count: ThreadCount,
    environment: &dyn Fn(&str) -> Option<OsString>,
    force: bool,
) -> Plan {
    let mut plan = Plan::default();
    for variable in variables() {
        match environment(variable.name) {
            Some(value) if !force => plan.kept.push(Kept {
                variable: variable.name,
                threads: first_count(&value),
                value,
            }),
            _ => plan.assignments.push(Assignment {
                variable: variable.name,
                value: value_of(variable, count, environment, force),
            }),
        }
    }
    let limit = environment(LIMIT)
        .and_then(|value| first_count(&value))
        .filter(|limit| *limit < count);
    plan.notice = notice(count, &plan.kept, limit);
    plan
}

fn value_of(
    variable: &Variable,
    count: ThreadCount,
    environment: &dyn Fn(&str) -> Option<OsString>,
    force: bool,
) -> OsString {
    let users = |name: &str| environment(name).and_then(|value| first_count(&value));
    let mut value = count;
    if !force {
        value = variable
            .falls_back_on
            .iter()
            .find_map(|name| users(name))
            .unwrap_or(count);
    }
    // A limit that is not ours to set holds even by force.
    let holds = |name: &&str| !force || !is_set_by_us(name);
    if let Some(most) = variable.at_most.filter(holds).and_then(users) {
        value = value.min(most);
    }
    OsString::from(value.to_string())
}

fn is_set_by_us(name: &str) -> bool {
    variables().any(|variable| variable.name == name)
}

fn is_a_maximum(name: &str) -> bool {
    variables().any(|variable| variable.at_most == Some(name))
}

fn variables() -> impl Iterator<Item = &'static Variable> {
    FAMILIES.iter().flat_map(|family| family.variables)
}

/// The first element of a value such as `4` or `4,2`, if it is a number of threads.
fn first_count(value: &OsStr) -> Option<ThreadCount> {
    let first = value.to_str()?.split(',').next()?.trim();
    let digits = first.strip_prefix('+').unwrap_or(first);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits
        .parse::<i64>()
        .ok()
        .and_then(|n| ThreadCount::try_from(n).ok())
}

/// One line about all that stays and is not simply the count.
fn notice(count: ThreadCount, kept: &[Kept], limit: Option<ThreadCount>) -> Option<String> {
    let odd: Vec<String> = kept
        .iter()
        .filter(|kept| kept.threads != Some(count))
        .map(|kept| {
            // `Debug` escapes whatever the terminal might obey.
            let value = format!("{:?}", kept.value.to_string_lossy());
            let remark = match kept.threads {
                Some(_) => "",
                None => " (no number of threads)",
            };
            format!("{}={value}{remark}", kept.variable)
        })
        .collect();
    let mut parts = Vec::new();
    if !odd.is_empty() {
        parts.push(format!(
            "kept as set already: {}; chosen was {count} (`--force` overrides)",
            odd.join(", ")
        ));
    }
    if let Some(limit) = limit {
        parts.push(format!("{LIMIT}={limit} holds the chosen {count} down"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn plan(variables: &[(&str, &str)], force: bool) -> Plan {
        let lookup = |name: &str| {
            let (_, value) = variables.iter().find(|(n, _)| *n == name)?;
            Some(OsString::from(value))
        };
        assignments(ThreadCount::clamped(6), &lookup, force)
    }

    fn values(plan: &Plan) -> BTreeMap<&str, &str> {
        plan.assignments
            .iter()
            .map(|a| (a.variable, a.value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn an_empty_environment_gets_every_variable() {
        let plan = plan(&[], false);
        let expected = [
            "OMP_NUM_THREADS",
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "BLIS_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "NUMEXPR_MAX_THREADS",
            "RAYON_NUM_THREADS",
            "POLARS_MAX_THREADS",
            "JULIA_NUM_THREADS",
            "LLAMA_ARG_THREADS",
        ];
        let names: Vec<&str> = plan.assignments.iter().map(|a| a.variable).collect();
        assert_eq!(names, expected);
        assert!(plan.assignments.iter().all(|a| a.value == "6"));
        assert_eq!((plan.kept.len(), plan.notice), (0, None));
    }

    #[test]
    fn a_users_thread_limit_is_never_exceeded_not_even_by_force() {
        for force in [false, true] {
            let plan = plan(&[("OMP_THREAD_LIMIT", "2")], force);
            let values = values(&plan);
            for openmp in [
                "OMP_NUM_THREADS",
                "MKL_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "BLIS_NUM_THREADS",
            ] {
                assert_eq!(values[openmp], "2");
            }
            assert_eq!(values["RAYON_NUM_THREADS"], "6");
            assert_eq!(
                plan.notice.unwrap(),
                "OMP_THREAD_LIMIT=2 holds the chosen 6 down"
            );
        }
        assert_eq!(plan(&[("OMP_THREAD_LIMIT", "8")], false).notice, None);
    }

    #[test]
    fn openblas_last_resort_is_heeded() {
        let plan = plan(&[("OPENBLAS_DEFAULT_NUM_THREADS", "3")], false);
        assert_eq!(values(&plan)["OPENBLAS_NUM_THREADS"], "3");
    }

    #[test]
    fn a_users_omp_count_rules_every_family_that_falls_back_on_it() {
        let plan = plan(&[("OMP_NUM_THREADS", "4,2")], false);
        let values = values(&plan);
        assert!(!values.contains_key("OMP_NUM_THREADS"));
        for name in [
            "MKL_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "BLIS_NUM_THREADS",
            "NUMEXPR_NUM_THREADS",
            "NUMEXPR_MAX_THREADS",
        ] {
            assert_eq!(values[name], "4", "{name}");
        }
        for name in [
            "RAYON_NUM_THREADS",
            "POLARS_MAX_THREADS",
            "JULIA_NUM_THREADS",
        ] {
            assert_eq!(values[name], "6", "{name}");
        }
        assert_eq!(
            plan.notice.unwrap(),
            "kept as set already: OMP_NUM_THREADS=\"4,2\"; chosen was 6 (`--force` overrides)"
        );
    }

    #[test]
    fn what_equals_the_count_needs_no_word() {
        let plan = plan(
            &[("OMP_NUM_THREADS", " 6 "), ("MKL_NUM_THREADS", "6")],
            false,
        );
        assert_eq!(plan.kept.len(), 2);
        assert_eq!(plan.notice, None);
    }

    #[test]
    fn openblas_follows_the_nearer_of_the_users_variables() {
        let both = [("GOTO_NUM_THREADS", "3"), ("OMP_NUM_THREADS", "4")];
        assert_eq!(values(&plan(&both, false))["OPENBLAS_NUM_THREADS"], "3");
        assert_eq!(values(&plan(&both, true))["OPENBLAS_NUM_THREADS"], "6");
        let garbage = [("GOTO_NUM_THREADS", "many"), ("OMP_NUM_THREADS", "4")];
        assert_eq!(values(&plan(&garbage, false))["OPENBLAS_NUM_THREADS"], "4");
    }

    #[test]
    fn numexprs_number_and_maximum_agree_with_the_users_half() {
        let number = plan(&[("NUMEXPR_NUM_THREADS", "8")], false);
        assert_eq!(values(&number)["NUMEXPR_MAX_THREADS"], "8");
        let maximum = plan(&[("NUMEXPR_MAX_THREADS", "2")], false);
        assert_eq!(values(&maximum)["NUMEXPR_NUM_THREADS"], "2");
        let ample = plan(&[("NUMEXPR_MAX_THREADS", "64")], false);
        assert_eq!(values(&ample)["NUMEXPR_NUM_THREADS"], "6");
    }

    #[test]
    fn garbage_stays_and_rules_nobody() {
        for garbage in [
            "",
            "abc",
            "0",
            "-2",
            "4.5",
            "99999999999999999999",
            ",2",
            "\u{1b}[2J",
        ] {
            let plan = plan(&[("OMP_NUM_THREADS", garbage)], false);
            assert_eq!(plan.kept[0].value, OsString::from(garbage));
            assert_eq!(values(&plan)["MKL_NUM_THREADS"], "6", "{garbage:?}");
            let notice = plan.notice.unwrap();
            assert!(notice.contains("(no number of threads)"), "{notice}");
            assert!(!notice.contains(char::is_control), "{notice:?}");
        }
    }

    #[test]
    fn one_line_tells_all_and_force_needs_none() {
        let set = [("OMP_NUM_THREADS", "x"), ("JULIA_NUM_THREADS", "2")];
        let notice = plan(&set, false).notice.unwrap();
        assert_eq!(
            notice,
            "kept as set already: OMP_NUM_THREADS=\"x\" (no number of threads), JULIA_NUM_THREADS=\"2\"; \
             chosen was 6 (`--force` overrides)"
        );
        let forced = plan(&set, true);
        assert_eq!(
            (forced.assignments.len(), forced.kept.len(), forced.notice),
            (11, 0, None)
        );
    }

    #[test]
    fn the_largest_team_is_ours_or_the_users() {
        let most = |variables: &[(&str, &str)], force| {
            let threads = plan(variables, force).most_threads();
            threads.map(ThreadCount::get)
        };
        assert_eq!(most(&[], false), Some(6));
        assert_eq!(most(&[("OMP_NUM_THREADS", "9,2")], false), Some(9));
        assert_eq!(most(&[("JULIA_NUM_THREADS", "7")], false), Some(7));
        assert_eq!(most(&[("JULIA_NUM_THREADS", "7")], true), Some(6));
        // Rayon and others still get six.
        assert_eq!(most(&[("OMP_NUM_THREADS", "2")], false), Some(6));
        assert_eq!(most(&[("OMP_NUM_THREADS", "many")], false), Some(6));
        assert_eq!(most(&[("NUMEXPR_MAX_THREADS", "64")], false), Some(6));
        assert_eq!(Plan::default().most_threads(), None);
    }
}
