//! Writes a crash into the spool, and finds there what others wrote.
//!
//! The state directory belongs to an unprivileged user and the helper is root, so nothing beneath
//! it is reached by a path that could hold a link: every step is one name from a directory
//! descriptor, every file is created with `O_EXCL`, and changing owners goes by descriptor.
//!
//! While an entry is written its directory is locked (`flock`); the kernel drops the lock when
//! the helper dies, however it dies. `record.json` is only ever replaced as a whole.

mod found;

pub use found::{
    RecordError, SpoolEntry, abandoned_entries, incoming_entries, read_record, ready_entries,
    rescue_abandoned,
};

use crate::bounded::{open_dir, open_dir_at};
use crate::id::DumpId;
use crate::layout::{CORE, INCOMING, MODULES, PRIVATE_MODULES, READY, RECORD};
use crate::record::{Access, Record};
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Longest record a reader accepts, in bytes. The writer leaves things out to stay below it.
pub const MAX_RECORD: usize = 8 << 20;
/// The core while it is being written.
const PARTIAL_CORE: &str = "core.zst.partial";
/// The record while it is being replaced.
const NEW_RECORD: &str = "record.json.new";
/// A module while it is being copied.
const NEW_MODULE: &str = "new";

/// Something beneath the state directory could not be made, read or moved.
#[derive(Debug, thiserror::Error)]
#[error("{action} failed")]
pub struct SpoolError {
    /// What was tried.
    pub action: &'static str,
    /// Why it failed.
    pub source: io::Error,
}

