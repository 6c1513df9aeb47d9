//! Takes in files of symbols, uploaded or fetched: a stream of bytes onto disk, described by a worker in its sandbox,
//! kept by build ID; dumps that it names better are analysed again.

use crate::daemon::{Daemon, Inner, blocking, chain};
use crate::import::{Entry, ImportError, PATIENCE};
use crate::status::now_ms;
use crate::worker;
use aground_analyzer::describe::{Description, program};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use aground_helper::text::escape_bytes;
use aground_store::StoreError;
use aground_store::symbols::{Source, SymbolFile};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
const ANSWER_LIMIT: u64 = 8 << 20;

/// A file that was uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// What is kept now.
    pub file: SymbolFile,
    /// Dumps that are analysed again because of it.
    pub reanalysed: usize,
}

/// How it stands with symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolsStatus {
    /// Files that are kept.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes they may have together.
    pub max_bytes: u64,
    /// The servers that are asked for what is missing.
    pub debuginfod: Vec<ServerStatus>,
}

/// A debuginfod server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address.
    pub url: String,
    /// Files it sent since the start.
    pub fetched: u64,
    /// What was wrong when it was asked last.
    pub trouble: Option<String>,
}

/// A file that came, before it is kept.
pub(crate) struct Received {
    entry: Entry,
    size: u64,
    pub(crate) description: Description,
}

