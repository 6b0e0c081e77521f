use super::*;
use crate::profile::parse;
use crate::units::ThreadCount;
use std::path::Path;

fn profile() -> Profile {
    let text = include_str!("../../tests/profiles/made-up.toml");
    parse(Path::new("made-up.toml"), text).unwrap()
}

fn here() -> Here {
    let profile = profile();
    let conditions = profile.conditions[0].clone();
    Here {
        machine: profile.machine,
        kernel: conditions.kernel,
        microcode: conditions.microcode,
        bios: conditions.bios,
        governor: conditions.governor,
        budget: conditions.budget,
    }
}

fn set(list: &str) -> CpuSet {
    CpuSet::parse_list(list).unwrap()
}

/// The changes after an edit of what is here, as `field: profile -> here (matters)`.
fn changed(edit: impl FnOnce(&mut Here)) -> Vec<String> {
    let mut here = here();
    edit(&mut here);
    let comparison = Comparison::of(&profile(), &here);
    let text = |c: &Change| format!("{}: {} -> {} ({})", c.field, c.profile, c.here, c.matters);
    comparison.changes.iter().map(text).collect()
}

#[test]
fn nothing_differs_from_itself() {
    let comparison = Comparison::of(&profile(), &here());
    assert!(comparison.same_machine);
    assert_eq!(comparison.changes, []);
}

#[test]
fn each_field_of_the_machine_is_named_when_it_differs() {
    type Edit = fn(&mut Fingerprint);
    let edits: [(Edit, &str); 10] = [
        (
            |m| m.cpu_model = "Other".into(),
            "cpu_model: Made Up 8 -> Other (yes)",
        ),
        (|m| m.packages = 2, "packages: 1 -> 2 (yes)"),
        (|m| m.cores = 4, "cores: 8 -> 4 (yes)"),
        (|m| m.cpus = set("0-5"), "cpus: 0-7 -> 0-5 (yes)"),
        (|m| m.smt = 2, "smt: 1 -> 2 (yes)"),
        (|m| m.numa_nodes = 2, "numa_nodes: 1 -> 2 (yes)"),
        (
            |m| m.core_kinds = BTreeMap::from([("efficiency".into(), set("0-7"))]),
            "core_kinds: performance 0-7 -> efficiency 0-7 (yes)",
        ),
        (
            |m| m.llc_bytes = 1 << 20,
            "llc_bytes: 16777216 -> 1048576 (yes)",
        ),
        (
            |m| m.grouping = "1".into(),
            "grouping: 0123456789abcdef -> 1 (yes)",
        ),
        (
            |m| m.isa = vec!["avx512f".into()],
            "isa: avx2 -> avx512f (yes)",
        ),
    ];
    for (edit, expected) in edits {
        let changes = changed(|here| {
            here.machine.id = "another-1s8c8t-111111".into();
            edit(&mut here.machine);
        });
        assert_eq!(changes, [expected]);
    }
}

#[test]
fn lists_tell_what_came_and_what_went() {
    let mut here = here();
    here.machine.id = "another-1s8c8t-111111".into();
    here.machine.cpus = set("0-5,8-9");
    here.machine.core_kinds = BTreeMap::from([
        ("efficiency".into(), set("8-9")),
        ("performance".into(), set("0-5")),
    ]);
    here.machine.isa = vec!["avx512f".into(), "fma".into()];
    let only: Vec<(String, String)> = Comparison::of(&profile(), &here)
        .changes
        .into_iter()
        .map(|change| change.only.unwrap())
        .map(|only| (only.profile, only.here))
        .collect();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        only,
        [
            pair("6-7", "8-9"),
            pair("performance 6-7", "efficiency 8-9"),
            pair("avx2", "avx512f fma"),
        ]
    );
}

#[test]
fn an_id_that_disagrees_with_the_fields_is_told() {
    let mut other = here();
    other.machine.id = "another-1s8c8t-111111".into();
    let comparison = Comparison::of(&profile(), &other);
    assert!(!comparison.same_machine);
    assert_eq!(comparison.changes.len(), 1);
    assert_eq!(comparison.changes[0].field, "id");
    assert!(comparison.changes[0].why.contains("another version"));

    let mut edited = here();
    edited.machine.cores = 4;
    let comparison = Comparison::of(&profile(), &edited);
    assert!(comparison.same_machine);
    let fields: Vec<&str> = comparison.changes.iter().map(|c| c.field).collect();
    assert_eq!(fields, ["id", "cores"]);
    assert!(comparison.changes[0].why.contains("edited"));
}

