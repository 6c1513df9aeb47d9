//! Dumps as people see them: pages, one whole, its core.

use crate::database::from_sql;
use crate::files;
use crate::query::Query;
use crate::query::plan::Plan;
use crate::query::sql::Condition;
use crate::query::words;
use crate::store::{Store, StoreError};
use crate::types::{ContainerSummary, Dump, DumpStatus, DumpSummary, Page, PageRequest};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::record::{Access, Kept, Record};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction, params_from_iter};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// What every condition of a query may speak of.
pub(crate) const JOIN: &str =
    "dumps d LEFT JOIN containers c ON c.key = d.container LEFT JOIN groups g ON g.id = d.group_id";

const COLUMNS: &str = "d.id, d.crashed_at_ms, d.host, d.signal, d.pid, d.name, d.executable, d.command, d.container,
    c.runtime, c.container_id, c.name, c.image, c.image_id, d.unit, d.group_id, d.title, d.cause, d.location,
    d.status, d.kept, d.truncated, d.core_bytes, d.stored_bytes, d.hold_us, d.analysis_error,
    d.dropped, d.pinned, d.memory_bytes, c.pod_namespace, c.pod_name";

/// The most of a container's log tail that is shown, bytes.
const LOG_LIMIT: u64 = 1 << 20;

impl Store {
    /// A page of dumps, newest first. Where few of many match, it has what was found in a part of
    /// them, and the next page has the rest.
    pub fn dumps(
        &self,
        query: &Query,
        page: &PageRequest,
    ) -> Result<Page<DumpSummary>, StoreError> {
        self.may_ask(query)?;
        let limit = page.size();
        self.inner.database.read(|sql| {
            let query = words::known(sql, query)?;
            let plan = Plan::new(sql, &query)?;
            let found = search(sql, &plan, &plan.windows(), page.cursor.as_deref(), limit)?;
            let items = found.items.iter().map(|key| by_key(sql, *key));
            Ok(Page {
                items: items.collect::<Result<_, _>>()?,
                next_cursor: found.next_cursor,
                searched_to_ms: found.searched_to_ms,
            })
        })
    }

    /// How many dumps match; `None` where there are too many to count them for a page.
    pub fn count_dumps(&self, query: &Query) -> Result<Option<u64>, StoreError> {
        self.may_ask(query)?;
        self.inner.database.read(|sql| {
            if *query == Query::default() {
                let text = "SELECT dumps FROM totals";
                return Ok(Some(from_sql(sql.query_row(text, [], |row| row.get(0))?)));
            }
            let query = words::known(sql, query)?;
            let plan = Plan::new(sql, &query)?;
            if !plan.is_few() {
                return Ok(None);
            }
            let hits = plan.hits();
            let mut statement =
                sql.prepare_cached(&format!("{} SELECT count(*) FROM hits", hits.sql))?;
            let count = statement.query_row(params_from_iter(hits.parameters), |row| row.get(0))?;
            Ok(Some(from_sql(count)))
        })
    }

    /// One dump as lists have it.
    pub fn dump_summary(&self, id: &DumpId) -> Result<DumpSummary, StoreError> {
        let summary = self.inner.database.read(|sql| {
            let key = key_of(sql, id)?.ok_or(StoreError::NotFound("dump"))?;
            by_key(sql, key)
        })?;
        Ok(summary)
    }

