//! Records changes, computes what they come to, and keeps the journal in step.

use super::change::{Actor, Change, Entry, Identity, ImageMark, Split, Until};
use super::life::{Life, State, mark_undone};
use super::{Journal, images, parse, route};
use crate::database::lock;
use crate::files::chain;
use crate::modules::hex;
use crate::query::Query;
use crate::store::{Store, StoreError, now_ms};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The most changes that are read of one group and those merged into it.
const MOST_SHOWN: i64 = 100_000;

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changed {
    /// As it was recorded; `None` when it was so already.
    pub entry: Option<Entry>,
    /// The group after it.
    pub life: Life,
}

impl Store {
    /// Decides something about a group. What is so already is not recorded again.
    pub fn change_group(
        &self,
        by: &Actor,
        group: &str,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let change = change.checked()?;
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entry = decide(sql, by, &group, change)?;
            let shown = match entry.as_ref().map(|entry| &entry.change) {
                Some(Change::Merge { into }) => into.clone(),
                _ => group,
            };
            Ok(Changed {
                entry,
                life: life(sql, &shown)?,
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// Makes some of a group's crashes, and those to come that are like them, a group of their
    /// own, whose id is [`Changed::life`]'s.
    pub fn split_group(
        &self,
        by: &Actor,
        group: &str,
        split: Split,
    ) -> Result<Changed, StoreError> {
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entry = split_off(sql, by, &group, split)?;
            let into = match &entry.change {
                Change::Split { into, .. } => into.clone(),
                _ => group,
            };
            Ok(Changed {
                life: life(sql, &into)?,
                entry: Some(entry),
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// Takes a change of a group back, by default the last that is in force and that somebody
    /// made. Taking back what was taken back already changes nothing.
    pub fn undo_group_change(
        &self,
        by: &Actor,
        group: &str,
        change: Option<i64>,
    ) -> Result<Changed, StoreError> {
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entries = history(sql, &group)?;
            let target = match change {
                Some(sequence) => entries.iter().find(|entry| entry.sequence == sequence),
                None => entries.iter().rev().find(|entry| {
                    !entry.undone && !matches!(entry.change, Change::Undo { .. } | Change::Known(_))
                }),
            };
            let target = target.ok_or(StoreError::NotFound("change of this group"))?;
            if matches!(target.change, Change::Known(_)) {
                return Err(StoreError::NotFound("change of this group"));
            }
            let entry = if target.undone {
                None
            } else {
                let change = Change::Undo {
                    change: target.sequence,
                };
                Some(record(sql, by, &target.group, change)?)
            };
            Ok(Changed {
                entry,
                life: life(sql, &group)?,
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// What was decided about a group (a full id), and what holds of it.
    pub fn life(&self, group: &str) -> Result<Life, StoreError> {
        self.inner
            .database
            .read(|sql| life(sql, &route::live(sql, group)?))
    }

    /// Every change of a group and of those merged into it, oldest first.
    pub fn group_history(&self, group: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self
            .inner
            .database
            .read(|sql| history(sql, &route::live(sql, group)?))?;
        entries.retain(|entry| !matches!(entry.change, Change::Known(_)));
        Ok(entries)
    }

    /// What somebody means by an image: see [`ImageMark`]. A reference, with or without a digest, or
    /// the beginning of a digest that a crash has shown.
    pub fn meant_image(&self, typed: &str) -> Result<ImageMark, StoreError> {
        self.inner.database.read(|sql| images::meant(sql, typed))
    }

    /// Brings journal and database in step: called when the store opens, before anything else.
    pub(crate) fn open_journal(&self, kept: &[Entry]) -> Result<(), StoreError> {
        let restored = self.inner.database.write(|sql| {
            let known: i64 = sql.query_row(
                "SELECT coalesce(max(sequence), 0) FROM group_changes",
                [],
                |row| row.get(0),
            )?;
            let mut touched = BTreeSet::new();
            let missing = kept.iter().filter(|entry| entry.sequence > known);
            let mut restored = 0_u64;
            for entry in missing {
                insert(sql, entry)?;
                touched.insert(entry.group.clone());
                restored += 1;
            }
            for group in touched {
                project(sql, &group)?;
            }
            Ok(restored)
        })?;
        if restored > 0 {
            tracing::warn!(
                restored,
                "the database had lost changes of groups; they are back from the journal"
            );
        }
        self.keep_journal();
        Ok(())
    }

    /// Writes to the journal what is only in the database. A failure is told in the log: the next
    /// change, or the next start, writes it after all.
    pub(crate) fn keep_journal(&self) {
        let mut journal = lock(&self.inner.journal);
        let result = self
            .inner
            .database
            .read(|sql| entries_after(sql, journal.last()))
            .and_then(|entries| append(&mut journal, &entries));
        if let Err(error) = result {
            tracing::error!(
                error = chain(&error),
                "cannot write changes of groups to the journal yet"
            );
        }
    }
}

fn append(journal: &mut Journal, entries: &[Entry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    journal.append(entries)
}

/// Records a change unless it is so already.
pub(super) fn decide(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    mut change: Change,
) -> Result<Option<Entry>, StoreError> {
    let now = life(sql, group)?;
    match &mut change {
        Change::Resolve { image: Some(image) } if image.build.is_none() => {
            *image = images::meant(sql, &image.reference)?;
        }
        Change::Merge { into } => {
            *into = route::live(sql, into)?;
            if *into == group {
                return Ok(None);
            }
            meet(sql, by, into)?;
        }
        Change::Evidence { theory, .. } | Change::Verdict { theory, .. }
            if !now.theories.iter().any(|known| known.id == *theory) =>
        {
            return Err(StoreError::NotFound("theory of this group"));
        }
        Change::Known(_) | Change::Undo { .. } | Change::Split { .. } => {
            return Err(StoreError::Refused("this is not to be decided".to_owned()));
        }
        _ => {}
    }
    if is_so(&now, &change) {
        return Ok(None);
    }
    meet(sql, by, group)?;
    // What belongs to a theory is recorded with the group that holds the theory.
    let holder = match &change {
        Change::Evidence { theory, .. } | Change::Verdict { theory, .. } => group_of(sql, *theory)?,
        _ => None,
    };
    record(sql, by, holder.as_deref().unwrap_or(group), change).map(Some)
}

/// Whether the change would change nothing.
fn is_so(now: &Life, change: &Change) -> bool {
    match change {
        Change::Resolve { image } => now.state == State::Resolved && now.resolved_in == *image,
        Change::Reopen { .. } => now.state == State::Open,
        // To ignore it until 10 more once again counts from now.
        Change::Ignore { until } => {
            !matches!(until, Until::Crashes(_)) && now.ignored == Some(*until)
        }
        Change::Tag { tag } => now.tags.contains(tag),
        Change::Untag { tag } => !now.tags.contains(tag),
        Change::Ticket { ticket } => now.tickets.contains(ticket),
        Change::Unticket { ticket } => !now.tickets.contains(ticket),
        Change::Owner { owner } => now.owner == *owner,
        // A request that was sent twice.
        Change::Note { text } => now.notes.last().is_some_and(|last| last.text == *text),
        Change::Theory { text } => now.theories.iter().any(|known| known.text == *text),
        Change::Evidence { theory, evidence } => now
            .theories
            .iter()
            .filter(|known| known.id == *theory)
            .any(|known| known.evidence.iter().any(|one| one.evidence == *evidence)),
        Change::Verdict {
            theory,
            verdict,
            why,
        } => now
            .theories
            .iter()
            .any(|known| known.id == *theory && known.verdict == *verdict && known.why == *why),
        _ => false,
    }
}

fn split_off(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    split: Split,
) -> Result<Entry, StoreError> {
    let counts = |condition: &str, list: &[String]| -> Result<i64, StoreError> {
        let json = serde_json::to_string(list).unwrap_or_default();
        let text = format!("SELECT count(*) FROM dumps WHERE group_id = ?1 AND {condition}");
        Ok(sql.query_row(&text, params![group, json], |row| row.get(0))?)
    };
    match &split {
        Split::Signatures(list) => {
            let inside = counts("signature IN (SELECT value FROM json_each(?2))", list)?;
            let outside = counts("signature NOT IN (SELECT value FROM json_each(?2))", list)?;
            if inside == 0 {
                return Err(StoreError::NotFound(
                    "crash with this signature in the group",
                ));
            }
            if outside == 0 {
                return Err(StoreError::Refused(
                    "every crash of this group has that signature: say with a query what tells them apart".to_owned(),
                ));
            }
        }
        Split::Query(text) => refuse_passing(text)?,
    }
    let mut identity = identity(sql, group)?.ok_or(StoreError::NotFound("group"))?;
    let next: i64 = sql.query_row(
        "SELECT coalesce(max(sequence), 0) + 1 FROM group_changes",
        [],
        |row| row.get(0),
    )?;
    let mut hasher = Sha256::new();
    for part in [
        identity.hash.as_bytes(),
        &next.to_le_bytes(),
        &now_ms().to_le_bytes(),
    ] {
        hasher.update(part);
    }
    identity.hash = hex(&hasher.finalize());
    let into = identity.hash.get(..16).unwrap_or_default().to_owned();
    meet(sql, by, group)?;
    record(sql, by, &into, Change::Known(identity))?;
    let change = Change::Split {
        into: into.clone(),
        split,
    };
    let entry = record(sql, by, group, change)?;
    let moved: i64 = sql.query_row(
        "SELECT count(*) FROM dumps WHERE group_id = ?1",
        [&into],
        |row| row.get(0),
    )?;
    let left: i64 = sql.query_row(
        "SELECT count(*) FROM dumps WHERE group_id = ?1",
        [group],
        |row| row.get(0),
    )?;
    if moved == 0 || left == 0 {
        let which = if moved == 0 { "no" } else { "every" };
        return Err(StoreError::Refused(format!(
            "{which} crash of this group matches: there is nothing to split"
        )));
    }
    Ok(entry)
}

/// Refuses queries whose answer for one crash changes with time: a crash would not stay where the
/// split put it.
fn refuse_passing(text: &str) -> Result<(), StoreError> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let told = |error: crate::QueryError| StoreError::Refused(format!("the query: {error}"));
    let [now, later] = [0, DAY_MS].map(|more| Query::parse_at(text, now_ms().saturating_add(more)));
    let (now, later) = (now.map_err(told)?, later.map_err(told)?);
    if now == Query::default() {
        return Err(StoreError::Refused("the query is empty".to_owned()));
    }
    if now != later || now.is_passing() {
        return Err(StoreError::Refused(
            "a split cannot ask for what changes after the crash: times back from now, group, status, kept, pinned".to_owned(),
        ));
    }
    Ok(())
}

/// Records a change and computes what follows from it.
pub(super) fn record(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    change: Change,
) -> Result<Entry, StoreError> {
    let sequence: i64 = sql.query_row(
        "SELECT coalesce(max(sequence), 0) + 1 FROM group_changes",
        [],
        |row| row.get(0),
    )?;
    let entry = Entry {
        sequence,
        at_ms: now_ms(),
        by: by.clone(),
        group: group.to_owned(),
        change,
        undone: false,
    };
    insert(sql, &entry)?;
    project(sql, group)?;
    Ok(entry)
}

fn insert(sql: &Transaction<'_>, entry: &Entry) -> Result<(), StoreError> {
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

/// Remembers what a group is, before the first thing is decided about it.
fn meet(sql: &Transaction<'_>, by: &Actor, group: &str) -> Result<(), StoreError> {
    let known: bool = sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM group_lives WHERE group_id = ?1)")?
        .query_row([group], |row| row.get(0))?;
    if known {
        return Ok(());
    }
    let identity = identity(sql, group)?.ok_or(StoreError::NotFound("group"))?;
    record(sql, by, group, Change::Known(identity)).map(drop)
}

fn identity(sql: &Transaction<'_>, group: &str) -> Result<Option<Identity>, StoreError> {
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

fn read_entries(
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

fn entries_after(sql: &Transaction<'_>, sequence: i64) -> Result<Vec<Entry>, StoreError> {
    read_entries(sql, "sequence > ?1", &sequence)
}

fn group_of(sql: &Transaction<'_>, change: i64) -> Result<Option<String>, StoreError> {
    let found = sql
        .prepare_cached("SELECT group_id FROM group_changes WHERE sequence = ?1")?
        .query_row([change], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The changes of a group and of those merged into it, oldest first.
fn history(sql: &Transaction<'_>, group: &str) -> Result<Vec<Entry>, StoreError> {
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

/// Computes the rows that follow from a group's changes, and where crashes belong now.
fn project(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
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
        route::reroute(sql, &moved)?;
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
    for table in ["group_tags", "group_tickets", "group_notes"] {
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
    let merges = in_force().filter(|entry| matches!(entry.change, Change::Merge { .. }));
    let last_merge = merges.last().map(|entry| entry.sequence);
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
