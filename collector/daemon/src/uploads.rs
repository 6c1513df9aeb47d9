//! Keeps files that come piece by piece until somebody says what they are: large cores and symbols
//! over lines that break.
//!
//! A directory for each below `uploads` in the state directory, with what was said of it and the
//! bytes that came. The length of the file is how far it is, so that a daemon that was killed goes
//! on from there. What nobody went on with for a day is removed.

mod turns;

use crate::daemon::{Daemon, Inner, blocking};
use crate::import::PATIENCE;
use crate::spool;
use crate::status::now_ms;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
pub(crate) use turns::Turns;

const DIRECTORY: &str = "uploads";
const ABOUT: &str = "about.json";
const BYTES: &str = "bytes";
/// What nobody went on with for so long is removed.
const LIVES: Duration = Duration::from_hours(24);
/// How often is looked for such.
const EVERY: Duration = Duration::from_mins(10);
/// More unfinished ones at a time are a mistake.
const MOST: usize = 100;
/// The longest text that may be said of one, bytes.
const LONGEST: usize = 4096;

/// A file that comes piece by piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Names it: 32 hexadecimal digits.
    pub id: String,
    /// Bytes when it is whole.
    pub length: u64,
    /// Bytes that came.
    #[serde(default)]
    pub offset: u64,
    /// What was said of it, as it was said.
    pub metadata: String,
    /// When it was begun, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// When it is removed unless more comes.
    #[serde(default)]
    pub expires_at_ms: i64,
}

/// What lies beside the bytes.
#[derive(Serialize, Deserialize)]
struct About {
    /// Who may go on with it.
    owner: String,
    #[serde(flatten)]
    upload: Upload,
}

/// Why bytes were not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It was never there, is another's, was finished, or nobody went on with it for a day.
    #[error("there is no such upload: it was finished, or forgotten after a day")]
    NotFound,
    /// The bytes do not follow those that came.
    #[error("{0} bytes of it have come: go on there")]
    Elsewhere(u64),
    /// More bytes came than it was said to have.
    #[error("it has more bytes than the {0} that it was said to have")]
    TooMany(u64),
    /// It is not whole.
    #[error("only {0} of its {1} bytes have come")]
    Unfinished(u64, u64),
    /// The disk, less what is kept free and what other uploads need, has no room for it.
    #[error("there is no room for it: {0} bytes may still be taken")]
    NoRoom(u64),
    /// There are too many, or too much was said of it.
    #[error("{0}")]
    Refused(String),
    /// The bytes stopped coming.
    #[error("the bytes stopped coming: {0}")]
    Broken(String),
    /// The service failed.
    #[error("cannot keep an upload")]
    Io(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] aground_store::StoreError),
    /// The service stops.
    #[error("the service stops")]
    Stopped,
}

/// An upload that is whole; nobody else touches it meanwhile.
pub struct Whole {
    directory: PathBuf,
    _turn: turns::Turn,
}

impl Whole {
    /// Its bytes.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.directory.join(BYTES))
    }

    /// Removes it: it became what it was for, or never will.
    pub fn done(self) {
        remove(&self.directory);
    }
}

