//! Changes as rows, and what they come to.

use super::change::{Entry, Identity};
use super::life::Life;
use super::{parse, route};
use crate::store::StoreError;
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// The most changes that are read of one group and those merged into it.
const MOST_SHOWN: i64 = 100_000;

pub(super) fn insert(sql: &Transaction<'_>, entry: &Entry) -> Result<(), StoreError> {
    let json = |error: serde_json::Error| {
        StoreError::Database(rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    };
    let actor = serde_json::to_string(&entry.by).map_err(json)?;
    let change = serde_json::to_string(&entry.change).map_err(json)?;
    sql.prepare_cached(
        "INSERT INTO group_changes (sequence, at_ms, actor, group_id, change) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![entry.sequence, entry.at_ms, actor, entry.group, change])?;
    Ok(())
}

const ENTRY: &str = "sequence, at_ms, actor, group_id, change, undone";

fn read_entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    Ok(Entry {
        sequence: row.get(0)?,
        at_ms: row.get(1)?,
        by: parse(&row.get::<_, String>(2)?)?,
        group: row.get(3)?,
        change: parse(&row.get::<_, String>(4)?)?,
        undone: row.get(5)?,
    })
}

pub(super) fn read_entries(
    sql: &Transaction<'_>,
    condition: &str,
    parameter: &dyn rusqlite::ToSql,
) -> Result<Vec<Entry>, StoreError> {
    let text = format!(
        "SELECT {ENTRY} FROM group_changes WHERE {condition} ORDER BY sequence LIMIT {MOST_SHOWN}"
    );
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query([parameter])?;
    let mut entries = vec![];
    while let Some(row) = rows.next()? {
        entries.push(read_entry(row)?);
    }
    Ok(entries)
}

pub(super) fn entries_after(
    sql: &Transaction<'_>,
    sequence: i64,
) -> Result<Vec<Entry>, StoreError> {
    read_entries(sql, "sequence > ?1", &sequence)
}

pub(super) fn group_of(sql: &Transaction<'_>, change: i64) -> Result<Option<String>, StoreError> {
    let found = sql
        .prepare_cached("SELECT group_id FROM group_changes WHERE sequence = ?1")?
        .query_row([change], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The changes of a group and of those merged into it, oldest first.
pub(super) fn history(sql: &Transaction<'_>, group: &str) -> Result<Vec<Entry>, StoreError> {
    let mut entries = vec![];
    for member in route::members(sql, group)? {
        entries.extend(read_entries(sql, "group_id = ?1", &member)?);
    }
    entries.sort_unstable_by_key(|entry| entry.sequence);
    Ok(entries)
}

/// What holds of a group.
pub(super) fn life(sql: &Transaction<'_>, group: &str) -> Result<Life, StoreError> {
    let mut life = Life::fold(group, &history(sql, group)?);
    life.merged = route::members(sql, group)?
        .into_iter()
        .filter(|member| member != group)
        .collect();
    life.ignored_seen = sql
        .prepare_cached("SELECT ignored_seen FROM group_lives WHERE group_id = ?1")?
        .query_row([group], |row| row.get(0))
        .optional()?
        .map_or(0, crate::database::from_sql);
    Ok(life)
}

pub(super) fn identity(sql: &Transaction<'_>, group: &str) -> Result<Option<Identity>, StoreError> {
    let found = sql
        .prepare_cached(
            "SELECT hash, signature_version, signature_kind, title FROM groups WHERE id = ?1
             UNION ALL SELECT hash, signature_version, signature_kind, title FROM group_lives
             WHERE group_id = ?1 LIMIT 1",
        )?
        .query_row([group], |row| {
            Ok(Identity {
                hash: row.get(0)?,
                version: row.get(1)?,
                made_of: row.get(2)?,
                title: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found)
}
