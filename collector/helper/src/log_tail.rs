//! Keeps the last lines a container wrote, from the log file its engine or the kubelet keeps.

use crate::bounded::{open_regular_at, read_at};
use serde::Deserialize;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// Most bytes read of the log's end.
const MAX_BYTES: u64 = 64 * 1024;
/// Most lines kept.
const MAX_LINES: usize = 200;
/// Bytes kept of a line that is not in the log's format.
const MAX_ODD_LINE: usize = 4096;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object a line (moby daemon/logger/jsonfilelog/jsonlog).
    JsonLines,
    /// Time, stream, `P` or `F`, text (Kubernetes' CRI, pkg/kubelet/kuberuntime/logs; Podman's
    /// `k8s-file`).
    Cri,
    /// Messages between their lengths (moby daemon/logger/local).
    Local,
}

/// A container's log.
#[derive(Debug)]
pub struct Log {
    directory: OwnedFd,
    name: String,
    format: Format,
    /// The file must be this user's: he could have put another's in its place.
    owner: Option<u32>,
    file: Option<File>,
}

impl Log {
    /// The log `name` in `directory`, which need not be there yet.
    ///
    /// # Errors
    /// When it is there and cannot be opened, or is no regular file.
    pub fn new(
        directory: &OwnedFd,
        name: String,
        format: Format,
        owner: Option<u32>,
    ) -> io::Result<Self> {
        let mut log = Self {
            directory: directory.try_clone()?,
            name,
            format,
            owner,
            file: None,
        };
        match log.file().map(|_| ()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(log),
        }
    }

    /// The log's file. Engines make it while the container starts, so that a process that dies at
    /// once may be dead before its log is there; and with `--rm` remove it, so that it is opened
    /// as early as possible.
    fn file(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let file = open_regular_at(&self.directory, &self.name)?;
                let owner = file.metadata()?.uid();
                if self.owner.is_some_and(|user| user != owner) {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                Ok(none.insert(file))
            }
        }
    }

    /// The last lines as plain text; empty when there are none, or no log yet.
    pub fn last_lines(&mut self) -> io::Result<String> {
        let format = self.format;
        match self.file() {
            Ok(file) => last_lines(file, format),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }
}

fn last_lines(log: &File, format: Format) -> io::Result<String> {
    let size = log.metadata()?.len();
    let start = size.saturating_sub(MAX_BYTES);
    let length = usize::try_from(size.saturating_sub(start)).unwrap_or(0);
    let bytes = read_at(log, start, length)?;
    let text = match format {
        Format::Local => messages(&bytes),
        Format::JsonLines => lines(&bytes, start > 0, json_line),
        Format::Cri => lines(&bytes, start > 0, cri_line),
    };
    Ok(end_of(text))
}

/// The last [`MAX_LINES`] lines.
fn end_of(mut text: String) -> String {
    let before = text
        .trim_end_matches('\n')
        .rmatch_indices('\n')
        .nth(MAX_LINES.saturating_sub(1));
    let first = before.map_or(0, |(at, _)| at.saturating_add(1));
    text.split_off(first)
}

/// A piece of what a container wrote: `stdout` or `stderr`, and the text, with its newline if it
/// ends a line.
type Piece = (String, String);

/// Decodes the lines of `bytes`; the first is not whole when `cut`.
fn lines(bytes: &[u8], cut: bool, decode: fn(&[u8]) -> Option<Piece>) -> String {
    let lines = bytes
        .split(|b| *b == b'\n')
        .skip(usize::from(cut))
        .filter(|line| !line.is_empty());
    joined(lines.map(|line| {
        decode(line).unwrap_or_else(|| {
            let odd = crate::text::escape_bytes(line, MAX_ODD_LINE);
            (String::new(), format!("{odd}\n"))
        })
    }))
}

/// Joins the pieces of long lines, but not those of one stream with those of the other.
fn joined(pieces: impl Iterator<Item = Piece>) -> String {
    let (mut text, mut last) = (String::new(), String::new());
    for (stream, piece) in pieces {
        if stream != last && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&piece);
        last = stream;
    }
    text
}

/// One line of a json-file log.
#[derive(Deserialize)]
struct JsonLine {
    log: String,
    #[serde(default)]
    stream: String,
}

/// Docker splits lines of more than 16 KiB: only the last part ends with a newline.
fn json_line(line: &[u8]) -> Option<Piece> {
    let line: JsonLine = serde_json::from_slice(line).ok()?;
    Some((line.stream, line.log))
}

