//! Sends crashes to the groups that merges and splits lead them to now, some at a time.
//!
//! One decision may be about a hundred thousand crashes, and whoever writes waits meanwhile: crashes
//! that come too. So a decision moves the first of them itself, and [`Store::reroute`] the rest.
//! The table `reroutes` says how far that is; a restart goes on from there, and a decision that
//! comes in between begins anew. Crashes that come meanwhile go the new way at once.

use super::route::{Way, route, way};
use crate::facets;
use crate::groups;
use crate::store::{Store, StoreError};
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

/// Crashes that are moved, and crashes that are looked at, before others may write.
const AT_ONCE: (usize, usize) = (1_000, 10_000);
/// In a group with no more crashes left it is found out when each value was seen first and last.
const SEEN_AGAIN: i64 = 1_000;

/// A crash of a group that is gone through.
struct Crash {
    key: i64,
    at_ms: i64,
    home: String,
    signature: Option<String>,
}

/// Ways by home and signature: crashes of one signature go one way, unless a query tells them apart.
type Ways = BTreeMap<(String, Option<String>), Way>;

impl Store {
    /// Moves some of the crashes whose groups changed by merges and splits (used by the daemon).
    /// Says whether there are more.
    pub fn reroute(&self) -> Result<bool, StoreError> {
        let is_waiting = "SELECT EXISTS (SELECT 1 FROM reroutes)";
        let waiting = |sql: &Transaction<'_>| -> Result<bool, StoreError> {
            Ok(sql.query_row(is_waiting, [], |row| row.get(0))?)
        };
        if !self.inner.database.read(waiting)? {
            return Ok(false);
        }
        self.inner.database.write(|sql| {
            some(sql, AT_ONCE)?;
            waiting(sql)
        })
    }
}

/// Begins to send every crash of these groups along the edges as they are now.
pub(super) fn begin(sql: &Transaction<'_>, groups: &BTreeSet<String>) -> Result<(), StoreError> {
    mark(sql, groups)?;
    some(sql, AT_ONCE)
}

fn mark(sql: &Transaction<'_>, groups: &BTreeSet<String>) -> Result<(), StoreError> {
    for group in groups {
        sql.prepare_cached("INSERT OR REPLACE INTO reroutes VALUES (?1, ?2, 0)")?
            .execute(params![group, i64::MIN])?;
    }
    Ok(())
}

/// Moves as many as may be moved at once.
fn some(sql: &Transaction<'_>, (most, look): (usize, usize)) -> Result<(), StoreError> {
    let (mut looked, mut moved) = (0, 0);
    let mut ways = Ways::new();
    while looked < look && moved < most {
        let waiting: Option<(String, i64, i64)> = sql
            .prepare_cached("SELECT group_id, at_ms, dump FROM reroutes LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((group, at_ms, dump)) = waiting else {
            return Ok(());
        };
        let crashes = crashes(sql, &group, (at_ms, dump), most - moved)?;
        looked += crashes.len();
        if let Some(last) = crashes.last() {
            sql.prepare_cached("UPDATE reroutes SET at_ms = ?2, dump = ?3 WHERE group_id = ?1")?
                .execute(params![group, last.at_ms, last.key])?;
        } else {
            sql.prepare_cached("DELETE FROM reroutes WHERE group_id = ?1")?
                .execute([&group])?;
            facets::see_again(sql, &group, SEEN_AGAIN)?;
        }
        for (target, crashes) in elsewhere(sql, &group, crashes, &mut ways)? {
            moved += crashes.len();
            move_all(sql, &group, &target, &crashes)?;
        }
    }
    Ok(())
}

