//! Concludes crashes of which no memory was kept: their reports say what the records say, which
//! needs no worker. Those that wait are kept together.

use super::{DAEMON_DEATHS, analyze, tell, tell_of_news};
use crate::daemon::{Inner, blocking, chain};
use crate::label;
use crate::metrics::End;
use crate::rules;
use crate::status::now_ms;
use crate::worker;
use aground_analyzer::group::sign_again;
use aground_analyzer::report::Report;
use aground_store::{Assignment, Job, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most crashes that are concluded together.
pub(super) const BATCH: usize = 128;

/// What came of some jobs.
#[derive(Default)]
struct Concluded {
    assigned: Vec<(Job, Assignment)>,
    /// Those that are to go the way of all others, where what is wrong is dealt with.
    others: Vec<Job>,
}

/// Concludes leased jobs of crashes without memory. Returns how long to wait when there is no
/// sense in going on at once.
pub(super) async fn conclude(daemon: &Arc<Inner>, jobs: Vec<Job>) -> Option<Duration> {
    let started = Instant::now();
    let inner = Arc::clone(daemon);
    let concluded = blocking("report what records say", move || keep(&inner, jobs));
    let Concluded { assigned, others } = concluded.await.unwrap_or_default();
    let took = started.elapsed();
    for (_, assignment) in &assigned {
        tell_of_news(daemon, assignment);
    }
    let groups = assigned
        .iter()
        .map(|(job, assignment)| (job.id.clone(), assignment.group.clone()));
    rules::apply_all(daemon, groups.collect()).await;
    for (job, assignment) in assigned {
        let waited = u64::try_from(now_ms().saturating_sub(job.queued_at_ms)).unwrap_or(0);
        daemon.metrics.waited(Duration::from_millis(waited));
        daemon.live().analyses += 1;
        daemon.metrics.analysis(End::Done, took);
        tell(daemon, &job.id, assignment, false);
    }
    let mut pause = None;
    for job in others {
        pause = analyze(daemon, &job).await.or(pause);
    }
    pause
}

fn keep(daemon: &Inner, jobs: Vec<Job>) -> Concluded {
    let mut done = Concluded::default();
    let (mut reported, mut reports) = (vec![], vec![]);
    for job in jobs {
        match report(daemon, &job) {
            Ok(Some(report)) => {
                reports.push((job.id.clone(), report));
                reported.push(job);
            }
            Ok(None) | Err(_) => done.others.push(job),
        }
    }
    let results = daemon.store.assign_all(&reports);
    for (job, result) in reported.into_iter().zip(results) {
        match result {
            Ok(assignment) => done.assigned.push((job, assignment)),
            Err(StoreError::NotFound(_)) => {
                tracing::info!(dump = %job.id, "removed before its report was kept");
            }
            Err(error) => {
                tracing::warn!(dump = %job.id, error = chain(&error), "could not keep a report with others");
                done.others.push(job);
            }
        }
    }
    done
}

/// What the record says; `None` for what needs the care that a worker's failure is given.
fn report(daemon: &Inner, job: &Job) -> Result<Option<Report>, StoreError> {
    let record = daemon.store.record(&job.id)?;
    if job.attempts > DAEMON_DEATHS || worker::is_own(daemon, &record) {
        return Ok(None);
    }
    let mut report = worker::of_record(&record);
    let rules = daemon.regroup.rules();
    if !rules.digest().is_empty() {
        report.signature = sign_again(&report, &rules);
    }
    label::group(&record, &mut report.signature);
    Ok(Some(report))
}
