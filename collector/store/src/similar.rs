//! Finds the group that a signature belongs to: its own, or that of the signature most like it.
//!
//! Candidates come from an index of the frames on top, of the same class; whatever the number of
//! groups, a bounded number of signatures is compared.

use crate::assign::line;
use crate::stack::{Stack, better_known};
use crate::store::StoreError;
use aground_analyzer::group::{SAME, rarity, similarity};
use aground_analyzer::report::Signature;
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Frames on top that candidates are found by.
const INDEXED: usize = 4;
/// Candidates compared per frame.
const CANDIDATES: i64 = 64;

/// A signature that was compared with another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Near {
    /// The group it names.
    pub(crate) home: String,
    /// Its title.
    pub(crate) title: String,
    /// How alike they are, from 0 to 1.
    pub(crate) likeness: f64,
    /// Numbers of the functions that both have, from the top.
    pub(crate) shared: Vec<i64>,
}

/// The group that a signature names: the one it named before, that of the most similar one, that
/// of the signature which the dump had until now, or its own. It is known by it from now on.
pub(crate) fn home(
    sql: &Transaction<'_>,
    dump: i64,
    id: &str,
    signature: &Signature,
) -> Result<String, StoreError> {
    let known: Option<(String, String)> = sql
        .prepare_cached("SELECT home, stack FROM signatures WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((home, stack)) = known {
        if let Some(better) = better_known(&stack, signature) {
            sql.prepare_cached("UPDATE signatures SET stack = ?2 WHERE id = ?1")?
                .execute([id, &better])?;
        }
        // A label's signature is the same by all rules.
        sql.prepare_cached("UPDATE signatures SET revision = ?2 WHERE id = ?1 AND revision <> ?2")?
            .execute(params![id, revision(signature)])?;
        return Ok(home);
    }
    let stack = Stack::intern(sql, signature)?;
    let near = nearest(sql, &stack, None)?.into_iter().next();
    let (home, founds) = match near.filter(|near| near.likeness >= SAME) {
        Some(near) => (near.home, false),
        None => (
            taken_over(sql, dump, signature)?.unwrap_or_else(|| id.to_owned()),
            true,
        ),
    };
    insert(sql, id, signature, &stack, (&home, founds))?;
    Ok(home)
}

