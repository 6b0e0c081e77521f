//! What sets a profile apart from this machine: a table for people, JSON for programs.

use super::columns::hanging;
use super::table::plain;
use crate::profile::{Change, Comparison, Matters};

/// The most characters of a value in the table; JSON has all of it.
const WIDEST_VALUE: usize = 22;

/// The comparison as one JSON object, ended by a newline.
pub fn comparison_json(comparison: &Comparison) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(comparison).map(|text| text + "\n")
}

/// The comparison as a table, one line or more for each field that differs, and what follows from it.
pub fn comparison_table(comparison: &Comparison) -> String {
    let mut text = hanging("profile  ", &plain(&comparison.profile_machine));
    text.push_str(&hanging("here     ", &plain(&comparison.machine)));
    text.push('\n');
    if !comparison.changes.is_empty() {
        text.push_str(&table(&comparison.changes));
        text.push('\n');
    }
    text + &hanging("", conclusion(comparison))
}

fn table(changes: &[Change]) -> String {
    let head = ["field", "in the profile", "here"].map(str::to_owned);
    let rows: Vec<[String; 3]> = std::iter::once(head)
        .chain(changes.iter().map(cells))
        .collect();
    let reasons = changes
        .iter()
        .map(|change| format!("{}: {}", change.matters, change.why));
    let reasons = std::iter::once("does it matter?".to_owned()).chain(reasons);
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (field, profile, here) = (width(0), width(1), width(2));
    rows.iter()
        .zip(reasons)
        .map(|([a, b, c], reason)| {
            hanging(
                &format!("{a:<field$}  {b:<profile$}  {c:<here$}  "),
                &reason,
            )
        })
        .collect()
}

/// Lists too long for the table show what only one side has.
fn cells(change: &Change) -> [String; 3] {
    let fits = |text: &str| text.chars().count() <= WIDEST_VALUE;
    let also = |text: &str| match text {
        "" => "–".to_owned(),
        _ => format!("also {text}"),
    };
    let (profile, here) = match &change.only {
        Some(only) if !(fits(&change.profile) && fits(&change.here)) => {
            (also(&only.profile), also(&only.here))
        }
        _ => (change.profile.clone(), change.here.clone()),
    };
    [change.field.to_owned(), cut(&profile), cut(&here)]
}

/// A value that says nothing is a dash, one that is too long ends in dots.
fn cut(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        return "–".to_owned();
    }
    if text.chars().count() <= WIDEST_VALUE {
        return text;
    }
    let start: String = text.chars().take(WIDEST_VALUE - 1).collect();
    start + "…"
}

/// Is the profile used here, and what is there to do?
fn conclusion(comparison: &Comparison) -> &'static str {
    let all = |matters| comparison.changes.iter().all(|c| c.matters == matters);
    if !comparison.same_machine {
        "The profile is not used here: run `threadtune tune` to measure this machine."
    } else if comparison.changes.is_empty() {
        "Nothing differs: the profile is used here, and there is nothing to do."
    } else if all(Matters::No) {
        "The profile is used here, and there is nothing to do."
    } else {
        "The profile is used here: to be sure of a workload, measure it again with `threadtune tune WORKLOAD`."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Only;

    fn change(field: &'static str, profile: &str, here: &str, matters: Matters) -> Change {
        Change {
            field,
            profile: profile.to_owned(),
            here: here.to_owned(),
            only: None,
            matters,
            why: "why it does or does not".to_owned(),
        }
    }

    fn comparison(same_machine: bool, changes: Vec<Change>) -> Comparison {
        Comparison {
            same_machine,
            profile_machine: "a-1s8c1t-000000".to_owned(),
            machine: "b-1s8c1t-111111".to_owned(),
            changes,
        }
    }

    #[test]
    fn the_table_has_a_line_a_field_and_ends_with_what_to_do() {
        let mut isa = change("isa", &"avx ".repeat(9), "avx fma", Matters::Yes);
        isa.only = Some(Only {
            profile: String::new(),
            here: "fma".to_owned(),
        });
        let kernel = change(
            "kernel",
            "6.1.0-13-cloud-amd64-unsigned",
            "",
            Matters::Maybe,
        );
        let expected = "\
profile  a-1s8c1t-000000
here     b-1s8c1t-111111

field   in the profile          here      does it matter?
isa     –                       also fma  yes: why it does or does not
kernel  6.1.0-13-cloud-amd64-…  –         maybe: why it does or does not

The profile is not used here: run `threadtune tune` to measure this machine.
";
        assert_eq!(
            comparison_table(&comparison(false, vec![isa, kernel])),
            expected
        );
    }

    #[test]
    fn the_last_sentence_says_what_to_do() {
        let last = |same, matters: &[Matters]| {
            let changes = matters.iter().map(|m| change("smt", "1", "2", *m));
            let text = comparison_table(&comparison(same, changes.collect()));
            text.lines().last().unwrap().to_owned()
        };
        assert!(last(true, &[]).starts_with("Nothing differs"));
        assert!(last(true, &[Matters::No]).ends_with("nothing to do."));
        for matters in [Matters::Maybe, Matters::Yes] {
            assert!(last(true, &[Matters::No, matters]).ends_with("`threadtune tune WORKLOAD`."));
        }
        assert!(last(false, &[Matters::Yes]).contains("`threadtune tune`"));
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_and_none_writes_to_it() {
        let long = "x\u{1b}".repeat(100);
        let changes = vec![change("budget.limit", &long, &long, Matters::Yes)];
        let text = comparison_table(&comparison(true, changes));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
    }
}
