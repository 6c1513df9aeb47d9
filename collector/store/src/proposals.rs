//! Proposes groups that may be one bug, for a person to merge or to tell apart.
//!
//! Each signature is compared once, with those that were there before it, in the background: to be
//! much alike is not to be the same, so nothing is merged by itself. What somebody decided is a
//! change of the group ([`crate::lifecycle`]): a merge, or that they are distinct, which is for good.

use crate::lifecycle;
use crate::similar;
use crate::stack::Stack;
use crate::store::{Store, StoreError, now_ms};
use aground_analyzer::group::LIKE;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

/// The most groups proposed for one signature, the most similar ones.
const PER_SIGNATURE: usize = 3;
/// Functions named of those that both have.
const SHARED: usize = 4;
/// Pairs looked at for a list: those of groups that are gone or were decided about are passed over.
const LOOKED_AT: i64 = 2000;

/// Two groups that may be one bug.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The one with more crashes.
    pub one: Proposed,
    /// The other.
    pub other: Proposed,
    /// How alike the two signatures are that are most alike, from 0 to 1, when they were compared.
    pub likeness: f64,
    /// Functions that both have, from the top.
    pub shared: String,
    /// When they were compared, milliseconds since the epoch.
    pub found_at_ms: i64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// The group's id.
    pub group: String,
    /// Its signature.
    pub title: String,
    /// How many crashes it has.
    pub crashes: u64,
}

impl Store {
    /// Compares signatures that were not compared yet, at most so many. Says how many it were.
    pub fn compare_signatures(&self, most: u32) -> Result<u64, StoreError> {
        let waiting = "SELECT EXISTS (SELECT 1 FROM signatures WHERE NOT compared)";
        let waits: bool = self
            .inner
            .database
            .read(|sql| Ok(sql.query_row(waiting, [], |row| row.get(0))?))?;
        if !waits {
            return Ok(0);
        }
        self.inner.database.write(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT key, home, class, stack FROM signatures WHERE NOT compared ORDER BY key LIMIT ?1",
            )?;
            let rows = statement.query_map([most], |row| {
                let stack = Stack::read(row.get(2)?, row.get_ref(3)?.as_str()?);
                Ok((row.get(0)?, row.get(1)?, stack))
            })?;
            let rows: Vec<(i64, String, Stack)> = rows.collect::<Result<_, _>>()?;
            for (key, home, stack) in &rows {
                propose(sql, *key, home, stack)?;
            }
            Ok(rows.len() as u64)
        })
    }

    /// Pairs of groups that nobody has decided about, most alike first.
    pub fn proposals(&self, most: usize) -> Result<Vec<Proposal>, StoreError> {
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT one, other, likeness, shared, found_at_ms FROM proposals
                 ORDER BY likeness DESC, one, other LIMIT ?1",
            )?;
            let mut rows = statement.query([LOOKED_AT])?;
            let mut found: Vec<Proposal> = vec![];
            while let Some(row) = rows.next()? {
                let pair: [String; 2] = [row.get(0)?, row.get(1)?];
                let Some((one, other)) = undecided(sql, &pair)? else {
                    continue;
                };
                // Two groups that were merged may both have been like a third.
                let known = found.iter().any(|known| {
                    let pair = [&known.one.group, &known.other.group];
                    pair.contains(&&one.group) && pair.contains(&&other.group)
                });
                if known {
                    continue;
                }
                found.push(Proposal {
                    one,
                    other,
                    likeness: row.get(2)?,
                    shared: row.get(3)?,
                    found_at_ms: row.get(4)?,
                });
                if found.len() >= most {
                    break;
                }
            }
            Ok(found)
        })
    }
}

fn propose(sql: &Transaction<'_>, key: i64, home: &str, stack: &Stack) -> Result<(), StoreError> {
    sql.prepare_cached("UPDATE signatures SET compared = TRUE WHERE key = ?1")?
        .execute([key])?;
    let near = similar::nearest(sql, stack, Some(key))?.into_iter();
    let others = near.filter(|near| near.home != home && near.likeness >= LIKE);
    for near in others.take(PER_SIGNATURE) {
        let names = near.shared.iter().take(SHARED).map(|number| {
            let name = "SELECT text FROM terms WHERE key = ?1";
            Ok(sql
                .prepare_cached(name)?
                .query_row([number], |row| row.get(0))?)
        });
        let names: Vec<String> = names.collect::<Result<_, StoreError>>()?;
        let (one, other) = (home.min(&near.home), home.max(&near.home));
        sql.prepare_cached(
            "INSERT INTO proposals (one, other, likeness, shared, found_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (one, other) DO UPDATE SET likeness = ?3, shared = ?4, found_at_ms = ?5
             WHERE likeness < ?3",
        )?
        .execute(params![one, other, near.likeness, names.join(", "), now_ms()])?;
    }
    Ok(())
}

/// Both groups as they are now; nothing when they are one, one is gone, or somebody told them apart.
fn undecided(
    sql: &Transaction<'_>,
    pair: &[String; 2],
) -> Result<Option<(Proposed, Proposed)>, StoreError> {
    let [one, other] = pair;
    let (one, other) = (lifecycle::live(sql, one)?, lifecycle::live(sql, other)?);
    if one == other || told_apart(sql, &one, &other)? {
        return Ok(None);
    }
    let (Some(one), Some(other)) = (proposed(sql, &one)?, proposed(sql, &other)?) else {
        return Ok(None);
    };
    Ok(Some(if one.crashes >= other.crashes {
        (one, other)
    } else {
        (other, one)
    }))
}

/// Whether somebody said that two groups are two bugs.
pub(crate) fn told_apart(
    sql: &Transaction<'_>,
    one: &str,
    other: &str,
) -> Result<bool, StoreError> {
    Ok(is_distinct(sql, one, other)? || is_distinct(sql, other, one)?)
}

/// Whether somebody said of a group that it is another bug than the other, or one merged into that.
fn is_distinct(sql: &Transaction<'_>, group: &str, other: &str) -> Result<bool, StoreError> {
    let mut statement =
        sql.prepare_cached("SELECT other FROM group_distinct WHERE group_id = ?1")?;
    let mut rows = statement.query([group])?;
    while let Some(row) = rows.next()? {
        if lifecycle::live(sql, &row.get::<_, String>(0)?)? == other {
            return Ok(true);
        }
    }
    Ok(false)
}

fn proposed(sql: &Transaction<'_>, group: &str) -> Result<Option<Proposed>, StoreError> {
    Ok(sql
        .prepare_cached("SELECT id, title, crashes FROM groups WHERE id = ?1")?
        .query_row([group], |row| {
            Ok(Proposed {
                group: row.get(0)?,
                title: row.get(1)?,
                crashes: crate::database::from_sql(row.get(2)?),
            })
        })
        .optional()?)
}
