//! What people are to be told of, and how telling went: an outbox, so that a restart loses nothing
//! and a kill in the middle repeats at most one delivery.

use crate::database::from_sql;
use crate::store::{Store, StoreError, now_ms};
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many notices are remembered; of older ones only those that still wait.
const REMEMBERED: i64 = 10_000;
/// The most deliveries that may wait for one target: more is noise, and the oldest are given up.
const MOST_WAITING: i64 = 1000;

/// What people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// Crashes of a new kind.
    NewGroup,
    /// A resolved group came back.
    Regression,
    /// A group crashes far more often than it used to.
    Spike,
    /// Something crashes again and again, so that less is kept.
    LoopStarted,
    /// It no longer does.
    LoopStopped,
    /// Crashes wait for room, or limits do not hold.
    StorageTrouble,
    /// They hold again.
    StorageRecovered,
    /// Somebody wanted to know whether it arrives.
    Test,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [NoticeKind; 8] = [
        NoticeKind::NewGroup,
        NoticeKind::Regression,
        NoticeKind::Spike,
        NoticeKind::LoopStarted,
        NoticeKind::LoopStopped,
        NoticeKind::StorageTrouble,
        NoticeKind::StorageRecovered,
        NoticeKind::Test,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::NewGroup => "new-group",
            NoticeKind::Regression => "regression",
            NoticeKind::Spike => "spike",
            NoticeKind::LoopStarted => "loop-started",
            NoticeKind::LoopStopped => "loop-stopped",
            NoticeKind::StorageTrouble => "storage-trouble",
            NoticeKind::StorageRecovered => "storage-recovered",
            NoticeKind::Test => "test",
        }
    }

    fn named(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.unwrap_or(NoticeKind::Test)
    }
}

/// Something people are to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number; 0: not kept yet.
    pub key: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: NoticeKind,
    /// Of which group.
    pub group: Option<String>,
    /// Of which crash.
    pub dump: Option<String>,
    /// Details, a sentence.
    pub why: Option<String>,
}

/// One delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The notice.
    pub notice: i64,
    /// When it happened, milliseconds since the epoch.
    pub at_ms: i64,
    /// What is told, JSON.
    pub body: String,
    /// Attempts before this one.
    pub attempts: u32,
}

/// How it goes with a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTally {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that arrived, of those remembered.
    pub delivered: u64,
    /// Deliveries that were given up, of those remembered.
    pub failed: u64,
    /// What came of the last attempt.
    pub last_outcome: Option<String>,
    /// When that was, milliseconds since the epoch.
    pub last_at_ms: Option<i64>,
}

/// A group whose last hour stands out, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// The group.
    pub group: String,
    /// Its newest crash.
    pub dump: String,
    /// Crashes in the last hour.
    pub last_hour: u64,
    /// Crashes in the hours before, of at most a week.
    pub before: u64,
    /// So many hours were looked at, at least 1.
    pub hours: u64,
}

const HOUR_MS: i64 = 60 * 60 * 1000;
const WEEK_HOURS: i64 = 7 * 24;

impl Store {
    /// Notes something to be told of that comes with no other change.
    pub fn note_notice(&self, notice: &Notice) -> Result<(), StoreError> {
        self.inner.database.write(|sql| push(sql, notice))
    }

