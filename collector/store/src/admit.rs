//! Takes a dump in: modules to the module store, the entry to `dumps/`, then a row and a job.
//!
//! Every step may be repeated, so that a kill between any two is mended by admitting again. Several
//! dumps go through each step together: what a step costs is the disk's time to sync, not the work.

use crate::database::{column_text, lock, to_sql};
use crate::events::{self, Kind};
use crate::files::{self, failed};
use crate::keeping::{Keeping, length};
use crate::lifecycle;
use crate::modules::{hex, is_sha256};
use crate::store::{Store, StoreError, now_ms};
use crate::types::DumpStatus;
use crate::words;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{Container, Kept, Policy, Record};
use rusqlite::{OptionalExtension, Transaction, named_params, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A crash to be taken in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// What is known of it.
    pub record: &'a Record,
    /// Its files: a directory on the store's file system, or already the dump's own.
    pub entry: &'a Path,
}

/// What is read of a dump's files before its row is made.
struct Arrived<'a> {
    record: &'a Record,
    keeping: Keeping,
    memory: u64,
    stored: u64,
    log: String,
}

impl<'a> Arrived<'a> {
    fn read(record: &'a Record, dump: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            record,
            // A dump that comes back after its row was lost is what it was in the end.
            keeping: Keeping::read(dump)?,
            memory: length(&dump.join(layout::CORE)),
            stored: files::bytes_in(dump),
            log: words::log_tail(dump)?,
        })
    }
}

impl Store {
    /// Takes a dump in (used by the daemon's intake; idempotent). `entry` is a directory on the
    /// same file system, or already the dump's own.
    pub fn admit(&self, record: &Record, entry: &Path) -> Result<(), StoreError> {
        let _modules = lock(&self.inner.modules);
        self.take_in(&[Arrival { record, entry }])
    }

