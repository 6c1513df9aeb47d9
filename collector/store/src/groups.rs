//! Groups: kept counts, facets, and pages of them.

use crate::assign::line;
use crate::database::from_sql;
use crate::dumps::id_column;
use crate::histogram;
use crate::lifecycle::State;
use crate::query::Query;
use crate::query::of_groups::{self, Found};
use crate::query::words;
use crate::store::{Histogram, Store, StoreError};
use crate::types::{Count, GroupSummary, Page, PageRequest};
use aground_analyzer::report::Signature;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, StatementStatus, Transaction, params, params_from_iter};

/// Distinct values per facet that a summary shows.
const SHOWN_VALUES: i64 = 20;
/// After so many steps of `SQLite`'s machine (about 20 ms) a search for groups ends with what it
/// has; the next page goes on.
const SEARCH_STEPS: i32 = 400_000;

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
        let limit = page.size();
        self.inner.database.read(|sql| {
            let query = words::known(sql, query)?;
            let found = of_groups::condition(sql, &query)?;
            let cursor = page.cursor.as_deref();
            let found = page_of(sql, &found, cursor, limit, SEARCH_STEPS)?;
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
    fn place(&self) -> Place {
        (self.last_seen_ms, self.id.clone())
    }

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

/// The groups of a page: those that meet the condition on groups are gone through, last seen first,
/// and the crashes of each are looked at where that is not all.
fn page_of(
    sql: &Transaction<'_>,
    found: &Found,
    cursor: Option<&str>,
    limit: usize,
    steps: i32,
) -> Result<Page<Totals>, StoreError> {
    let (text, parameters) = candidates(found, cursor.map(parse_cursor).transpose()?);
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut items: Vec<Totals> = vec![];
    let mut last: Option<Place> = None;
    let mut begun = None;
    let (mut more, mut stopped) = (false, false);
    while let Some(row) = rows.next()? {
        let totals = Totals::read(row)?;
        let place = totals.place();
        if row.get(6)? {
            if items.len() == limit {
                more = true;
                break;
            }
            items.push(totals);
        }
        last = Some(place);
        // What is computed before the first row does not come again with the next.
        let done = row.as_ref().get_status(StatementStatus::VmStep);
        let done = done.wrapping_sub(*begun.get_or_insert(done));
        // Of the condition on groups alone every row is one of the page.
        if found.crashes.is_some() && done >= steps {
            stopped = true;
            break;
        }
    }
    let next = last.filter(|_| more || stopped);
    let end = next.as_ref().filter(|_| stopped).map(|(at, _)| *at);
    Ok(Page {
        items,
        searched_to_ms: end.max(found.words_since_ms),
        next_cursor: next.map(|(at, id)| format!("g{at}-{id}")),
    })
}

/// The statement that goes through the groups after a place, and its parameters. Its last column
/// says whether a crash of the group meets the rest.
fn candidates(found: &Found, from: Option<Place>) -> (String, Vec<Value>) {
    let mut parameters: Vec<Value> = vec![];
    let meets = match &found.crashes {
        Some(crashes) => {
            parameters.extend(crashes.parameters.iter().cloned());
            crashes.sql.as_str()
        }
        None => "TRUE",
    };
    let mut text = format!(
        "SELECT g.id, g.title, g.crashes, g.first_seen_ms, g.last_seen_ms, g.state, {meets} FROM groups g WHERE "
    );
    if let Some((at, id)) = from {
        text.push_str("(g.last_seen_ms, g.id) < (?, ?) AND ");
        parameters.extend([Value::from(at), Value::from(id)]);
    }
    text.push_str(&found.condition.sql);
    parameters.extend(found.condition.parameters.iter().cloned());
    text.push_str(" ORDER BY g.last_seen_ms DESC, g.id DESC");
    (text, parameters)
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
    // Of those as frequent the ones that were met first: to name all of them to sort by takes long.
    let mut statement = sql.prepare_cached(
        "SELECT v.value, f.crashes FROM (SELECT value, crashes FROM group_facets
             WHERE group_id = ?1 AND facet = ?2 ORDER BY crashes DESC, value LIMIT ?3) f
         JOIN facet_values v ON v.key = f.value ORDER BY f.crashes DESC, v.value",
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

/// Counts so many dumps out; their rows must name another group by now. The last one takes the
/// group with it.
pub(crate) fn leave(sql: &Transaction<'_>, group: &str, dumps: usize) -> Result<(), StoreError> {
    let dumps = i64::try_from(dumps).unwrap_or(i64::MAX);
    sql.prepare_cached("UPDATE groups SET crashes = crashes - ?2 WHERE id = ?1")?
        .execute(params![group, dumps])?;
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
            condition: of_groups::everything(),
            crashes: Some(crate::query::sql::Condition {
                sql: "g.crashes = 3".to_owned(),
                parameters: vec![],
            }),
            words_since_ms: None,
        };
        let all = page_of(&sql, &found, None, 100, i32::MAX).unwrap();
        assert_eq!((all.items.len(), all.next_cursor), (10, None));
        assert_eq!(all.searched_to_ms, None);
        for (steps, limit) in [(0, 3), (60, 3), (200, 100), (i32::MAX, 2)] {
            let (mut ids, mut cursor, mut stops) = (vec![], None::<String>, 0);
            loop {
                let page = page_of(&sql, &found, cursor.as_deref(), limit, steps).unwrap();
                assert!(page.items.len() <= limit);
                stops += usize::from(page.searched_to_ms.is_some());
                ids.extend(page.items.into_iter().map(|totals| totals.id));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<_> = all.items.iter().map(|totals| totals.id.clone()).collect();
            assert_eq!(ids, expected, "{steps} {limit}");
            assert_eq!(stops > 0, steps < i32::MAX, "{steps} {limit}");
        }
    }
}