/// Crashes of a group after a place, oldest first.
fn crashes(
    sql: &Transaction<'_>,
    group: &str,
    (at_ms, dump): (i64, i64),
    most: usize,
) -> Result<Vec<Crash>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT key, crashed_at_ms, home, signature FROM dumps
         WHERE group_id = ?1 AND (crashed_at_ms, key) > (?2, ?3)
         ORDER BY crashed_at_ms, key LIMIT ?4",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![group, at_ms, dump, most], |row| {
        Ok(Crash {
            key: row.get(0)?,
            at_ms: row.get(1)?,
            home: row.get(2)?,
            signature: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those that belong to another group, by that one.
fn elsewhere(
    sql: &Transaction<'_>,
    group: &str,
    crashes: Vec<Crash>,
    ways: &mut Ways,
) -> Result<BTreeMap<String, Vec<Crash>>, StoreError> {
    let mut found: BTreeMap<String, Vec<Crash>> = BTreeMap::new();
    for crash in crashes {
        let way = match ways.entry((crash.home.clone(), crash.signature.clone())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(way(sql, &crash.home, crash.signature.as_deref())?),
        };
        let target = match way {
            Way::To(target) => target.clone(),
            Way::Asks => route(sql, crash.key, &crash.home)?,
        };
        if target != group {
            found.entry(target).or_default().push(crash);
        }
    }
    Ok(found)
}

fn move_all(
    sql: &Transaction<'_>,
    from: &str,
    into: &str,
    crashes: &[Crash],
) -> Result<(), StoreError> {
    groups::ensure_known(sql, into)?;
    let mut update = sql.prepare_cached("UPDATE dumps SET group_id = ?2 WHERE key = ?1")?;
    for crash in crashes {
        update.execute(params![crash.key, into])?;
        groups::join(sql, into, crash.at_ms)?;
    }
    let keys = crashes.iter().map(|crash| crash.key);
    facets::move_between(sql, from, into, keys)?;
    groups::leave(sql, from, crashes.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Twenty-five crashes of one signature in group `a`, two in `b`.
    fn given(sql: &Transaction<'_>) {
        for group in ["a", "b"] {
            sql.execute(
                "INSERT INTO group_lives (group_id, state, since_ms, by_change, hash, signature_version, signature_kind, title)
                 VALUES (?1, 'open', 0, 0, ?1, 1, 'symbolic', ?1)",
                [group],
            )
            .unwrap();
            groups::ensure_known(sql, group).unwrap();
        }
        for number in 0..27_i64 {
            let group = if number < 25 { "a" } else { "b" };
            sql.execute(
                "INSERT INTO dumps (key, id, crashed_at_ms, host, signal, signal_number, pid, name, command,
                     status, kept, truncated, core_bytes, stored_bytes, home, signature)
                 VALUES (?1, ?1, ?1, ?2, 'SIGSEGV', 11, 1, 'a', 'a', 'analyzed', 'none', 0, 0, 0, ?3, ?3)",
                params![number, format!("node{}", number % 3), group],
            )
            .unwrap();
            sql.execute(
                "UPDATE dumps SET group_id = ?2 WHERE key = ?1",
                params![number, group],
            )
            .unwrap();
            groups::join(sql, group, number).unwrap();
            facets::count_in(sql, group, number, number).unwrap();
        }
    }

    /// What each group counts: crashes, those of its hours, of its hosts, and from when to when.
    fn counted(sql: &Transaction<'_>) -> Vec<String> {
        let mut statement = sql
            .prepare(
                "SELECT printf('%s %d %d %d %d-%d', g.id, g.crashes,
                     (SELECT sum(crashes) FROM crash_hours h WHERE h.group_id = g.id),
                     (SELECT sum(crashes) FROM group_facets f WHERE f.group_id = g.id AND f.facet = 'host'),
                     (SELECT min(first_seen_ms) FROM group_facets f WHERE f.group_id = g.id),
                     (SELECT max(last_seen_ms) FROM group_facets f WHERE f.group_id = g.id))
                 FROM groups g ORDER BY g.id",
            )
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn decide(sql: &Transaction<'_>, edge: Option<&str>) {
        sql.execute("DELETE FROM group_edges", []).unwrap();
        if let Some(from) = edge {
            sql.execute("INSERT INTO group_edges VALUES (1, ?1, 'b', NULL)", [from])
                .unwrap();
        }
        mark(sql, &["a", "b"].map(str::to_owned).into()).unwrap();
    }

    fn is_waiting(sql: &Transaction<'_>) -> bool {
        let text = "SELECT EXISTS (SELECT 1 FROM reroutes)";
        sql.query_row(text, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn crashes_move_in_steps_and_a_decision_in_between_holds() {
        for (moved, looked) in [(7, 1000), (4, 5), (1000, 3), (1000, 1000)] {
            let mut connection = crate::database::in_memory().unwrap();
            let sql = connection.transaction().unwrap();
            given(&sql);
            let before = ["a 25 25 25 0-24", "b 2 2 2 25-26"];
            assert_eq!(counted(&sql), before);

            decide(&sql, Some("a"));
            some(&sql, (moved, looked)).unwrap();
            some(&sql, (moved, looked)).unwrap();
            // Half way, or all the way, it is taken back.
            decide(&sql, None);
            let steps = (0..1000).take_while(|_| {
                some(&sql, (moved, looked)).unwrap();
                is_waiting(&sql)
            });
            assert!(steps.count() < 100);
            // What moved already had its home elsewhere.
            assert_eq!(counted(&sql), before, "{moved} {looked}");

            decide(&sql, Some("a"));
            while is_waiting(&sql) {
                some(&sql, (moved, looked)).unwrap();
                let all: i64 = sql
                    .query_row("SELECT sum(crashes) FROM groups", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(all, 27);
            }
            assert_eq!(counted(&sql), ["b 27 27 27 0-26"]);
        }
    }
}