impl Daemon {
    /// Begins a file of so many bytes. Blocks on disk.
    pub fn begin_upload(
        &self,
        owner: &str,
        length: u64,
        metadata: &str,
    ) -> Result<Upload, UploadError> {
        let _one_at_a_time = self.inner.uploads.begin();
        let root = root(&self.inner);
        sweep(&root);
        let others = all(&root);
        if others.len() >= MOST {
            let why = format!("there are {MOST} unfinished uploads: finish or remove one");
            return Err(UploadError::Refused(why));
        }
        if metadata.len() > LONGEST {
            let why = format!("more than {LONGEST} bytes are said of it");
            return Err(UploadError::Refused(why));
        }
        let needed = |sum: u64, other: &About| {
            let missing = other.upload.length.saturating_sub(other.upload.offset);
            sum.saturating_add(missing)
        };
        let needed = others.iter().fold(0, needed);
        let room = room(&self.inner)?.saturating_sub(needed);
        if length > room {
            return Err(UploadError::NoRoom(room));
        }
        let id = random()?;
        let directory = root.join(&id);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&directory)?;
        let about = About {
            owner: owner.to_owned(),
            upload: Upload {
                id,
                length,
                offset: 0,
                metadata: metadata.to_owned(),
                created_at_ms: now_ms(),
                expires_at_ms: 0,
            },
        };
        options().create_new(true).open(directory.join(BYTES))?;
        // Last: without it nothing is there.
        let json = serde_json::to_vec(&about).map_err(io::Error::from)?;
        fs::write(directory.join(ABOUT), json)?;
        Ok(read(&directory)?.upload)
    }

    /// The unfinished ones of an owner. Blocks on disk.
    pub fn uploads(&self, owner: &str) -> Vec<Upload> {
        let all = all(&root(&self.inner)).into_iter();
        let own = all.filter(|about| about.owner == owner);
        own.map(|about| about.upload).collect()
    }

    /// How far one is. Whoever still sends bytes of it, over a line that may be dead, is cut off.
    pub async fn upload(&self, owner: &str, id: &str) -> Result<Upload, UploadError> {
        let (_turn, about) = self.own(owner, id).await?;
        Ok(about.upload)
    }

    /// Adds bytes that follow those that came. What came stays, also when more do not come.
    pub async fn continue_upload<E: std::fmt::Display + Send + 'static>(
        &self,
        owner: &str,
        id: &str,
        offset: u64,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<Upload, UploadError> {
        let (turn, about) = self.own(owner, id).await?;
        let upload = about.upload;
        if offset != upload.offset {
            return Err(UploadError::Elsewhere(upload.offset));
        }
        let inner = Arc::clone(&self.inner);
        // In a task of its own: who hangs up ends the stream, and not the writing of what came.
        let written = tokio::spawn(async move {
            append(&inner, &turn, &upload, bytes).await?;
            Ok(read(&root(&inner).join(&upload.id))?.upload)
        });
        written.await.map_err(|_| UploadError::Stopped)?
    }

    /// One that is whole, to make something of it.
    pub async fn whole_upload(&self, owner: &str, id: &str) -> Result<Whole, UploadError> {
        let (turn, About { upload, .. }) = self.own(owner, id).await?;
        if upload.offset != upload.length {
            return Err(UploadError::Unfinished(upload.offset, upload.length));
        }
        Ok(Whole {
            directory: root(&self.inner).join(upload.id),
            _turn: turn,
        })
    }

    /// Gives one up.
    pub async fn remove_upload(&self, owner: &str, id: &str) -> Result<Upload, UploadError> {
        let (_turn, about) = self.own(owner, id).await?;
        remove(&root(&self.inner).join(&about.upload.id));
        Ok(about.upload)
    }

    /// One of an owner, and the turn to change it. To others it is not there.
    async fn own(&self, owner: &str, id: &str) -> Result<(turns::Turn, About), UploadError> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if id.len() != 32 || !id.bytes().all(digits) {
            return Err(UploadError::NotFound);
        }
        let directory = root(&self.inner).join(id);
        let is_own = |about: &About| about.owner == owner;
        // First, so that nobody else is cut off.
        read(&directory)
            .ok()
            .filter(is_own)
            .ok_or(UploadError::NotFound)?;
        let turn = self.inner.uploads.take(id).await;
        let about = read(&directory).ok().filter(is_own);
        Ok((turn, about.ok_or(UploadError::NotFound)?))
    }
}

