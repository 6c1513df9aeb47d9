//! Decides what the daemon decides on its own: that a group came back, or is no longer ignored.

use super::change::{Actor, Change, Until};
use super::entries::life;
use super::life::State;
use super::record::record;
use super::returns::{Judgement, Resolution, judge};
use super::{images, route};
use crate::store::{Store, StoreError, now_ms};
use rusqlite::{Transaction, params};

/// What a crash did to the state of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// It is a regression, and how that is known.
    pub(crate) regressed: Option<String>,
    /// Whether anything was recorded.
    pub(crate) changed: bool,
}

/// Tells a group of a crash that is new in it. Those that happened before the last decision
/// change nothing.
pub(crate) fn came(sql: &Transaction<'_>, group: &str, dump: i64) -> Result<Settled, StoreError> {
    let state: Option<String> = sql
        .prepare_cached("SELECT state FROM groups WHERE id = ?1")?
        .query_row([group], |row| row.get(0))
        .map(Some)
        .or_else(none_found)?;
    match state.as_deref().and_then(State::named) {
        Some(State::Resolved) => after_resolution(sql, group, dump),
        Some(State::Ignored) => while_ignored(sql, group, dump),
        _ => Ok(Settled::default()),
    }
}

fn none_found<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        other => Err(other),
    }
}

fn of_dump(sql: &Transaction<'_>, dump: i64) -> Result<(String, i64), StoreError> {
    let found = sql
        .prepare_cached("SELECT id, crashed_at_ms FROM dumps WHERE key = ?1")?
        .query_row([dump], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found)
}

fn after_resolution(sql: &Transaction<'_>, group: &str, dump: i64) -> Result<Settled, StoreError> {
    let now = life(sql, group)?;
    let (id, crashed_at_ms) = of_dump(sql, dump)?;
    let resolved_in = now
        .resolved_in
        .map(|mark| images::with_age(sql, mark))
        .transpose()?;
    let resolution = Resolution {
        at_ms: now.since_ms,
        image: resolved_in,
    };
    let image = images::of_dump(sql, dump)?;
    let Judgement::Regressed(why) = judge(&resolution, crashed_at_ms, image.as_ref()) else {
        return Ok(Settled::default());
    };
    let change = Change::Regress {
        dump: id,
        why: why.clone(),
    };
    record(sql, &Actor::aground(), group, change)?;
    Ok(Settled {
        regressed: Some(why),
        changed: true,
    })
}

fn while_ignored(sql: &Transaction<'_>, group: &str, dump: i64) -> Result<Settled, StoreError> {
    let now = life(sql, group)?;
    let (_, crashed_at_ms) = of_dump(sql, dump)?;
    if crashed_at_ms <= now.since_ms {
        return Ok(Settled::default());
    }
    let seen = now.ignored_seen.saturating_add(1);
    sql.prepare_cached("UPDATE group_lives SET ignored_seen = ?2 WHERE group_id = ?1")?
        .execute(params![group, crate::database::to_sql(seen)])?;
    let why = match now.ignored {
        Some(Until::Crashes(more)) if seen >= more => {
            format!("it crashed {more} more times, until which it was ignored")
        }
        Some(Until::Date(at_ms)) if at_ms <= crashed_at_ms => PASSED.to_owned(),
        _ => return Ok(Settled::default()),
    };
    let change = Change::Reopen { why: Some(why) };
    record(sql, &Actor::aground(), group, change)?;
    Ok(Settled {
        regressed: None,
        changed: true,
    })
}

const PASSED: &str = "the date until which it was ignored has passed";

impl Store {
    /// Opens groups that were ignored until a date that has passed. Returns how many.
    pub fn open_no_longer_ignored(&self) -> Result<usize, StoreError> {
        let now = now_ms();
        let due: Vec<String> = self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT group_id FROM group_lives
                 WHERE ignored_until_ms <= ?1 AND state = 'ignored' AND merged_into IS NULL",
            )?;
            let rows = statement.query_map([now], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        for group in &due {
            let why = Some(PASSED.to_owned());
            self.inner.database.write(|sql| {
                let now = life(sql, &route::live(sql, group)?)?;
                if now.state == State::Ignored {
                    record(sql, &Actor::aground(), group, Change::Reopen { why })?;
                }
                Ok(())
            })?;
        }
        if !due.is_empty() {
            self.keep_journal();
        }
        Ok(due.len())
    }
}
