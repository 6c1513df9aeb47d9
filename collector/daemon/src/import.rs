//! Makes dumps of cores that people hand in: a stream of bytes into a process of its own
//! (`aground-import`), what it says into a record, and that into the store.
//!
//! A dump's id is the beginning of its core's SHA-256, so that a core handed in twice is one dump.

pub mod claims;
mod watch;

pub use claims::Claims;
pub(crate) use watch::run as watch;

use crate::daemon::{Daemon, Event, Inner, blocking};
use crate::spool;
use crate::status::now_ms;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::text::escape_bytes;
use aground_import::Imported;
use aground_import::worker::NOT_STORED;
use aground_store::StoreError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Cores taken in at the same time; others wait.
pub(crate) const AT_ONCE: usize = 2;
/// How long the next bytes may take to come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds of processor time that unpacking a core may take.
const SECONDS: u64 = 3600;
/// The most of the worker's answer that is read, bytes: 4,096 paths of `PATH_MAX`, and more.
const ANSWER_LIMIT: u64 = 32 << 20;

/// A core that was handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The dump's id.
    pub id: DumpId,
    /// Whether it was not there before.
    pub new: bool,
    /// What it lacks, a sentence; `None` when it is whole.
    pub lacks: Option<String>,
}

/// Why a core was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is none, or none that could be read.
    #[error("{0}")]
    NotACore(String),
    /// It holds no symbols that could be used.
    #[error("{0}")]
    NotSymbols(String),
    /// The disk, less what is kept free, has no room for it.
    #[error("there is no room for it: {0} bytes may still be written")]
    NoRoom(u64),
    /// The bytes stopped coming.
    #[error("the bytes stopped coming: {0}")]
    Broken(String),
    /// The service failed.
    #[error("cannot import")]
    Io(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service stops.
    #[error("the service stops")]
    Stopped,
}

impl Daemon {
    /// Takes in a core: ELF, plain or compressed with gzip, xz, zstd or lz4.
    pub async fn import<E: std::fmt::Display>(
        &self,
        claims: Claims,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Import, ImportError> {
        import(&self.inner, claims, bytes).await
    }
}

async fn import<E: std::fmt::Display>(
    daemon: &Arc<Inner>,
    claims: Claims,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Import, ImportError> {
    let _turn = daemon.importing.acquire().await;
    let inner = Arc::clone(daemon);
    let entry = blocking("make room for a core", move || Entry::new(&inner)).await;
    let entry = entry.unwrap_or(Err(ImportError::Stopped))?;
    let worker = start(daemon, &entry)?;
    let imported = tokio::select! {
        () = daemon.stopped() => Err(ImportError::Stopped),
        imported = converse(worker, bytes, entry.budget) => imported,
    }?;
    let inner = Arc::clone(daemon);
    blocking("store a core", move || {
        keep(&inner, &entry, &claims, &imported)
    })
    .await
    .unwrap_or(Err(ImportError::Stopped))
}

/// The directory of a core, or of symbols, that are being taken in; gone when dropped, unless it became a dump.
pub(crate) struct Entry {
    path: PathBuf,
    /// Bytes the core may take on disk.
    pub(crate) budget: u64,
}

impl Entry {
    pub(crate) fn new(daemon: &Inner) -> Result<Self, ImportError> {
        let (disk, free) = daemon.store.disk()?;
        let keep_free = daemon.config.retention.limits(disk).min_free;
        let budget = free.saturating_sub(keep_free);
        if budget == 0 {
            return Err(ImportError::NoRoom(0));
        }
        let path = free_name(&daemon.config.state_dir.join(layout::IMPORTING))?;
        Ok(Self { path, budget })
    }

    /// Where its one file is.
    pub(crate) fn core_path(&self) -> PathBuf {
        self.path.join(layout::CORE)
    }

    /// Opens the file to read.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(self.core_path())
    }

    pub(crate) fn core(&self) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.core_path())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The next start looks again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what a daemon that was killed left of cores it took in.
pub(crate) fn forget_unfinished(state_dir: &Path) {
    for entry in spool::entries(&state_dir.join(layout::IMPORTING)) {
        if let Err(error) = fs::remove_dir_all(&entry) {
            tracing::warn!(%error, entry = %entry.display(), "cannot remove what is left of an import");
        }
    }
}

fn free_name(directory: &Path) -> io::Result<PathBuf> {
    for number in 0..1000 {
        let path = directory.join(number.to_string());
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::Error::other("too many imports"))
}

fn start(daemon: &Inner, entry: &Entry) -> io::Result<Child> {
    let program = std::env::current_exe()?.with_file_name("aground-import");
    Command::new(program)
        .args([
            daemon.config.analysis_memory.to_string(),
            SECONDS.to_string(),
            entry.budget.to_string(),
            std::process::id().to_string(),
        ])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(entry.core()?)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Gives the worker the bytes and returns its answer. A worker that has seen enough closes its
/// end; the answer says why.
async fn converse<E: std::fmt::Display>(
    mut worker: Child,
    bytes: impl Stream<Item = Result<Bytes, E>>,
    budget: u64,
) -> Result<Imported, ImportError> {
    let (Some(mut input), Some(output)) = (worker.stdin.take(), worker.stderr.take()) else {
        return Err(ImportError::Stopped);
    };
    let fed = async {
        let mut bytes = pin!(bytes);
        loop {
            let piece = match timeout(PATIENCE, bytes.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(ImportError::Broken(error.to_string())),
                Err(_) => return Err(ImportError::Broken("none came for a minute".to_owned())),
            };
            match input.write_all(&piece).await {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                other => other?,
            }
        }
        drop(input);
        Ok(())
    };
    let answered = async {
        let mut answer = vec![];
        output.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let ((), answer) = tokio::try_join!(fed, answered)?;
    let status = worker.wait().await?;
    if status.success() {
        return serde_json::from_slice(&answer).map_err(|error| io::Error::from(error).into());
    }
    let answer = escape_bytes(answer.trim_ascii(), 500);
    if status.code() == Some(NOT_STORED.into()) {
        tracing::warn!(why = answer, "a core could not be stored");
        return Err(ImportError::NoRoom(budget));
    }
    if status.code().is_none() {
        return Err(ImportError::NotACore(format!(
            "reading it was ended ({status}): it took too much time or memory"
        )));
    }
    Err(ImportError::NotACore(answer))
}

/// Makes a dump of the stored core.
fn keep(
    daemon: &Inner,
    entry: &Entry,
    claims: &Claims,
    imported: &Imported,
) -> Result<Import, ImportError> {
    let id: DumpId = imported
        .sha256
        .get(..DumpId::LENGTH)
        .unwrap_or_default()
        .parse()
        .map_err(io::Error::other)?;
    let record = claims.record(id.clone(), imported, now_ms());
    let lacks = record.capture.reason.clone();
    let new = !daemon.store.contains(&id)?;
    if new {
        spool::write_record(&entry.path, &record)?;
        entry.open()?.sync_all()?;
        daemon.store.admit(&record, &entry.path)?;
        tracing::info!(dump = %id, file = claims.file, signal = record.signal.name, process = record.process.name, "core imported");
        daemon.tell(Event::Dump { id: id.to_string() });
        daemon.work.notify_one();
        daemon.retain.notify_one();
    }
    Ok(Import { id, new, lacks })
}
