//! Keeps the changes of groups in a file beside the database, a line of JSON each, so that what
//! people entered outlives the database.
//!
//! The database is written first. Whichever of the two is behind is brought up to the other when
//! the store opens; between two changes that is at most the last few lines.

use super::change::Entry;
use crate::files::{self, failed};
use crate::store::StoreError;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file, open for appending.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// The number of its last line.
    last: i64,
}

impl Journal {
    /// Opens it and reads what it holds. A last line that was cut short is dropped; a line in the
    /// middle that cannot be read is passed over and told in the log.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Entry>), StoreError> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("cannot open", path))?;
        let mut entries: Vec<Entry> = vec![];
        let mut whole = 0_u64;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader
                .read_until(b'\n', &mut line)
                .map_err(failed("cannot read", path))?;
            if read == 0 || !line.ends_with(b"\n") {
                break;
            }
            whole = whole.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "passed over a change of a group that cannot be read");
                }
            }
        }
        file.set_len(whole).map_err(failed("cannot mend", path))?;
        file.seek(SeekFrom::End(0))
            .map_err(failed("cannot read", path))?;
        path.parent().map_or(Ok(()), files::sync_directory)?;
        let last = entries.iter().map(|entry| entry.sequence).max();
        let journal = Self {
            path: path.to_owned(),
            file,
            last: last.unwrap_or(0),
        };
        Ok((journal, entries))
    }

    /// The number of its last line.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Appends what it does not hold yet, in order; on the disk when this returns.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut text = Vec::new();
        let new = entries.iter().filter(|entry| entry.sequence > self.last);
        let mut last = self.last;
        for entry in new {
            serde_json::to_writer(&mut text, entry)
                .map_err(io::Error::from)
                .map_err(failed("cannot write", &self.path))?;
            text.push(b'\n');
            last = entry.sequence;
        }
        let length = self
            .file
            .metadata()
            .map_err(failed("cannot look at", &self.path))?
            .len();
        let write = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = write {
            // Half a line would spoil the next.
            let _ = self.file.set_len(length);
            return Err(failed("cannot write", &self.path)(error));
        }
        self.last = last;
        Ok(())
    }
}
