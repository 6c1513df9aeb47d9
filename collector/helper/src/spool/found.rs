//! Finds entries in the spool, and finishes those whose helper was killed.

use super::{MAX_RECORD, Owner, PARTIAL_CORE, names};
use crate::bounded::{open_dir, open_dir_at, read_regular_at};
use crate::capture::seekable;
use crate::id::DumpId;
use crate::layout::{CORE, INCOMING, READY, RECORD};
use crate::record::{Kept, Record};
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// An entry as its reader sees it.
#[derive(Debug)]
pub struct SpoolEntry {
    /// The dump.
    pub id: DumpId,
    /// Its directory.
    pub path: PathBuf,
    directory: OwnedFd,
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file is not there, not regular, or too long.
    #[error("the record cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is not a record.
    #[error("the record is not understood")]
    Malformed(#[source] serde_json::Error),
}

impl SpoolEntry {
    /// The entry's record, which must be that of the same dump.
    pub fn read_record(&self) -> Result<Record, RecordError> {
        let record = parse_record(&self.directory)?;
        if record.id == self.id {
            return Ok(record);
        }
        let other = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it names dump {}", record.id),
        );
        Err(RecordError::Unreadable(other))
    }
}

impl SpoolEntry {
    /// Turns the half-written core of a killed helper, if there is one, into the beginning of a
    /// core. A record that cannot be read stays as it is, for the reader to refuse.
    fn salvage_core(&self) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.directory, PARTIAL_CORE, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut file = File::from(file);
        let (Ok(mut record), true) = (self.read_record(), file.metadata()?.is_file()) else {
            return Ok(());
        };
        let stored = seekable::salvage(&mut file)?;
        if stored.raw == 0 {
            return Ok(rustix::fs::unlinkat(
                &self.directory,
                PARTIAL_CORE,
                AtFlags::empty(),
            )?);
        }
        file.sync_all()?;
        rustix::fs::renameat(&self.directory, PARTIAL_CORE, &self.directory, CORE)?;
        let capture = &mut record.capture;
        capture.kept = Kept::Partial;
        capture.truncated = true;
        capture.bytes_seen = stored.raw;
        capture.bytes_kept = stored.raw;
        capture.bytes_stored = stored.file;
        capture.reason = Some(format!(
            "the helper was stopped midway; {} bytes were kept",
            stored.raw
        ));
        self.replace_record(&record)
    }

    /// Adds a sentence to the record's problems; a record that cannot take it stays as it is.
    fn note(&self, problem: String) {
        if let Ok(mut record) = self.read_record() {
            record.problems.push(problem);
            let _ = self.replace_record(&record);
        }
    }

    fn replace_record(&self, record: &Record) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.directory)?;
        let owner = Owner(Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        super::replace_record(&self.directory, record, owner)
    }
}

/// Reads `record.json` in the directory `path`, at most [`MAX_RECORD`] bytes.
pub fn read_record(path: &Path) -> Result<Record, RecordError> {
    parse_record(&open_dir(path).map_err(RecordError::Unreadable)?)
}

fn parse_record(directory: &OwnedFd) -> Result<Record, RecordError> {
    let bytes = read_regular_at(directory, RECORD, MAX_RECORD).map_err(RecordError::Unreadable)?;
    serde_json::from_slice(&bytes).map_err(RecordError::Malformed)
}

/// Complete entries, in no particular order.
pub fn ready_entries(state_dir: &Path) -> io::Result<Vec<SpoolEntry>> {
    entries(&state_dir.join(READY))
}

/// Entries being written and entries left behind by a killed helper: all that have a record.
pub fn incoming_entries(state_dir: &Path) -> io::Result<Vec<SpoolEntry>> {
    let mut entries = entries(&state_dir.join(INCOMING))?;
    // The helper writes the record only once it holds the lock.
    entries.retain(|entry| {
        rustix::fs::statat(&entry.directory, RECORD, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    });
    Ok(entries)
}

/// Incoming entries whose helper is gone. Each is locked until it is dropped.
pub fn abandoned_entries(state_dir: &Path) -> io::Result<Vec<SpoolEntry>> {
    let mut entries = incoming_entries(state_dir)?;
    let lock = FlockOperation::NonBlockingLockExclusive;
    entries.retain(|entry| rustix::fs::flock(&entry.directory, lock).is_ok());
    Ok(entries)
}

/// Moves abandoned entries to the ready ones and says which. Their records say `interrupted`;
/// what a killed helper had written of the core is kept.
pub fn rescue_abandoned(state_dir: &Path) -> io::Result<Vec<DumpId>> {
    let mut rescued = Vec::new();
    for entry in abandoned_entries(state_dir)? {
        if let Err(error) = entry.salvage_core() {
            entry.note(format!(
                "the beginning of the core could not be saved: {error}"
            ));
        }
        let target = state_dir.join(READY).join(entry.id.as_str());
        match std::fs::rename(&entry.path, target) {
            Ok(()) => rescued.push(entry.id),
            // The helper finished between the listing and the lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rescued)
}

/// Directories beneath `path` that are named by a dump id.
fn entries(path: &Path) -> io::Result<Vec<SpoolEntry>> {
    let directory = match open_dir(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let entry = |name: String| {
        let id: DumpId = name.parse().ok()?;
        let entry = open_dir_at(&directory, id.as_str()).ok()?;
        Some(SpoolEntry {
            path: path.join(id.as_str()),
            id,
            directory: entry,
        })
    };
    Ok(names(&directory)?.into_iter().filter_map(entry).collect())
}
