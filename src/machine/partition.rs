//! Makes disjoint groups out of what each CPU says about the group it is in (pure).
//!
//! The kernel writes the same list into the directory of each member. Where a file is torn or wrong the lists
//! differ, and the group that most CPUs name wins; among equals the one that most of its own members name.

use crate::units::CpuSet;
use std::cmp::Reverse;
use std::collections::HashMap;

/// What came out of the claims.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Disjoint groups that hold every claimant, by lowest CPU.
    pub(crate) groups: Vec<CpuSet>,
    /// Did any two claims overlap without being equal?
    pub(crate) contradictory: bool,
}

/// Groups the CPUs by their claims `(cpu, set)`.
///
/// Not every member of a set needs to claim it: one CPU a core may speak for its siblings. A claimant that its own
/// set leaves out is added to it.
pub(crate) fn partition(claims: impl IntoIterator<Item = (u32, CpuSet)>) -> Partition {
    let mut votes: HashMap<CpuSet, usize> = HashMap::new();
    let mut claimants = CpuSet::new();
    for (cpu, mut set) in claims {
        set.insert(cpu);
        claimants.insert(cpu);
        *votes.entry(set).or_default() += 1;
    }
    let mut ranked: Vec<(CpuSet, usize)> = votes.into_iter().collect();
    ranked.sort_by_cached_key(|(set, votes)| {
        let voters = set.intersection(&claimants).len().max(1);
        // In thousandths, so that the key has an order.
        let agreement = votes * 1000 / voters;
        (
            Reverse(*votes),
            Reverse(agreement),
            Reverse(set.len()),
            set.first(),
        )
    });

    let mut taken = CpuSet::new();
    let mut groups = Vec::new();
    let mut overlapping = Vec::new();
    for (set, _) in ranked {
        if set.intersection(&taken).is_empty() {
            taken = taken.union(&set);
            groups.push(set);
        } else {
            overlapping.push(set);
        }
    }
    let contradictory = !overlapping.is_empty();
    for set in overlapping {
        let rest = set.difference(&taken);
        if !rest.is_empty() {
            taken = taken.union(&rest);
            groups.push(rest);
        }
    }
    groups.sort_by_key(CpuSet::first);
    Partition {
        groups,
        contradictory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(claims: &[(u32, &str)]) -> (Vec<String>, bool) {
        let partition = partition(
            claims
                .iter()
                .map(|(cpu, set)| (*cpu, CpuSet::parse_list(set).unwrap())),
        );
        let groups = partition.groups.iter().map(ToString::to_string).collect();
        (groups, partition.contradictory)
    }

    #[test]
    fn equal_claims_make_one_group() {
        let claims = [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")];
        assert_eq!(groups(&claims), (vec!["0,2".into(), "1,3".into()], false));
    }

    #[test]
    fn a_torn_list_is_outvoted() {
        let claims = [(0, "0"), (1, "0-3"), (2, "0-3"), (3, "0-3")];
        assert_eq!(groups(&claims), (vec!["0-3".into()], true));
    }

    #[test]
    fn a_list_torn_inside_a_number_does_not_steal_a_cpu() {
        // `0,19` was `0,192`.
        let claims = [(0, "0,19"), (19, "19,211"), (192, "0,192"), (211, "19,211")];
        assert_eq!(
            groups(&claims),
            (vec!["0,192".into(), "19,211".into()], true)
        );
    }

    #[test]
    fn a_claimant_that_nobody_names_is_alone() {
        assert_eq!(groups(&[(5, ""), (6, "6")]).0, ["5", "6"]);
    }
}