    /// Takes several dumps in with the syncs and the transaction of one. Each has a result of its
    /// own, in order.
    pub fn admit_all(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<(), StoreError>> {
        let _modules = lock(&self.inner.modules);
        let alone = |one| self.take_in(std::slice::from_ref(one));
        match self.take_in(arrivals) {
            Ok(()) => arrivals.iter().map(|_| Ok(())).collect(),
            Err(error) if arrivals.len() == 1 => vec![Err(error)],
            // What was done may be done again: whose fault it was shows one by one.
            Err(_) => arrivals.iter().map(alone).collect(),
        }
    }

    /// Whether the dump has a row.
    pub fn contains(&self, id: &DumpId) -> Result<bool, StoreError> {
        self.inner.database.read(|sql| {
            let found = "SELECT EXISTS (SELECT 1 FROM dumps WHERE id = ?1)";
            Ok(sql
                .prepare_cached(found)?
                .query_row([id.as_str()], |row| row.get(0))?)
        })
    }

    fn take_in(&self, arrivals: &[Arrival<'_>]) -> Result<(), StoreError> {
        self.take_files(arrivals)?;
        let mut arrived = vec![];
        for Arrival { record, .. } in arrivals {
            arrived.push(Arrived::read(record, &self.inner.files.dump(&record.id))?);
        }
        self.insert_all(&arrived, true)
    }

    /// Moves entries to where dumps are, their modules first. What is moved is synced before the
    /// next step counts on it.
    fn take_files(&self, arrivals: &[Arrival<'_>]) -> Result<(), StoreError> {
        let files = &self.inner.files;
        let (mut coming, mut changed) = (vec![], BTreeSet::new());
        for Arrival { record, entry } in arrivals {
            let dump = files.dump(&record.id);
            if *entry == dump {
                continue;
            }
            if entry.is_dir() {
                changed.extend(files.take_modules(entry)?);
                coming.push((*entry, dump));
            } else if !dump.is_dir() {
                // Neither admitted before, nor anything to admit.
                return Err(StoreError::NotFound("spool entry"));
            }
        }
        files::sync_directories(changed.iter().map(PathBuf::as_path))?;
        let mut moved = BTreeSet::new();
        for (entry, dump) in &coming {
            if dump.join(layout::RECORD).is_file() {
                tracing::warn!(entry = %entry.display(), "dropped a second copy of a dump that is already here");
                files::remove_tree(entry)?;
                continue;
            }
            files::remove_tree(&entry.join(layout::MODULES))?;
            // Without a record it is no dump; rename replaces only an empty directory.
            files::remove_tree(dump)?;
            fs::rename(entry, dump).map_err(failed("cannot move", entry))?;
            moved.extend([dump.parent(), entry.parent()].into_iter().flatten());
        }
        files::sync_directories(moved.into_iter())
    }

    /// Makes the row. `fresh`: the crash is news, and not one whose row is made again.
    pub(crate) fn insert(
        &self,
        record: &Record,
        dump: &Path,
        fresh: bool,
    ) -> Result<(), StoreError> {
        self.insert_all(&[Arrived::read(record, dump)?], fresh)
    }

    fn insert_all(&self, arrived: &[Arrived<'_>], fresh: bool) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            arrived
                .iter()
                .try_for_each(|arrived| self.insert_row(sql, arrived, fresh))
        })
    }

    fn insert_row(
        &self,
        sql: &Transaction<'_>,
        arrived: &Arrived<'_>,
        fresh: bool,
    ) -> Result<(), StoreError> {
        let Arrived {
            record, keeping, ..
        } = arrived;
        let sizes = [arrived.memory, arrived.stored];
        let Some(key) = insert_dump(sql, record, keeping, sizes)? else {
            return Ok(());
        };
        if keeping
            .left
            .as_ref()
            .is_none_or(|left| left.kept != Kept::None)
        {
            self.insert_modules(sql, key, record)?;
        }
        let job = "INSERT INTO jobs (dump, queued_at_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        sql.prepare_cached(job)?.execute(params![key, now_ms()])?;
        words::index_record(sql, key, record, &arrived.log)?;
        if fresh {
            events::push(sql, Kind::Dump, &record.id, None, false)?;
        }
        Ok(())
    }

    /// Notes which modules of the store the dump needs; those that are not there are not noted.
    fn insert_modules(
        &self,
        sql: &Transaction<'_>,
        dump: i64,
        record: &Record,
    ) -> Result<(), StoreError> {
        for module in record.modules.iter().chain(&record.debug_files) {
            let Some(sha256) = module.sha256.as_deref().filter(|text| is_sha256(text)) else {
                continue;
            };
            let path = self.inner.files.module(sha256);
            let Some(file) = path.and_then(|path| fs::symlink_metadata(path).ok()) else {
                continue;
            };
            sql.prepare_cached(
                "INSERT INTO modules (sha256, build_id, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (sha256) DO NOTHING",
            )?
            .execute(params![sha256, module.build_id, to_sql(file.len())])?;
            sql.prepare_cached(
                "INSERT INTO dump_modules (dump, module) SELECT ?1, key FROM modules WHERE sha256 = ?2 ON CONFLICT DO NOTHING",
            )?
            .execute(params![dump, sha256])?;
        }
        Ok(())
    }
}

/// Inserts the row of a dump. `None` when it is there already.
fn insert_dump(
    sql: &Transaction<'_>,
    record: &Record,
    keeping: &Keeping,
    [memory, stored]: [u64; 2],
) -> Result<Option<i64>, StoreError> {
    let container = record
        .container
        .as_ref()
        .map(|container| intern_container(sql, container))
        .transpose()?;
    if let Some(container) = &record.container {
        lifecycle::see(sql, container, record.captured_at_ms)?;
    }
    let image = record.container.as_ref();
    let image = image.and_then(|container| container.image.as_deref());
    let process = &record.process;
    let capture = &record.capture;
    let captured = (capture.kept, capture.bytes_kept);
    let (kept_now, core_bytes) = keeping
        .left
        .as_ref()
        .map_or(captured, |left| (left.kept, left.core_bytes));
    let dropped = keeping.left.as_ref();
    let dropped = dropped.filter(|_| capture.kept != Kept::None);
    let inserted = sql
        .prepare_cached(
            "INSERT INTO dumps (id, crashed_at_ms, host, signal, signal_number, pid, name, executable, command,
                 container, unit, status, kept, truncated, core_bytes, stored_bytes, hold_us,
                 image, memory_bytes, dropped, pinned, trace, uid, machine, boot, kernel, arch, cpu)
             VALUES (:id, :crashed_at_ms, :host, :signal, :signal_number, :pid, :name, :executable, :command,
                 :container, :unit, :status, :kept, :truncated, :core_bytes, :stored_bytes, :hold_us,
                 :image, :memory_bytes, :dropped, :pinned, :trace, :uid, :machine, :boot, :kernel, :arch, :cpu)
             ON CONFLICT (id) DO NOTHING RETURNING key",
        )?
        .query_row(
            named_params! {
                ":id": record.id.as_str(),
                ":crashed_at_ms": record.captured_at_ms,
                ":host": column_text(&record.host.hostname),
                ":signal": column_text(&record.signal.name),
                ":signal_number": record.signal.number,
                ":pid": if process.pid == 0 { record.kernel.pid } else { process.pid },
                ":name": column_text(&process.name),
                ":executable": process.executable.as_deref().map(column_text),
                ":command": column_text(&command(record)),
                ":container": container,
                ":unit": record.unit.as_deref().map(column_text),
                ":status": DumpStatus::Pending.as_str(),
                ":kept": kept(kept_now),
                ":truncated": capture.truncated,
                ":core_bytes": to_sql(core_bytes),
                ":stored_bytes": to_sql(stored),
                ":hold_us": capture.hold_us.map(to_sql),
                ":image": image.map(column_text),
                ":memory_bytes": to_sql(memory),
                ":dropped": dropped.map(|left| column_text(&left.reason)),
                ":pinned": keeping.pinned,
                ":trace": capture.policy == Policy::Trace,
                ":uid": record.kernel.uid,
                ":machine": record.host.machine_id.as_deref().map(column_text),
                ":boot": record.host.boot_id.as_deref().map(column_text),
                ":kernel": column_text(&record.host.kernel),
                ":arch": column_text(&record.host.arch),
                ":cpu": record.context.cpu.model.as_deref().map(column_text),
            },
            |row| row.get(0),
        )
        .optional()?;
    Ok(inserted)
}

pub(crate) fn command(record: &Record) -> String {
    let process = &record.process;
    if process.args.is_empty() {
        return process
            .executable
            .clone()
            .unwrap_or_else(|| process.name.clone());
    }
    process.args.join(" ")
}

/// The word for it in the database and in JSON.
pub(crate) fn kept(kept: Kept) -> &'static str {
    match kept {
        Kept::Full => "full",
        Kept::Lean => "lean",
        Kept::Partial => "partial",
        Kept::None => "none",
    }
}

