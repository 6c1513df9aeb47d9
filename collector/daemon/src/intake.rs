//! Takes crashes in: whatever appears in `spool/ready`, and at start and every minute whatever
//! a notification missed, a dead helper left, or a kill of the daemon cut short.

use crate::daemon::{Event, Inner, blocking, chain};
use crate::journal;
use crate::spool;
use crate::status::now_ms;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::Record;
use futures_util::{Stream, StreamExt};
use inotify::{Inotify, WatchMask};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::time::MissedTickBehavior;

/// How often everything is looked at, notified or not.
const RESCAN_EVERY: Duration = Duration::from_mins(1);

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
        let (mut waiting, mut for_room) = (None, false);
        if full && !self.rowless.is_empty() {
            self.reindex();
        }
        for entry in spool::entries(&state_dir.join(layout::READY)) {
            if self.deferred.contains(&entry) {
                continue;
            }
            let name = entry
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            if let Err(error) = self.take_in(&entry, &name) {
                tracing::error!(
                    dump = name,
                    error = chain(&error),
                    "could not take a crash in; trying again in a minute"
                );
                self.deferred.insert(entry);
                // Its files may have moved already, and the next scan would not find them.
                self.rowless.extend(name.parse::<DumpId>());
                waiting = Some(chain(&error));
                for_room |= error.is_full_disk();
                self.daemon.retain.notify_one();
            }
        }
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

    fn take_in(&self, entry: &Path, name: &str) -> Result<(), IntakeError> {
        let id = match name.parse::<DumpId>() {
            Ok(id) if fs::symlink_metadata(entry)?.is_dir() => id,
            Ok(_) => return self.reject(entry, name, "not a directory"),
            Err(error) => return self.reject(entry, name, &error.to_string()),
        };
        let record = self.record(entry, &id)?;
        self.daemon.store.admit(&record, entry)?;
        let container = record
            .container
            .as_ref()
            .and_then(|container| container.name.as_deref());
        tracing::info!(dump = %id, signal = record.signal.name, process = record.process.name, container, "crash taken in");
        self.daemon.metrics.crash(&record);
        self.daemon.tell(Event::Dump {
            id: name.to_owned(),
        });
        self.daemon.work.notify_one();
        self.daemon.retain.notify_one();
        Ok(())
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
