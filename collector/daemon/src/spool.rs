//! The spool as files: entries of dead helpers are adopted, unreadable ones put aside. Nothing
//! here is deleted.

use crate::daemon::chain;
use crate::status::now_ms;
use aground_helper::bounded::open_dir;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{
    Capture, CaptureState, Host, Kept, KernelFacts, Process, RECORD_SCHEMA, Record, Signal,
};
use aground_helper::spool::{ready_entries, rescue_abandoned};
use rustix::fs::{FlockOperation, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What could not be taken in, below the state directory.
const REJECTED: &str = "spool/rejected";
/// Why, in each directory there.
const REASON: &str = "reason.txt";
/// So many rejected entries are listed.
const SHOWN_REJECTED: usize = 100;
/// Said of a capture whose helper was killed.
const INTERRUPTED: &str = "the capture was interrupted: the helper died before it ended";
/// A helper has locked its entry and written its record long before it is this old.
const SETTLED: Duration = Duration::from_secs(10);

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

/// Moves what dead helpers left in `incoming` to `ready`. A living helper holds a lock on its
/// entry, so whoever gets that lock may take it.
pub(crate) fn adopt_orphans(state_dir: &Path) {
    match rescue_abandoned(state_dir) {
        Ok(adopted) => adopted
            .iter()
            .for_each(|id| tracing::warn!(dump = %id, "{INTERRUPTED}; taking in what it wrote")),
        Err(error) => tracing::warn!(
            error = chain(&error),
            "could not adopt interrupted captures"
        ),
    }
    let ready = state_dir.join(layout::READY);
    for entry in entries(&state_dir.join(layout::INCOMING)) {
        if let Err(error) = adopt_recordless(&entry, &ready) {
            tracing::warn!(entry = %entry.display(), error = chain(&error), "could not adopt an interrupted capture");
        }
    }
}

/// An entry without a record is one that is just being made, unless it is old.
fn adopt_recordless(entry: &Path, ready: &Path) -> io::Result<()> {
    let (Some(name), Ok(metadata)) = (entry.file_name(), fs::symlink_metadata(entry)) else {
        return Ok(());
    };
    if !metadata.is_dir() || !is_settled(&metadata) || entry.join(layout::RECORD).exists() {
        return Ok(());
    }
    let directory = match open_dir(entry) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return adopt_roots(entry, &ready.join(name));
        }
        directory => directory?,
    };
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => fs::rename(entry, ready.join(name)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A helper that was killed the moment it had made its entry leaves an empty directory of root's,
/// which we can only remove: all that is known of the crash is that there was one.
fn adopt_roots(entry: &Path, target: &Path) -> io::Result<()> {
    let name = entry.file_name().and_then(|name| name.to_str());
    let id = name.and_then(|name| name.parse::<DumpId>().ok());
    let id = id.ok_or(io::ErrorKind::InvalidData)?;
    let record = bare_record(&id, entry, "the helper was killed before it wrote a record");
    make_directory(target)?;
    write_record(target, &record)?;
    fs::remove_dir(entry)
}

fn is_settled(metadata: &fs::Metadata) -> bool {
    let age = metadata
        .modified()
        .ok()
        .and_then(|modified| modified.elapsed().ok());
    // A time in the future says nothing; the lock alone decides then.
    age.is_none_or(|age| age >= SETTLED)
}

/// Takes the records the helper could only leave in the fallback directory (the state directory
/// could not be written then) into the spool. Another file system: copied, then removed there.
pub(crate) fn fetch_fallback(
    state_dir: &Path,
    is_known: impl Fn(&DumpId) -> bool,
) -> io::Result<()> {
    let fallback = layout::fallback_dir(state_dir);
    if !fallback.exists() {
        return Ok(());
    }
    rescue_abandoned(&fallback)?;
    for entry in ready_entries(&fallback)? {
        if !is_known(&entry.id) {
            let Ok(record) = entry.read_record() else {
                tracing::error!(dump = %entry.id, "a record in {} cannot be read", fallback.display());
                continue;
            };
            let copy = state_dir.join(layout::READY).join(entry.id.as_str());
            make_directory(&copy)?;
            write_record(&copy, &record)?;
        }
        fs::remove_dir_all(&entry.path)?;
    }
    Ok(())
}

/// Reads the record in an entry, or says in one line why that cannot be.
pub(crate) fn read_record(entry: &Path, id: &DumpId) -> Result<Record, String> {
    let record = aground_helper::spool::read_record(entry).map_err(|error| chain(&error))?;
    if record.id == *id {
        Ok(record)
    } else {
        Err(format!("the record is that of dump {}", record.id))
    }
}

/// Says in the record of an interrupted capture what became of its memory.
/// Returns whether anything changed.
pub(crate) fn complete_interrupted(record: &mut Record, entry: &Path) -> bool {
    let core = fs::symlink_metadata(entry.join(layout::CORE));
    let missing = core.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if missing && record.capture.kept != Kept::None {
        // The disk took neither the record without it nor, before, the core for good.
        record.capture.kept = Kept::None;
        (record.capture.bytes_kept, record.capture.bytes_stored) = (0, 0);
        record.capture.reason = Some("the core gave way on a disk that failed".to_owned());
        return true;
    }
    if record.capture.state == CaptureState::Complete || record.capture.kept != Kept::None {
        return false;
    }
    // A core gets this name when all of it was written; one that was cut is the helper's to mend.
    let length = fs::symlink_metadata(entry.join(layout::CORE)).map_or(0, |file| file.len());
    if length == 0 {
        return false;
    }
    record.capture.kept = Kept::Partial;
    record.capture.bytes_stored = length;
    record.capture.reason = Some(INTERRUPTED.to_owned());
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
        context: aground_helper::record::Context::default(),
        host: Host::default(),
        capture: Capture::default(),
        modules: vec![],
        debug_files: vec![],
        imported: None,
        problems: vec![format!(
            "{problem}; the time is that of the spool entry, nothing else is known"
        )],
    }
}

/// Writes a record in place of the one in an entry, whole or not at all.
pub(crate) fn write_record(entry: &Path, record: &Record) -> io::Result<()> {
    let beside = entry.join("record.json.new");
    // Of a helper that was killed: perhaps still root's, which we may remove but not write to.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
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

fn open_no_follow(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    File::options()
        .read(true)
        .custom_flags(i32::try_from(flags).map_err(io::Error::other)?)
        .open(path)
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
