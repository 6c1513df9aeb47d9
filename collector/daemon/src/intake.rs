//! Takes crashes in: whatever appears in `spool/ready`, and at start and every minute whatever
//! a notification missed, a dead helper left, or a kill of the daemon cut short.

use crate::daemon::{Event, Inner, blocking, chain};
use crate::journal;
use crate::spool;
use crate::status::now_ms;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::Record;
use aground_store::Arrival;
use futures_util::{Stream, StreamExt};
use inotify::{Inotify, WatchMask};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};
use tokio::time::MissedTickBehavior;

/// How often everything is looked at, notified or not.
const RESCAN_EVERY: Duration = Duration::from_mins(1);
/// The most crashes that are taken in together.
const BATCH: usize = 128;
/// So many bytes of records are enough for a batch.
const BATCH_BYTES: u64 = 16 << 20;
/// The longest that a crash waits for others to be taken in with: an engine may be asked about each.
const BATCH_TIME: Duration = Duration::from_millis(50);

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    // Watching begins before the first scan, so that nothing falls between the two.
    let ready = daemon.config.state_dir.join(layout::READY);
    let mut arrivals = watch(&ready).unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot watch the spool; crashes are taken in once a minute");
        futures_util::stream::pending().boxed()
    });
    let mut minute = tokio::time::interval(RESCAN_EVERY);
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut intake = Intake::new(&daemon);
    intake = reindexed(intake).await;
    loop {
        let full = tokio::select! {
            () = daemon.stopped() => return,
            _ = minute.tick() => true,
            Some(()) = arrivals.next() => false,
            () = daemon.room.notified() => true,
        };
        let fresh = Intake::new(&daemon);
        intake = blocking("scan the spool", move || {
            intake.scan(full);
            intake
        })
        .await
        .unwrap_or(fresh);
    }
}

async fn reindexed(intake: Intake) -> Intake {
    let fresh = Intake::new(&intake.daemon);
    let done = blocking("compare files and rows", move || {
        intake.reindex();
        intake
    });
    done.await.unwrap_or(fresh)
}

/// Something each time an entry may have arrived.
fn watch(directory: &Path) -> io::Result<futures_util::stream::BoxStream<'static, ()>> {
    fn arrivals(inotify: Inotify) -> io::Result<impl Stream<Item = ()>> {
        Ok(inotify.into_event_stream(vec![0; 4096])?.map(drop))
    }
    let inotify = Inotify::init()?;
    inotify.watches().add(
        directory,
        WatchMask::MOVED_TO | WatchMask::CREATE | WatchMask::ONLYDIR,
    )?;
    Ok(arrivals(inotify)?.boxed())
}

struct Intake {
    daemon: Arc<Inner>,
    /// Entries that could not be taken in for a reason that may pass; left until the next full scan.
    deferred: HashSet<PathBuf>,
    /// Dumps whose files are in the store and whose rows could not be written.
    rowless: HashSet<DumpId>,
}

/// An entry that is to be taken in.
struct Come {
    entry: PathBuf,
    name: String,
    record: Record,
}

/// Entries that are taken in together: what each costs alone is mostly waiting for the disk.
#[derive(Default)]
struct Batch {
    come: Vec<Come>,
    /// Bytes of their records' files.
    bytes: u64,
    since: Option<Instant>,
}

impl Batch {
    fn push(&mut self, come: Come) {
        let file = fs::symlink_metadata(come.entry.join(layout::RECORD));
        self.bytes = self.bytes.saturating_add(file.map_or(0, |file| file.len()));
        self.since.get_or_insert_with(Instant::now);
        self.come.push(come);
    }

    /// Whether it has enough: entries, memory, or time that the first one waited for the others.
    fn is_full(&self) -> bool {
        let waited = self
            .since
            .is_some_and(|since| since.elapsed() >= BATCH_TIME);
        self.come.len() >= BATCH || self.bytes >= BATCH_BYTES || waited
    }
}

/// Why crashes wait, of one scan.
#[derive(Default)]
struct Trouble {
    waiting: Option<String>,
    for_room: bool,
}