/// `2026-11-20T10:00:00.000000000Z stdout F text`; `P` marks a part of a line.
fn cri_line(line: &[u8]) -> Option<Piece> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let (_time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
    let text = fields.next().unwrap_or_default();
    let whole = match tags.split(|byte| *byte == b':').next()? {
        b"F" => "\n",
        b"P" => "",
        _ => return None,
    };
    let stream = match stream {
        b"stdout" => "stdout",
        b"stderr" => "stderr",
        _ => return None,
    };
    let text = crate::text::escape_bytes(text, line.len());
    Some((stream.to_owned(), format!("{text}{whole}")))
}

/// Messages of the `local` driver, read from the end: each lies between two big-endian numbers of
/// four bytes that are its length.
fn messages(bytes: &[u8]) -> String {
    let mut found = Vec::new();
    let mut rest = bytes;
    while found.len() < MAX_LINES {
        let Some((before, message)) = last_message(rest) else {
            break;
        };
        found.push(message);
        rest = before;
    }
    joined(found.into_iter().rev().filter_map(entry))
}

fn last_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, length) = bytes.split_last_chunk::<4>()?;
    let at = rest
        .len()
        .checked_sub(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let (rest, message) = rest.split_at_checked(at)?;
    let (before, again) = rest.split_last_chunk::<4>()?;
    (again == length).then_some((before, message))
}

/// A `LogEntry` (moby api/types/plugins/logdriver/entry.proto): field 1 is the stream, field 3 the
/// line, field 4 whether it goes on in the next.
fn entry(mut message: &[u8]) -> Option<Piece> {
    let (mut stream, mut line, mut partial) = (&b""[..], None, false);
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                partial |= key >> 3 == 4 && value != 0;
            }
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                match key >> 3 {
                    1 => stream = bytes,
                    3 => line = Some(bytes),
                    _ => {}
                }
                message = rest;
            }
            _ => return None,
        }
    }
    let text = crate::text::escape_bytes(line?, line?.len());
    let end = if partial { "" } else { "\n" };
    let stream = crate::text::escape_bytes(stream, 16);
    Some((stream, format!("{text}{end}")))
}

/// A number of Protocol Buffers: seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
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
        assert_eq!(lines(log, false, json_line), "one ü\nhalf line\nnot json\n");
        assert_eq!(lines(log, true, json_line), "half line\nnot json\n");
        assert_eq!(lines(b"", false, json_line), "");
    }

    #[test]
    fn only_the_last_lines_of_a_long_log_are_kept() {
        let mut log = String::new();
        for index in 0..5000 {
            writeln!(log, r#"{{"log":"line {index}\n","stream":"stdout"}}"#).unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, log.as_bytes()).unwrap();
        let text = last_lines(&file, Format::JsonLines).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            (lines.len(), lines[0], lines[199]),
            (200, "line 4800", "line 4999")
        );
    }

    #[test]
    fn lines_of_kubernetes_are_joined_and_odd_ones_kept() {
        let log = b"2026-11-20T10:00:00.1Z stdout F one\n2026-11-20T10:00:00.2Z stderr P two \n\
            2026-11-20T10:00:00.3Z stderr F halves\n2026-11-20T10:00:00.4Z stdout F \nodd line\n\
            2026-11-20T10:00:00.5Z stdout P \xff\n2026-11-20T10:00:00.6Z stderr F other\n";
        assert_eq!(
            lines(log, false, cri_line),
            "one\ntwo halves\n\nodd line\n\\xff\nother\n"
        );
    }

    /// A message of the `local` driver.
    fn message(line: &[u8], partial: bool) -> Vec<u8> {
        let mut entry = vec![0x0a, 6];
        entry.extend(b"stdout");
        entry.extend([0x10, 0x80, 0x01, 0x1a, u8::try_from(line.len()).unwrap()]);
        entry.extend(line);
        if partial {
            entry.extend([0x20, 1]);
        }
        let length = u32::try_from(entry.len()).unwrap().to_be_bytes();
        [&length[..], &entry, &length].concat()
    }

    #[test]
    fn messages_are_read_from_the_end() {
        let log = [
            message(b"one", false),
            message(b"two ", true),
            message(b"halves", false),
        ]
        .concat();
        assert_eq!(messages(&log), "one\ntwo halves\n");
        // Cut in the middle of the first.
        assert_eq!(messages(&log[5..]), "two halves\n");
        for cut in 0..log.len() {
            messages(&log[..cut]);
        }
        assert_eq!(messages(&[0xff; 64]), "");
    }
}
