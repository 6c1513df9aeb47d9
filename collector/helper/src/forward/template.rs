//! Expands a `core_pattern` into a program and its arguments as the kernel does. Pure.
//!
//! The rules are those of `format_corename` in fs/coredump.c: the text is split at white space
//! before anything is expanded, so that no name can add an argument; what is not known expands to
//! nothing; names cannot hold a slash, be empty, or be `.` or `..`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// What a specifier stands for.
pub(super) enum Value {
    /// Taken as it is: numbers.
    Plain(String),
    /// Somebody else's choice, so that it is made harmless: names and paths.
    Name(Vec<u8>),
}

/// The program and its arguments, `value` giving what a specifier such as `P` stands for. `None`
/// when the pattern names no program, or leaves its choice to the dead process.
pub(super) fn expand(
    pattern: &str,
    mut value: impl FnMut(u8) -> Option<Value>,
) -> Option<(OsString, Vec<OsString>)> {
    let command = pattern.strip_prefix('|')?;
    let (program, arguments) = {
        let mut words = command
            .split(|c: char| c.is_ascii_whitespace() || c == '\u{b}')
            .filter(|word| !word.is_empty());
        (words.next()?, words)
    };
    if !program.starts_with('/') || program.contains('%') {
        return None;
    }
    let arguments = arguments
        .map(|word| OsString::from_vec(expand_word(word.as_bytes(), &mut value)))
        .collect();
    Some((program.into(), arguments))
}

fn expand_word(word: &[u8], value: &mut impl FnMut(u8) -> Option<Value>) -> Vec<u8> {
    let mut expanded = Vec::new();
    let mut bytes = word.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            expanded.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'%') => expanded.push(b'%'),
            Some(specifier) => match value(specifier) {
                Some(Value::Plain(text)) => expanded.extend(text.into_bytes()),
                Some(Value::Name(name)) => expanded.extend(harmless(name)),
                None => {}
            },
            None => {}
        }
    }
    expanded
}

/// A name as `cn_esc_printf` writes it.
fn harmless(mut name: Vec<u8>) -> Vec<u8> {
    if matches!(name.as_slice(), b"" | b"." | b"..") {
        let rest = name.get(1..).unwrap_or_default();
        name = [b"!", rest].concat();
    }
    for byte in &mut name {
        if *byte == b'/' {
            *byte = b'!';
        }
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn value(specifier: u8) -> Option<Value> {
        Some(match specifier {
            b'P' => Value::Plain("4711".to_owned()),
            b'F' => Value::Plain(String::new()),
            b'e' => Value::Name(b"a b/../c".to_vec()),
            b'h' => Value::Name(Vec::new()),
            b'f' => Value::Name(b"..".to_vec()),
            b'E' => Value::Name(b"/usr/bin/\xff".to_vec()),
            _ => return None,
        })
    }

    fn check(pattern: &str, expected: &[&[u8]]) {
        let (program, arguments) = expand(pattern, value).unwrap();
        let words = [vec![program], arguments].concat();
        let words: Vec<Vec<u8>> = words.into_iter().map(OsString::into_vec).collect();
        assert_eq!(words, expected, "{pattern:?}");
    }

    #[test]
    fn words_are_split_before_they_are_expanded() {
        check("|/h", &[b"/h"]);
        check(
            "| /h  -p%P\t--  %e ",
            &[b"/h", b"-p4711", b"--", b"a b!..!c"],
        );
        check("|/h %F %P", &[b"/h", b"", b"4711"]);
        check("|/h %E", &[b"/h", b"!usr!bin!\xff"]);
    }

    #[test]
    fn what_is_not_known_expands_to_nothing() {
        check("|/h a%zb %% 100% %", &[b"/h", b"ab", b"%", b"100", b""]);
    }

    #[test]
    fn names_are_never_empty_nor_a_directory() {
        check("|/h %h %f x%h", &[b"/h", b"!", b"!.", b"x!"]);
    }

    #[test]
    fn what_names_no_program_is_refused() {
        for pattern in [
            "",
            "core",
            "|",
            "| ",
            "|relative %P",
            "|/bin/%e",
            "@/run/socket",
        ] {
            assert!(expand(pattern, value).is_none(), "{pattern:?}");
        }
    }
}
