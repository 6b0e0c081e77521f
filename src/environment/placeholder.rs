//! Placeholders in the arguments of a program that is launched.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Bytes of the longest placeholder: a workload's name has at most 200. Bounds the search in a run of open braces.
const LONGEST: usize = 256;

/// What stands between braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder<'a> {
    /// `{threads}`: the count chosen for the program.
    Threads,
    /// `{threads:WORKLOAD}`: the count of one workload.
    ThreadsOf(&'a str),
    /// `{cpus}`: the CPUs that the program may use, as a list (`0-3,8`).
    Cpus,
}

/// An argument with its placeholders replaced; every other byte stays as it is, unknown `{…}` included.
///
/// A placeholder for which `value` knows nothing stays, too. Values are not scanned again.
pub fn expand(
    argument: &OsStr,
    value: &mut dyn FnMut(Placeholder<'_>) -> Option<String>,
) -> OsString {
    let mut rest = argument.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some(open) = rest.iter().position(|b| *b == b'{') {
        out.extend_from_slice(&rest[..open]);
        rest = &rest[open..];
        let near = &rest[..rest.len().min(LONGEST)];
        let replaced = near.iter().position(|b| *b == b'}').and_then(|close| {
            let value = value(placeholder(&rest[1..close])?)?;
            Some((close, value))
        });
        if let Some((close, value)) = replaced {
            out.extend_from_slice(value.as_bytes());
            rest = &rest[close + 1..];
        } else {
            // Only the brace: another placeholder may begin right behind it, as in `{{threads}}`.
            out.push(b'{');
            rest = &rest[1..];
        }
    }
    out.extend_from_slice(rest);
    OsString::from_vec(out)
}

fn placeholder(inside: &[u8]) -> Option<Placeholder<'_>> {
    match inside {
        b"threads" => Some(Placeholder::Threads),
        b"cpus" => Some(Placeholder::Cpus),
        other => {
            let name = other.strip_prefix(b"threads:")?;
            let name = std::str::from_utf8(name).ok()?;
            (!name.is_empty()).then_some(Placeholder::ThreadsOf(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(argument: &[u8]) -> Vec<u8> {
        let mut value = |placeholder: Placeholder<'_>| match placeholder {
            Placeholder::Threads => Some("6".to_owned()),
            Placeholder::Cpus => Some("0-7".to_owned()),
            Placeholder::ThreadsOf("llama3.2-1b/decode") => Some("4".to_owned()),
            Placeholder::ThreadsOf(_) => None,
        };
        expand(OsStr::from_bytes(argument), &mut value).into_vec()
    }

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        assert_eq!(expanded(b"{threads}"), b"6");
        assert_eq!(expanded(b"-t{threads}"), b"-t6");
        assert_eq!(expanded(b"--cpu-list={cpus},x"), b"--cpu-list=0-7,x");
        assert_eq!(expanded(b"{threads:llama3.2-1b/decode}:{threads}"), b"4:6");
        assert_eq!(expanded(b"{{threads}}"), b"{6}");
    }

    #[test]
    fn everything_else_stays_byte_by_byte() {
        for argument in [
            b"".as_slice(),
            b"{",
            b"}",
            b"{}",
            b"{thread}",
            b"{ threads }",
            b"{threads:}",
            b"{threads:unknown}",
            b"{threads",
            b"{\"a\": {\"b\": 1}}",
            b"\xff{\xfe}\x80",
            b"{threads:\xff}",
        ] {
            assert_eq!(expanded(argument), argument);
        }
        assert_eq!(expanded(b"\xff{threads}\xfe"), b"\xff6\xfe");
    }
}
