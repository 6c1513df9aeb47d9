//! Keeps who took what: `audit.jsonl` in the state directory, one line each, only ever appended to.
//!
//! A file that has grown to [`LARGEST`] becomes `audit.jsonl.1`, in the place of the one before.

use crate::database::lock;
use crate::files::failed;
use crate::store::{Store, StoreError};
use crate::types::{Page, PageRequest};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "audit.jsonl";
/// Bytes after which a new file is begun: some 200,000 lines.
const LARGEST: u64 = 64 << 20;
/// Bytes that are read at a time, from the end; a line is much shorter.
const PIECE: u64 = 1 << 20;

/// Something that somebody took or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who: `token ci`, `ann (uid 1000)`, `somebody`.
    pub who: String,
    /// From where: an address, or `unix`.
    pub from: String,
    /// What: `core`, `module`, `log`, `remove`, …
    pub what: String,
    /// The dump, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<String>,
    /// What was asked for: method and path.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
}

/// The file.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(FILE);
        let open = || {
            let mut options = File::options();
            let file = options.append(true).create(true).mode(0o600).open(&path)?;
            let bytes = file.metadata()?.len();
            Ok((file, bytes))
        };
        let (file, bytes) = open().map_err(failed("cannot open", &path))?;
        Ok(Self { path, file, bytes })
    }

    fn append(&mut self, entry: &Audited) -> io::Result<()> {
        if self.bytes >= LARGEST {
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
            let mut options = File::options();
            self.file = options
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&self.path)?;
            self.bytes = 0;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // One write: lines stay whole.
        self.file.write_all(&line)?;
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        Ok(())
    }

    /// So many entries before that place, or the last ones, newest first, with their places.
    fn before(
        &self,
        place: Option<Place>,
        limit: usize,
    ) -> io::Result<Option<Vec<(Place, Audited)>>> {
        let mut found = vec![];
        let mut awaited = place;
        for path in [self.path.clone(), self.path.with_extension("jsonl.1")] {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                file => file?,
            };
            let mut end = file.metadata()?.len();
            if let Some(place) = awaited {
                if !place.is_in(&file)? {
                    continue;
                }
                (end, awaited) = (place.offset, None);
            }
            while end > 0 && found.len() < limit {
                end = read_back(&file, end, limit, &mut found)?;
            }
        }
        Ok(awaited.is_none().then_some(found))
    }
}

/// Where an entry begins. A file may have been put in the place of another since: the time tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    at_ms: i64,
    offset: u64,
}

