//! Works the queue of analyses off, one worker process at a time per task.

mod records;

use crate::daemon::{Event, Inner, blocking, chain};
use crate::label;
use crate::metrics::End;
use crate::rules;
use crate::status::now_ms;
use crate::symbols;
use crate::worker::{self, Failed, WorkerError};
use aground_analyzer::analyze::Conclusion;
use aground_analyzer::group::sign_again;
use aground_analyzer::report::{Partial, Report};
use aground_helper::id::DumpId;
use aground_helper::text::escape_bytes;
use aground_store::{Assignment, Job, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker that fails is given a second chance: memory may have been short.
const ATTEMPTS: u32 = 2;
/// A dump that was in analysis each time the daemon died may be why.
const DAEMON_DEATHS: u32 = 5;
/// How long an idle task waits before it looks again without being told.
const IDLE: Duration = Duration::from_secs(5);
/// How long to wait when no worker can be started at all.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    // What is left over when a worker is killed for its time still counts as leased.
    let lease = Duration::from_secs(
        daemon
            .config
            .analysis_seconds
            .saturating_mul(2)
            .saturating_add(60),
    );
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    while !*daemon.stop.borrow() {
        let store = daemon.store.clone();
        let lease = move || store.lease_jobs(lease_ms, records::BATCH);
        let pause = match blocking("lease jobs", lease).await {
            Some(Ok(jobs)) if !jobs.is_empty() => {
                // Others may have slept through a burst of which they were told once.
                daemon.work.notify_one();
                match jobs.as_slice() {
                    [job] if !job.bare => analyze(&daemon, job).await,
                    _ => records::conclude(&daemon, jobs).await,
                }
            }
            Some(Err(error)) => {
                tracing::error!(error = chain(&error), "could not look for work");
                Some(PAUSE)
            }
            Some(Ok(_)) => {
                tokio::select! {
                    () = daemon.stopped() => {}
                    () = daemon.work.notified() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
                None
            }
            None => Some(PAUSE),
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = daemon.stopped() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// One job from lease to end. Returns how long to wait when there is no sense in going on at once.
async fn analyze(daemon: &Arc<Inner>, job: &Job) -> Option<Duration> {
    daemon.live().analyzing.insert(job.id.to_string());
    let waited = u64::try_from(now_ms().saturating_sub(job.queued_at_ms)).unwrap_or(0);
    daemon.metrics.waited(Duration::from_millis(waited));
    let started = Instant::now();
    let result = tokio::select! {
        () = daemon.stopped() => Err(WorkerError::Stopped.into()),
        result = attempt(daemon, job) => result,
    };
    daemon.live().analyzing.remove(job.id.as_str());
    match &result {
        Ok(_) => daemon.metrics.analysis(End::Done, started.elapsed()),
        Err(failed) => {
            if let Some(end) = failed.error.end() {
                daemon.metrics.analysis(end, started.elapsed());
            }
        }
    }
    match conclude(daemon, job, result).await {
        Ok(pause) => pause,
        Err(StoreError::NotFound(_)) => {
            tracing::info!(dump = %job.id, "removed during its analysis");
            None
        }
        Err(error) => {
            tracing::error!(dump = %job.id, error = chain(&error), "could not keep the end of an analysis; trying again");
            give_back(daemon, &job.id, &error).await
        }
    }
}

/// Gives a job back whose end could not be kept. Nothing else can be kept either until that
/// succeeds: on a full disk this waits for room. Returns how long to wait after it.
async fn give_back(daemon: &Arc<Inner>, id: &DumpId, error: &StoreError) -> Option<Duration> {
    // A full disk says nothing about the dump.
    let counts = !error.is_full_disk();
    loop {
        daemon.retain.notify_one();
        tokio::select! {
            () = daemon.stopped() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
        match release(daemon, id, counts).await {
            Ok(()) | Err(StoreError::NotFound(_)) => return None,
            Err(error) => {
                tracing::warn!(dump = %id, error = chain(&error), "could not give an analysis back yet");
            }
        }
    }
}

async fn attempt(daemon: &Arc<Inner>, job: &Job) -> Result<Conclusion, Failed> {
    if job.attempts > DAEMON_DEATHS {
        return Err(WorkerError::DaemonDied(DAEMON_DEATHS).into());
    }
    worker::analyze(daemon, &job.id).await
}

async fn conclude(
    daemon: &Arc<Inner>,
    job: &Job,
    result: Result<Conclusion, Failed>,
) -> Result<Option<Duration>, StoreError> {
    let id = &job.id;
    let Failed { error, draft } = match result {
        Ok(Conclusion { report, asked }) => {
            daemon.live().analyses += 1;
            keep(daemon, id, report, None).await?;
            if !asked.is_empty() {
                worker::remember(daemon, id, asked).await;
            }
            return Ok(None);
        }
        Err(failed) => failed,
    };
    let reason = chain(&error);
    match error {
        WorkerError::Stopped => release(daemon, id, false).await.map(|()| None),
        WorkerError::Store(StoreError::NotFound("dump")) => Err(StoreError::NotFound("dump")),
        WorkerError::Start(_) => {
            tracing::error!(dump = %id, reason, "no analysis can be started; trying again in a while");
            release(daemon, id, false).await.map(|()| Some(PAUSE))
        }
        error => {
            let stderr = error.stderr();
            tracing::warn!(dump = %id, attempt = job.attempts, reason, stderr, "the analysis failed");
            daemon.live().worker_failures += 1;
            if job.attempts < ATTEMPTS && !error.is_crash() {
                return release(daemon, id, true).await.map(|()| None);
            }
            daemon.live().analyses += 1;
            match draft {
                Some(draft) => keep_draft(daemon, id, *draft, &reason).await,
                None => give_up(daemon, id, &reason).await,
            }
            .map(|()| None)
        }
    }
}

/// Marks the dump as failed, with what the analysis had found by then.
async fn keep_draft(
    daemon: &Arc<Inner>,
    id: &DumpId,
    mut draft: Report,
    reason: &str,
) -> Result<(), StoreError> {
    let missing = draft.partial.take().unwrap_or_default().missing;
    let missing = escape_bytes(missing.as_bytes(), 200);
    let warning = format!("The analysis was stopped, so this lacks {missing}: {reason}.");
    draft.warnings.insert(0, warning);
    draft.partial = Some(Partial {
        missing,
        reason: reason.to_owned(),
    });
    keep(daemon, id, draft, Some(reason.to_owned())).await
}

/// Marks the dump as failed, with a report of what the record knew, so that it is grouped.
async fn give_up(daemon: &Arc<Inner>, id: &DumpId, reason: &str) -> Result<(), StoreError> {
    let partial = tokio::select! {
        () = daemon.stopped() => return release(daemon, id, false).await,
        partial = worker::without_memory(daemon, id) => partial,
    };
    match partial {
        Ok(mut report) => {
            report
                .warnings
                .insert(0, format!("The memory could not be analysed: {reason}."));
            keep(daemon, id, report, Some(reason.to_owned())).await
        }
        Err(error) => {
            tracing::warn!(dump = %id, reason = chain(&error), "not even the record could be read");
            let (store, id, reason) = (daemon.store.clone(), id.clone(), reason.to_owned());
            blocking("mark a dump as failed", move || {
                store.fail_job(&id, &reason)
            })
            .await
            .unwrap_or(Ok(()))
        }
    }
}

async fn keep(
    daemon: &Arc<Inner>,
    id: &DumpId,
    mut report: Report,
    failure: Option<String>,
) -> Result<(), StoreError> {
    let store = daemon.store.clone();
    let dump = id.clone();
    let lacks = report
        .modules
        .iter()
        .any(|module| !module.wanted.is_empty());
    let inner = Arc::clone(daemon);
    let kept = blocking("keep a report", move || {
        let record = store.record(&dump)?;
        let known = symbols::known(&record, store.wanted_symbols(&dump)?);
        let rules = inner.regroup.rules();
        if !rules.digest().is_empty() {
            report.signature = sign_again(&report, &rules);
        }
        label::group(&record, &mut report.signature);
        match store.assign(&dump, &report, failure.as_deref()) {
            // Waiting would not make the signature better.
            Err(error @ StoreError::BadSignature) => {
                store.fail_job(&dump, &error.to_string()).map(|()| None)
            }
            Ok(assigned) => {
                inner.use_what_is_here(&dump, &report, &known)?;
                Ok(Some(assigned))
            }
            Err(error) => Err(error),
        }
    });
    if let Some(assignment) = kept.await.unwrap_or(Ok(None))? {
        tell_of_news(daemon, &assignment);
        rules::apply(daemon, id, &assignment.group).await;
        tell(daemon, id, assignment, lacks);
    }
    Ok(())
}

fn tell_of_news(daemon: &Inner, assignment: &Assignment) {
    if assignment.new_group || assignment.regressed.is_some() {
        daemon.news.notify_one();
    }
}

/// Tells of a report that was kept.
fn tell(daemon: &Arc<Inner>, id: &DumpId, assignment: Assignment, lacks: bool) {
    let Assignment {
        group,
        new_group,
        regressed,
    } = assignment;
    tracing::info!(dump = %id, group, new_group, regressed, "analysed");
    // Memory that was to be kept until now may go.
    daemon.retain.notify_one();
    if lacks {
        daemon.lacking.notify_one();
    }
    daemon.tell(Event::Report {
        id: id.to_string(),
        group,
        new: new_group,
    });
}

async fn release(daemon: &Arc<Inner>, id: &DumpId, counts: bool) -> Result<(), StoreError> {
    let (store, id) = (daemon.store.clone(), id.clone());
    blocking("give a job back", move || store.release_job(&id, counts))
        .await
        .unwrap_or(Ok(()))
}
