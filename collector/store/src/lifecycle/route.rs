//! Sends crashes along the merges and splits that people made, those of today and those to come.
//!
//! A crash starts at its home, the group that its signature names, and follows the edges that are
//! in force in the order in which they were made, each at most once:
//!
//! ```text
//! home ──split: image api:2*──► s ──merge──► g        others: home ──merge──► h
//! ```

use super::change::Split;
use crate::dumps::JOIN;
use crate::groups;
use crate::query::Query;
use crate::query::sql::Condition;
use crate::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params, params_from_iter};
use std::collections::BTreeSet;

/// The most edges one crash follows.
const LONGEST_WAY: usize = 1000;

/// The group of a dump whose signature names `home`. Its row must be whole but for the group.
pub(crate) fn route(sql: &Transaction<'_>, dump: i64, home: &str) -> Result<String, StoreError> {
    walk(sql, home, |split| match split {
        Split::Signatures(signatures) => {
            let own: Option<String> = sql
                .prepare_cached("SELECT signature FROM dumps WHERE key = ?1")?
                .query_row([dump], |row| row.get(0))?;
            Ok(own.is_some_and(|own| signatures.contains(&own)))
        }
        Split::Query(text) => matches(sql, dump, text),
    })
}

fn walk(
    sql: &Transaction<'_>,
    home: &str,
    mut takes: impl FnMut(&Split) -> Result<bool, StoreError>,
) -> Result<String, StoreError> {
    let mut group = home.to_owned();
    let mut used = BTreeSet::new();
    while used.len() < LONGEST_WAY {
        let mut next = None;
        for (sequence, into, split) in edges_from(sql, &group)? {
            if used.contains(&sequence) {
                continue;
            }
            if split.as_ref().map_or(Ok(true), &mut takes)? {
                next = Some((sequence, into));
                break;
            }
        }
        let Some((sequence, into)) = next else {
            break;
        };
        used.insert(sequence);
        group = into;
    }
    Ok(group)
}

type Edge = (i64, String, Option<Split>);

fn edges_from(sql: &Transaction<'_>, group: &str) -> Result<Vec<Edge>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT sequence, into_group, split FROM group_edges WHERE from_group = ?1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([group])?;
    let mut edges = vec![];
    while let Some(row) = rows.next()? {
        let split: Option<String> = row.get(2)?;
        let split = split.map(|json| super::parse(&json)).transpose()?;
        edges.push((row.get(0)?, row.get(1)?, split));
    }
    Ok(edges)
}

/// Whether the dump matches the query of a split.
fn matches(sql: &Transaction<'_>, dump: i64, text: &str) -> Result<bool, StoreError> {
    // One that no longer parses matches nothing; it did when it was made.
    let Ok(query) = Query::parse(text) else {
        return Ok(false);
    };
    let condition = Condition::of(&query);
    let text = format!(
        "SELECT EXISTS (SELECT 1 FROM {JOIN} WHERE d.key = ? AND {})",
        condition.sql
    );
    let parameters = std::iter::once(Value::from(dump)).chain(condition.parameters);
    Ok(sql
        .prepare_cached(&text)?
        .query_row(params_from_iter(parameters), |row| row.get(0))?)
}

/// The group whose crashes those of `group` are now.
pub(crate) fn live(sql: &Transaction<'_>, group: &str) -> Result<String, StoreError> {
    let mut live = group.to_owned();
    for _ in 0..LONGEST_WAY {
        let target: Option<Option<String>> = sql
            .prepare_cached("SELECT merged_into FROM group_lives WHERE group_id = ?1")?
            .query_row([&live], |row| row.get(0))
            .optional()?;
        match target.flatten() {
            // Who asks refuses to close a circle.
            Some(target) if target == group => return Ok(target),
            Some(target) => live = target,
            None => break,
        }
    }
    Ok(live)
}

/// The group and every group merged into it, through others too.
pub(crate) fn members(sql: &Transaction<'_>, group: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = sql.prepare_cached(
        "WITH RECURSIVE members (id) AS (VALUES (?1) UNION
             SELECT l.group_id FROM group_lives l JOIN members m ON l.merged_into = m.id)
         SELECT id FROM members",
    )?;
    let rows = statement.query_map([group], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sends every dump of these groups along the edges as they are now, and counts again.
pub(crate) fn reroute(sql: &Transaction<'_>, groups: &BTreeSet<String>) -> Result<(), StoreError> {
    let mut changed = groups.clone();
    for group in groups {
        let mut statement = sql.prepare_cached(
            "SELECT home, signature, max(key) FROM dumps WHERE group_id = ?1 GROUP BY 1, 2",
        )?;
        let alike: Vec<(String, Option<String>)> = statement
            .query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (home, signature) in alike {
            reroute_alike(sql, group, &home, signature.as_deref(), &mut changed)?;
        }
    }
    changed
        .iter()
        .try_for_each(|group| groups::recount(sql, group))
}

/// Dumps of one signature go one way, unless a query tells them apart on it.
fn reroute_alike(
    sql: &Transaction<'_>,
    group: &str,
    home: &str,
    signature: Option<&str>,
    changed: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let mut asks = false;
    let target = walk(sql, home, |split| {
        asks |= matches!(split, Split::Query(_));
        Ok(match split {
            Split::Signatures(list) => {
                signature.is_some_and(|own| list.iter().any(|listed| listed == own))
            }
            Split::Query(_) => false,
        })
    })?;
    let condition = "group_id = ?1 AND home = ?2 AND signature IS ?3";
    if !asks {
        groups::ensure_known(sql, &target)?;
        sql.execute(
            &format!("UPDATE dumps SET group_id = ?4 WHERE {condition}"),
            params![group, home, signature, target],
        )?;
        changed.insert(target);
        return Ok(());
    }
    let mut statement = sql.prepare(&format!("SELECT key FROM dumps WHERE {condition}"))?;
    let keys: Vec<i64> = statement
        .query_map(params![group, home, signature], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut move_to = sql.prepare("UPDATE dumps SET group_id = ?2 WHERE key = ?1")?;
    for key in keys {
        let target = route(sql, key, home)?;
        if target != group {
            groups::ensure_known(sql, &target)?;
            move_to.execute(params![key, target])?;
            changed.insert(target);
        }
    }
    Ok(())
}
