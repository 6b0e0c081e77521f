//! Columns of a table for people, and lines that fit a terminal.

/// Columns two spaces apart; those in `left` to the left, the others to the right.
pub(super) fn aligned(rows: &[impl AsRef<[String]>], left: &[usize]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.as_ref().len()), 0);
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .as_ref()
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if left.contains(&column) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Characters of a line that any terminal and mail shows whole.
pub(super) const LINE: usize = 80;

/// Fewer characters are no room for a text beside what stands before it.
const LEAST_ROOM: usize = 16;

/// A text after what stands before it, in lines of at most [`LINE`] characters: those that follow the first begin
/// where the text began. A word that is longer than a line is cut after commas, or where there are none anywhere.
pub(super) fn hanging(before: &str, text: &str) -> String {
    let mut indent = before.chars().count();
    let mut lines = String::new();
    let mut line = before.to_owned();
    if indent + LEAST_ROOM > LINE {
        // What stands before has lines of its own.
        lines = hanging("", before);
        indent = 4;
        line = " ".repeat(indent);
    }
    let mut length = indent;
    for piece in pieces(text, LINE - indent) {
        if length > indent && length + piece.trim_end().chars().count() > LINE {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(indent);
            length = indent;
        }
        length += piece.chars().count();
        line.push_str(&piece);
    }
    lines + line.trim_end() + "\n"
}

/// The words of a text with the space behind each; one that is longer than `room` in parts that are not.
fn pieces(text: &str, room: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive(' ') {
        if word.trim_end().chars().count() <= room {
            pieces.push(word.to_owned());
            continue;
        }
        for part in word.split_inclusive(',') {
            let chars: Vec<char> = part.chars().collect();
            pieces.extend(chars.chunks(room).map(String::from_iter));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_hangs_below_its_beginning() {
        let numbers: Vec<String> = (100..130).map(|n| n.to_string()).collect();
        assert_eq!(
            hanging("cpus  ", &numbers.join(",")),
            "cpus  100,101,102,103,104,105,106,107,108,109,110,111,112,113,114,115,116,117,\n      \
             118,119,120,121,122,123,124,125,126,127,128,129\n"
        );
        // A word that fits on a line of its own is not cut.
        let words = format!("{} 0-7,192-199; 8-15,200-207", "x".repeat(55));
        assert_eq!(
            hanging("", &words),
            format!("{} 0-7,192-199;\n8-15,200-207\n", "x".repeat(55))
        );
        assert_eq!(hanging("a ", "b c"), "a b c\n");
        assert_eq!(hanging("a  ", ""), "a\n");
    }

    #[test]
    fn no_line_is_longer_than_a_terminal_whatever_the_words() {
        for (before, text, lines) in [
            ("", "x".repeat(200), 3),
            ("note: ", "y".repeat(200), 3),
            (&*"z ".repeat(60), "w ".repeat(60), 4),
            ("", "ä ".repeat(40), 1),
            ("", format!("{},{}", "1".repeat(80), "2".repeat(79)), 2),
            ("", format!("{};", "1".repeat(79)), 1),
        ] {
            let wrapped = hanging(before, &text);
            assert!(
                wrapped.lines().all(|l| l.chars().count() <= LINE),
                "{wrapped}"
            );
            assert_eq!(wrapped.lines().count(), lines, "{wrapped}");
            let kept = |t: &str| t.chars().filter(|c| !c.is_whitespace()).count();
            assert_eq!(kept(&wrapped), kept(before) + kept(&text), "{wrapped}");
        }
    }
}