/// Why an entry was not taken in now.
#[derive(Debug, thiserror::Error)]
enum IntakeError {
    #[error(transparent)]
    Store(#[from] aground_store::StoreError),
    #[error("cannot change the entry")]
    Io(#[from] io::Error),
}

impl IntakeError {
    fn is_full_disk(&self) -> bool {
        match self {
            IntakeError::Store(error) => error.is_full_disk(),
            IntakeError::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
        }
    }
}

impl Intake {
    fn new(daemon: &Arc<Inner>) -> Self {
        Self {
            daemon: Arc::clone(daemon),
            deferred: HashSet::new(),
            rowless: HashSet::new(),
        }
    }

    fn reindex(&self) {
        match self.daemon.store.reindex() {
            Ok(done) => {
                for (name, reason) in &done.unreadable {
                    tracing::error!(dump = name, reason, "cannot read a dump's files");
                }
                if done.admitted + done.removed > 0 {
                    tracing::info!(
                        admitted = done.admitted,
                        removed = done.removed,
                        "brought rows in line with files"
                    );
                    self.daemon.work.notify_one();
                }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "could not compare files and rows");
            }
        }
    }

    fn scan(&mut self, full: bool) {
        let state_dir = &self.daemon.config.state_dir;
        if full {
            self.deferred.clear();
            spool::adopt_orphans(state_dir);
            let is_known = |id: &DumpId| self.daemon.store.contains(id).unwrap_or(false);
            if let Err(error) = spool::fetch_fallback(state_dir, is_known) {
                tracing::warn!(
                    error = chain(&error),
                    "could not fetch the records that were left in the fallback directory"
                );
            }
        }
        let mut trouble = Trouble::default();
        if full && !self.rowless.is_empty() {
            self.reindex();
        }
        let mut batch = Batch::default();
        for entry in spool::entries(&state_dir.join(layout::READY)) {
            if self.deferred.contains(&entry) {
                continue;
            }
            let name = entry
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            match self.look_at(&entry, &name) {
                Ok(None) => {}
                Ok(Some(record)) => batch.push(Come {
                    entry,
                    name,
                    record,
                }),
                Err(error) => self.defer(entry, &name, &error, &mut trouble),
            }
            if batch.is_full() {
                self.take_in(std::mem::take(&mut batch), &mut trouble);
            }
        }
        self.take_in(batch, &mut trouble);
        let Trouble {
            mut waiting,
            mut for_room,
        } = trouble;
        let store = &self.daemon.store;
        self.rowless
            .retain(|id| !store.contains(id).unwrap_or(false));
        let mut live = self.daemon.live();
        if full && waiting.is_none() && !self.rowless.is_empty() {
            (waiting, for_room) = (live.waiting.take(), true);
        }
        if full {
            live.last_rescan_ms = Some(now_ms());
        }
        if full || waiting.is_some() {
            (live.waiting, live.waiting_for_room) = (waiting, for_room);
        }
    }

    /// The record of an entry that can be taken in; what is no entry is put aside.
    fn look_at(&self, entry: &Path, name: &str) -> Result<Option<Record>, IntakeError> {
        let id = match name.parse::<DumpId>() {
            Ok(id) if fs::symlink_metadata(entry)?.is_dir() => id,
            Ok(_) => return self.reject(entry, name, "not a directory").map(|()| None),
            Err(error) => {
                return self.reject(entry, name, &error.to_string()).map(|()| None);
            }
        };
        self.record(entry, &id).map(Some)
    }

    /// Takes the crashes of a batch in and tells of them.
    fn take_in(&mut self, batch: Batch, trouble: &mut Trouble) {
        let arrivals: Vec<Arrival<'_>> = batch
            .come
            .iter()
            .map(|come| Arrival {
                record: &come.record,
                entry: &come.entry,
            })
            .collect();
        if arrivals.is_empty() {
            return;
        }
        let results = self.daemon.store.admit_all(&arrivals);
        for (come, result) in batch.come.into_iter().zip(results) {
            let Come {
                entry,
                name,
                record,
            } = come;
            match result {
                Ok(()) => self.tell(&name, &record),
                Err(error) => self.defer(entry, &name, &error.into(), trouble),
            }
        }
        self.daemon.work.notify_one();
        self.daemon.retain.notify_one();
    }

    fn tell(&self, name: &str, record: &Record) {
        let container = record
            .container
            .as_ref()
            .and_then(|container| container.name.as_deref());
        tracing::info!(
            dump = name,
            signal = record.signal.name,
            process = record.process.name,
            container,
            "crash taken in"
        );
        self.daemon.metrics.crash(record);
        self.daemon.tell(Event::Dump {
            id: name.to_owned(),
        });
    }

    /// Leaves an entry for the next full scan.
    fn defer(&mut self, entry: PathBuf, name: &str, error: &IntakeError, trouble: &mut Trouble) {
        tracing::error!(
            dump = name,
            error = chain(error),
            "could not take a crash in; trying again in a minute"
        );
        self.deferred.insert(entry);
        // Its files may have moved already, and the next scan would not find them.
        self.rowless.extend(name.parse::<DumpId>());
        trouble.waiting = Some(chain(error));
        trouble.for_room |= error.is_full_disk();
        self.daemon.retain.notify_one();
    }

    fn reject(&self, entry: &Path, name: &str, reason: &str) -> Result<(), IntakeError> {
        tracing::error!(entry = name, reason, "put a spool entry aside");
        Ok(spool::reject_entry(
            &self.daemon.config.state_dir,
            entry,
            reason,
        )?)
    }

    /// The record of an entry; where it cannot be read, what is known without it.
    fn record(&self, entry: &Path, id: &DumpId) -> Result<Record, IntakeError> {
        let mut record = match spool::read_record(entry, id) {
            Ok(record) => record,
            Err(reason) => {
                tracing::error!(dump = %id, reason, "a crash without a readable record");
                spool::reject_record(&self.daemon.config.state_dir, entry, id, &reason)?;
                let bare = spool::bare_record(id, entry, &reason);
                spool::write_record(entry, &bare)?;
                bare
            }
        };
        let mended = spool::complete_interrupted(&mut record, entry);
        let completed = self.daemon.engines.complete(&mut record);
        if add_log(&mut record, entry) || mended || completed {
            spool::write_record(entry, &record)?;
        }
        Ok(record)
    }
}

/// Adds the log of a container whose engine keeps it in the journal. Says whether the record has
/// changed.
fn add_log(record: &mut Record, entry: &Path) -> bool {
    let path = entry.join(layout::LOG);
    if path.exists() {
        return false;
    }
    let kept = match journal::tail(record) {
        None => return false,
        Some(Ok(text)) if text.is_empty() => return false,
        Some(text) => text.and_then(|text| {
            fs::write(&path, text)
                .map_err(|error| format!("the container's log could not be kept: {error}"))
        }),
    };
    if let Err(problem) = kept {
        record.problems.push(problem);
        return true;
    }
    false
}
