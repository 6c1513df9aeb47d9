//! What happened, numbered, so that those who follow can go on where they left off.

use crate::store::{Store, StoreError, now_ms};
use aground_helper::id::DumpId;
use rusqlite::{OptionalExtension, Transaction, params};

/// So many events are remembered; older ones are forgotten.
const REMEMBERED: i64 = 100_000;

/// What kind of event.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Dump,
    Report,
    Removed,
    Memory,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Dump => "dump",
            Kind::Report => "report",
            Kind::Removed => "removed",
            Kind::Memory => "memory",
        }
    }
}

/// One remembered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number; later events have greater ones.
    pub sequence: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// `dump` (taken in), `report` (analysed), `memory` (some was given up) or `removed`.
    pub kind: String,
    /// The dump.
    pub dump: String,
    /// Its group, for `report`.
    pub group: Option<String>,
    /// Whether the group is new.
    pub new_group: bool,
}

/// The numbers of the events that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRange {
    /// The oldest; one more than `newest` when there is none.
    pub oldest: i64,
    /// The newest there ever was; 0 before the first.
    pub newest: i64,
}

impl Store {
    /// Which events can be asked for.
    pub fn event_range(&self) -> Result<EventRange, StoreError> {
        self.inner.database.read(|sql| {
            // What AUTOINCREMENT gave last outlives the row it gave it to.
            let newest: Option<i64> = sql
                .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
                .query_row([], |row| row.get(0))
                .optional()?;
            let newest = newest.unwrap_or(0);
            let oldest: Option<i64> = sql
                .prepare_cached("SELECT min(sequence) FROM events")?
                .query_row([], |row| row.get(0))?;
            let oldest = oldest.unwrap_or(newest.saturating_add(1));
            Ok(EventRange { oldest, newest })
        })
    }

    /// The number after which the events since a moment (milliseconds since the epoch) come.
    pub fn event_before(&self, at_ms: i64) -> Result<i64, StoreError> {
        let first: Option<i64> = self.inner.database.read(|sql| {
            Ok(sql
                .prepare_cached("SELECT min(sequence) FROM events WHERE at_ms >= ?1")?
                .query_row([at_ms], |row| row.get(0))?)
        })?;
        match first {
            Some(first) => Ok(first.saturating_sub(1)),
            None => Ok(self.event_range()?.newest),
        }
    }

    /// At most `limit` events after the one numbered `sequence`, oldest first.
    pub fn events_after(
        &self,
        sequence: i64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT sequence, at_ms, kind, dump_id, group_id, new_group FROM events
                 WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?;
            let rows = statement.query_map(params![sequence, limit], |row| {
                Ok(StoredEvent {
                    sequence: row.get(0)?,
                    at_ms: row.get(1)?,
                    kind: row.get(2)?,
                    dump: row.get(3)?,
                    group: row.get(4)?,
                    new_group: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Remembers an event as part of the change it tells of.
pub(crate) fn push(
    sql: &Transaction<'_>,
    kind: Kind,
    dump: &DumpId,
    group: Option<&str>,
    new_group: bool,
) -> Result<(), StoreError> {
    let sequence = sql
        .prepare_cached("INSERT INTO events (at_ms, kind, dump_id, group_id, new_group) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .insert(params![now_ms(), kind.as_str(), dump.as_str(), group, new_group])?;
    sql.prepare_cached("DELETE FROM events WHERE sequence <= ?1")?
        .execute([sequence.saturating_sub(REMEMBERED)])?;
    Ok(())
}
