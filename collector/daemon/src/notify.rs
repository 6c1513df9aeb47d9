//! Tells people and programs what changes: new groups, regressions, spikes, loops, storage trouble.
//!
//! What is to be told is written by the store with the change itself. Here it is put into words
//! once, given to every target that wants it, and delivered: each target on its own, so that one
//! that hangs holds up no other.
//!
//! ```text
//! notices ──compose──► deliveries ──a task per target──► webhook, Slack, command
//!                          ▲ again, later: twice the wait each time, with jitter
//! ```

mod compose;
mod send;
mod sign;
mod watch;

use crate::config::notify::Target;
use crate::daemon::{Daemon, Inner, blocking, chain};
use crate::status::now_ms;
use aground_store::StoreError;
use aground_store::notices::{Notice, NoticeKind, TargetTally};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often lasting conditions and rates are looked at.
const LOOK: Duration = Duration::from_mins(1);
/// How often a target looks for deliveries without being told.
const IDLE: Duration = Duration::from_secs(5);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// A target and how it goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `webhook`, `slack` or `command`.
    pub kind: String,
    /// Server or program.
    pub place: String,
    /// What it is told of; empty: everything.
    pub on: Vec<NoticeKind>,
    /// Deliveries in numbers.
    #[serde(flatten)]
    pub tally: TargetTally,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// Whether it arrived.
    pub delivered: bool,
    /// What the target said, or why it did not arrive.
    pub outcome: String,
}

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    let mut tasks = tokio::task::JoinSet::new();
    for target in &daemon.config.notify.target {
        tasks.spawn(deliver(Arc::clone(&daemon), target.clone()));
    }
    let mut looked: Option<Instant> = None;
    while !*daemon.stop.borrow() {
        let look = looked.is_none_or(|at| at.elapsed() >= LOOK);
        if look {
            looked = Some(Instant::now());
        }
        let inner = Arc::clone(&daemon);
        let step = move || {
            if look {
                watch::look(&inner)?;
            }
            give_out(&inner)
        };
        match blocking("look for news", step).await {
            Some(Err(error)) => tracing::error!(error = chain(&error), "could not look for news"),
            // Others may have slept through it.
            Some(Ok(given)) if given > 0 => daemon.deliver.notify_waiters(),
            _ => {}
        }
        tokio::select! {
            () = daemon.stopped() => {}
            () = daemon.news.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Composes what is new and gives it to the targets that want it. Returns the number of notices.
fn give_out(daemon: &Inner) -> Result<usize, StoreError> {
    let notify = &daemon.config.notify;
    let host = hostname();
    let mut given = 0;
    loop {
        let notices = daemon.store.new_notices(100)?;
        if notices.is_empty() {
            return Ok(given);
        }
        for notice in notices {
            let event = compose::compose(&daemon.store, &notice, &host, notify.url.as_deref());
            let wanting = notify.target.iter().filter(|one| one.wants(notice.kind));
            let names: Vec<String> = wanting.map(|one| one.name.clone()).collect();
            daemon
                .store
                .give_notice(notice.key, &event.to_string(), &names)?;
            given += 1;
        }
    }
}

/// Delivers to one target, one after the other, until the daemon stops.
async fn deliver(daemon: Arc<Inner>, target: Target) {
    let mut sent: VecDeque<Instant> = VecDeque::new();
    while !*daemon.stop.borrow() {
        let wait = match over_limit(&mut sent, target.per_minute) {
            Some(wait) => wait,
            None => match step(&daemon, &target).await {
                Step::Sent => {
                    sent.push_back(Instant::now());
                    continue;
                }
                Step::Nothing(wait) => wait,
            },
        };
        tokio::select! {
            () = daemon.stopped() => {}
            () = daemon.deliver.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What one look for a delivery came to.
enum Step {
    /// There was one.
    Sent,
    /// There was none: look again after so long.
    Nothing(Duration),
}

async fn step(daemon: &Arc<Inner>, target: &Target) -> Step {
    let (store, name) = (daemon.store.clone(), target.name.clone());
    let next = blocking("look for a delivery", move || store.next_delivery(&name)).await;
    let delivery = match next {
        Some(Ok(Ok(delivery))) => delivery,
        Some(Ok(Err(Some(due_ms)))) => {
            let ahead = u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0);
            return Step::Nothing(IDLE.min(Duration::from_millis(ahead.max(20))));
        }
        Some(Err(error)) => {
            let error = chain(&error);
            tracing::error!(error, target = target.name, "could not look for a delivery");
            return Step::Nothing(IDLE);
        }
        _ => return Step::Nothing(IDLE),
    };
    let result = tokio::select! {
        // It is attempted again after the restart.
        () = daemon.stopped() => return Step::Nothing(IDLE),
        result = send::send(target, &delivery.body) => result,
    };
    note(daemon, target, delivery.notice, delivery.attempts, result).await;
    Step::Sent
}

/// How long to wait when as much was sent in the last minute as may be.
fn over_limit(sent: &mut VecDeque<Instant>, per_minute: u32) -> Option<Duration> {
    while sent.front().is_some_and(|at| at.elapsed() >= MINUTE) {
        sent.pop_front();
    }
    let most = usize::try_from(per_minute).unwrap_or(usize::MAX);
    let oldest = sent.front().filter(|_| sent.len() >= most)?;
    Some(MINUTE.saturating_sub(oldest.elapsed()))
}

async fn note(
    daemon: &Arc<Inner>,
    target: &Target,
    notice: i64,
    attempts: u32,
    result: Result<String, send::Failed>,
) {
    let made = attempts.saturating_add(1);
    let outcome = match result {
        Ok(said) => Ok(said),
        Err(failed) if failed.again && made < target.attempts => {
            let wait = backoff(target.retry.0, attempts, jitter());
            let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            Err((failed.why, Some(now_ms().saturating_add(wait))))
        }
        Err(failed) => Err((failed.why, None)),
    };
    if let Err((why, again)) = &outcome {
        let given_up = again.is_none();
        tracing::warn!(
            target = target.name,
            attempt = made,
            given_up,
            why,
            "a notification did not arrive"
        );
    }
    let (store, name) = (daemon.store.clone(), target.name.clone());
    let noted = blocking("note a delivery", move || {
        let outcome = match &outcome {
            Ok(said) => Ok(said.as_str()),
            Err((why, again)) => Err((why.as_str(), *again)),
        };
        store.note_delivery(notice, &name, outcome)
    });
    if let Some(Err(error)) = noted.await {
        tracing::error!(
            error = chain(&error),
            "could not note a delivery; it may be repeated"
        );
        tokio::time::sleep(IDLE).await;
    }
}

/// Twice as long after each failure, at most an hour, a quarter more or less, so that many
/// daemons do not come back at once. `jitter` is from 0 to 255.
fn backoff(first: Duration, failures: u32, jitter: u8) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(failures.min(20)).unwrap_or(u32::MAX));
    let wait = doubled.min(LONGEST_WAIT);
    let percent = 75 + u32::from(jitter) * 50 / 255;
    wait.saturating_mul(percent) / 100
}

fn jitter() -> u8 {
    let mut byte = [0_u8];
    let _ = rustix::rand::getrandom(&mut byte, rustix::rand::GetRandomFlags::NONBLOCK);
    let [byte] = byte;
    byte
}

fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

impl Daemon {
    /// Every target and how it goes with it. Blocks on disk.
    pub fn targets(&self) -> Result<Vec<TargetStatus>, StoreError> {
        let mut tallies = self.store().target_tallies()?;
        let status = |target: &Target| TargetStatus {
            name: target.name.clone(),
            kind: target.kind.as_str().to_owned(),
            place: match &target.url {
                Some(url) => url.to_string(),
                None => target.command.first().cloned().unwrap_or_default(),
            },
            on: target.on.clone(),
            tally: tallies.remove(&target.name).unwrap_or_default(),
        };
        Ok(self.inner.config.notify.target.iter().map(status).collect())
    }

    /// Sends a test message to a target now, past what waits.
    ///
    /// # Errors
    /// When there is no target of this name.
    pub async fn test_target(&self, name: &str) -> Result<TestResult, StoreError> {
        let mut targets = self.inner.config.notify.target.iter();
        let target = targets
            .find(|target| target.name == name)
            .ok_or(StoreError::NotFound("notification target"))?;
        let notice = Notice {
            key: 0,
            at_ms: now_ms(),
            kind: NoticeKind::Test,
            group: None,
            dump: None,
            why: None,
        };
        let url = self.inner.config.notify.url.as_deref();
        let event = compose::compose(self.store(), &notice, &hostname(), url);
        let event = event.to_string();
        let sent = send::send(target, &event).await;
        let (store, name, noted) = (self.store().clone(), name.to_owned(), sent.clone());
        let note = move || {
            let outcome = noted.as_ref().map(String::as_str);
            store.note_test(&event, &name, outcome.map_err(|failed| failed.why.as_str()))
        };
        blocking("note a test", note).await.unwrap_or(Ok(()))?;
        Ok(TestResult {
            delivered: sent.is_ok(),
            outcome: sent.unwrap_or_else(|failed| failed.why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_differ_by_a_quarter() {
        let first = Duration::from_secs(4);
        assert_eq!(backoff(first, 0, 0), Duration::from_secs(3));
        assert_eq!(backoff(first, 0, 255), Duration::from_secs(5));
        assert_eq!(backoff(first, 3, 255), Duration::from_secs(40));
        assert_eq!(backoff(first, u32::MAX, 255), LONGEST_WAIT * 5 / 4);
    }

    #[test]
    fn a_minute_has_so_many_messages() {
        let mut sent = VecDeque::from([Instant::now(); 3]);
        assert_eq!(over_limit(&mut sent, 4), None);
        assert!(over_limit(&mut sent, 3).is_some());
    }
}
