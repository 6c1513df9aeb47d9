//! Takes in what appears in watched directories (`[import]`): for machines whose kernel may not
//! be told to run a helper, and for cores that other programs leave.
//!
//! Directories are looked at by time, not by notification: network file systems have none. A
//! file is taken when it has not changed between two looks.

use super::{Claims, ImportError, import};
use crate::daemon::{Inner, blocking, chain};
use aground_helper::text::escape_bytes;
use aground_store::imports::Watched;
use rustix::fs::OFlags;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::io::ReaderStream;

/// How often the directories are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Files of one directory that are looked at.
const MOST_FILES: usize = 10_000;

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    if daemon.config.import.watch.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = HashMap::new();
    loop {
        tokio::select! {
            () = daemon.stopped() => return,
            _ = tick.tick() => {}
        }
        let inner = Arc::clone(&daemon);
        let before = std::mem::take(&mut seen);
        let looked = blocking("look at watched directories", move || look(&inner, &before));
        let Some((settled, now)) = looked.await else {
            continue;
        };
        seen = now;
        for path in settled {
            tokio::select! {
                () = daemon.stopped() => return,
                () = take(&daemon, &path) => {}
            }
        }
    }
}

/// The files that did not change since the last look and are not known, and all files as they are.
fn look(
    daemon: &Inner,
    before: &HashMap<PathBuf, Watched>,
) -> (Vec<PathBuf>, HashMap<PathBuf, Watched>) {
    let mut now = HashMap::new();
    for directory in &daemon.config.import.watch {
        match fs::read_dir(directory) {
            Ok(entries) => {
                let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
                let files = paths.filter_map(|path| Some((watched(&path)?, path)));
                now.extend(files.take(MOST_FILES).map(|(file, path)| (path, file)));
            }
            Err(error) => {
                tracing::warn!(%error, directory = %directory.display(), "cannot look at a watched directory");
            }
        }
    }
    let is_known = |file: &Watched| daemon.store.was_watched(file).unwrap_or(true);
    let settled = now
        .iter()
        .filter(|(path, file)| before.get(*path) == Some(*file) && !is_known(file))
        .map(|(path, _)| path.clone())
        .collect();
    (settled, now)
}

/// A regular file as it is; nothing else is taken.
fn watched(path: &Path) -> Option<Watched> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.is_file().then(|| Watched {
        path: escape_bytes(path.as_os_str().as_bytes(), 4096),
        size: metadata.len(),
        modified_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
    })
}

async fn take(daemon: &Arc<Inner>, path: &Path) {
    let Some(file) = watched(path) else {
        return;
    };
    let imported = match open(path) {
        Ok(opened) => {
            let claims = claims(path, &file);
            import(
                daemon,
                claims,
                ReaderStream::new(tokio::fs::File::from_std(opened)),
            )
            .await
        }
        Err(error) => Err(ImportError::NotACore(error.to_string())),
    };
    let outcome = match imported {
        Ok(import) => Ok(import.id.to_string()),
        Err(ImportError::NotACore(why)) => {
            tracing::warn!(file = %path.display(), why, "a file in a watched directory is no core");
            Err(why)
        }
        // It may work the next time.
        Err(error) => {
            tracing::error!(file = %path.display(), error = chain(&error), "cannot import a core");
            return;
        }
    };
    let (inner, path) = (Arc::clone(daemon), path.to_owned());
    blocking("remember an import", move || {
        let outcome = outcome.as_deref().map_err(String::as_str);
        if let Err(error) = inner.store.remember_watched(&file, outcome) {
            tracing::error!(error = chain(&error), "cannot remember an import");
        }
        let unchanged = watched(&path).as_ref() == Some(&file);
        let remove = inner.config.import.remove && outcome.is_ok() && unchanged;
        if let Some(Err(error)) = remove.then(|| fs::remove_file(&path)) {
            tracing::warn!(%error, file = %path.display(), "cannot remove an imported core");
        }
    })
    .await;
}

/// Opens without following a link and without waiting on a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    File::options()
        .read(true)
        .custom_flags(i32::try_from(flags).map_err(io::Error::other)?)
        .open(path)
}

fn claims(path: &Path, file: &Watched) -> Claims {
    let name = path.file_name().unwrap_or_default();
    Claims {
        file: Some(escape_bytes(name.as_bytes(), 255)),
        died_at_ms: Some(file.modified_ns / 1_000_000),
        ..Claims::default()
    }
}