    /// One dump whole.
    pub fn dump(&self, id: &DumpId) -> Result<Dump, StoreError> {
        let summary = self.dump_summary(id)?;
        let directory = self.inner.files.dump(id);
        let log = if self.sight().memory {
            files::read_bounded(&directory.join(layout::LOG), LOG_LIMIT)?
        } else {
            None
        };
        let record = files::read_json(&directory.join(layout::RECORD))?;
        let report = readable_report(id, &directory);
        Ok(Dump {
            summary,
            record: self.shown_record(record.ok_or(StoreError::NotFound("dump"))?),
            report: report.map(|report| self.shown_report(report)),
            log_tail: log.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// What was known at death.
    pub fn record(&self, id: &DumpId) -> Result<Record, StoreError> {
        if !self.contains(id)? {
            return Err(StoreError::NotFound("dump"));
        }
        let record = files::read_json(&self.inner.files.dump(id).join(layout::RECORD))?;
        Ok(self.shown_record(record.ok_or(StoreError::NotFound("record"))?))
    }

    /// The compressed core (seekable zstd); `None` when no memory was kept.
    ///
    /// A core for root alone belongs to root, and we could not open it. The record says the same,
    /// and is obeyed also when we run as root.
    pub fn core(&self, id: &DumpId) -> Result<Option<File>, StoreError> {
        self.memory_is_shown()?;
        let capture = self.record(id)?.capture;
        let path = self.inner.files.dump(id).join(layout::CORE);
        match capture.access {
            Access::Readers => files::open_optional(&path),
            Access::Root if capture.kept == Kept::None || !path.exists() => Ok(None),
            Access::Root => Err(StoreError::RootOnly {
                reason: capture
                    .access_reason
                    .unwrap_or_else(|| "the record does not say why".to_owned()),
                path,
            }),
        }
    }
}

/// A report that cannot be read hides neither the record nor the core.
fn readable_report(id: &DumpId, directory: &Path) -> Option<Report> {
    files::read_json(&directory.join(layout::REPORT)).unwrap_or_else(|error| {
        tracing::error!(dump = %id, error = files::chain(&error), "cannot read a report");
        None
    })
}

fn parse_cursor(cursor: &str) -> Result<(i64, i64), StoreError> {
    let parse = || {
        let (at, id) = cursor.strip_prefix('d')?.rsplit_once('-')?;
        Some((at.parse().ok()?, id.parse().ok()?))
    };
    parse().ok_or(StoreError::BadCursor)
}

/// The keys of a page, looked for in parts of these sizes.
fn search(
    sql: &Transaction<'_>,
    plan: &Plan<'_>,
    windows: &[Option<i64>],
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<i64>, StoreError> {
    let mut before = Condition::default();
    if let Some(cursor) = cursor {
        let (at, key) = parse_cursor(cursor)?;
        before
            .sql
            .push_str(" AND (d.crashed_at_ms, d.key) < (?, ?)");
        before.parameters = vec![at.into(), key.into()];
    }
    let order = format!("{} LIMIT {}", plan.newest_first(), limit + 1);
    let (mut found, mut end) = (vec![], None);
    for size in windows {
        let window = plan.window(sql, *size, &before)?;
        found = keys(sql, &window.rows, &order)?;
        end = window.end;
        if found.len() > limit || end.is_none() {
            break;
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let searched_to_ms = end.filter(|_| !more);
    let last = found.last().filter(|_| more);
    let next = match (last, searched_to_ms) {
        (Some((key, at)), _) => Some((*at, *key)),
        // Everything that happened then was looked at.
        (None, Some(at)) => Some((at, 0)),
        (None, None) => None,
    };
    Ok(Page {
        items: found.into_iter().map(|(key, _)| key).collect(),
        next_cursor: next.map(|(at, key)| format!("d{at}-{key}")),
        searched_to_ms,
    })
}

/// Keys and times of dumps.
fn keys(
    sql: &Transaction<'_>,
    rows: &Condition,
    order: &str,
) -> Result<Vec<(i64, i64)>, StoreError> {
    // What is shown of them is read afterwards: to sort it with them would take long.
    let text = format!("SELECT d.key, d.crashed_at_ms {} {order}", rows.sql);
    let mut statement = sql.prepare_cached(&text)?;
    let found = statement.query_map(params_from_iter(&rows.parameters), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The dump of a key, which comes from the same snapshot.
fn by_key(sql: &Transaction<'_>, key: i64) -> Result<DumpSummary, StoreError> {
    let text = format!("SELECT {COLUMNS} FROM {JOIN} WHERE d.key = ?1");
    let (mut dump, container) = sql
        .prepare_cached(&text)?
        .query_row([key], |row| Ok((summary(row)?, row.get(8)?)))?;
    if let (Some(known), Some(key)) = (&mut dump.container, container) {
        known.labels = read_labels(sql, key)?;
    }
    Ok(dump)
}

fn read_labels(
    sql: &Transaction<'_>,
    container: i64,
) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement =
        sql.prepare_cached("SELECT label, value FROM container_labels WHERE container = ?1")?;
    let rows = statement.query_map([container], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<DumpSummary> {
    Ok(DumpSummary {
        id: id_column(row, 0)?,
        crashed_at_ms: row.get(1)?,
        host: row.get(2)?,
        signal: row.get(3)?,
        pid: row.get(4)?,
        name: row.get(5)?,
        executable: row.get(6)?,
        command: row.get(7)?,
        container: container(row)?,
        unit: row.get(14)?,
        group: row.get(15)?,
        title: row.get(16)?,
        cause: row.get(17)?,
        location: row.get(18)?,
        status: status(&row.get::<_, String>(19)?),
        kept: row.get(20)?,
        truncated: row.get(21)?,
        core_bytes: from_sql(row.get(22)?),
        stored_bytes: from_sql(row.get(23)?),
        hold_us: row.get::<_, Option<i64>>(24)?.map(from_sql),
        analysis_error: row.get(25)?,
        dropped: row.get(26)?,
        pinned: row.get(27)?,
        memory_bytes: from_sql(row.get(28)?),
    })
}

fn container(row: &Row<'_>) -> rusqlite::Result<Option<ContainerSummary>> {
    let Some(runtime) = row.get(9)? else {
        return Ok(None);
    };
    Ok(Some(ContainerSummary {
        runtime,
        id: row.get(10)?,
        name: row.get(11)?,
        image: row.get(12)?,
        image_id: row.get(13)?,
        namespace: row.get(29)?,
        pod: row.get(30)?,
        labels: BTreeMap::new(),
    }))
}

fn status(word: &str) -> DumpStatus {
    let known = [
        DumpStatus::Pending,
        DumpStatus::Analyzing,
        DumpStatus::Analyzed,
    ];
    known
        .into_iter()
        .find(|status| status.as_str() == word)
        .unwrap_or(DumpStatus::Failed)
}

/// A dump id in a column.
pub(crate) fn id_column(row: &Row<'_>, index: usize) -> rusqlite::Result<DumpId> {
    let text: String = row.get(index)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}

/// Whether there is a row; used where a transaction is at hand.
pub(crate) fn key_of(sql: &Transaction<'_>, id: &DumpId) -> Result<Option<i64>, StoreError> {
    let found = sql
        .prepare_cached("SELECT key FROM dumps WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Sixty crashes, two at a time, on three hosts in turn; every seventh is of SIGBUS.
    fn some_dumps() -> rusqlite::Connection {
        let sql = crate::database::in_memory().unwrap();
        for number in 0..60_i64 {
            let id = String::from(DumpId::from_bytes([u8::try_from(number).unwrap(); 16]));
            let signal = if number % 7 == 0 { "SIGBUS" } else { "SIGSEGV" };
            sql.execute(
                "INSERT INTO dumps (id, crashed_at_ms, host, signal, signal_number, pid, name, command,
                     status, kept, truncated, core_bytes, stored_bytes, kernel)
                 VALUES (?1, ?2, ?3, ?4, 7, 1, 'a', 'a', 'pending', 'none', 0, 0, 0, 'k')",
                (id, 1000 + number / 2, format!("node{}", number % 3), signal),
            )
            .unwrap();
        }
        sql
    }

    #[test]
    fn a_search_in_parts_finds_each_crash_once_and_says_where_it_stopped() {
        let mut connection = some_dumps();
        let sql = connection.transaction().unwrap();
        for text in [
            "signal:SIGBUS kernel:k",
            "host:node1 -signal:SIGSEGV",
            "kernel:k",
            "comm:b",
        ] {
            let query = Query::parse(text).unwrap();
            let plan = Plan::new(&sql, &query).unwrap();
            let all = search(&sql, &plan, &[None], None, 100).unwrap();
            assert_eq!(all.next_cursor, None, "{text}");
            for windows in [&[Some(1)][..], &[Some(5)], &[Some(2), Some(9)], &[Some(60)]] {
                let (mut found, mut cursor, mut stops) = (vec![], None::<String>, 0);
                loop {
                    let page = search(&sql, &plan, windows, cursor.as_deref(), 3).unwrap();
                    assert!(page.items.len() <= 3);
                    assert!(page.searched_to_ms.is_none() || page.next_cursor.is_some());
                    stops += usize::from(page.searched_to_ms.is_some());
                    found.extend(page.items);
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(found, all.items, "{text} {windows:?}");
                // Of what nothing matches every part ends without a full page.
                assert!(stops > 0 || text != "comm:b", "{text} {windows:?}");
            }
        }
    }
}
