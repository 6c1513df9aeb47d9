//! The running service: what it is made of, how it starts and ends.

use crate::config::{Config, ConfigError};
use crate::debuginfod::{self, Servers};
use crate::metrics::Metrics;
use crate::regroup::{self, Regroup};
use crate::runtimes::Engines;
use crate::status::Live;
use crate::{import, intake, notify, propose, queue, reroute, retention, rules, runtimes, uploads};
use aground_analyzer::group::Rules;
use aground_helper::id::DumpId;
use aground_store::access::Sight;
use aground_store::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::task::JoinHandle;

/// Events a slow subscriber may lag behind before it misses some.
const EVENT_BUFFER: usize = 1024;

/// The running service. Cheap to clone.
#[derive(Clone)]
pub struct Daemon {
    pub(crate) inner: Arc<Inner>,
    /// What faces see; another one than that of `inner` where some is hidden.
    seen: Store,
}

/// What intake, queue and faces share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) store: Store,
    /// What frames count in signatures.
    pub(crate) regroup: Regroup,
    pub(crate) live: Mutex<Live>,
    pub(crate) metrics: Metrics,
    /// Told whenever there may be a job.
    pub(crate) work: Notify,
    /// Told whenever a limit may have been passed.
    pub(crate) retain: Notify,
    /// Told when there is room again for crashes that wait in the spool.
    pub(crate) room: Notify,
    /// Held while something is given up.
    pub(crate) retaining: tokio::sync::Mutex<()>,
    /// Who is asked for what the helper could not read.
    pub(crate) engines: Engines,
    /// Who is asked for symbols.
    pub(crate) servers: Servers,
    /// Told when a report lacks symbols.
    pub(crate) lacking: Notify,
    /// Told when there is something that people are to be told of.
    pub(crate) news: Notify,
    /// Told when there is something to deliver.
    pub(crate) deliver: Notify,
    /// Rules and scripts as they were read last.
    pub(crate) rules: rules::Rules,
    /// Whose turn it is to go on with files that come piece by piece.
    pub(crate) uploads: uploads::Turns,
    /// Permits to take in cores that are handed in.
    pub(crate) importing: Semaphore,
    /// Cores that could not be made lean since the start.
    pub(crate) unthinnable: Mutex<BTreeSet<DumpId>>,
    /// Becomes true when all must end.
    pub(crate) stop: watch::Sender<bool>,
    events: broadcast::Sender<Event>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Something happened that people follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A crash was taken in.
    Dump {
        /// Its id.
        id: String,
    },
    /// A report was written.
    Report {
        /// The dump's id.
        id: String,
        /// The group it went to.
        group: String,
        /// Whether the group is new.
        new: bool,
    },
    /// Some or all of a dump's memory was given up.
    Memory {
        /// The dump's id.
        id: String,
        /// What is left: `lean` or `none`.
        kept: String,
        /// Why.
        reason: String,
    },
    /// A dump was removed.
    Removed {
        /// The dump's id.
        id: String,
    },
}

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A metric cannot be made.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// The rules of grouping could not be used.
    #[error(transparent)]
    Rules(#[from] ConfigError),
    /// Reading or making something on disk failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Daemon {
    /// Opens the store and starts intake and workers.
    pub async fn start(config: Config) -> Result<Self, DaemonError> {
        raise_open_files_limit();
        let grouping = config.grouping.rules()?;
        let state_dir = config.state_dir.clone();
        let opened = blocking("open the store", move || {
            let store = Store::open(&state_dir)?;
            import::forget_unfinished(&state_dir);
            let leases = store.requeue_leases()?;
            if leases > 0 {
                tracing::info!(
                    leases,
                    "queued again what was in analysis when the last daemon ended"
                );
            }
            Ok(store)
        });
        let store = opened.await.unwrap_or(Err(StoreError::NotFound("store")))?;
        if let Err(error) = config.hand_over_capture() {
            tracing::error!(%error, "the helper goes on with the settings it has: cannot write them");
        }
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let inner = Arc::new(Inner {
            live: Mutex::new(Live::new()),
            metrics: Metrics::new()?,
            work: Notify::new(),
            retain: Notify::new(),
            room: Notify::new(),
            engines: Engines::new(&config.runtimes),
            servers: Servers::new(&config.symbols.debuginfod),
            lacking: Notify::new(),
            news: Notify::new(),
            rules: rules::Rules::default(),
            deliver: Notify::new(),
            uploads: uploads::Turns::default(),
            importing: Semaphore::new(import::AT_ONCE),
            unthinnable: Mutex::default(),
            retaining: tokio::sync::Mutex::new(()),
            stop: watch::Sender::new(false),
            events,
            tasks: Mutex::default(),
            config,
            store,
            regroup: Regroup::new(grouping),
        });
        let mut tasks = vec![
            tokio::spawn(intake::run(Arc::clone(&inner))),
            tokio::spawn(retention::run(Arc::clone(&inner))),
            tokio::spawn(regroup::run(Arc::clone(&inner))),
            tokio::spawn(propose::run(Arc::clone(&inner))),
            tokio::spawn(reroute::run(Arc::clone(&inner))),
            tokio::spawn(rules::again::run(Arc::clone(&inner))),
            tokio::spawn(import::watch(Arc::clone(&inner))),
            tokio::spawn(uploads::run(Arc::clone(&inner))),
            tokio::spawn(runtimes::run(Arc::clone(&inner))),
            tokio::spawn(debuginfod::run(Arc::clone(&inner))),
            tokio::spawn(notify::run(Arc::clone(&inner))),
        ];
        tasks.extend(
            (0..inner.config.workers).map(|_| tokio::spawn(queue::run(Arc::clone(&inner)))),
        );
        *lock(&inner.tasks) = tasks;
        let came = Arc::clone(&inner);
        let used = blocking("use symbols that came", move || came.use_what_came()).await;
        used.unwrap_or(Ok(()))?;
        Ok(Self::of(inner))
    }

    /// A handle that shows everything.
    pub(crate) fn of(inner: Arc<Inner>) -> Self {
        let seen = inner.store.clone();
        Self { inner, seen }
    }

    /// The store, as far as this handle shows it.
    pub fn store(&self) -> &Store {
        &self.seen
    }

    /// The same service, whose store shows no more than this. Blocks on disk.
    pub fn seen(&self, sight: Sight) -> Result<Self, StoreError> {
        Ok(Self {
            inner: Arc::clone(&self.inner),
            seen: self.inner.store.seen(sight)?,
        })
    }

    /// What frames count in signatures.
    pub fn grouping_rules(&self) -> Arc<Rules> {
        self.inner.regroup.rules()
    }

    /// Events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Removes a dump and tells those who follow. Blocks on disk.
    pub fn remove_dump(&self, id: &DumpId) -> Result<(), StoreError> {
        self.inner.store.remove_dump(id)?;
        tracing::info!(dump = %id, "removed");
        self.inner.tell(Event::Removed { id: id.to_string() });
        Ok(())
    }

    /// Queues an analysis of the dump again. Blocks on disk.
    pub fn reanalyze(&self, id: &DumpId) -> Result<(), StoreError> {
        self.inner.reanalyze(id)
    }

    /// Stops intake, ends workers (their jobs stay queued), returns when all is quiet.
    pub async fn shutdown(&self) {
        self.inner.stop.send_replace(true);
        let tasks = std::mem::take(&mut *lock(&self.inner.tasks));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task did not end well");
            }
        }
    }
}

impl Inner {
    /// How many follow events.
    pub(crate) fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    /// Tells those who follow; nobody may be there.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Queues an analysis of the dump again. Blocks on disk.
    pub(crate) fn reanalyze(&self, id: &DumpId) -> Result<(), StoreError> {
        self.store.queue_job(id)?;
        self.work.notify_one();
        Ok(())
    }

    /// The moving part of the status.
    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }

    /// Returns when all must end.
    pub(crate) async fn stopped(&self) {
        // An error means that the sender is gone, which ends everything just as well.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work that blocks on disk. `None` when it panicked (told in the log) or the program ends.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "could not {what}");
            None
        }
    }
}

/// An error with everything that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A worker gets a descriptor per module, and the usual soft limit of 1,024 is for programs
/// that call `select`.
fn raise_open_files_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "could not raise the limit of open files");
    }
}
