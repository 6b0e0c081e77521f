//! The part of a profile that a launch needs.
//!
//! A profile of a large machine holds hundreds of thousands of bytes of curves, and parsing them would cost a launch
//! more than everything else together; it asks for one workload or two.

/// The start of an entry's table, as this program writes it.
const HEADER: &str = "\n[[workload]]\n";

/// How the last entry ends, with its curve; no other key of an entry ends so.
const ENDS: [&str; 2] = ["\n]\n", "\ncurve = []\n"];

/// Part of a profile's text.
#[derive(Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Everything before the first entry, and the entries asked for.
    pub text: String,
    /// How many entries were left out.
    pub left_out: usize,
}

/// The head of a profile and the entries of these names.
///
/// `None` unless the file ends as this program ends it (a torn one does not) and a name stands right under each
/// `[[workload]]` line: any other file must be read whole. What the other entries say is not looked at; there may be none
/// of a name that is asked for.
pub fn excerpt(text: &str, names: &[String]) -> Option<Excerpt> {
    // Such a name is written in another way.
    let is_plain =
        |name: &String| !name.contains(|c: char| c.is_control() || c == '"' || c == '\\');
    if !ENDS.iter().any(|end| text.ends_with(end)) || !names.iter().all(is_plain) {
        return None;
    }
    let mut parts = text.split(HEADER);
    let head = parts.next()?;
    // Entries whose table begins otherwise would pass for none.
    if head.contains("workload") {
        return None;
    }
    let mut excerpt = Excerpt {
        text: head.to_owned(),
        left_out: 0,
    };
    let mut missing: Vec<String> = names
        .iter()
        .map(|name| format!("name = \"{name}\""))
        .collect();
    for part in parts {
        let first = part.lines().next()?;
        match missing.iter().position(|line| line == first) {
            Some(found) => {
                missing.swap_remove(found);
                excerpt.text.push_str(HEADER);
                excerpt.text.push_str(part);
            }
            None if first.starts_with("name = \"") => excerpt.left_out += 1,
            None => return None,
        }
    }
    excerpt.text.push('\n');
    Some(excerpt)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "schema = 1\n\n[[workload]]\nname = \"a\"\ncurve = []\n\n[[workload]]\nname = \"b\"\ncurve = [\n]\n";

    fn of(text: &str, names: &[&str]) -> Option<Excerpt> {
        excerpt(
            text,
            &names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn the_named_entries_are_kept_and_the_others_counted() {
        let b = of(TEXT, &["b"]).unwrap();
        assert_eq!(
            b.text,
            "schema = 1\n\n[[workload]]\nname = \"b\"\ncurve = [\n]\n\n"
        );
        assert_eq!(b.left_out, 1);
        assert_eq!(of(TEXT, &["b", "a"]).unwrap().left_out, 0);
        let none = of(TEXT, &["c"]).unwrap();
        assert_eq!((none.text.as_str(), none.left_out), ("schema = 1\n\n", 2));
    }

    #[test]
    fn what_this_program_did_not_write_is_left_to_the_whole_parser() {
        assert_eq!(of(TEXT, &["b\""]), None);
        assert_eq!(of(&TEXT.replace("name = \"a\"\n", ""), &["b"]), None);
        assert_eq!(
            of(&TEXT.replace("[[workload]]", "[[ workload ]]"), &["b"]),
            None
        );
        assert_eq!(of("", &["b"]), None);
        for torn in 0..TEXT.len() {
            let found = of(&TEXT[..torn], &["a"]);
            assert!(found.is_none_or(|e| e.left_out == 0), "{torn}");
        }
    }
}
