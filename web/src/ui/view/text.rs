//! Writes hostile text into pages: HTML escaped, and nothing invisible left in it.

use askama::filters::Escaper;
use std::fmt::{self, Write};

/// The escaper of every template (see `askama.toml`).
///
/// Besides HTML's own characters it replaces control characters by their pictures (`␛` for ESC)
/// and names invisible and direction-changing ones (`‹U+202E›`): a file name must not be able to
/// show `gpj.exe` as `exe.jpg` (CVE-2021-42574 tells the story for source code). Line breaks are
/// pictures too; what has lines is shown line by line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut page: W, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if !is_special(c) {
                continue;
            }
            page.write_str(text.get(plain..at).unwrap_or_default())?;
            write_special(&mut page, c)?;
            plain = at + c.len_utf8();
        }
        page.write_str(text.get(plain..).unwrap_or_default())
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '"' | '\'') || c.is_control() || is_invisible(c)
}

fn write_special(page: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '<' => page.write_str("&lt;"),
        '>' => page.write_str("&gt;"),
        '&' => page.write_str("&amp;"),
        '"' => page.write_str("&quot;"),
        '\'' => page.write_str("&#39;"),
        '\u{7f}' => page.write_char('␡'),
        '\0'..' ' => page.write_char(char::from_u32(0x2400 + u32::from(c)).unwrap_or('�')),
        _ => write!(page, "‹U+{:04X}›", u32::from(c)),
    }
}

/// Characters that show nothing, or change the direction of what follows.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The longest text shown in a line; the rest is behind "more" or in the tooltip.
pub const LINE: usize = 240;
/// The longest tooltip.
const TOOLTIP: usize = 4096;

/// A text of unknown length, ready to be shown in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brief {
    /// What is shown.
    pub shown: String,
    /// The whole, when it is longer than that.
    pub whole: Option<String>,
}

impl Brief {
    /// At most `limit` characters of the text.
    pub fn new(text: &str, limit: usize) -> Self {
        let Some((cut, _)) = text.char_indices().nth(limit) else {
            return Self {
                shown: text.to_owned(),
                whole: None,
            };
        };
        let head = text.get(..cut).unwrap_or_default();
        Self {
            shown: format!("{head}…"),
            whole: Some(text.to_owned()),
        }
    }

    /// The same of a name that a link shows: one that shows nothing could not be clicked.
    pub fn named(name: &str, limit: usize) -> Self {
        match name.trim() {
            "" => Self::new("without a name", limit),
            _ => Self::new(name, limit),
        }
    }

    /// The tooltip: the whole text, bounded.
    pub fn tooltip(&self) -> String {
        let text = self.whole.as_deref().unwrap_or(&self.shown);
        clip(text, TOOLTIP)
    }
}

/// At most `limit` characters, with `…` where it was cut.
pub fn clip(text: &str, limit: usize) -> String {
    Brief::new(text, limit).shown
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(path)
}

/// The lines of a text, tabs as spaces.
pub fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.replace('\t', "    "))
        .collect()
}

/// `1 crash`, `2 crashes`: the number with thousands separated.
pub fn count(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{} {word}", grouped(number))
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A value as part of a query: quoted when it has to be.
pub fn query_value(value: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@' | '+');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Percent-encoded for a query string.
pub fn url(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// As the beginning of a sentence.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hostile_or_invisible_survives() {
        for (text, expected) in [
            ("plain grün 船", "plain grün 船"),
            ("<script>\"&'", "&lt;script&gt;&quot;&amp;&#39;"),
            ("a\u{202e}b", "a‹U+202E›b"),
            ("\x1b[31m\0\n\x7f", "␛[31m␀␊␡"),
            ("\u{85}\u{feff}", "‹U+0085›‹U+FEFF›"),
        ] {
            let mut page = String::new();
            assert!(Visible.write_escaped_str(&mut page, text).is_ok());
            assert_eq!(page, expected);
        }
    }

    #[test]
    fn numbers_and_values_are_readable_and_quoted() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(query_value("app:1.2"), "app:1.2");
        assert_eq!(query_value("a \"b\""), "\"a \\\"b\\\"\"");
        assert_eq!(query_value("a*"), "\"a*\"");
        assert_eq!(url("a b&c=ü"), "a%20b%26c%3D%C3%BC");
        assert_eq!(base_name("/usr/lib/libc.so.6"), "libc.so.6");
        assert_eq!(clip("grün", 2), "gr…");
    }
}