/// Removes what nobody goes on with, until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    loop {
        let inner = Arc::clone(&daemon);
        blocking("look for forgotten uploads", move || {
            let root = root(&inner);
            sweep(&root);
            inner.uploads.forget(|id| !root.join(id).exists());
        })
        .await;
        tokio::select! {
            () = daemon.stopped() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn root(daemon: &Inner) -> PathBuf {
    daemon.config.state_dir.join(DIRECTORY)
}

/// Bytes that may be written.
fn room(daemon: &Inner) -> Result<u64, UploadError> {
    let (disk, free) = daemon.store.disk()?;
    Ok(free.saturating_sub(daemon.config.retention.limits(disk).min_free))
}

fn options() -> fs::OpenOptions {
    let mut options = File::options();
    options.append(true).mode(0o600);
    options
}

/// What is known of one; its length is that of the file.
fn read(directory: &Path) -> io::Result<About> {
    let mut about: About = serde_json::from_slice(&fs::read(directory.join(ABOUT))?)?;
    let bytes = fs::metadata(directory.join(BYTES))?;
    about.upload.offset = bytes.len();
    let since = bytes.modified()?.duration_since(UNIX_EPOCH);
    let ends = since.unwrap_or_default().saturating_add(LIVES).as_millis();
    about.upload.expires_at_ms = i64::try_from(ends).unwrap_or(i64::MAX);
    Ok(about)
}

/// All that can be read.
fn all(root: &Path) -> Vec<About> {
    let directories = spool::entries(root).into_iter();
    directories.filter_map(|it| read(&it).ok()).collect()
}

/// Removes what nobody went on with, and what never was whole.
fn sweep(root: &Path) {
    for directory in spool::entries(root) {
        match read(&directory) {
            Ok(about) if about.upload.expires_at_ms > now_ms() => {}
            Ok(about) => {
                let (id, offset) = (about.upload.id, about.upload.offset);
                tracing::info!(id, offset, "nobody went on with an upload: removed");
                remove(&directory);
            }
            Err(error) => {
                let age = fs::metadata(&directory).and_then(|it| it.modified()).ok();
                let age = age.and_then(|at| at.elapsed().ok()).unwrap_or_default();
                if age > EVERY {
                    tracing::warn!(%error, directory = %directory.display(), "not an upload: removed");
                    remove(&directory);
                }
            }
        }
    }
}

fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %directory.display(), "cannot remove an upload");
    }
}

async fn append<E: std::fmt::Display>(
    daemon: &Inner,
    turn: &turns::Turn,
    upload: &Upload,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<(), UploadError> {
    let room = room(daemon)?;
    let missing = upload.length.saturating_sub(upload.offset);
    let file = options().open(root(daemon).join(&upload.id).join(BYTES))?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut bytes, mut came) = (pin!(bytes), 0_u64);
    loop {
        let broken = |why: &str| UploadError::Broken(why.to_owned());
        // Only what waits is cut off: a write that has begun ends before the turn does.
        let next = tokio::select! {
            () = daemon.stopped() => return Err(UploadError::Stopped),
            () = turn.cut_off() => return Err(broken("somebody else goes on with it")),
            next = timeout(PATIENCE, bytes.next()) => next,
        };
        let piece = match next {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(broken(&error.to_string())),
            Err(_) => return Err(broken("none came for a minute")),
        };
        came = came.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if came > missing {
            return Err(UploadError::TooMany(upload.length));
        }
        if came > room {
            return Err(UploadError::NoRoom(0));
        }
        let written = async {
            file.write_all(&piece).await?;
            // Until it is in the file nobody may ask how long that is.
            file.flush().await
        };
        written.await.map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => UploadError::NoRoom(0),
            _ => UploadError::Io(error),
        })?;
    }
    file.sync_data().await?;
    Ok(())
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::SystemTime;

    fn begun(root: &Path, id: &str, age: Duration) -> PathBuf {
        let directory = root.join(id);
        fs::create_dir_all(&directory).unwrap();
        let upload = Upload {
            id: id.to_owned(),
            length: 9,
            offset: 0,
            metadata: String::new(),
            created_at_ms: 0,
            expires_at_ms: 0,
        };
        let owner = "uid 1".to_owned();
        let json = serde_json::to_vec(&About { owner, upload }).unwrap();
        fs::write(directory.join(ABOUT), json).unwrap();
        let mut options = options();
        let bytes = options.create(true).open(directory.join(BYTES)).unwrap();
        bytes.set_modified(SystemTime::now() - age).unwrap();
        directory
    }

    #[test]
    fn what_nobody_goes_on_with_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let fresh = begun(root.path(), "a", Duration::from_hours(23));
        let stale = begun(root.path(), "b", Duration::from_hours(25));
        let begins = root.path().join("c");
        fs::create_dir(&begins).unwrap();
        sweep(root.path());
        assert!(fresh.exists() && !stale.exists() && begins.exists());
        assert_eq!(all(root.path()).len(), 1);
        let old = SystemTime::now() - Duration::from_hours(1);
        File::open(&begins).unwrap().set_modified(old).unwrap();
        sweep(root.path());
        assert!(!begins.exists());
    }
}
