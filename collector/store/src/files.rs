//! The files below the state directory: where they are, and how they are written so that a kill
//! or a power cut never leaves half of one.

use crate::store::StoreError;
use aground_helper::id::DumpId;
use aground_helper::layout;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Dumps on their way out, below the state directory.
const TRASH: &str = "trash";
/// The file whose lock says that a daemon runs here.
const LOCK: &str = "lock";
/// Why the analysis of a dump failed, beside its record, so that the database can be rebuilt.
pub(crate) const FAILURE: &str = "analysis-error.txt";
/// The most of any JSON file that is read into memory, bytes. Reports are bounded to 64 MiB.
const JSON_LIMIT: u64 = 64 << 20;
/// Files that are synced side by side.
const SYNCED_TOGETHER: usize = 16;

/// The state directory.
pub(crate) struct Files {
    pub(crate) root: PathBuf,
}

impl Files {
    /// Makes what is missing of the directories and takes the lock.
    pub(crate) fn open(root: &Path) -> Result<(Self, File), StoreError> {
        let files = Self {
            root: root.to_owned(),
        };
        for below in [
            "",
            layout::INCOMING,
            layout::READY,
            layout::DUMPS,
            layout::IMPORTING,
            layout::MODULES,
            layout::SYMBOLS,
            layout::NAMES,
            TRASH,
        ] {
            make_directory(&root.join(below))?;
        }
        let lock = files.lock()?;
        Ok((files, lock))
    }

    fn lock(&self) -> Result<File, StoreError> {
        let path = self.root.join(LOCK);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("cannot open", &path))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy(self.root.clone())),
            Err(errno) => Err(failed("cannot lock", &path)(errno.into())),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join(layout::DATABASE)
    }

    pub(crate) fn dumps(&self) -> PathBuf {
        self.root.join(layout::DUMPS)
    }

    pub(crate) fn dump(&self, id: &DumpId) -> PathBuf {
        self.dumps().join(id.as_str())
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join(TRASH)
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join(layout::MODULES)
    }

    /// Bytes of the file system, and how many of them we may still write.
    pub(crate) fn disk(&self) -> Result<(u64, u64), StoreError> {
        let system = rustix::fs::statvfs(&self.root)
            .map_err(|errno| failed("cannot look at", &self.root)(errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok((bytes(system.f_blocks), bytes(system.f_bavail)))
    }

    /// The directories of entries the helper writes and has written.
    pub(crate) fn spool(&self) -> [PathBuf; 2] {
        [
            self.root.join(layout::INCOMING),
            self.root.join(layout::READY),
        ]
    }
}

/// Wraps an I/O error with what was tried on what.
pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Makes a directory only its owner may enter; one that exists is left as it is.
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("cannot make", path))
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("cannot sync", path))
}

/// Opens a regular file without following a link and without waiting on a FIFO.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Opens a regular file; `None` when there is nothing of that name.
pub(crate) fn open_optional(path: &Path) -> Result<Option<File>, StoreError> {
    match open_regular(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("cannot open", path)(error)),
    }
}

/// Reads a JSON file; `None` when there is nothing of that name.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, StoreError> {
    let Some(bytes) = read_bounded(path, JSON_LIMIT)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes)
        .map_err(io::Error::from)
        .map_err(failed("cannot read", path))?;
    Ok(Some(value))
}

/// The first `limit` bytes of a file; `None` when there is nothing of that name.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = open_optional(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(failed("cannot read", path))?;
    Ok(Some(bytes))
}

/// Writes a file whole or not at all: beside it, synced, then renamed over it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_all_whole(&[(path.to_owned(), bytes)])
}

/// The same for several files, each whole or not at all.
pub(crate) fn write_all_whole(files: &[(PathBuf, impl AsRef<[u8]>)]) -> Result<(), StoreError> {
    let mut written = vec![];
    for (path, bytes) in files {
        let beside = path.with_extension("new");
        let write = || -> io::Result<File> {
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(bytes.as_ref())?;
            Ok(file)
        };
        let file = write().map_err(failed("cannot write", path))?;
        written.push((file, path.clone()));
    }
    sync_together(&written)?;
    for (path, _) in files {
        fs::rename(path.with_extension("new"), path).map_err(failed("cannot write", path))?;
    }
    sync_directories(files.iter().filter_map(|(path, _)| path.parent()))
}

/// Makes the names in directories survive a power cut; each is synced once.
pub(crate) fn sync_directories<'a>(
    paths: impl Iterator<Item = &'a Path>,
) -> Result<(), StoreError> {
    let open = |path: &Path| {
        let directory = File::open(path).map_err(failed("cannot sync", path))?;
        Ok((directory, path.to_owned()))
    };
    let paths: BTreeSet<&Path> = paths.collect();
    let opened = paths
        .into_iter()
        .map(open)
        .collect::<Result<Vec<_>, StoreError>>()?;
    sync_together(&opened)
}

/// Syncs files side by side: a file system writes its journal once for all who wait for it.
fn sync_together(files: &[(File, PathBuf)]) -> Result<(), StoreError> {
    let sync = |(file, path): &(File, PathBuf)| -> Result<(), StoreError> {
        file.sync_all().map_err(failed("cannot sync", path))
    };
    if let [one] = files {
        return sync(one);
    }
    for together in files.chunks(SYNCED_TOGETHER) {
        std::thread::scope(|scope| {
            let waiting: Vec<_> = together
                .iter()
                .map(|file| scope.spawn(move || sync(file)))
                .collect();
            let panicked = |_| failed("cannot sync", Path::new(""))(io::ErrorKind::Other.into());
            waiting
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(panicked)?)
        })?;
    }
    Ok(())
}

/// Removes a file or says why not; one that is already gone is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), StoreError> {
    gone(fs::remove_file(path)).map_err(failed("cannot remove", path))
}

/// Removes a directory with everything in it; one that is already gone is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    gone(fs::remove_dir_all(path)).map_err(failed("cannot remove", path))
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The bytes of the regular files directly in a directory.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(fs::Metadata::is_file)
        .fold(0_u64, |sum, file| sum.saturating_add(file.len()))
}

/// An error with everything that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