/// The row of a container as this crash saw it, made when it is new.
fn intern_container(sql: &Transaction<'_>, container: &Container) -> Result<i64, StoreError> {
    let digest = digest(container);
    let found = sql
        .prepare_cached("SELECT key FROM containers WHERE digest = ?1")?
        .query_row([&digest], |row| row.get(0))
        .optional()?;
    if let Some(key) = found {
        return Ok(key);
    }
    let text = |value: &Option<String>| value.as_deref().map(column_text);
    let key = sql
        .prepare_cached(
            "INSERT INTO containers (digest, runtime, container_id, name, image, image_id, pod_uid,
               runtime_namespace, pod_namespace, pod_name, pod_container, pod_owner, hostname, confidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .insert(params![
            digest,
            column_text(&container.runtime),
            column_text(&container.id),
            text(&container.name),
            text(&container.image),
            text(&container.image_id),
            text(&container.pod_uid),
            text(&container.runtime_namespace),
            text(&container.pod_namespace),
            text(&container.pod_name),
            text(&container.pod_container),
            text(&container.pod_owner),
            text(&container.hostname),
            container.confidence().as_str(),
        ])?;
    let mut label = sql.prepare_cached(
        "INSERT INTO container_labels (container, label, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for (name, value) in &container.labels {
        label.execute(params![key, column_text(name), column_text(value)])?;
    }
    let mut digest = sql.prepare_cached(
        "INSERT INTO container_digests (container, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for name in &container.image_digests {
        digest.execute(params![key, column_text(name)])?;
    }
    Ok(key)
}

/// Names what the row of a container holds, each part preceded by its length.
fn digest(container: &Container) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: Option<&str>| {
        let length = text.map_or(u64::MAX, |text| {
            u64::try_from(text.len()).unwrap_or(u64::MAX - 1)
        });
        hasher.update(length.to_le_bytes());
        hasher.update(text.unwrap_or_default());
    };
    for text in [
        Some(&container.runtime),
        Some(&container.id),
        container.name.as_ref(),
        container.image.as_ref(),
    ] {
        part(text.map(String::as_str));
    }
    part(container.image_id.as_deref());
    for text in [
        &container.pod_uid,
        &container.runtime_namespace,
        &container.pod_namespace,
        &container.pod_name,
        &container.pod_container,
        &container.pod_owner,
        &container.hostname,
    ] {
        part(text.as_deref());
    }
    part(Some(container.confidence().as_str()));
    part(Some(&container.image_digests.len().to_string()));
    for digest in &container.image_digests {
        part(Some(digest));
    }
    for (name, value) in &container.labels {
        part(Some(name));
        part(Some(value));
    }
    hex(&hasher.finalize())
}
