//! Makes hostile text safe to show: nothing in a dump may move the cursor, colour the terminal,
//! break a table, or reverse the direction of reading.

use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text on one line, every character that acts instead of showing written out: `\n`, `\x1b`,
/// `\u{202e}`.
pub fn visible(text: &str) -> String {
    escape(text, |_| false)
}

/// The same for texts of many lines: line ends and tabs stay.
pub fn visible_lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\t'))
}

/// The text in double quotes, as Go's `strconv.Quote` would.
pub fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        visible(&text.replace('\\', "\\\\").replace('"', "\\\""))
    )
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if !acts(c) || stays(c) {
            shown.push(c);
            continue;
        }
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            '\0'..='\x7f' => write!(shown, "\\x{:02x}", u32::from(c)),
            _ => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    shown
}

/// Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls
/// (CVE-2021-42574), and characters that take no place at all.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{2028}' | '\u{2029}'
            | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// JSON that shows: characters that act become `\uXXXX`. They can only be inside strings, for
/// the serializer has escaped all that JSON itself forbids there.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if !acts(c) || c == '\n' {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

/// Columns the text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to `columns`, the last of them `…`, as Docker's `Ellipsis`.
pub fn ellipsis(text: &str, columns: usize) -> String {
    if columns == 0 {
        return String::new();
    }
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut cut = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns - 1 {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_is_written() {
        for (hostile, shown) in [
            ("plain grün 日本", "plain grün 日本"),
            ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            (
                "\u{2066}\u{2069}\u{feff}\u{e0041}",
                "\\u{2066}\\u{2069}\\u{feff}\\u{e0041}",
            ),
            ("\u{2028}\u{7f}", "\\u{2028}\\x7f"),
        ] {
            assert_eq!(visible(hostile), shown);
        }
        assert_eq!(visible_lines("a\tb\n\x1bc\r\n"), "a\tb\n\\x1bc\\r\n");
        assert_eq!(quoted("say \"\\\x1b\""), "\"say \\\"\\\\\\x1b\\\"\"");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let hostile = "\u{1b}\u{202e}\u{e0041}\u{85} \"";
        let json = serde_json::to_string(hostile).unwrap_or_default();
        let shown = visible_json(&json);
        assert!(!shown.chars().any(acts), "{shown}");
        assert_eq!(
            serde_json::from_str::<String>(&shown).ok().as_deref(),
            Some(hostile)
        );
    }

    #[test]
    fn cuts_are_as_wide_as_asked() {
        assert_eq!(
            ellipsis("nginx -g 'daemon off;'", 20),
            "nginx -g 'daemon of…"
        );
        assert_eq!(ellipsis("日本語", 4), "日…");
        assert_eq!(ellipsis("abc", 3), "abc");
        assert_eq!(ellipsis("abcd", 1), "…");
    }
}