impl Daemon {
    /// Takes in a file of symbols under the name it had.
    pub async fn upload_symbols<E: std::fmt::Display>(
        &self,
        name: &str,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Uploaded, ImportError> {
        let received = take_in(&self.inner, bytes, FILE_MAX).await?;
        let file = keep(&self.inner, received, name, Source::Uploaded).await?;
        let inner = Arc::clone(&self.inner);
        let named = blocking("have crashes analysed again", move || {
            let reanalysed = inner.name_again(&file)?;
            tracing::info!(
                build_id = file.build_id,
                name = file.name,
                reanalysed,
                "symbols uploaded"
            );
            Ok(Uploaded { file, reanalysed })
        });
        named.await.unwrap_or(Err(ImportError::Stopped))
    }
}

/// Files that an analysis is given if they are here: those of the modules, and those that the
/// report before it lacked.
pub(crate) fn known(record: &Record, lacking: Vec<String>) -> BTreeSet<String> {
    of_modules(record).chain(lacking).collect()
}

/// What may be here of a record's modules: symbols of each, and those that were not captured.
pub(crate) fn of_modules(record: &Record) -> impl Iterator<Item = String> {
    record.modules.iter().flat_map(|module| {
        let build_id = module.build_id.as_deref();
        let missing = build_id.filter(|_| module.sha256.is_none());
        build_id
            .map(str::to_owned)
            .into_iter()
            .chain(missing.map(program))
    })
}

impl Daemon {
    /// Has servers asked now for all that is missing, whatever they answered before. Returns how
    /// many files that is; `None` when no servers are configured. Blocks on disk.
    pub fn fetch_symbols(&self) -> Result<Option<usize>, StoreError> {
        if self.inner.config.symbols.debuginfod.is_empty() {
            return Ok(None);
        }
        self.inner.store.forget_requests()?;
        self.inner.servers.listen_again();
        self.inner.lacking.notify_one();
        let missing = self.inner.store.symbols_to_request(u32::MAX)?;
        Ok(Some(missing.len()))
    }
}

/// Receives a file of at most `most` bytes and has a worker say what it is.
pub(crate) async fn take_in<E: std::fmt::Display>(
    daemon: &Arc<Inner>,
    bytes: impl Stream<Item = Result<Bytes, E>>,
    most: u64,
) -> Result<Received, ImportError> {
    let inner = Arc::clone(daemon);
    let made = blocking("make room for symbols", move || {
        Ok::<_, ImportError>((Entry::new(&inner)?, inner.symbols_max()?))
    });
    let (entry, quota) = made.await.unwrap_or(Err(ImportError::Stopped))?;
    let size = tokio::select! {
        () = daemon.stopped() => Err(ImportError::Stopped),
        size = receive(&entry, bytes, most, quota) => size,
    }?;
    let description = describe(daemon, entry.open()?).await?;
    Ok(Received {
        entry,
        size,
        description,
    })
}

/// Keeps a file that came; others make room for it.
pub(crate) async fn keep(
    daemon: &Arc<Inner>,
    received: Received,
    name: &str,
    source: Source,
) -> Result<SymbolFile, ImportError> {
    let Received {
        entry,
        size,
        description,
    } = received;
    let file = SymbolFile::new(description, name, source, size, now_ms());
    let inner = Arc::clone(daemon);
    let kept = blocking("keep symbols", move || {
        inner.store.keep_symbols(&entry.core_path(), &file)?;
        inner.limit_symbols();
        Ok(file)
    });
    kept.await.unwrap_or(Err(ImportError::Stopped))
}

impl Inner {
    /// Has the dumps analysed again that a file names better; says how many.
    pub(crate) fn name_again(&self, file: &SymbolFile) -> Result<usize, StoreError> {
        let mut dumps = self.store.dumps_with_build_id(&file.build_id)?;
        let mut seen: BTreeSet<DumpId> = dumps.iter().cloned().collect();
        for unit in &file.units {
            let more = self.store.dumps_with_build_id(unit)?;
            dumps.extend(more.into_iter().filter(|id| seen.insert(id.clone())));
        }
        let mut queued = 0;
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

    /// Has a dump analysed again when its report lacks a file that is here, and that the analysis
    /// was not given since nobody knew.
    pub(crate) fn use_what_is_here(
        &self,
        id: &DumpId,
        report: &Report,
        known: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let mut wanted = report.modules.iter().flat_map(|module| &module.wanted);
        if wanted.any(|file| !known.contains(file) && self.store.has_symbols(file)) {
            self.reanalyze(id)?;
        }
        Ok(())
    }

    /// Has those dumps analysed again that lack a file that is here: a daemon that was killed may
    /// have kept it and done no more.
    pub(crate) fn use_what_came(&self) -> Result<(), StoreError> {
        for wanted in self.store.symbols_that_are_wanted()? {
            for id in self.store.dumps_with_build_id(&wanted)? {
                match self.reanalyze(&id) {
                    Err(StoreError::NotFound(_) | StoreError::MemoryDropped) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }

    /// Removes what is too much, used longest ago first.
    pub(crate) fn limit_symbols(&self) {
        let limited = self
            .symbols_max()
            .and_then(|most| self.store.limit_symbols(most));
        match limited {
            Ok(removed) => {
                for file in removed {
                    tracing::info!(
                        build_id = file.build_id,
                        name = file.name,
                        bytes = file.size,
                        "removed symbols to keep within symbols.max_bytes"
                    );
                }
            }
            Err(error) => tracing::error!(
                error = chain(&error),
                "could not keep symbols within their limit"
            ),
        }
    }

    fn symbols_max(&self) -> Result<u64, StoreError> {
        let (disk, _) = self.store.disk()?;
        Ok(self.config.symbols.max_bytes.of(disk))
    }

    /// How it stands with symbols. Blocks on disk.
    pub(crate) fn symbols_status(&self) -> SymbolsStatus {
        let files = self.store.symbols().unwrap_or_default();
        SymbolsStatus {
            files: u64::try_from(files.len()).unwrap_or(u64::MAX),
            bytes: files
                .iter()
                .fold(0, |sum, file| file.size.saturating_add(sum)),
            max_bytes: self.symbols_max().unwrap_or(0),
            debuginfod: self.servers.status(),
        }
    }
}

/// Writes the bytes to the entry's file, up to what may be written.
async fn receive<E: std::fmt::Display>(
    entry: &Entry,
    bytes: impl Stream<Item = Result<Bytes, E>>,
    most: u64,
    quota: u64,
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
        if size > most {
            return Err(ImportError::NotSymbols(format!(
                "it is larger than {most} bytes"
            )));
        }
        if size > quota {
            return Err(ImportError::NotSymbols(format!(
                "it is larger than the {quota} bytes that symbols.max_bytes allows all of them"
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
