//! Has a stored whole core made lean, in a process of its own (`aground-collect thin`) that gets
//! two open files and no path.

use crate::daemon::{Inner, blocking};
use aground_helper::id::DumpId;
use aground_helper::thin::{Thinned, VERB};
use aground_store::StoreError;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The most of the worker's answer that is read, bytes.
const ANSWER_LIMIT: u64 = 16 << 10;

/// Why there is no lean core.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThinError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its memory is gone")]
    NoCore,
    #[error("the worker could not be run")]
    Start(#[source] io::Error),
    #[error("the worker took longer than {0} seconds")]
    TimedOut(u64),
    #[error("the worker failed ({status}): {answer}")]
    Failed { status: ExitStatus, answer: String },
    #[error("the worker wrote something that is no answer")]
    Garbage(#[source] serde_json::Error),
    #[error("the lean core would not be smaller")]
    NotSmaller,
    #[error("the daemon stops")]
    Stopped,
}

/// Makes the core of a dump lean. Returns the bytes on disk that this freed.
pub(crate) async fn thin(daemon: &Arc<Inner>, id: &DumpId, reason: &str) -> Result<u64, ThinError> {
    let made = tokio::select! {
        () = daemon.stopped() => Err(ThinError::Stopped),
        made = make(daemon, id) => made,
    };
    let (inner, dump, reason) = (Arc::clone(daemon), id.clone(), reason.to_owned());
    let kept = blocking("put a lean core in place", move || {
        let kept = made.and_then(|thinned| inner.put_in_place(&dump, &thinned, &reason));
        if kept.is_err() {
            // The next start does it otherwise.
            let _ = inner.store.discard_new_core(&dump);
        }
        kept
    });
    kept.await.unwrap_or(Err(ThinError::Stopped))
}

impl Inner {
    fn put_in_place(&self, id: &DumpId, made: &Thinned, reason: &str) -> Result<u64, ThinError> {
        if !self.store.new_core_is_smaller(id)? {
            return Err(ThinError::NotSmaller);
        }
        let reason = match &made.lacks {
            Some(lacks) => format!("{reason} ({lacks})"),
            None => reason.to_owned(),
        };
        Ok(self.store.replace_core(id, made.core_bytes, &reason)?)
    }
}

async fn make(daemon: &Arc<Inner>, id: &DumpId) -> Result<Thinned, ThinError> {
    let (store, dump) = (daemon.store.clone(), id.clone());
    let opened = blocking("open a core", move || {
        let core = store.core(&dump)?.ok_or(ThinError::NoCore)?;
        Ok((core, store.new_core(&dump)?))
    });
    let (core, lean) = opened.await.unwrap_or(Err(ThinError::Stopped))?;
    let config = &daemon.config;
    let seconds = config.analysis_seconds;
    let mut worker = Command::new(program(daemon).map_err(ThinError::Start)?)
        .arg(VERB)
        .args([
            config.capture.lean_max.0.to_string(),
            config.analysis_memory.to_string(),
            seconds.to_string(),
            std::process::id().to_string(),
        ])
        .env_clear()
        .current_dir("/")
        .stdin(core)
        .stdout(lean)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(ThinError::Start)?;
    let finished = async {
        let mut answer = vec![];
        if let Some(stderr) = worker.stderr.take() {
            stderr
                .take(ANSWER_LIMIT)
                .read_to_end(&mut answer)
                .await
                .map_err(ThinError::Start)?;
        }
        let status = worker.wait().await.map_err(ThinError::Start)?;
        Ok((status, answer))
    };
    let (status, answer) = tokio::time::timeout(Duration::from_secs(seconds), finished)
        .await
        .unwrap_or(Err(ThinError::TimedOut(seconds)))?;
    if !status.success() {
        let answer = aground_helper::text::escape_bytes(answer.trim_ascii(), 500);
        return Err(ThinError::Failed { status, answer });
    }
    serde_json::from_slice(&answer).map_err(ThinError::Garbage)
}

fn program(daemon: &Inner) -> io::Result<PathBuf> {
    match &daemon.config.collect {
        Some(program) => Ok(program.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("aground-collect")),
    }
}
