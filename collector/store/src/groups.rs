//! Groups: kept counts, facets, and pages of them.

use crate::assign::line;
use crate::database::{from_sql, to_sql};
use crate::dumps::{bounded, id_column};
use crate::facets;
use crate::histogram;
use crate::lifecycle::State;
use crate::query::Query;
use crate::query::of_groups::{self, Found};
use crate::query::sql::Condition;
use crate::query::words;
use crate::store::{Histogram, Store, StoreError};
use crate::types::{Count, GroupSummary, Page, PageRequest};
use aground_analyzer::report::Signature;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};
use std::time::{Duration, Instant};

/// Distinct values per facet that a summary shows.
const SHOWN_VALUES: i64 = 20;
/// Groups whose crashes are looked at in one go.
const GROUPS_AT_ONCE: i64 = 64;
/// After so long a search for groups ends with what it has; the next page goes on.
const SEARCH_TIME: Duration = Duration::from_millis(25);

impl Store {
    /// A page of groups, last seen first; only groups with a dump that matches. Where that takes
    /// long, it has those that were found soon, and the next page has the rest. Counts are of
    /// the whole group. `buckets` counts per bucket of `window_ms` / `buckets` back from
    /// `now_ms` fill the histogram.
    pub fn groups(
        &self,
        query: &Query,
        page: &PageRequest,
        histogram: Histogram,
    ) -> Result<Page<GroupSummary>, StoreError> {
        self.may_ask(query)?;
        let limit = bounded(page.limit);
        self.inner.database.read(|sql| {
            let query = words::known(sql, query)?;
            let found = of_groups::condition(sql, &query)?;
            let pace = (GROUPS_AT_ONCE, SEARCH_TIME);
            let found = page_of(sql, &found, page.cursor.as_deref(), limit, pace)?;
            let items = found
                .items
                .iter()
                .map(|totals| summary(sql, totals, histogram));
            Ok(Page {
                items: items.collect::<Result<_, _>>()?,
                next_cursor: found.next_cursor,
                searched_to_ms: found.searched_to_ms,
            })
        })
    }

    /// One group by full id.
    pub fn group(&self, id: &str, histogram: Histogram) -> Result<GroupSummary, StoreError> {
        self.inner
            .database
            .read(|sql| by_id(sql, id, histogram)?.ok_or(StoreError::NotFound("group")))
    }
}

/// One group by full id.
pub(crate) fn by_id(
    sql: &Transaction<'_>,
    id: &str,
    histogram: Histogram,
) -> Result<Option<GroupSummary>, StoreError> {
    let found = sql
        .prepare_cached("SELECT id, title, crashes, first_seen_ms, last_seen_ms, state FROM groups WHERE id = ?1")?
        .query_row([id], Totals::read)
        .optional()?;
    found
        .map(|totals| summary(sql, &totals, histogram))
        .transpose()
}

/// The row of a group.
struct Totals {
    id: String,
    title: String,
    crashes: i64,
    first_seen_ms: i64,
    last_seen_ms: i64,
    state: String,
}

impl Totals {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            title: row.get(1)?,
            crashes: row.get(2)?,
            first_seen_ms: row.get(3)?,
            last_seen_ms: row.get(4)?,
            state: row.get(5)?,
        })
    }
}

/// When a group was seen last, and its id: the order of the list.
type Place = (i64, String);

/// The groups of a page.
fn page_of(
    sql: &Transaction<'_>,
    found: &Found,
    cursor: Option<&str>,
    limit: usize,
    (at_once, time): (i64, Duration),
) -> Result<Page<Totals>, StoreError> {
    let mut from = cursor.map(parse_cursor).transpose()?;
    let mut items: Vec<Totals> = vec![];
    let started = Instant::now();
    let (next, searched_to_ms) = loop {
        // Where crashes of each are looked at, some groups at a time until time is up.
        let end = if found.looks_at_crashes {
            place_after(sql, from.as_ref(), at_once)?
        } else {
            None
        };
        let wanted = limit + 1 - items.len();
        items.extend(between(sql, &found.condition, [&from, &end], wanted)?);
        if items.len() > limit {
            items.truncate(limit);
            let last = items.last();
            break (last.map(|last| (last.last_seen_ms, last.id.clone())), None);
        }
        match end {
            None => break (None, None),
            Some(end) if started.elapsed() >= time => {
                let at = end.0;
                break (Some(end), Some(at));
            }
            Some(end) => from = Some(end),
        }
    };
    Ok(Page {
        items,
        next_cursor: next.map(|(at, id)| format!("g{at}-{id}")),
        searched_to_ms,
    })
}

