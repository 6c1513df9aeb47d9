//! Keeps who took what: `audit.jsonl` in the state directory, one line each, only ever appended to.
//!
//! A file that has grown to [`LARGEST`] becomes `audit.jsonl.1`, in the place of the one before.

use crate::database::lock;
use crate::files::failed;
use crate::store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE: &str = "audit.jsonl";
/// Bytes after which a new file is begun: some 200,000 lines.
const LARGEST: u64 = 64 << 20;
/// The most of a file that is read for one answer, from its end.
const MOST_READ: u64 = 8 << 20;

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

    /// The last entries, newest first.
    fn last(&self, limit: usize) -> io::Result<Vec<Audited>> {
        let mut found = vec![];
        for path in [self.path.clone(), self.path.with_extension("jsonl.1")] {
            let text = match tail(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                text => text?,
            };
            let lines = text.split(|byte| *byte == b'\n').rev();
            // A line that was cut by a full disk is passed over.
            let entries = lines.filter_map(|line| serde_json::from_slice(line).ok());
            found.extend(entries.take(limit.saturating_sub(found.len())));
        }
        Ok(found)
    }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(MOST_READ);
    file.seek(SeekFrom::Start(from))?;
    let mut text = vec![];
    file.take(MOST_READ).read_to_end(&mut text)?;
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

    /// What was written down last, newest first.
    pub fn audited(&self, limit: usize) -> Result<Vec<Audited>, StoreError> {
        let log = lock(&self.inner.audit);
        log.last(limit).map_err(failed("cannot read", &log.path))
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
            log.last(limit)
                .unwrap()
                .iter()
                .map(|entry| entry.at_ms)
                .collect()
        };
        assert_eq!(times(&log, 2), [3, 2]);
        log.file.write_all(b"{\"at_ms\": 9, \"wh\n").unwrap();
        log.bytes = LARGEST;
        log.append(&entry(4)).unwrap();
        assert_eq!(times(&log, 10), [4, 3, 2, 1]);
        let log = Log::open(directory.path()).unwrap();
        assert_eq!(times(&log, 10), [4, 3, 2, 1]);
    }
}
