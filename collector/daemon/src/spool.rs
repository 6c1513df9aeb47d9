//! The spool as files: entries of dead helpers are adopted, unreadable ones put aside. Nothing
//! here is deleted.

use crate::daemon::chain;
use crate::status::now_ms;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{
    Capture, CaptureState, Host, Kept, KernelFacts, Process, RECORD_SCHEMA, Record, Signal,
};
use rustix::fs::{FlockOperation, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What could not be taken in, below the state directory.
const REJECTED: &str = "spool/rejected";
/// Why, in each directory there.
const REASON: &str = "reason.txt";
/// The most of a record that is read, bytes; helpers write a few hundred kilobytes at most.
const RECORD_LIMIT: u64 = 16 << 20;
/// So many rejected entries are listed.
const SHOWN_REJECTED: usize = 100;
/// A helper has locked its entry long before it is this old.
const SETTLED: Duration = Duration::from_secs(3);

/// The directories in a directory, by name; none when it cannot be read.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return vec![];
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    paths
}

/// Moves what a dead helper left in `incoming` to `ready`. A living helper holds a lock on its
/// entry, so whoever gets that lock may take it. Returns how many entries moved.
pub(crate) fn adopt_orphans(state_dir: &Path) -> usize {
    let ready = state_dir.join(layout::READY);
    let adopt = |entry: &PathBuf| match adopt(entry, &ready) {
        Ok(adopted) => adopted,
        Err(error) => {
            tracing::warn!(entry = %entry.display(), error = chain(&error), "could not adopt an interrupted capture");
            false
        }
    };
    entries(&state_dir.join(layout::INCOMING))
        .iter()
        .filter(|entry| adopt(entry))
        .count()
}

fn adopt(entry: &Path, ready: &Path) -> io::Result<bool> {
    let Some(name) = entry.file_name() else {
        return Ok(false);
    };
    let metadata = fs::symlink_metadata(entry)?;
    if !metadata.is_dir() || !is_settled(&metadata) {
        return Ok(false);
    }
    // Held until the entry has moved.
    let Some(_locks) = lock_entry(entry)? else {
        return Ok(false);
    };
    tracing::warn!(dump = %name.to_string_lossy(), "the helper died during this capture; taking in what it wrote");
    fs::rename(entry, ready.join(name))?;
    Ok(true)
}

fn is_settled(metadata: &fs::Metadata) -> bool {
    let modified = SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(metadata.mtime().max(0).unsigned_abs()));
    let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    // A time in the future says nothing; the lock alone decides then.
    age.is_none_or(|age| age >= SETTLED)
}

