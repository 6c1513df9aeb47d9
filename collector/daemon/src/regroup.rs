//! Signs crashes anew in the background when the rules are others than those that signed them.
//!
//! Only reports are read, no memory. Groups keep their ids: each follows the signature it began
//! with. It begins with the daemon and when somebody asks, and goes on where it was when the daemon
//! ended.

use crate::config::ConfigError;
use crate::daemon::{Daemon, Inner, blocking, chain};
use crate::label;
use crate::status::now_ms;
use aground_analyzer::group::{Rules, sign_again};
use aground_store::StoreError;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Crashes that are signed before others may have the database.
const AT_ONCE: u32 = 32;
/// How long others may have it then.
const PAUSE: Duration = Duration::from_millis(50);

/// How signing crashes anew goes, or went last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegroupStatus {
    /// Whether it is at work.
    pub running: bool,
    /// Crashes that other rules had signed when it began.
    pub all: u64,
    /// Those that were looked at since.
    pub done: u64,
    /// Those that went to another group.
    pub moved: u64,
    /// When it ended, milliseconds since the epoch; `None`: never yet, or it is at work.
    pub ended_at_ms: Option<i64>,
    /// Why it stopped early. The rest waits for the next time.
    pub trouble: Option<String>,
}

/// The rules in force, and how signing by them goes.
pub(crate) struct Regroup {
    rules: Mutex<Arc<Rules>>,
    status: Mutex<RegroupStatus>,
    again: Notify,
    /// How often somebody asked: who asks during a pass gets another.
    asked: AtomicU64,
}

impl Regroup {
    pub(crate) fn new(rules: Rules) -> Self {
        let again = Notify::new();
        again.notify_one();
        Self {
            rules: Mutex::new(Arc::new(rules)),
            status: Mutex::default(),
            again,
            asked: AtomicU64::new(0),
        }
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it goes.
    pub(crate) fn status(&self) -> RegroupStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RegroupStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// Reads the file of rules again and has all crashes signed by it in the background. With a
    /// file that cannot be used, everything stays as it is. Blocks on disk.
    pub fn regroup(&self) -> Result<RegroupStatus, RegroupError> {
        let inner = &self.inner;
        let rules = inner.config.grouping.rules()?;
        let all = inner.store.count_signed_otherwise(&rules)?;
        let mut in_force = inner
            .regroup
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *in_force = Arc::new(rules);
        drop(in_force);
        let mut status = inner.regroup.lock();
        inner.regroup.asked.fetch_add(1, Ordering::Relaxed);
        *status = RegroupStatus {
            running: true,
            all,
            ..RegroupStatus::default()
        };
        inner.regroup.again.notify_one();
        Ok(status.clone())
    }
}

/// Why crashes cannot be signed anew.
#[derive(Debug, thiserror::Error)]
pub enum RegroupError {
    /// The file of rules cannot be used.
    #[error(transparent)]
    Rules(#[from] ConfigError),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    loop {
        tokio::select! {
            () = daemon.stopped() => return,
            () = daemon.regroup.again.notified() => {}
        }
        let asked = daemon.regroup.asked.load(Ordering::Relaxed);
        let trouble = match pass(&daemon).await {
            Ok(()) => None,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(
                    error,
                    "could not sign crashes anew; the rest waits for the next start"
                );
                Some(error)
            }
        };
        let mut status = daemon.regroup.lock();
        if status.done > 0 {
            let (done, moved) = (status.done, status.moved);
            tracing::info!(done, moved, "crashes were signed by the rules in force");
        }
        if daemon.regroup.asked.load(Ordering::Relaxed) != asked {
            continue;
        }
        status.running = false;
        status.ended_at_ms = Some(now_ms());
        status.trouble = trouble;
    }
}

/// Signs every crash by the rules in force, unless the daemon stops before.
async fn pass(daemon: &Arc<Inner>) -> Result<(), StoreError> {
    let rules = daemon.regroup.rules();
    let (inner, asked) = (Arc::clone(daemon), Arc::clone(&rules));
    let count = move || inner.store.count_signed_otherwise(&asked);
    let all = blocking("count crashes to sign anew", count).await;
    *daemon.regroup.lock() = RegroupStatus {
        running: true,
        all: all.unwrap_or(Ok(0))?,
        ..RegroupStatus::default()
    };
    let mut after = 0;
    loop {
        let (inner, by) = (Arc::clone(daemon), Arc::clone(&rules));
        let done = blocking("sign crashes anew", move || batch(&inner, &by, after)).await;
        let Some(done) = done.transpose()?.flatten() else {
            return Ok(());
        };
        after = done.last;
        {
            let mut status = daemon.regroup.lock();
            status.done += done.signed;
            status.moved += done.moved;
        }
        tokio::select! {
            () = daemon.stopped() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

struct Done {
    last: i64,
    signed: u64,
    moved: u64,
}

/// The next crashes after one; nothing when there are no more.
fn batch(daemon: &Inner, rules: &Rules, after: i64) -> Result<Option<Done>, StoreError> {
    let store = &daemon.store;
    let crashes = store.signed_otherwise(rules, after, AT_ONCE)?;
    let Some((last, _)) = crashes.last() else {
        store.forget_signatures(rules)?;
        return Ok(None);
    };
    let mut done = Done {
        last: *last,
        signed: 0,
        moved: 0,
    };
    for (_, id) in &crashes {
        let Some(report) = store.report(id) else {
            continue;
        };
        let mut signature = sign_again(&report, rules);
        match store.record(id) {
            Ok(record) => label::group(&record, &mut signature),
            Err(StoreError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        }
        match store.sign(id, &signature) {
            Ok(moved) => {
                done.signed += 1;
                done.moved += u64::from(moved);
            }
            // Removed since, or a hash that a hostile report made.
            Err(StoreError::NotFound(_) | StoreError::BadSignature) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(done))
}