    /// Notices that no target has been given yet, oldest first.
    pub fn new_notices(&self, limit: usize) -> Result<Vec<Notice>, StoreError> {
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT key, at_ms, kind, group_id, dump_id, why FROM notices
                 WHERE body IS NULL ORDER BY key LIMIT ?1",
            )?;
            let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], notice)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Gives a notice, as it is told, to targets. A second time changes nothing.
    pub fn give_notice(&self, key: i64, body: &str, targets: &[String]) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            let composed = sql
                .prepare_cached("UPDATE notices SET body = ?2 WHERE key = ?1 AND body IS NULL")?
                .execute(params![key, body])?;
            if composed == 0 {
                return Ok(());
            }
            for target in targets {
                sql.prepare_cached(
                    "INSERT INTO deliveries (notice, target, state, due_ms) VALUES (?1, ?2, 'waiting', ?3)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![key, target, now_ms()])?;
                sql.prepare_cached(
                    "UPDATE deliveries SET state = 'failed', outcome = 'given up: too many waited' WHERE target = ?1
                         AND state = 'waiting' AND notice <= (SELECT notice FROM deliveries
                             WHERE target = ?1 AND state = 'waiting' ORDER BY notice DESC LIMIT 1 OFFSET ?2)",
                )?
                .execute(params![target, MOST_WAITING])?;
            }
            sql.prepare_cached(
                "DELETE FROM notices WHERE key <= ?1 AND NOT EXISTS
                     (SELECT 1 FROM deliveries WHERE notice = key AND state = 'waiting')",
            )?
            .execute([key.saturating_sub(REMEMBERED)])?;
            Ok(())
        })
    }

    /// The delivery to a target that is due, oldest first; else when the next will be.
    pub fn next_delivery(&self, target: &str) -> Result<Result<Delivery, Option<i64>>, StoreError> {
        let now = now_ms();
        self.inner.database.read(|sql| {
            let found = sql
                .prepare_cached(
                    "SELECT d.notice, n.at_ms, coalesce(n.body, '{}'), d.attempts FROM deliveries d
                         JOIN notices n ON n.key = d.notice
                     WHERE d.target = ?1 AND d.state = 'waiting' AND d.due_ms <= ?2 ORDER BY d.due_ms, d.notice LIMIT 1",
                )?
                .query_row(params![target, now], |row| {
                    Ok(Delivery {
                        notice: row.get(0)?,
                        at_ms: row.get(1)?,
                        body: row.get(2)?,
                        attempts: row.get(3)?,
                    })
                })
                .optional()?;
            if let Some(delivery) = found {
                return Ok(Ok(delivery));
            }
            let next = sql
                .prepare_cached(
                    "SELECT min(due_ms) FROM deliveries WHERE target = ?1 AND state = 'waiting'",
                )?
                .query_row([target], |row| row.get(0))?;
            Ok(Err(next))
        })
    }

    /// Notes what came of an attempt: it arrived, it is tried again at `again_ms`, or it is given
    /// up.
    pub fn note_delivery(
        &self,
        notice: i64,
        target: &str,
        outcome: Result<&str, (&str, Option<i64>)>,
    ) -> Result<(), StoreError> {
        let (state, text, due) = match outcome {
            Ok(text) => ("delivered", text, None),
            Err((text, Some(again_ms))) => ("waiting", text, Some(again_ms)),
            Err((text, None)) => ("failed", text, None),
        };
        self.inner.database.write(|sql| {
            sql.prepare_cached(
                "UPDATE deliveries SET state = ?3, outcome = ?4, due_ms = coalesce(?5, due_ms),
                     attempts = attempts + 1, at_ms = ?6 WHERE notice = ?1 AND target = ?2",
            )?
            .execute(params![notice, target, state, text, due, now_ms()])?;
            Ok(())
        })
    }

    /// Remembers a test message and what came of it.
    pub fn note_test(
        &self,
        body: &str,
        target: &str,
        outcome: Result<&str, &str>,
    ) -> Result<(), StoreError> {
        let (state, text) = match outcome {
            Ok(text) => ("delivered", text),
            Err(text) => ("failed", text),
        };
        self.inner.database.write(|sql| {
            let now = now_ms();
            let key = sql
                .prepare_cached("INSERT INTO notices (at_ms, kind, body) VALUES (?1, 'test', ?2)")?
                .insert(params![now, body])?;
            sql.prepare_cached(
                "INSERT INTO deliveries (notice, target, state, due_ms, attempts, outcome, at_ms)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?4)",
            )?
            .execute(params![key, target, state, now, text])?;
            Ok(())
        })
    }

    /// How it goes with each target that ever got something.
    pub fn target_tallies(&self) -> Result<BTreeMap<String, TargetTally>, StoreError> {
        self.inner.database.read(|sql| {
            let mut tallies: BTreeMap<String, TargetTally> = BTreeMap::new();
            let mut statement = sql.prepare_cached(
                "SELECT target, state, count(*) FROM deliveries GROUP BY target, state",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let tally = tallies.entry(row.get(0)?).or_default();
                let count = from_sql(row.get(2)?);
                match row.get::<_, String>(1)?.as_str() {
                    "waiting" => tally.waiting = count,
                    "delivered" => tally.delivered = count,
                    _ => tally.failed = count,
                }
            }
            let mut last = sql.prepare_cached(
                "SELECT outcome, at_ms FROM deliveries WHERE target = ?1 AND at_ms IS NOT NULL
                 ORDER BY at_ms DESC LIMIT 1",
            )?;
            for (target, tally) in &mut tallies {
                let found = last
                    .query_row([target], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                (tally.last_outcome, tally.last_at_ms) = found.unwrap_or_default();
            }
            Ok(tallies)
        })
    }

    /// Makes `present` the conditions of a sort that last, each with a sentence, and notes which
    /// began and which ended. Names start with `sort`.
    pub fn follow_conditions(
        &self,
        sort: &str,
        present: &BTreeMap<String, String>,
        [begins, ends]: [NoticeKind; 2],
    ) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            let mut statement =
                sql.prepare_cached("SELECT what, detail FROM conditions WHERE what GLOB ?1")?;
            let known: BTreeMap<String, String> = statement
                .query_map([format!("{sort}*")], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let tell = |kind, why: &str| {
                let notice = Notice {
                    key: 0,
                    at_ms: now_ms(),
                    kind,
                    group: None,
                    dump: None,
                    why: Some(why.to_owned()),
                };
                push(sql, &notice)
            };
            for (what, why) in present {
                if !known.contains_key(what) {
                    sql.prepare_cached(
                        "INSERT INTO conditions (what, since_ms, detail) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![what, now_ms(), why])?;
                    tell(begins, why)?;
                }
            }
            for (what, why) in &known {
                if !present.contains_key(what) {
                    sql.prepare_cached("DELETE FROM conditions WHERE what = ?1")?
                        .execute([what])?;
                    tell(ends, why)?;
                }
            }
            Ok(())
        })
    }

    /// Groups with at least `least` crashes in the last hour, and how often they crashed before.
    /// Leaves out groups that are ignored, that are younger than two hours, and those of which a
    /// spike was told in the last day.
    pub fn busy_groups(&self, least: u64) -> Result<Vec<Rate>, StoreError> {
        let now = now_ms();
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT g.id, b.crashes, g.first_seen_ms,
                     (SELECT id FROM dumps WHERE group_id = g.id ORDER BY crashed_at_ms DESC, id DESC LIMIT 1)
                 FROM (SELECT group_id, count(*) AS crashes FROM dumps
                       WHERE crashed_at_ms > ?1 AND crashed_at_ms <= ?2 AND group_id IS NOT NULL
                       GROUP BY group_id HAVING crashes >= ?3) b JOIN groups g ON g.id = b.group_id
                 WHERE g.state <> 'ignored' AND g.first_seen_ms <= ?4
                   AND NOT EXISTS (SELECT 1 FROM notices WHERE group_id = g.id AND kind = 'spike' AND at_ms > ?5)",
            )?;
            let least = crate::database::to_sql(least);
            let mut rows = statement.query(params![
                now - HOUR_MS,
                now,
                least,
                now - 2 * HOUR_MS,
                now - 24 * HOUR_MS
            ])?;
            let mut before = sql.prepare_cached(
                "SELECT count(*) FROM dumps WHERE group_id = ?1 AND crashed_at_ms > ?2 AND crashed_at_ms <= ?3",
            )?;
            let mut rates = vec![];
            while let Some(row) = rows.next()? {
                let group: String = row.get(0)?;
                let age = (now - HOUR_MS).saturating_sub(row.get(2)?);
                let hours = (age / HOUR_MS).clamp(1, WEEK_HOURS);
                let start = now - HOUR_MS - hours * HOUR_MS;
                let count = before.query_row(params![group, start, now - HOUR_MS], |row| row.get(0))?;
                rates.push(Rate {
                    dump: row.get(3)?,
                    last_hour: from_sql(row.get(1)?),
                    before: from_sql(count),
                    hours: from_sql(hours),
                    group,
                });
            }
            Ok(rates)
        })
    }
}

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        key: row.get(0)?,
        at_ms: row.get(1)?,
        kind: NoticeKind::named(&row.get::<_, String>(2)?),
        group: row.get(3)?,
        dump: row.get(4)?,
        why: row.get(5)?,
    })
}

/// Notes it as part of the change it tells of.
pub(crate) fn push(sql: &Transaction<'_>, notice: &Notice) -> Result<(), StoreError> {
    sql.prepare_cached(
        "INSERT INTO notices (at_ms, kind, group_id, dump_id, why) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        notice.at_ms,
        notice.kind.as_str(),
        notice.group,
        notice.dump,
        notice.why
    ])?;
    Ok(())
}

/// Notes what a report that was kept has to tell of.
pub(crate) fn of_assignment(
    sql: &Transaction<'_>,
    dump: &aground_helper::id::DumpId,
    assignment: &crate::Assignment,
) -> Result<(), StoreError> {
    let kind = match (assignment.new_group, &assignment.regressed) {
        (true, _) => NoticeKind::NewGroup,
        (false, Some(_)) => NoticeKind::Regression,
        (false, None) => return Ok(()),
    };
    let notice = Notice {
        key: 0,
        at_ms: now_ms(),
        kind,
        group: Some(assignment.group.clone()),
        dump: Some(dump.to_string()),
        why: assignment.regressed.clone(),
    };
    push(sql, &notice)
}
