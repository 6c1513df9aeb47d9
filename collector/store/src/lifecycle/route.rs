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
use crate::query::Query;
use crate::query::sql::Condition;
use crate::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params_from_iter};
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

/// Where crashes of a signature go from their home.
pub(super) enum Way {
    /// All of them to this group.
    To(String),
    /// Where each goes a query says.
    Asks,
}

/// The way of the crashes of a signature.
pub(super) fn way(
    sql: &Transaction<'_>,
    home: &str,
    signature: Option<&str>,
) -> Result<Way, StoreError> {
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
    Ok(if asks { Way::Asks } else { Way::To(target) })
}
