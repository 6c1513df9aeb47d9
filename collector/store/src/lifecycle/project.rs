//! Computes rows from changes: what lists and queries show, and where crashes belong.

use super::change::{Change, Entry, Identity, Until};
use super::entries::{history, identity, read_entries};
use super::life::{Life, mark_undone};
use super::{reroute, route};
use crate::store::StoreError;
use rusqlite::{Transaction, params};
use std::collections::BTreeSet;

/// Computes the rows that follow from a group's changes, and where crashes belong now.
pub(super) fn project(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
    let mut entries = read_entries(sql, "group_id = ?1", &group)?;
    mark_undone(&mut entries);
    let mut mark = sql.prepare_cached(
        "UPDATE group_changes SET undone = ?2 WHERE sequence = ?1 AND undone <> ?2",
    )?;
    for entry in &entries {
        mark.execute(params![entry.sequence, entry.undone])?;
    }
    let own = Life::fold(group, &entries);
    let before = route::live(sql, group)?;
    write_life(sql, group, &own, &entries)?;
    let mut moved = replace_edges(sql, group, &entries)?;
    let after = route::live(sql, group)?;
    if after == group && own.merged_into.is_some() {
        return Err(StoreError::Refused(
            "the two groups would be merged into each other".to_owned(),
        ));
    }
    for one in [group, &before, &after] {
        write_words(sql, one)?;
    }
    if !moved.is_empty() {
        moved.extend([group.to_owned(), before, after]);
        let live = moved
            .iter()
            .map(|group| route::live(sql, group))
            .collect::<Result<Vec<_>, _>>()?;
        moved.extend(live);
        reroute::begin(sql, &moved)?;
    }
    Ok(())
}

fn write_life(
    sql: &Transaction<'_>,
    group: &str,
    own: &Life,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let identity = entries.iter().find_map(|entry| match &entry.change {
        Change::Known(identity) => Some(identity.clone()),
        _ => None,
    });
    let identity = match identity {
        Some(identity) => identity,
        None => identity_or_id(sql, group)?,
    };
    let (until, more) = match own.ignored {
        Some(Until::Date(at_ms)) => (Some(at_ms), None),
        Some(Until::Crashes(more)) => (None, Some(crate::database::to_sql(more))),
        _ => (None, None),
    };
    sql.prepare_cached(
        "INSERT INTO group_lives (group_id, state, since_ms, by_change, merged_into, ignored_until_ms, ignored_more,
             hash, signature_version, signature_kind, title)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (group_id) DO UPDATE SET state = ?2, since_ms = ?3, merged_into = ?5,
             ignored_until_ms = ?6, ignored_more = ?7,
             ignored_seen = iif(by_change = ?4, ignored_seen, 0), by_change = ?4",
    )?
    .execute(params![
        group,
        own.state.as_str(),
        own.since_ms,
        own.by_change,
        own.merged_into,
        until,
        more,
        identity.hash,
        identity.version,
        identity.made_of,
        identity.title,
    ])?;
    sql.prepare_cached("UPDATE groups SET state = ?2 WHERE id = ?1")?
        .execute([group, own.state.as_str()])?;
    Ok(())
}

/// Of a group of which nothing is known any more, its id.
fn identity_or_id(sql: &Transaction<'_>, group: &str) -> Result<Identity, StoreError> {
    Ok(identity(sql, group)?.unwrap_or_else(|| Identity {
        hash: group.to_owned(),
        version: 0,
        made_of: "unknown".to_owned(),
        title: format!("group {group}"),
    }))
}

/// Tags, tickets, owner and texts of a group, none for one that is merged into another.
fn write_words(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
    for table in [
        "group_tags",
        "group_tickets",
        "group_notes",
        "group_distinct",
    ] {
        sql.prepare_cached(&format!("DELETE FROM {table} WHERE group_id = ?1"))?
            .execute([group])?;
    }
    let life = Life::fold(group, &history(sql, group)?);
    let owner = life.owner.as_ref().filter(|_| life.merged_into.is_none());
    sql.prepare_cached("UPDATE group_lives SET owner = ?2 WHERE group_id = ?1")?
        .execute(params![group, owner])?;
    if life.merged_into.is_some() {
        return Ok(());
    }
    for tag in &life.tags {
        sql.prepare_cached("INSERT INTO group_tags (group_id, tag) VALUES (?1, ?2)")?
            .execute([group, tag])?;
    }
    for ticket in &life.tickets {
        sql.prepare_cached("INSERT INTO group_tickets (group_id, ticket) VALUES (?1, ?2)")?
            .execute([group, ticket])?;
    }
    for other in &life.distinct {
        sql.prepare_cached("INSERT INTO group_distinct (group_id, other) VALUES (?1, ?2)")?
            .execute([group, other])?;
    }
    for (change, text) in life.texts() {
        sql.prepare_cached("INSERT INTO group_notes (group_id, change, text) VALUES (?1, ?2, ?3)")?
            .execute(params![group, change, text])?;
    }
    Ok(())
}

/// Makes the edges from a group what its merges and splits in force say. Returns the groups at the
/// other ends of those that came or went.
fn replace_edges(
    sql: &Transaction<'_>,
    group: &str,
    entries: &[Entry],
) -> Result<BTreeSet<String>, StoreError> {
    let mut wanted = BTreeSet::new();
    let in_force = || entries.iter().filter(|entry| !entry.undone);
    let mut merges = in_force().filter(|entry| matches!(entry.change, Change::Merge { .. }));
    let last_merge = merges.next_back().map(|entry| entry.sequence);
    for entry in in_force() {
        match &entry.change {
            Change::Merge { into } if Some(entry.sequence) == last_merge => {
                wanted.insert((entry.sequence, into.clone(), None))
            }
            Change::Split { into, split } => {
                let json = serde_json::to_string(split).unwrap_or_default();
                wanted.insert((entry.sequence, into.clone(), Some(json)))
            }
            _ => continue,
        };
    }
    let mut statement = sql.prepare_cached(
        "SELECT sequence, into_group, split FROM group_edges WHERE from_group = ?1",
    )?;
    let present: BTreeSet<(i64, String, Option<String>)> = statement
        .query_map([group], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (sequence, _, _) in present.difference(&wanted) {
        sql.prepare_cached("DELETE FROM group_edges WHERE sequence = ?1")?
            .execute([sequence])?;
    }
    for (sequence, into, split) in wanted.difference(&present) {
        sql.prepare_cached(
            "INSERT INTO group_edges (sequence, from_group, into_group, split) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![sequence, group, into, split])?;
    }
    let changed = present.symmetric_difference(&wanted);
    Ok(changed.map(|(_, into, _)| into.clone()).collect())
}