impl Place {
    fn parse(cursor: &str) -> Option<Self> {
        let (at_ms, offset) = cursor.strip_prefix('a')?.rsplit_once('-')?;
        Some(Self {
            at_ms: at_ms.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }

    fn is_in(self, file: &File) -> io::Result<bool> {
        // Not every number is a place that can be gone to.
        if self.offset >= file.metadata()?.len() {
            return Ok(false);
        }
        let text = read_at(file, self.offset, PIECE)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let entry: Option<Audited> = serde_json::from_slice(line).ok();
        Ok(entry.is_some_and(|entry| entry.at_ms == self.at_ms))
    }
}

/// Adds entries of the piece before `end`, and says where what was read begins.
fn read_back(
    file: &File,
    end: u64,
    limit: usize,
    found: &mut Vec<(Place, Audited)>,
) -> io::Result<u64> {
    let start = end.saturating_sub(PIECE);
    let text = read_at(file, start, end - start)?;
    let mut line_end = text.len();
    while found.len() < limit {
        let line = text.get(..line_end).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let newline = line.iter().rposition(|byte| *byte == b'\n');
        let begin = match newline {
            Some(newline) => newline + 1,
            None if start == 0 => 0,
            // It begins before this piece. One that fills a piece is none of ours.
            None if line_end < text.len() => break,
            None => return Ok(start),
        };
        let offset = start + begin as u64;
        // A line that was cut by a full disk is passed over.
        if let Ok(entry) = serde_json::from_slice::<Audited>(line.get(begin..).unwrap_or_default())
        {
            let at_ms = entry.at_ms;
            found.push((Place { at_ms, offset }, entry));
        }
        line_end = begin;
        if begin == 0 {
            break;
        }
    }
    Ok(start + line_end as u64)
}

fn read_at(mut file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut text = vec![];
    file.take(length).read_to_end(&mut text)?;
    Ok(text)
}

impl Store {
    /// Writes down that somebody took or did something. On the disk when this returns, as far as
    /// the kernel is concerned; a power cut may lose the last ones.
    pub fn audit(&self, entry: &Audited) -> Result<(), StoreError> {
        let mut log = lock(&self.inner.audit);
        let path = log.path.clone();
        log.append(entry).map_err(failed("cannot write", &path))
    }

    /// A page of what was written down, newest first. Entries whose file went since the page
    /// before are a cursor that is not ours any more.
    pub fn audited(&self, page: &PageRequest) -> Result<Page<Audited>, StoreError> {
        let parse = |cursor: &str| Place::parse(cursor).ok_or(StoreError::BadCursor);
        let place = page.cursor.as_deref().map(parse).transpose()?;
        let limit = page.size();
        let log = lock(&self.inner.audit);
        let found = log.before(place, limit + 1);
        let found = found.map_err(failed("cannot read", &log.path))?;
        let mut found = found.ok_or(StoreError::BadCursor)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        Ok(Page {
            next_cursor: last.map(|(place, _)| format!("a{}-{}", place.at_ms, place.offset)),
            items: found.into_iter().map(|(_, entry)| entry).collect(),
            searched_to_ms: None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_are_appended_and_read_newest_first_across_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open(directory.path()).unwrap();
        let entry = |at_ms| Audited {
            at_ms,
            who: "token a\nb".to_owned(),
            ..Audited::default()
        };
        for at_ms in 1..=3 {
            log.append(&entry(at_ms)).unwrap();
        }
        let times = |log: &Log, limit| -> Vec<i64> {
            let found = log.before(None, limit).unwrap().unwrap();
            found.iter().map(|(_, entry)| entry.at_ms).collect()
        };
        assert_eq!(times(&log, 2), [3, 2]);
        log.file.write_all(b"{\"at_ms\": 9, \"wh\n").unwrap();
        log.bytes = LARGEST;
        log.append(&entry(4)).unwrap();
        assert_eq!(times(&log, 10), [4, 3, 2, 1]);
        let mut log = Log::open(directory.path()).unwrap();
        assert_eq!(times(&log, 10), [4, 3, 2, 1]);

        // One after the other, also when the file is put aside in between.
        let (mut place, mut walked) = (None, vec![]);
        while let Some((next, entry)) = log.before(place, 1).unwrap().unwrap().pop() {
            walked.push(entry.at_ms);
            place = Some(next);
            if walked.len() == 1 {
                log.append(&entry).unwrap();
            }
        }
        assert_eq!(walked, [4, 3, 2, 1]);
        log.bytes = LARGEST;
        log.append(&entry(5)).unwrap();
        assert_eq!(log.before(place, 1).unwrap(), None, "its file is gone");
    }

    #[test]
    fn files_larger_than_a_piece_are_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Log::open(directory.path()).unwrap();
        for at_ms in 0..5000 {
            let request = "x".repeat(500);
            let entry = Audited {
                at_ms,
                request,
                ..Audited::default()
            };
            log.append(&entry).unwrap();
        }
        assert!(log.bytes > 2 * PIECE);
        let all = log.before(None, 10_000).unwrap().unwrap();
        let times: Vec<i64> = all.iter().map(|(_, entry)| entry.at_ms).collect();
        assert_eq!(times, (0..5000).rev().collect::<Vec<i64>>());
        assert_eq!(Place::parse("a5--1"), None);
        assert_eq!(Place::parse("d5-1"), None);
    }
}