/// The place of the group that is so many after another; `None` when there are fewer.
fn place_after(
    sql: &Transaction<'_>,
    from: Option<&Place>,
    groups: i64,
) -> Result<Option<Place>, StoreError> {
    let (at, id) = from.cloned().unwrap_or((i64::MAX, String::new()));
    let found = sql
        .prepare_cached(
            "SELECT last_seen_ms, id FROM groups WHERE (last_seen_ms, id) < (?1, ?2)
             ORDER BY last_seen_ms DESC, id DESC LIMIT 1 OFFSET ?3",
        )?
        .query_row(params![at, id, groups.saturating_sub(1)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found)
}

/// Groups that meet a condition after one place up to another, last seen first.
fn between(
    sql: &Transaction<'_>,
    condition: &Condition,
    [from, to]: [&Option<Place>; 2],
    limit: usize,
) -> Result<Vec<Totals>, StoreError> {
    let mut text =
        "SELECT g.id, g.title, g.crashes, g.first_seen_ms, g.last_seen_ms, g.state FROM groups g WHERE TRUE"
            .to_owned();
    let mut parameters: Vec<Value> = vec![];
    for (place, compare) in [(from, "<"), (to, ">=")] {
        if let Some((at, id)) = place {
            text.push_str(" AND (g.last_seen_ms, g.id) ");
            text.push_str(compare);
            text.push_str(" (?, ?)");
            parameters.extend([Value::from(*at), Value::from(id.clone())]);
        }
    }
    text.push_str(" AND ");
    text.push_str(&condition.sql);
    parameters.extend(condition.parameters.iter().cloned());
    text.push_str(" ORDER BY g.last_seen_ms DESC, g.id DESC LIMIT ?");
    parameters.push(to_sql(u64::try_from(limit).unwrap_or(u64::MAX)).into());
    let mut statement = sql.prepare_cached(&text)?;
    let rows = statement.query_map(params_from_iter(parameters), Totals::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn parse_cursor(cursor: &str) -> Result<(i64, String), StoreError> {
    let parse = || {
        let (at, id) = cursor.strip_prefix('g')?.rsplit_once('-')?;
        Some((at.parse().ok()?, id.to_owned()))
    };
    parse().ok_or(StoreError::BadCursor)
}

fn summary(
    sql: &Transaction<'_>,
    totals: &Totals,
    histogram: Histogram,
) -> Result<GroupSummary, StoreError> {
    let newest = sql
        .prepare_cached(
            "SELECT id, title, cause, signal FROM dumps WHERE group_id = ?1 ORDER BY crashed_at_ms DESC, key DESC LIMIT 1",
        )?
        .query_row([&totals.id], |row| {
            let text = |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
            Ok((id_column(row, 0)?, text(1)?, text(2)?, text(3)?))
        })?;
    let (latest, cause_title, cause, signal) = newest;
    let words = |table: &str, column: &str| -> Result<Vec<String>, StoreError> {
        let text = format!("SELECT {column} FROM {table} WHERE group_id = ?1 ORDER BY 1");
        let mut statement = sql.prepare_cached(&text)?;
        let rows = statement.query_map([&totals.id], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let owner = sql
        .prepare_cached("SELECT owner FROM group_lives WHERE group_id = ?1")?
        .query_row([&totals.id], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(GroupSummary {
        id: totals.id.clone(),
        state: State::named(&totals.state).unwrap_or_default(),
        owner,
        tags: words("group_tags", "tag")?,
        tickets: words("group_tickets", "ticket")?,
        title: totals.title.clone(),
        cause_title,
        cause,
        signal,
        count: from_sql(totals.crashes),
        first_seen_ms: totals.first_seen_ms,
        last_seen_ms: totals.last_seen_ms,
        images: facet(sql, &totals.id, "image")?,
        containers: facet(sql, &totals.id, "container")?,
        hosts: facet(sql, &totals.id, "host")?,
        executables: facet(sql, &totals.id, "executable")?,
        histogram: histogram::of_group(sql, &totals.id, histogram)?,
        latest,
    })
}

fn facet(sql: &Transaction<'_>, group: &str, facet: &str) -> Result<Vec<Count>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT v.value, f.crashes FROM group_facets f JOIN facet_values v ON v.key = f.value
         WHERE f.group_id = ?1 AND f.facet = ?2 ORDER BY f.crashes DESC, v.value LIMIT ?3",
    )?;
    let rows = statement.query_map(params![group, facet, SHOWN_VALUES], |row| {
        Ok(Count {
            value: row.get(0)?,
            count: from_sql(row.get(1)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes the group when it is new, still empty. Says whether it was.
pub(crate) fn ensure(
    sql: &Transaction<'_>,
    id: &str,
    signature: &Signature,
    at_ms: i64,
) -> Result<bool, StoreError> {
    let made = sql
        .prepare_cached(
            "INSERT INTO groups (id, hash, signature_version, signature_kind, title, crashes, first_seen_ms, last_seen_ms, state)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6,
                 coalesce((SELECT state FROM group_lives WHERE group_id = ?1), 'open'))
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id, signature.hash, signature.version, line(&signature.kind), line(&signature.title), at_ms])?;
    // One about which something was decided is known, also when none of its dumps was left.
    let known = sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM group_lives WHERE group_id = ?1)")?
        .query_row([id], |row| row.get::<_, bool>(0))?;
    Ok(made == 1 && !known)
}

/// Makes the row of a group that is known by what was decided about it, still empty.
pub(crate) fn ensure_known(sql: &Transaction<'_>, id: &str) -> Result<(), StoreError> {
    sql.prepare_cached(
        "INSERT INTO groups (id, hash, signature_version, signature_kind, title, crashes, first_seen_ms, last_seen_ms, state)
         SELECT group_id, hash, signature_version, signature_kind, title, 0, ?2, 0, state
         FROM group_lives WHERE group_id = ?1 ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![id, i64::MAX])?;
    Ok(())
}

/// Counts a group's dumps anew, after many came or went at once. One without dumps goes.
pub(crate) fn recount(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
    facets::recount(sql, group)?;
    sql.prepare_cached(
        "UPDATE groups SET (crashes, first_seen_ms, last_seen_ms) =
             (SELECT count(*), coalesce(min(crashed_at_ms), groups.first_seen_ms),
                  coalesce(max(crashed_at_ms), groups.last_seen_ms)
              FROM dumps WHERE group_id = ?1) WHERE id = ?1",
    )?
    .execute([group])?;
    drop_when_empty(sql, group)
}

fn drop_when_empty(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
    sql.prepare_cached("DELETE FROM groups WHERE id = ?1 AND crashes <= 0")?
        .execute([group])?;
    Ok(())
}

/// Counts a dump in; [`facets`] counts what it is like.
pub(crate) fn join(sql: &Transaction<'_>, group: &str, at_ms: i64) -> Result<(), StoreError> {
    sql.prepare_cached(
        "UPDATE groups SET crashes = crashes + 1, first_seen_ms = min(first_seen_ms, ?2),
             last_seen_ms = max(last_seen_ms, ?2) WHERE id = ?1",
    )?
    .execute(params![group, at_ms])?;
    Ok(())
}

/// Counts a dump out; its row must name another group by now. The last one takes the group with
/// it.
pub(crate) fn leave(sql: &Transaction<'_>, group: &str) -> Result<(), StoreError> {
    sql.prepare_cached("UPDATE groups SET crashes = crashes - 1 WHERE id = ?1")?
        .execute([group])?;
    drop_when_empty(sql, group)?;
    sql.prepare_cached(
        "UPDATE groups SET
             first_seen_ms = coalesce((SELECT min(crashed_at_ms) FROM dumps WHERE group_id = ?1), first_seen_ms),
             last_seen_ms = coalesce((SELECT max(crashed_at_ms) FROM dumps WHERE group_id = ?1), last_seen_ms)
         WHERE id = ?1",
    )?
    .execute([group])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_search_that_ends_early_goes_on_where_it_ended() {
        let mut connection = crate::database::in_memory().unwrap();
        let sql = connection.transaction().unwrap();
        for number in 0..50_i64 {
            sql.execute(
                "INSERT INTO groups (id, hash, signature_version, signature_kind, title, crashes, first_seen_ms, last_seen_ms)
                 VALUES (?1, ?1, 1, 'symbolic', 't', ?2, 0, ?3)",
                (format!("{number:016x}"), number % 5, number / 3),
            )
            .unwrap();
        }
        let found = Found {
            condition: Condition {
                sql: "g.crashes = 3".to_owned(),
                parameters: vec![],
            },
            looks_at_crashes: true,
        };
        let forever = (1000, Duration::MAX);
        let all = page_of(&sql, &found, None, 100, forever).unwrap();
        assert_eq!((all.items.len(), all.next_cursor), (10, None));
        assert_eq!(all.searched_to_ms, None);
        for (at_once, limit) in [(1, 3), (4, 3), (7, 100), (60, 2)] {
            let (mut ids, mut cursor, mut stops) = (vec![], None::<String>, 0);
            loop {
                let pace = (at_once, Duration::ZERO);
                let page = page_of(&sql, &found, cursor.as_deref(), limit, pace).unwrap();
                stops += usize::from(page.searched_to_ms.is_some());
                ids.extend(page.items.into_iter().map(|totals| totals.id));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<_> = all.items.iter().map(|totals| totals.id.clone()).collect();
            assert_eq!(ids, expected, "{at_once} {limit}");
            assert!(stops > 0 || at_once == 60, "{at_once} {limit}");
        }
    }
}
