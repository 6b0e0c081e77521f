//! Groups of CPUs as trees, one group inside another (pure).
//!
//! Which level of a machine contains which is not fixed: a cache may span several NUMA nodes or a node several
//! packages. So the sets themselves decide. Levels of which some group only overlaps with another cannot share a tree
//! with it; they get trees of their own.

use crate::units::CpuSet;

/// One group of a level, with its name.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// What people call it.
    pub(super) label: String,
    /// Its CPUs.
    pub(super) cpus: CpuSet,
}

/// The name of those CPUs of a group that are in none of the groups inside it.
const OTHERS: &str = "others";

/// A set of CPUs and the sets inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    /// The groups that are exactly this set, in the order of the levels; [`OTHERS`] for what its siblings leave out.
    pub(super) labels: Vec<String>,
    /// Its CPUs.
    pub(super) cpus: CpuSet,
    /// Disjoint parts of it, by lowest CPU; either none, or they cover it.
    pub(super) inside: Vec<Branch>,
}

/// The levels as trees. The first forest holds the first level and every later one that nests with all before it,
/// the second the first of those left over with what nests with it, and so on.
pub(super) fn forests(levels: Vec<Vec<Group>>) -> Vec<Vec<Branch>> {
    let mut forests = Vec::new();
    let mut left = levels;
    left.retain(|level| !level.is_empty());
    while !left.is_empty() {
        let mut chosen: Vec<Group> = Vec::new();
        left.retain(|level| {
            let fits = nests(level, &chosen);
            if fits {
                chosen.extend(level.iter().cloned());
            }
            !fits
        });
        forests.push(forest(chosen));
    }
    forests
}

/// Is every one of these groups apart from, inside or around each of those?
fn nests(these: &[Group], those: &[Group]) -> bool {
    these.iter().all(|a| {
        those.iter().all(|b| {
            let both = a.cpus.intersection(&b.cpus);
            both.is_empty() || both == a.cpus || both == b.cpus
        })
    })
}

fn forest(mut groups: Vec<Group>) -> Vec<Branch> {
    // Larger sets first, so that what contains a group is there before it; among equal sets the order stays.
    groups.sort_by_key(|group| std::cmp::Reverse(group.cpus.len()));
    let mut branches = Vec::new();
    for group in groups {
        insert(&mut branches, group);
    }
    branches.iter_mut().for_each(complete);
    branches.sort_by_key(|branch| branch.cpus.first());
    branches
}

fn insert(branches: &mut Vec<Branch>, group: Group) {
    match branches
        .iter_mut()
        .find(|branch| group.cpus.is_subset(&branch.cpus))
    {
        Some(branch) if branch.cpus == group.cpus => branch.labels.push(group.label),
        Some(branch) => insert(&mut branch.inside, group),
        None => branches.push(Branch {
            labels: vec![group.label],
            cpus: group.cpus,
            inside: Vec::new(),
        }),
    }
}

/// Adds what the parts of a branch leave out, and orders them.
fn complete(branch: &mut Branch) {
    if branch.inside.is_empty() {
        return;
    }
    branch.inside.iter_mut().for_each(complete);
    let covered = branch
        .inside
        .iter()
        .fold(CpuSet::new(), |all, part| all.union(&part.cpus));
    let rest = branch.cpus.difference(&covered);
    if !rest.is_empty() {
        branch.inside.push(Branch {
            labels: vec![OTHERS.to_owned()],
            cpus: rest,
            inside: Vec::new(),
        });
    }
    branch.inside.sort_by_key(|part| part.cpus.first());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(name: &str, sets: &[&str]) -> Vec<Group> {
        sets.iter()
            .map(|set| Group {
                label: name.to_owned(),
                cpus: CpuSet::parse_list(set).unwrap(),
            })
            .collect()
    }

    /// `a b 0-3 [c 0-1, 2-3]` for a branch of two levels with one inside.
    fn text(branches: &[Branch]) -> String {
        let each: Vec<String> = branches
            .iter()
            .map(|branch| {
                let mut words = branch.labels.clone();
                words.push(branch.cpus.to_string());
                if !branch.inside.is_empty() {
                    words.push(format!("[{}]", text(&branch.inside)));
                }
                words.join(" ")
            })
            .collect();
        each.join("; ")
    }

    fn texts(levels: Vec<Vec<Group>>) -> Vec<String> {
        forests(levels).iter().map(|forest| text(forest)).collect()
    }

    #[test]
    fn the_sets_decide_which_level_is_inside_which() {
        let package = level("package", &["0-7"]);
        let node = level("node", &["4-7", "0-3"]);
        let cache = level("L3", &["0-7"]);
        let expected = ["package L3 0-7 [node 0-3; node 4-7]"];
        assert_eq!(texts(vec![package, node, cache]), expected);
        let packages = level("package", &["0-1", "2-3", "4-5"]);
        let nodes = level("node", &["0-3", "4-5"]);
        assert_eq!(
            texts(vec![packages, nodes]),
            ["node 0-3 [package 0-1; package 2-3]; package node 4-5"]
        );
    }

    #[test]
    fn what_no_part_holds_is_a_part_of_its_own() {
        let levels = vec![level("package", &["0-7"]), level("L3", &["2-3", "6"])];
        assert_eq!(
            texts(levels),
            ["package 0-7 [others 0-1,4-5,7; L3 2-3; L3 6]"]
        );
    }

    #[test]
    fn levels_that_cut_across_others_get_trees_of_their_own() {
        let levels = vec![
            level("package", &["0-3", "4-7"]),
            level("node", &["0-1,4-5", "2-3,6-7"]),
            level("L3", &["0-1", "2-7"]),
            level("L2", &["0-1", "2-3", "4-7"]),
        ];
        assert_eq!(
            texts(levels),
            [
                "package 0-3 [L2 0-1; L2 2-3]; package L2 4-7",
                "node 0-1,4-5; node 2-3,6-7",
                "L3 0-1; L3 2-7"
            ]
        );
        assert_eq!(forests(vec![Vec::new()]), Vec::<Vec<Branch>>::new());
    }
}