impl SpoolError {
    /// Whether there was no room on the disk, or no right to more of it.
    pub fn is_full_disk(&self) -> bool {
        let kind = self.source.kind();
        matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

fn failed<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> SpoolError {
    move |source| SpoolError {
        action,
        source: source.into(),
    }
}

/// A state directory, opened for writing a crash.
#[derive(Debug)]
pub struct Spool {
    state: OwnedFd,
    incoming: OwnedFd,
    ready: OwnedFd,
    owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner(Uid, Gid);

impl Owner {
    const ROOT: Self = Self(Uid::ROOT, Gid::ROOT);

    /// Gives a file or directory we have just created to the owner of the state directory.
    /// A failure leaves it root's: the crash is still recorded, which is worth more.
    fn take(self, fd: impl AsFd) {
        let _ = rustix::fs::fchown(fd, Some(self.0), Some(self.1));
    }

    /// Opens the directory `name` beneath `parent`, making it if need be.
    fn directory(self, parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => {
                let directory = open_dir_at(&parent, name)?;
                is_our_own(&directory)?;
                self.take(&directory);
                Ok(directory)
            }
            Err(Errno::EXIST) => {
                let directory = open_dir_at(&parent, name)?;
                // Left behind by a helper that was killed before it could give it away.
                if is_our_own(&directory).is_ok() {
                    self.take(&directory);
                }
                Ok(directory)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(self, directory: impl AsFd, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.take(&file);
        Ok(File::from(file))
    }
}

impl Spool {
    /// Opens `state_dir`, making it and what the spool needs beneath it. Its parent must exist.
    pub fn open(state_dir: &Path) -> Result<Self, SpoolError> {
        if !state_dir.is_absolute() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "its path is not absolute");
            return Err(SpoolError {
                action: "opening the state directory",
                source,
            });
        }
        // Errors show when it is opened.
        let _ = rustix::fs::mkdir(state_dir, Mode::RWXU);
        let state = open_dir(state_dir).map_err(failed("opening the state directory"))?;
        let stat = rustix::fs::fstat(&state).map_err(failed("looking at the state directory"))?;
        let owner = Owner(Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let nested = |path: &str| {
            let mut directory = state.try_clone()?;
            for name in path.split('/') {
                directory = owner.directory(&directory, name)?;
            }
            Ok::<_, io::Error>(directory)
        };
        let incoming = nested(INCOMING).map_err(failed("opening the spool"))?;
        let ready = nested(READY).map_err(failed("opening the spool"))?;
        Ok(Self {
            state,
            incoming,
            ready,
            owner,
        })
    }

    /// Makes the locked directory of a new dump.
    pub fn new_entry(self, id: &DumpId) -> Result<Entry, SpoolError> {
        rustix::fs::mkdirat(&self.incoming, id.as_str(), Mode::RWXU)
            .map_err(failed("making the entry"))?;
        match self.open_new(id) {
            Ok(directory) => Ok(Entry {
                memory_owner: self.owner,
                spool: self,
                directory,
                id: id.clone(),
            }),
            Err(error) => {
                // The record may go elsewhere under the same name: this must not be taken for it.
                let _ = rustix::fs::unlinkat(&self.incoming, id.as_str(), AtFlags::REMOVEDIR);
                Err(error)
            }
        }
    }

    fn open_new(&self, id: &DumpId) -> Result<OwnedFd, SpoolError> {
        let directory =
            open_dir_at(&self.incoming, id.as_str()).map_err(failed("opening the entry"))?;
        is_our_own(&directory).map_err(failed("opening the entry"))?;
        // Nobody else looks at an entry without a record, so the lock is free.
        let lock = rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive);
        lock.map_err(failed("locking the entry"))?;
        self.owner.take(&directory);
        Ok(directory)
    }
}

/// The directory of one dump while the helper writes it.
#[derive(Debug)]
pub struct Entry {
    spool: Spool,
    directory: OwnedFd,
    id: DumpId,
    memory_owner: Owner,
}

impl Entry {
    /// Says who may read the memory that is written from now on.
    pub fn restrict_to(&mut self, access: Access) {
        self.memory_owner = match access {
            Access::Readers => self.spool.owner,
            Access::Root => Owner::ROOT,
        };
    }

    /// Writes the first `record.json`: from here a kill of the helper loses nothing. The disk is
    /// told to make it last beside the rest of our work, because the process is held meanwhile.
    pub fn begin_record(&self, record: &Record) -> Result<(), SpoolError> {
        let begun = || -> io::Result<()> {
            let file = put_record(&self.directory, record, self.spool.owner)?;
            let entry = self.directory.try_clone()?;
            let incoming = self.spool.incoming.try_clone()?;
            // An error comes back when the last record is written.
            let sync = move || {
                let _ = file.sync_all();
                let _ = rustix::fs::fsync(entry);
                let _ = rustix::fs::fsync(incoming);
            };
            // Without a thread the last record is the first to last.
            let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(sync);
            Ok(())
        };
        begun().map_err(failed("writing the record"))
    }

    /// Writes `record.json`, in place of an earlier one, and makes it last.
    pub fn write_record(&self, record: &Record) -> Result<(), SpoolError> {
        let written = replace_record(&self.directory, record, self.spool.owner);
        // The entry's own name must last as well, or a power cut takes all of it.
        let written = written.and_then(|()| Ok(rustix::fs::fsync(&self.spool.incoming)?));
        written.map_err(failed("writing the record"))
    }

    /// The file to write the core to; [`Self::keep_core`] gives it its name, so that nobody
    /// takes the core of a killed helper for a whole one.
    pub fn new_core(&self) -> io::Result<File> {
        self.memory_owner.file(&self.directory, PARTIAL_CORE)
    }

    /// A file without a name, for what is needed only until the helper ends.
    pub fn scratch(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, ".", flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(file))
    }

    /// Makes the finished core last, under its name.
    pub fn keep_core(&self, core: &File) -> io::Result<()> {
        core.sync_all()?;
        Ok(rustix::fs::renameat(
            &self.directory,
            PARTIAL_CORE,
            &self.directory,
            CORE,
        )?)
    }

    /// Forgets the core, to make room or because nothing of it was kept.
    pub fn discard_core(&self) {
        self.remove(PARTIAL_CORE);
        self.remove(CORE);
    }

    /// Forgets the modules, to make room.
    pub fn discard_modules(&self) {
        for modules in [MODULES, PRIVATE_MODULES] {
            let Ok(modules) = open_dir_at(&self.directory, modules) else {
                continue;
            };
            for name in names(&modules).unwrap_or_default() {
                let _ = rustix::fs::unlinkat(&modules, name, AtFlags::empty());
            }
        }
    }

    /// Somebody else who can finish the entry when we cannot; `None` without descriptors.
    pub(crate) fn witness(&self) -> Option<Witness> {
        Some(Witness {
            directory: self.directory.try_clone().ok()?,
            owner: self.spool.owner,
        })
    }

    /// Writes a small file beside the record.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.spool.owner.file(&self.directory, name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Bytes an unprivileged user may still write.
    pub fn free_bytes(&self) -> u64 {
        let free = |stat: rustix::fs::StatVfs| stat.f_bavail.saturating_mul(stat.f_frsize);
        rustix::fs::fstatvfs(&self.directory).map_or(0, free)
    }

    /// Whether the module store or this entry has the file with this SHA-256.
    pub fn has_module(&self, sha256: &str) -> bool {
        let there = |directory: io::Result<OwnedFd>| {
            let stat = rustix::fs::statat(directory?, sha256, AtFlags::SYMLINK_NOFOLLOW)?;
            Ok::<_, io::Error>(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
        };
        let stored = || {
            open_dir_at(
                open_dir_at(&self.spool.state, MODULES)?,
                sha256.get(..2).unwrap_or_default(),
            )
        };
        there(stored()).unwrap_or(false)
            || there(open_dir_at(&self.directory, MODULES)).unwrap_or(false)
            || there(open_dir_at(&self.directory, PRIVATE_MODULES)).unwrap_or(false)
    }

    /// A new file among the entry's modules, without a name of its own yet. `public` is whether
    /// everybody could read the file it copies: what only some could is kept as the memory is.
    pub fn new_module(&self, public: bool) -> io::Result<NewModule> {
        let private = !public && self.memory_owner != self.spool.owner;
        let (name, owner) = if private {
            (PRIVATE_MODULES, self.memory_owner)
        } else {
            (MODULES, self.spool.owner)
        };
        let directory = self.spool.owner.directory(&self.directory, name)?;
        let _ = rustix::fs::unlinkat(&directory, NEW_MODULE, AtFlags::empty());
        let file = owner.file(&directory, NEW_MODULE)?;
        Ok(NewModule {
            directory,
            file,
            kept: false,
        })
    }

    /// Hands the entry over: makes it last and moves it to the ready ones.
    pub fn finish(self) -> Result<(), SpoolError> {
        let Self {
            spool,
            directory,
            id,
            memory_owner: _,
        } = self;
        let hand_over = || {
            for modules in [MODULES, PRIVATE_MODULES] {
                if let Ok(modules) = open_dir_at(&directory, modules) {
                    rustix::fs::fsync(modules)?;
                }
            }
            rustix::fs::fsync(&directory)?;
            rustix::fs::renameat(&spool.incoming, id.as_str(), &spool.ready, id.as_str())?;
            rustix::fs::fsync(&spool.ready)?;
            Ok::<_, io::Error>(rustix::fs::fsync(&spool.incoming)?)
        };
        hand_over().map_err(failed("handing the entry over"))
    }

    /// Removes an entry that could not get its record.
    pub fn abandon(self) {
        self.remove(NEW_RECORD);
        self.remove(RECORD);
        let _ = rustix::fs::unlinkat(&self.spool.incoming, self.id.as_str(), AtFlags::REMOVEDIR);
    }

    fn remove(&self, name: &str) {
        // Mostly it was never there.
        let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
    }
}

/// Writes the last record of an entry whose writer is stuck.
#[derive(Debug)]
pub(crate) struct Witness {
    directory: OwnedFd,
    owner: Owner,
}

impl Witness {
    /// Replaces the record and gives the entry free: the daemon takes it as one of a dead helper.
    pub(crate) fn leave(self, record: &Record) {
        // The record that is there is true as well, it only says less.
        let _ = replace_record(&self.directory, record, self.owner);
        // The lock is that of the open directory, which a stuck thread keeps open.
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }
}

/// A module being copied into an entry; removed again unless it is kept.
#[derive(Debug)]
pub struct NewModule {
    directory: OwnedFd,
    file: File,
    kept: bool,
}

impl NewModule {
    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Names the file by its SHA-256.
    pub fn keep_as(&mut self, sha256: &str) -> io::Result<()> {
        self.file.sync_all()?;
        rustix::fs::renameat(&self.directory, NEW_MODULE, &self.directory, sha256)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for NewModule {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::fs::unlinkat(&self.directory, NEW_MODULE, AtFlags::empty());
        }
    }
}

/// Refuses a directory that another user put in the place of the one we have just made: what it
/// holds would become root's word, and changing its owner would be a gift.
fn is_our_own(directory: &OwnedFd) -> io::Result<()> {
    let owner = rustix::fs::fstat(directory)?.st_uid;
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "somebody put another directory in its place",
    ))
}

/// Makes the directory `path`, if it is not there, for the owner of `model`. That those who read
/// `model` can read it as well is all this is for: a failure leaves it root's or not made.
pub fn make_like(path: &Path, model: &Path) {
    let made = rustix::fs::mkdir(path, Mode::RWXU);
    if let (Ok(()), Ok(directory), Ok(stat)) = (made, open_dir(path), rustix::fs::stat(model)) {
        Owner(Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)).take(directory);
    }
}

