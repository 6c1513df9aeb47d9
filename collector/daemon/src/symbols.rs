//! Takes in files of symbols: a stream of bytes onto disk, described by a worker in its sandbox,
//! kept by build ID; dumps that it names better are analysed again.

use crate::daemon::{Daemon, Inner, blocking};
use crate::import::{Entry, ImportError, PATIENCE};
use crate::status::now_ms;
use crate::worker;
use aground_analyzer::describe::Description;
use aground_helper::text::escape_bytes;
use aground_store::StoreError;
use aground_store::symbols::SymbolFile;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Larger files are refused: the largest debug files of browsers have 4 GiB.
const FILE_MAX: u64 = 8 << 30;
/// Dumps that one file has analysed again; older ones wait until somebody asks.
const REANALYSED_MAX: usize = 1000;
/// The most of the worker's answer that is read, bytes.
const ANSWER_LIMIT: u64 = 16 << 10;

/// A file that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What is kept now.
    pub file: SymbolFile,
    /// Dumps that are analysed again because of it.
    pub reanalysed: usize,
}

impl Daemon {
    /// Takes in a file of symbols under the name it had.
    pub async fn upload_symbols<E: std::fmt::Display>(
        &self,
        name: &str,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Uploaded, ImportError> {
        let inner = Arc::clone(&self.inner);
        let entry = blocking("make room for symbols", move || Entry::new(&inner)).await;
        let entry = entry.unwrap_or(Err(ImportError::Stopped))?;
        let size = tokio::select! {
            () = self.inner.stopped() => Err(ImportError::Stopped),
            size = receive(&entry, bytes) => size,
        }?;
        let description = describe(&self.inner, entry.open()?).await?;
        let file = SymbolFile::new(description, name, size, now_ms());
        let daemon = self.clone();
        let kept = blocking("keep symbols", move || {
            daemon.inner.store.keep_symbols(&entry.core_path(), &file)?;
            let reanalysed = daemon.name_again(&file.build_id)?;
            tracing::info!(
                build_id = file.build_id,
                name = file.name,
                reanalysed,
                "symbols uploaded"
            );
            Ok(Uploaded { file, reanalysed })
        });
        kept.await.unwrap_or(Err(ImportError::Stopped))
    }

    fn name_again(&self, build_id: &str) -> Result<usize, StoreError> {
        let mut queued = 0;
        let dumps = self.inner.store.dumps_with_build_id(build_id)?;
        for id in dumps.iter().take(REANALYSED_MAX) {
            match self.reanalyze(id) {
                Ok(()) => queued += 1,
                // It went meanwhile, or its memory did.
                Err(StoreError::NotFound(_) | StoreError::MemoryDropped) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(queued)
    }
}

/// Writes the bytes to the entry's file, up to what may be written.
async fn receive<E: std::fmt::Display>(
    entry: &Entry,
    bytes: impl Stream<Item = Result<Bytes, E>>,
) -> Result<u64, ImportError> {
    let mut file = tokio::fs::File::from_std(entry.core()?);
    let mut bytes = pin!(bytes);
    let mut size = 0_u64;
    loop {
        let piece = match timeout(PATIENCE, bytes.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(ImportError::Broken(error.to_string())),
            Err(_) => return Err(ImportError::Broken("none came for a minute".to_owned())),
        };
        size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        if size > FILE_MAX {
            return Err(ImportError::NotSymbols(format!(
                "it is larger than {FILE_MAX} bytes"
            )));
        }
        if size > entry.budget {
            return Err(ImportError::NoRoom(entry.budget));
        }
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    Ok(size)
}

/// Has a worker say what the file is.
async fn describe(daemon: &Inner, file: File) -> Result<Description, ImportError> {
    let mut worker = worker::command(daemon, &worker::program(daemon)?, "describe")
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(stdout), Some(stderr)) = (worker.stdout.take(), worker.stderr.take()) else {
        return Err(ImportError::Stopped);
    };
    let answered = async {
        let (mut answer, mut complaint) = (vec![], vec![]);
        let (mut stdout, mut stderr) = (stdout.take(ANSWER_LIMIT), stderr.take(ANSWER_LIMIT));
        tokio::try_join!(
            stdout.read_to_end(&mut answer),
            stderr.read_to_end(&mut complaint)
        )?;
        Ok::<_, io::Error>((worker.wait().await?, answer, complaint))
    };
    let limit = Duration::from_secs(daemon.config.analysis_seconds);
    let Ok(answered) = timeout(limit, answered).await else {
        return Err(ImportError::NotSymbols(
            "reading it took too long".to_owned(),
        ));
    };
    let (status, answer, complaint) = answered?;
    if status.success() {
        return serde_json::from_slice(&answer).map_err(|error| io::Error::from(error).into());
    }
    if status.code().is_none() {
        return Err(ImportError::NotSymbols(format!(
            "reading it was ended ({status})"
        )));
    }
    let complaint = escape_bytes(complaint.trim_ascii(), 300);
    let complaint = complaint
        .trim_start_matches("aground-analyzer: ")
        .to_owned();
    Err(ImportError::NotSymbols(complaint))
}
