//! What somebody who was just woken wants to know: how much crashes, and what is new, came back,
//! or crashes most. What people ignore is left out.

use crate::database::from_sql;
use crate::groups;
use crate::histogram;
use crate::store::{Histogram, Store, StoreError};
use crate::types::GroupSummary;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

const HOUR_MS: i64 = 3_600_000;
/// Groups of each list.
const SHOWN: i64 = 10;

/// What happened in a window of time that ends now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Length of the window, milliseconds.
    pub window_ms: i64,
    /// Crashes per bucket, oldest first.
    pub histogram: Vec<u64>,
    /// Crashes in the window.
    pub crashes: u64,
    /// Crashes in the window before that, as long.
    pub before: u64,
    /// Groups with a crash in the window.
    pub active: u64,
    /// Groups whose first crash is in the window.
    pub new: u64,
    /// Groups that came back after they were resolved, whenever that was.
    pub regressed: u64,
    /// The last seen of the new ones; histograms of all groups here are of the window.
    pub new_groups: Vec<GroupSummary>,
    /// The last seen of the regressed ones.
    pub regressed_groups: Vec<GroupSummary>,
    /// Those with most crashes in the window.
    pub busiest: Vec<GroupSummary>,
}

impl Store {
    /// What happened in a window, with pictures of `fine` buckets over all and those of `window`
    /// over each group.
    pub fn overview(&self, window: Histogram, fine: usize) -> Result<Overview, StoreError> {
        let start_ms = window.now_ms.saturating_sub(window.window_ms);
        // Pictures begin with an hour; so do the sums.
        let end_hour = window.now_ms.div_euclid(HOUR_MS).saturating_add(1);
        let start_hour = end_hour.saturating_sub(window.window_ms / HOUR_MS);
        let before_hour = start_hour.saturating_sub(window.window_ms / HOUR_MS);
        let all = Histogram {
            buckets: fine,
            ..window
        };
        self.inner.database.read(|sql| {
            let groups = |which: &str, parameter: i64| -> Result<Vec<GroupSummary>, StoreError> {
                let mut statement = sql.prepare_cached(which)?;
                let ids = statement.query_map(params![parameter, SHOWN], |row| row.get(0))?;
                let ids = ids.collect::<Result<Vec<String>, _>>()?;
                let found = ids.iter().map(|id| groups::by_id(sql, id, window));
                Ok(found
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .flatten()
                    .collect())
            };
            Ok(Overview {
                window_ms: window.window_ms,
                histogram: histogram::of_group(sql, "", all)?,
                crashes: crashes(sql, start_hour, end_hour)?,
                before: crashes(sql, before_hour, start_hour)?,
                active: number(
                    sql,
                    "SELECT count(*) FROM groups WHERE last_seen_ms >= ?1",
                    start_ms,
                )?,
                new: number(
                    sql,
                    "SELECT count(*) FROM groups WHERE first_seen_ms >= ?1 AND state <> 'ignored'",
                    start_ms,
                )?,
                regressed: number(
                    sql,
                    "SELECT count(*) FROM groups WHERE state = 'regressed' AND ?1 IS NOT NULL",
                    start_ms,
                )?,
                new_groups: groups(
                    "SELECT id FROM groups WHERE first_seen_ms >= ?1 AND state <> 'ignored'
                     ORDER BY last_seen_ms DESC, id LIMIT ?2",
                    start_ms,
                )?,
                regressed_groups: groups(
                    "SELECT id FROM groups WHERE state = 'regressed' AND ?1 IS NOT NULL
                     ORDER BY last_seen_ms DESC, id LIMIT ?2",
                    start_ms,
                )?,
                busiest: groups(
                    "SELECT id FROM (SELECT g.id, (SELECT sum(h.crashes) FROM crash_hours h
                         WHERE h.group_id = g.id AND h.hour >= ?1) AS crashes
                       FROM groups g WHERE g.last_seen_ms >= ?1 * 3600000 AND g.state <> 'ignored')
                     WHERE crashes > 0 ORDER BY crashes DESC, id LIMIT ?2",
                    start_hour,
                )?,
            })
        })
    }
}

fn number(sql: &Transaction<'_>, text: &str, parameter: i64) -> Result<u64, StoreError> {
    let mut statement = sql.prepare_cached(text)?;
    Ok(from_sql(
        statement.query_row([parameter], |row| row.get(0))?,
    ))
}

/// Crashes from one hour to another, that excluded.
fn crashes(sql: &Transaction<'_>, from: i64, to: i64) -> Result<u64, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT coalesce(sum(crashes), 0) FROM crash_hours
         WHERE group_id = '' AND hour >= ?1 AND hour < ?2",
    )?;
    Ok(from_sql(statement.query_row([from, to], |row| row.get(0))?))
}
