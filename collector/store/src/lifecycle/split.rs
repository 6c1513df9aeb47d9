//! Makes some crashes of a group a group of their own.

use super::change::{Actor, Change, Entry, Split};
use super::entries::identity;
use super::record::{meet, record};
use crate::dumps::JOIN;
use crate::modules::hex;
use crate::query::Query;
use crate::query::sql::Condition;
use crate::store::{StoreError, now_ms};
use rusqlite::types::Value;
use rusqlite::{Transaction, params, params_from_iter};
use sha2::{Digest, Sha256};

pub(super) fn split_off(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    split: Split,
) -> Result<Entry, StoreError> {
    let counts = |condition: &str, list: &[String]| -> Result<i64, StoreError> {
        let json = serde_json::to_string(list).unwrap_or_default();
        let text = format!("SELECT count(*) FROM dumps WHERE group_id = ?1 AND {condition}");
        Ok(sql.query_row(&text, params![group, json], |row| row.get(0))?)
    };
    match &split {
        Split::Signatures(list) => {
            let inside = counts("signature IN (SELECT value FROM json_each(?2))", list)?;
            let outside = counts("signature NOT IN (SELECT value FROM json_each(?2))", list)?;
            if inside == 0 {
                return Err(StoreError::NotFound(
                    "crash with this signature in the group",
                ));
            }
            if outside == 0 {
                return Err(StoreError::Refused(
                    "every crash of this group has that signature: say with a query what tells them apart".to_owned(),
                ));
            }
        }
        Split::Query(text) => {
            refuse_passing(text)?;
            for (matching, which) in [(true, "no"), (false, "every")] {
                if !has_crash(sql, group, text, matching)? {
                    return Err(StoreError::Refused(format!(
                        "{which} crash of this group matches: there is nothing to split"
                    )));
                }
            }
        }
    }
    let mut identity = identity(sql, group)?.ok_or(StoreError::NotFound("group"))?;
    let next: i64 = sql.query_row(
        "SELECT coalesce(max(sequence), 0) + 1 FROM group_changes",
        [],
        |row| row.get(0),
    )?;
    let mut hasher = Sha256::new();
    for part in [
        identity.hash.as_bytes(),
        &next.to_le_bytes(),
        &now_ms().to_le_bytes(),
    ] {
        hasher.update(part);
    }
    identity.hash = hex(&hasher.finalize());
    let into = identity.hash.get(..16).unwrap_or_default().to_owned();
    meet(sql, by, group)?;
    record(sql, by, &into, Change::Known(identity))?;
    let change = Change::Split {
        into: into.clone(),
        split,
    };
    record(sql, by, group, change)
}

/// Whether the group has a crash that matches a query, or one that does not.
fn has_crash(
    sql: &Transaction<'_>,
    group: &str,
    query: &str,
    matching: bool,
) -> Result<bool, StoreError> {
    let query =
        Query::parse(query).map_err(|error| StoreError::Refused(format!("the query: {error}")))?;
    let condition = Condition::of(&query);
    let text = format!(
        "SELECT EXISTS (SELECT 1 FROM {JOIN} WHERE d.group_id = ? AND (({}) IS TRUE) = ?)",
        condition.sql
    );
    let group = std::iter::once(Value::from(group.to_owned()));
    let parameters = group.chain(condition.parameters).chain([matching.into()]);
    Ok(sql
        .prepare(&text)?
        .query_row(params_from_iter(parameters), |row| row.get(0))?)
}

/// Refuses queries whose answer for one crash changes with time: a crash would not stay where the
/// split put it.
fn refuse_passing(text: &str) -> Result<(), StoreError> {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let told = |error: crate::QueryError| StoreError::Refused(format!("the query: {error}"));
    let [now, later] = [0, DAY_MS].map(|more| Query::parse_at(text, now_ms().saturating_add(more)));
    let (now, later) = (now.map_err(told)?, later.map_err(told)?);
    if now == Query::default() {
        return Err(StoreError::Refused("the query is empty".to_owned()));
    }
    if now != later || now.is_passing() {
        return Err(StoreError::Refused(
            "a split cannot ask for what changes after the crash: times back from now, group, status, kept, pinned".to_owned(),
        ));
    }
    Ok(())
}