fn replace_record(directory: &OwnedFd, record: &Record, owner: Owner) -> io::Result<()> {
    let file = new_record(directory, record, owner)?;
    file.sync_all()?;
    rustix::fs::renameat(directory, NEW_RECORD, directory, RECORD)?;
    Ok(rustix::fs::fsync(directory)?)
}

/// The same before anything of it has to last.
fn put_record(directory: &OwnedFd, record: &Record, owner: Owner) -> io::Result<File> {
    let file = new_record(directory, record, owner)?;
    rustix::fs::renameat(directory, NEW_RECORD, directory, RECORD)?;
    Ok(file)
}

fn new_record(directory: &OwnedFd, record: &Record, owner: Owner) -> io::Result<File> {
    let bytes = bounded_json(record)?;
    // Mostly it was never there.
    let _ = rustix::fs::unlinkat(directory, NEW_RECORD, AtFlags::empty());
    let mut file = owner.file(directory, NEW_RECORD)?;
    file.write_all(&bytes)?;
    Ok(file)
}

/// Makes a record smaller.
type LeaveOut = fn(&mut Record);

/// The record as JSON of at most [`MAX_RECORD`] bytes: the bulkiest lists give way first.
fn bounded_json(record: &Record) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record)?;
    let mut record = record.clone();
    let give_way: [(&str, LeaveOut); 5] = [
        ("open files", |record| {
            record.process.open_files = Vec::new();
        }),
        ("environment", |record| {
            record.process.environment = Vec::new();
        }),
        ("arguments", |record| record.process.args = Vec::new()),
        ("labels", |record| {
            record
                .container
                .iter_mut()
                .for_each(|container| container.labels = BTreeMap::new());
        }),
        ("modules beyond the first 512", |record| {
            record.modules.truncate(512);
        }),
    ];
    for (what, leave_out) in give_way {
        if bytes.len() <= MAX_RECORD {
            break;
        }
        leave_out(&mut record);
        record.problems.push(format!(
            "the record was too large: its {what} were left out"
        ));
        bytes = serde_json::to_vec_pretty(&record)?;
    }
    Ok(bytes)
}

fn names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        names.extend(
            entry?
                .file_name()
                .to_str()
                .ok()
                .filter(|name| !name.starts_with('.'))
                .map(str::to_owned),
        );
    }
    Ok(names)
}
