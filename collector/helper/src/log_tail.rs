//! Keeps the last lines a container wrote, from Docker's json-file log.

use serde::Deserialize;
use std::fs::File;
use std::io;

/// Most bytes read of the log's end.
const MAX_BYTES: u64 = 64 * 1024;
/// Most lines kept.
const MAX_LINES: usize = 200;

/// One line of a json-file log (moby daemon/logger/jsonfilelog/jsonlog).
#[derive(Deserialize)]
struct JsonLine {
    log: String,
}

/// The last lines of `log` as plain text; empty when it has none.
pub fn last_lines(log: &File) -> io::Result<String> {
    let size = log.metadata()?.len();
    let start = size.saturating_sub(MAX_BYTES);
    let length = usize::try_from(size.saturating_sub(start)).unwrap_or(0);
    let bytes = crate::bounded::read_at(log, start, length)?;
    Ok(decode(&bytes, start > 0))
}

/// Decodes the lines of `bytes`; the first is not whole when `cut`.
fn decode(bytes: &[u8], cut: bool) -> String {
    let lines = bytes
        .split(|b| *b == b'\n')
        .skip(usize::from(cut))
        .filter(|line| !line.is_empty());
    let mut text = String::new();
    for line in lines {
        if let Ok(line) = serde_json::from_slice::<JsonLine>(line) {
            // Docker splits lines of more than 16 KiB: only the last part ends with a newline.
            text.push_str(&line.log);
        } else {
            text.push_str(&crate::text::escape_bytes(line, 4096));
            text.push('\n');
        }
    }
    let before = text
        .trim_end_matches('\n')
        .rmatch_indices('\n')
        .nth(MAX_LINES.saturating_sub(1));
    let first = before.map_or(0, |(at, _)| at.saturating_add(1));
    text.split_off(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn lines_are_decoded_and_joined() {
        let log = br#"{"log":"one \u00fc\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}
{"log":"half ","stream":"stderr","time":"x"}
{"log":"line\n","stream":"stderr","time":"x"}
not json
"#;
        assert_eq!(decode(log, false), "one ü\nhalf line\nnot json\n");
        assert_eq!(decode(log, true), "half line\nnot json\n");
        assert_eq!(decode(b"", false), "");
    }

    #[test]
    fn only_the_last_lines_of_a_long_log_are_kept() {
        let mut log = String::new();
        for index in 0..5000 {
            writeln!(log, r#"{{"log":"line {index}\n","stream":"stdout"}}"#).unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, log.as_bytes()).unwrap();
        let text = last_lines(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            (lines.len(), lines[0], lines[199]),
            (200, "line 4800", "line 4999")
        );
    }
}
