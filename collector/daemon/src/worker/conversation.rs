//! Hands a worker its task and takes what it writes: drafts, then the report, until it ends or
//! its time is over.

use super::{Failed, REPORT_LIMIT, WorkerError};
use crate::daemon::Inner;
use aground_analyzer::manifest::DRAFT_END;
use aground_analyzer::report::Report;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::time::{Instant, timeout, timeout_at};

/// The most of the worker's standard error that is kept, bytes.
const STDERR_LIMIT: u64 = 16 << 10;
/// How long what a killed worker had written may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The signal of a process whose processor time is over; not the same number everywhere.
const OUT_OF_TIME: i32 = rustix::process::Signal::XCPU.as_raw();
/// What a Rust program says when an allocation fails, before it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// What a worker was allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) seconds: u64,
    /// Bytes.
    pub(super) memory: u64,
}

impl Limits {
    /// What the settings say.
    pub(super) fn of(daemon: &Inner) -> Self {
        Limits {
            seconds: daemon.config.analysis_seconds,
            memory: daemon.config.analysis_memory,
        }
    }
}

/// What a worker wrote.
#[derive(Default)]
struct Output {
    /// Its latest whole draft.
    draft: Option<Vec<u8>>,
    /// What came after it.
    rest: Vec<u8>,
    /// Bytes from its standard error.
    complaint: Vec<u8>,
    too_large: bool,
}

/// Waits for the answer and the end. Dropped early, it kills the worker.
pub(super) async fn hold<T: DeserializeOwned + Send + 'static>(
    mut child: Child,
    manifest: &[u8],
    limits: Limits,
) -> Result<T, Failed> {
    let mut output = Output::default();
    let ended = converse(&mut child, manifest, limits, &mut output).await;
    let error = match ended {
        Ok(status) if status.success() => {
            let Output { draft, rest, .. } = output;
            let complaint = text(&output.complaint);
            return match parsed(rest).await? {
                Ok(answer) => Ok(answer),
                Err(source) => Err(Failed {
                    error: WorkerError::Garbage {
                        source,
                        stderr: complaint,
                    },
                    draft: read_draft(draft).await,
                }),
            };
        }
        Ok(status) => ended_with(status, &output, limits),
        Err(error) => error,
    };
    Err(Failed {
        error,
        draft: read_draft(output.draft).await,
    })
}

/// Why a worker failed, of the way it ended.
fn ended_with(status: ExitStatus, output: &Output, limits: Limits) -> WorkerError {
    let stderr = text(&output.complaint);
    match status.signal() {
        Some(OUT_OF_TIME) => WorkerError::TimedOut(limits.seconds),
        Some(_) if stderr.starts_with(OUT_OF_MEMORY) => WorkerError::NoMemory(limits.memory),
        _ => WorkerError::Exit { status, stderr },
    }
}

async fn converse(
    child: &mut Child,
    manifest: &[u8],
    limits: Limits,
    output: &mut Output,
) -> Result<ExitStatus, WorkerError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let Output {
        draft,
        rest,
        complaint,
        too_large,
    } = output;
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A worker that ends without reading says why elsewhere.
            let _ = stdin.write_all(manifest).await;
        }
    };
    let mut talk = Box::pin(async {
        tokio::join!(
            tell,
            read_reports(stdout, draft, rest, too_large),
            read_beginning(stderr, complaint)
        )
    });
    let end = Instant::now() + Duration::from_secs(limits.seconds);
    let Ok(((), read, _)) = timeout_at(end, &mut talk).await else {
        let _ = child.start_kill();
        // It may have written a draft that nobody has read yet.
        let _ = timeout(LAST_WORDS, talk).await;
        return Err(WorkerError::TimedOut(limits.seconds));
    };
    drop(talk);
    read.map_err(WorkerError::Pipe)?;
    if output.too_large {
        return Err(WorkerError::TooLarge);
    }
    // One that closed its output and goes on is stopped like any other.
    match timeout_at(end, child.wait()).await {
        Ok(status) => status.map_err(WorkerError::Pipe),
        Err(_) => Err(WorkerError::TimedOut(limits.seconds)),
    }
}

/// Reads drafts and the report; of the drafts the latest is kept. Stops, and so closes the pipe,
/// when one of them is too large: a worker that goes on writing dies of it.
async fn read_reports(
    pipe: Option<impl AsyncRead + Unpin>,
    draft: &mut Option<Vec<u8>>,
    rest: &mut Vec<u8>,
    too_large: &mut bool,
) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = pipe.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        let mut new = &piece[..length];
        while let Some(end) = new.iter().position(|&byte| byte == DRAFT_END) {
            rest.extend_from_slice(&new[..end]);
            *draft = Some(std::mem::take(rest));
            new = &new[end + 1..];
        }
        rest.extend_from_slice(new);
        if rest.len() > REPORT_LIMIT {
            *too_large = true;
            rest.clear();
            return Ok(());
        }
    }
}

/// Reads everything and keeps the beginning.
async fn read_beginning(
    pipe: Option<impl AsyncRead + Unpin>,
    beginning: &mut Vec<u8>,
) -> io::Result<()> {
    if let Some(mut pipe) = pipe {
        (&mut pipe)
            .take(STDERR_LIMIT)
            .read_to_end(beginning)
            .await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

/// A draft that can be used: the worker that wrote it may have been anybody's by then.
async fn read_draft(draft: Option<Vec<u8>>) -> Option<Box<Report>> {
    let report: Report = parsed(draft?).await.ok()?.ok()?;
    report.partial.is_some().then(|| Box::new(report))
}

async fn parsed<T: DeserializeOwned + Send + 'static>(
    json: Vec<u8>,
) -> Result<serde_json::Result<T>, WorkerError> {
    let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&json)).await;
    parsed.map_err(|_| WorkerError::Stopped)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