/// The group of the signature that a dump had until now, when the new one is the same signature
/// made better: symbols came, or the rules are others. A group follows the signature it began
/// with; its other crashes find their way to it by similarity, or leave.
fn taken_over(
    sql: &Transaction<'_>,
    dump: i64,
    signature: &Signature,
) -> Result<Option<String>, StoreError> {
    let before: Option<(i64, String, String, String)> = sql
        .prepare_cached(
            "SELECT s.key, s.home, s.kind, s.revision FROM dumps d JOIN signatures s ON s.id = d.signature
             WHERE d.key = ?1 AND s.founds",
        )?
        .query_row([dump], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let better = |kind: &str| {
        let rank = |kind: &str| {
            ["facts", "offsets", "symbolic"]
                .iter()
                .position(|known| *known == kind)
        };
        rank(&signature.kind) > rank(kind) && kind != "label"
    };
    let Some((key, home, _, _)) =
        before.filter(|(_, _, kind, by)| better(kind) || *by != revision(signature))
    else {
        return Ok(None);
    };
    sql.prepare_cached("UPDATE signatures SET founds = FALSE WHERE key = ?1")?
        .execute([key])?;
    sql.prepare_cached(
        "UPDATE groups SET title = ?2, signature_kind = ?3, signature_version = ?4 WHERE id = ?1",
    )?
    .execute(params![
        home,
        line(&signature.title),
        line(&signature.kind),
        signature.version
    ])?;
    Ok(Some(home))
}

/// Lets the id of a group that lost its last crash name the one that the crash is in now.
pub(crate) fn forward(sql: &Transaction<'_>, old: &str, new: &str) -> Result<(), StoreError> {
    let gone = "SELECT NOT EXISTS (SELECT 1 FROM groups WHERE id = ?1 AND crashes > 0)";
    let gone: bool = sql
        .prepare_cached(gone)?
        .query_row([old], |row| row.get(0))?;
    sql.prepare_cached("DELETE FROM group_forwards WHERE old_id = ?1")?
        .execute([new])?;
    if gone {
        sql.prepare_cached("UPDATE group_forwards SET new_id = ?2 WHERE new_id = ?1")?
            .execute([old, new])?;
        sql.prepare_cached(
            "INSERT OR REPLACE INTO group_forwards (old_id, new_id) VALUES (?1, ?2)",
        )?
        .execute([old, new])?;
    }
    Ok(())
}

/// The groups most like a stack, most alike first; each by its most similar signature. A
/// signature is not compared with itself.
pub(crate) fn nearest(
    sql: &Transaction<'_>,
    stack: &Stack,
    itself: Option<i64>,
) -> Result<Vec<Near>, StoreError> {
    let own = stack.parts();
    let mut rarities = BTreeMap::new();
    let mut best: BTreeMap<String, Near> = BTreeMap::new();
    for (key, candidate) in candidates(sql, stack)? {
        if Some(key) == itself {
            continue;
        }
        let other = candidate.stack.parts();
        for part in own.iter().chain(&other) {
            if let Entry::Vacant(unknown) = rarities.entry(part.key) {
                unknown.insert(rarity(homes_of(sql, part.key)?));
            }
        }
        let likeness = similarity(&own, &other, |key| {
            rarities.get(key).copied().unwrap_or(1.0)
        });
        let near = Near {
            home: candidate.home,
            title: candidate.title,
            likeness,
            shared: stack
                .numbers()
                .filter(|number| candidate.stack.numbers().any(|other| other == *number))
                .collect(),
        };
        match best.get(&near.home) {
            Some(better) if better.likeness >= near.likeness => {}
            _ => drop(best.insert(near.home.clone(), near)),
        }
    }
    let mut near: Vec<Near> = best.into_values().collect();
    // Equals stay in the order of their ids, so that the order of arrival does not decide.
    near.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    Ok(near)
}

struct Candidate {
    home: String,
    title: String,
    stack: Stack,
}

fn candidates(
    sql: &Transaction<'_>,
    stack: &Stack,
) -> Result<BTreeMap<i64, Candidate>, StoreError> {
    let mut found = BTreeMap::new();
    let mut statement = sql.prepare_cached(
        "SELECT s.key, s.home, s.title, s.stack FROM signature_frames f JOIN signatures s ON s.key = f.signature
         WHERE f.class = ?1 AND f.frame = ?2 ORDER BY f.position, f.signature LIMIT ?3",
    )?;
    for frame in stack.numbers().take(INDEXED) {
        let rows = statement.query_map(params![stack.class(), frame, CANDIDATES], |row| {
            let candidate = Candidate {
                home: row.get(1)?,
                title: row.get(2)?,
                stack: Stack::read(stack.class(), row.get_ref(3)?.as_str()?),
            };
            Ok((row.get(0)?, candidate))
        })?;
        for candidate in rows {
            let (key, candidate) = candidate?;
            found.insert(key, candidate);
        }
    }
    Ok(found)
}

/// In how many groups a function is.
fn homes_of(sql: &Transaction<'_>, frame: i64) -> Result<u64, StoreError> {
    let homes: i64 = sql
        .prepare_cached("SELECT homes FROM terms WHERE key = ?1")?
        .query_row([frame], |row| row.get(0))?;
    Ok(crate::database::from_sql(homes))
}

fn insert(
    sql: &Transaction<'_>,
    id: &str,
    signature: &Signature,
    stack: &Stack,
    (home, founds): (&str, bool),
) -> Result<(), StoreError> {
    let key: i64 = sql
        .prepare_cached(
            "INSERT INTO signatures (id, revision, kind, class, home, founds, title, stack)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING key",
        )?
        .query_row(
            params![
                id,
                revision(signature),
                line(&signature.kind),
                stack.class(),
                home,
                founds,
                line(&signature.title),
                stack.written()
            ],
            |row| row.get(0),
        )?;
    let mut index = sql.prepare_cached(
        "INSERT INTO signature_frames (class, frame, position, signature) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, frame) in (0_i64..).zip(stack.numbers()).take(INDEXED) {
        index.execute(params![stack.class(), frame, position, key])?;
    }
    let mut enter = sql.prepare_cached(
        "INSERT INTO home_frames (frame, home, signatures) VALUES (?1, ?2, 1)
         ON CONFLICT (frame, home) DO UPDATE SET signatures = signatures + 1 RETURNING signatures",
    )?;
    let mut count = sql.prepare_cached("UPDATE terms SET homes = homes + 1 WHERE key = ?1")?;
    for frame in stack.numbers() {
        let signatures: i64 = enter.query_row(params![frame, home], |row| row.get(0))?;
        if signatures == 1 {
            count.execute([frame])?;
        }
    }
    Ok(())
}

/// Forgets a signature that no dump has any more, and with the last dump of its group all that
/// name the group. Those that a later analysis replaced stay until then: crashes of the same build
/// that were not analysed again find their group by them.
pub(crate) fn forget_unused(
    sql: &Transaction<'_>,
    signature: &str,
    home: &str,
) -> Result<(), StoreError> {
    let is_left = "SELECT EXISTS (SELECT 1 FROM dumps WHERE home = ?1)";
    let is_left: bool = sql
        .prepare_cached(is_left)?
        .query_row([home], |row| row.get(0))?;
    if !is_left {
        sql.prepare_cached("DELETE FROM proposals WHERE one = ?1 OR other = ?1")?
            .execute([home])?;
    }
    let unused = if is_left {
        "SELECT key FROM signatures WHERE id = ?1 AND home = ?2 AND NOT EXISTS (SELECT 1 FROM dumps WHERE signature = ?1)"
    } else {
        "SELECT key FROM signatures WHERE id = ?1 OR home = ?2"
    };
    let keys: Vec<i64> = sql
        .prepare_cached(unused)?
        .query_map([signature, home], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    keys.into_iter().try_for_each(|key| forget(sql, key))
}

/// Forgets a signature, and the functions that no other has. If the group followed it, it follows
/// the oldest that is left.
pub(crate) fn forget(sql: &Transaction<'_>, key: i64) -> Result<(), StoreError> {
    let (home, class, stack, founds): (String, i64, String, bool) = sql
        .prepare_cached(
            "DELETE FROM signatures WHERE key = ?1 RETURNING home, class, stack, founds",
        )?
        .query_row([key], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    if founds {
        let oldest = "UPDATE signatures SET founds = TRUE WHERE key = (SELECT min(key) FROM signatures WHERE home = ?1)";
        sql.prepare_cached(oldest)?.execute([&home])?;
    }
    for frame in Stack::read(class, &stack).numbers() {
        leave(sql, frame, &home)?;
    }
    forget_term(sql, class)
}

/// Counts a signature out of those of a group that have a frame.
fn leave(sql: &Transaction<'_>, frame: i64, home: &str) -> Result<(), StoreError> {
    sql.prepare_cached(
        "UPDATE home_frames SET signatures = signatures - 1 WHERE frame = ?1 AND home = ?2",
    )?
    .execute(params![frame, home])?;
    let gone = sql
        .prepare_cached(
            "DELETE FROM home_frames WHERE frame = ?1 AND home = ?2 AND signatures <= 0",
        )?
        .execute(params![frame, home])?;
    if gone > 0 {
        sql.prepare_cached("UPDATE terms SET homes = homes - 1 WHERE key = ?1")?
            .execute([frame])?;
        forget_term(sql, frame)?;
    }
    Ok(())
}

/// Forgets a function or class that no signature has.
fn forget_term(sql: &Transaction<'_>, key: i64) -> Result<(), StoreError> {
    sql.prepare_cached(
        "DELETE FROM terms WHERE key = ?1 AND homes <= 0 AND NOT EXISTS (SELECT 1 FROM signatures WHERE class = ?1)",
    )?
    .execute([key])?;
    Ok(())
}

/// By which version and which rules of the service's own a signature was made.
fn revision(signature: &Signature) -> String {
    made_by(signature.version, &signature.rules)
}

/// What tells signatures of this version and these rules from others.
pub(crate) fn made_by(version: u32, rules: &str) -> String {
    match rules {
        "" => version.to_string(),
        rules => format!("{version}+{rules}"),
    }
}