#[test]
fn conditions_leave_the_machine_the_same() {
    let changes = changed(|here| {
        here.kernel = "6.12.1".into();
        here.governor = "powersave".into();
    });
    assert_eq!(
        changes,
        [
            "kernel: 6.1.0 -> 6.12.1 (maybe)",
            "governor: performance -> powersave (maybe)"
        ]
    );
}

#[test]
fn what_is_unknown_cannot_be_compared_and_does_not_matter() {
    let changes = changed(|here| {
        here.kernel = "unknown".into();
        here.governor = "unknown".into();
    });
    assert_eq!(
        changes,
        [
            "kernel: 6.1.0 -> unknown (no)",
            "governor: performance -> unknown (no)"
        ]
    );
    let mut profile = profile();
    profile.conditions[0].governor = "unknown".into();
    let comparison = Comparison::of(&profile, &here());
    let [change] = &comparison.changes[..] else {
        panic!("{:?}", comparison.changes);
    };
    assert_eq!((change.field, change.matters), ("governor", Matters::No));
    assert_eq!(change.why, "cannot be compared");
    let mut here = here();
    here.governor = "unknown".into();
    assert_eq!(Comparison::of(&profile, &here).changes, []);
}

#[test]
fn a_smaller_budget_needs_nothing_and_a_larger_one_was_never_measured() {
    let budget = |cpus: &str, limit, by: &str| {
        let (cpus, by) = (set(cpus), by.to_owned());
        let limit = ThreadCount::clamped(limit);
        changed(|here| {
            here.budget = BudgetRecord {
                cpus,
                grouping: None,
                cores: None,
                limit,
                by,
            }
        })
    };
    assert_eq!(
        budget("0-3", 4, "cpuset"),
        [
            "budget.cpus: 0-7 -> 0-3 (no)",
            "budget.limit: 8 by affinity -> 4 by cpuset (no)"
        ]
    );
    assert_eq!(
        budget("0-9", 10, "online"),
        [
            "budget.cpus: 0-7 -> 0-9 (maybe)",
            "budget.limit: 8 by affinity -> 10 by online (yes)"
        ]
    );
    assert_eq!(
        budget("8-15", 8, "affinity"),
        ["budget.cpus: 0-7 -> 8-15 (maybe)"]
    );
    assert_eq!(
        budget("0-7", 8, "quota"),
        ["budget.limit: 8 by affinity -> 8 by quota (no)"]
    );
}

#[test]
fn as_many_cores_that_are_grouped_otherwise_are_worth_a_check() {
    let grouped = |cores, grouping: &str| BudgetRecord {
        cores: Some(ThreadCount::clamped(cores)),
        grouping: Some(grouping.to_owned()),
        ..here().budget
    };
    let mut profile = profile();
    profile.conditions[0].budget = grouped(8, "a");
    let compared = |budget| {
        let here = Here { budget, ..here() };
        let changes = Comparison::of(&profile, &here).changes;
        let told: Vec<_> = changes.iter().map(|c| (c.field, c.matters)).collect();
        told
    };
    assert_eq!(compared(grouped(8, "a")), []);
    assert_eq!(
        compared(grouped(8, "b")),
        [("budget.grouping", Matters::Maybe)]
    );
    assert_eq!(compared(grouped(4, "b")), [("budget.cores", Matters::No)]);
}

#[test]
fn microcode_and_firmware_are_compared_where_both_sides_know_them() {
    assert_eq!(changed(|here| here.microcode = Some("0x2".into())), [""; 0]);
    let mut profile = profile();
    profile.conditions[0].microcode = Some("0x1".into());
    profile.conditions[0].bios = Some("Made Up 1".into());
    assert_eq!(Comparison::of(&profile, &here()).changes, []);
    let here = Here {
        microcode: Some("0x2".into()),
        bios: Some("Made Up 2".into()),
        ..here()
    };
    let changes = Comparison::of(&profile, &here).changes;
    let told: Vec<_> = changes.iter().map(|c| (c.field, c.matters)).collect();
    let expected = [("microcode", Matters::Maybe), ("bios", Matters::Maybe)];
    assert_eq!(told, expected);
}