/// Locks an entry's directory and its record; `None` when its helper lives.
fn lock_entry(entry: &Path) -> io::Result<Option<Vec<File>>> {
    let mut held = vec![];
    for path in [entry.to_owned(), entry.join(layout::RECORD)] {
        let file = match open_no_follow(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => held.push(file),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Some(held))
}

fn open_no_follow(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    File::options()
        .read(true)
        .custom_flags(i32::try_from(flags).map_err(io::Error::other)?)
        .open(path)
}

/// Why an entry's record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("cannot read record.json")]
    Read(#[source] io::Error),
    #[error("record.json is not a record")]
    Parse(#[source] serde_json::Error),
    #[error("record.json is larger than {RECORD_LIMIT} bytes")]
    TooLarge,
    #[error("record.json is of another dump ({0})")]
    OtherDump(DumpId),
}

/// Reads the record of the entry of a dump. What the helper could not finish is made good.
pub(crate) fn read_record(entry: &Path, id: &DumpId) -> Result<Record, RecordError> {
    let mut bytes = vec![];
    let file = open_no_follow(&entry.join(layout::RECORD)).map_err(RecordError::Read)?;
    file.take(RECORD_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(RecordError::Read)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > RECORD_LIMIT) {
        return Err(RecordError::TooLarge);
    }
    let record: Record = serde_json::from_slice(&bytes).map_err(RecordError::Parse)?;
    if record.id == *id {
        Ok(record)
    } else {
        Err(RecordError::OtherDump(record.id))
    }
}

/// Says in the record of an interrupted capture what became of its memory.
/// Returns whether anything changed.
pub(crate) fn complete_interrupted(record: &mut Record, entry: &Path) -> bool {
    const REASON: &str = "the capture was interrupted: the helper was killed before it ended";
    if record.capture.state == CaptureState::Complete || record.capture.reason.is_some() {
        return false;
    }
    record.capture.reason = Some(REASON.to_owned());
    let core = fs::symlink_metadata(entry.join(layout::CORE)).map_or(0, |file| file.len());
    if core > 0 && record.capture.kept == Kept::None {
        record.capture.kept = Kept::Partial;
    }
    if core > 0 {
        record.capture.truncated = true;
        record.capture.bytes_stored = core;
    }
    true
}

/// What is known of a crash whose record cannot be read: its id and about when it happened.
pub(crate) fn bare_record(id: &DumpId, entry: &Path, problem: &str) -> Record {
    let modified =
        fs::symlink_metadata(entry).map(|metadata| metadata.mtime().saturating_mul(1000));
    let unknown = Signal {
        number: 0,
        name: "unknown".to_owned(),
    };
    let capture = Capture {
        state: CaptureState::Interrupted,
        kept: Kept::None,
        reason: None,
        hold_us: None,
        core_size: None,
        bytes_seen: 0,
        bytes_kept: 0,
        bytes_stored: 0,
        truncated: false,
    };
    Record {
        schema: RECORD_SCHEMA,
        id: id.clone(),
        captured_at_ms: modified.unwrap_or_else(|_| now_ms()),
        signal: unknown,
        kernel: KernelFacts::default(),
        process: Process {
            name: "unknown".to_owned(),
            ..Process::default()
        },
        container: None,
        unit: None,
        host: Host::default(),
        capture,
        modules: vec![],
        problems: vec![format!(
            "{problem}; the time is that of the spool entry, nothing else is known"
        )],
    }
}

/// Writes a record in place of the one in an entry, whole or not at all.
pub(crate) fn write_record(entry: &Path, record: &Record) -> io::Result<()> {
    let beside = entry.join("record.json.new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(&beside, entry.join(layout::RECORD))?;
    File::open(entry)?.sync_all()
}

/// Puts the unreadable record of a dump aside, so that the rest of the entry can be taken in.
pub(crate) fn reject_record(
    state_dir: &Path,
    entry: &Path,
    id: &DumpId,
    reason: &str,
) -> io::Result<()> {
    let aside = free_name(&state_dir.join(REJECTED), id.as_str())?;
    make_directory(&aside)?;
    fs::write(aside.join(REASON), reason)?;
    match fs::rename(entry.join(layout::RECORD), aside.join(layout::RECORD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Puts a whole entry aside.
pub(crate) fn reject_entry(state_dir: &Path, entry: &Path, reason: &str) -> io::Result<()> {
    let name = entry
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let aside = free_name(&state_dir.join(REJECTED), &name)?;
    make_directory(&aside)?;
    fs::write(aside.join(REASON), reason)?;
    fs::rename(entry, aside.join("entry"))
}

/// A path in the directory that nothing has yet. Names come from a directory listing, so they
/// are single components; long ones are cut to leave room for a number.
fn free_name(directory: &Path, name: &str) -> io::Result<PathBuf> {
    make_directory(directory)?;
    let name = name.get(..name.floor_char_boundary(200)).unwrap_or(name);
    let numbered = (1..1000).map(|number| directory.join(format!("{name}.{number}")));
    let mut names = std::iter::once(directory.join(name)).chain(numbered);
    names
        .find(|path| fs::symlink_metadata(path).is_err())
        .ok_or_else(|| io::Error::other("too many of that name"))
}

fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// What was put aside, and why.
pub(crate) fn rejected(state_dir: &Path) -> Vec<(String, String)> {
    let told = |entry: PathBuf| {
        let name = entry.file_name()?.to_string_lossy().into_owned();
        let mut reason = String::new();
        let file = open_no_follow(&entry.join(REASON)).ok()?;
        file.take(1000).read_to_string(&mut reason).ok()?;
        Some((name, reason))
    };
    entries(&state_dir.join(REJECTED))
        .into_iter()
        .filter_map(told)
        .take(SHOWN_REJECTED)
        .collect()
}
