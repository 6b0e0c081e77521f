//! Where in a TOML text a key stands, so that an error can name line and key. Pure.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a table.
    Key(&'static str),
    /// Into an array, from 0.
    Index(usize),
}

/// A path as an error prints it: `workload[3].latency.median_us`.
pub(crate) fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) => push_key(&mut text, key),
            Step::Index(index) => push_index(&mut text, *index),
        }
    }
    text
}

fn push_key(text: &mut String, key: &str) {
    if !text.is_empty() {
        text.push('.');
    }
    text.extend(key.chars().filter(|c| !c.is_control()).take(60));
}

fn push_index(text: &mut String, index: usize) {
    text.push('[');
    text.push_str(&index.to_string());
    text.push(']');
}

/// The line, from 1, on which this byte of the text lies.
pub(crate) fn line_of(text: &str, byte: usize) -> usize {
    line_of_bytes(text.as_bytes(), byte)
}

/// The same for bytes that are no text.
pub(crate) fn line_of_bytes(bytes: &[u8], byte: usize) -> usize {
    bytes[..byte.min(bytes.len())]
        .split(|b| *b == b'\n')
        .count()
}

/// The last line of a text, from 1.
pub(crate) fn last_line(text: &str) -> usize {
    line_of(text, text.trim_end().len())
}

/// The line of the value at a path, or of the deepest table on the way that exists.
pub(crate) fn line_of_path(text: &str, path: &[Step]) -> usize {
    let Ok(root) = DeTable::parse(text) else {
        return 1;
    };
    let mut start = 0;
    let mut value = match path.split_first() {
        Some((Step::Key(key), rest)) => match root.get_ref().get(*key) {
            Some(value) => {
                start = value.span().start;
                Some((value, rest))
            }
            None => None,
        },
        _ => None,
    };
    while let Some((at, rest)) = value {
        start = at.span().start;
        value = rest.split_first().and_then(|(step, rest)| {
            let next = match step {
                Step::Key(key) => at.get_ref().as_table().and_then(|t| t.get(*key)),
                Step::Index(index) => at.get_ref().as_array().and_then(|a| a.get(*index)),
            };
            next.map(|next| (next, rest))
        });
    }
    line_of(text, start)
}

/// The dotted path of the innermost key whose value covers a span.
pub(crate) fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let Ok(root) = DeTable::parse(text) else {
        return key_of_line(text, span.start);
    };
    let mut path = String::new();
    let mut table = Some(root.get_ref());
    while let Some(here) = table {
        let Some((key, value)) = here.iter().find(|(_, value)| covers(value, span)) else {
            break;
        };
        push_key(&mut path, key.get_ref());
        table = descend(value, span, &mut path);
    }
    (!path.is_empty()).then_some(path)
}

/// The table inside a value that covers a span, through arrays.
fn descend<'a, 'i>(
    value: &'a Spanned<DeValue<'i>>,
    span: &Range<usize>,
    path: &mut String,
) -> Option<&'a DeTable<'i>> {
    let mut value = value;
    while let DeValue::Array(array) = value.get_ref() {
        let (index, inner) = array
            .iter()
            .enumerate()
            .find(|(_, inner)| covers(inner, span))?;
        push_index(path, index);
        value = inner;
    }
    value.get_ref().as_table()
}

/// Does a value cover a span? Headers' spans end before their keys do, so tables look at what they hold, too.
fn covers(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    let own = value.span();
    (own.start <= span.start && span.end <= own.end)
        || match value.get_ref() {
            DeValue::Array(array) => array.iter().any(|inner| covers(inner, span)),
            DeValue::Table(table) => table.iter().any(|(_, inner)| covers(inner, span)),
            _ => false,
        }
}

/// What stands left of the `=` on the line of a byte, for text that does not parse.
fn key_of_line(text: &str, byte: usize) -> Option<String> {
    let line = text.lines().nth(line_of(text, byte) - 1)?;
    let key = line.split_once('=')?.0.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!key.is_empty() && key.len() <= 60 && key.chars().all(plain)).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "a = 1\n[m]\nid = \"x\"\n[[w]]\nn = 1\n[[w]]\nn = 2\nc = [\n { t = 3 },\n { t = 4 },\n]\n";

    #[test]
    fn a_path_has_a_line() {
        use Step::{Index, Key};
        assert_eq!(line_of_path(TEXT, &[Key("a")]), 1);
        assert_eq!(line_of_path(TEXT, &[Key("m"), Key("id")]), 3);
        assert_eq!(line_of_path(TEXT, &[Key("w"), Index(1), Key("n")]), 7);
        let deep = [Key("w"), Index(1), Key("c"), Index(1), Key("t")];
        assert_eq!(line_of_path(TEXT, &deep), 10);
        assert_eq!(dotted(&deep), "w[1].c[1].t");
        assert_eq!(line_of_path(TEXT, &[Key("w"), Index(1), Key("gone")]), 6);
    }

    #[test]
    fn a_span_has_a_key() {
        let at = TEXT.find('4').unwrap();
        assert_eq!(key_at(TEXT, &(at..at + 1)).unwrap(), "w[1].c[1].t");
        let at = TEXT.find("\"x\"").unwrap();
        assert_eq!(key_at(TEXT, &(at..at + 3)).unwrap(), "m.id");
        assert_eq!(key_at("broken = [1,\n", &(9..10)).unwrap(), "broken");
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("", 0), 1);
        assert_eq!(line_of("a\nb", 2), 2);
        assert_eq!(line_of("a\n", 99), 2);
        assert_eq!(last_line("a\nb\n\n"), 2);
    }
}
