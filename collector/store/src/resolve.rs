//! Finds what a typed beginning of an id names.

use crate::lifecycle;
use crate::store::{ResolveError, Store, StoreError};
use aground_helper::id::DumpId;
use rusqlite::params;
use std::collections::BTreeSet;

/// Ids shown when a beginning is ambiguous.
const SHOWN: i64 = 5;

impl Store {
    /// The dump a prefix of an id (or a whole id) names. At least 1 character.
    pub fn resolve_dump(&self, reference: &str) -> Result<DumpId, ResolveError> {
        let found = self.resolve(
            "dump",
            "SELECT id FROM dumps WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
            reference,
        )?;
        found.parse().map_err(|_| not_found("dump", reference))
    }

    /// The group a prefix names. The id of a group that was merged into another,
    /// or whose crashes were all signed anew, means that one.
    pub fn resolve_group(&self, reference: &str) -> Result<String, ResolveError> {
        let (prefix, end) = range("group", reference)?;
        let found = self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT id FROM groups WHERE id >= ?1 AND id < ?2
                 UNION SELECT group_id FROM group_lives WHERE group_id >= ?1 AND group_id < ?2
                   AND group_id NOT IN (SELECT old_id FROM group_forwards)
                 UNION SELECT new_id FROM group_forwards WHERE old_id >= ?1 AND old_id < ?2
                 ORDER BY 1 LIMIT ?3",
            )?;
            let rows =
                statement.query_map(params![prefix, end, SHOWN], |row| row.get::<_, String>(0))?;
            let ids = rows.collect::<Result<Vec<_>, _>>()?;
            ids.iter()
                .map(|id| lifecycle::live(sql, id))
                .collect::<Result<BTreeSet<_>, StoreError>>()
        })?;
        only("group", reference, found.into_iter().collect())
    }

    fn resolve(
        &self,
        what: &'static str,
        sql_text: &str,
        reference: &str,
    ) -> Result<String, ResolveError> {
        let (prefix, end) = range(what, reference)?;
        let found = self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(sql_text)?;
            let rows =
                statement.query_map(params![prefix, end, SHOWN], |row| row.get::<_, String>(0))?;
            Ok::<_, StoreError>(rows.collect::<Result<Vec<_>, _>>()?)
        })?;
        only(what, reference, found)
    }
}

/// The ids that start with what was typed lie between these two.
fn range(what: &'static str, reference: &str) -> Result<(String, String), ResolveError> {
    let prefix = reference.to_ascii_lowercase();
    let hexadecimal = prefix.bytes().all(|b| b.is_ascii_hexdigit());
    if prefix.is_empty() || prefix.len() > DumpId::LENGTH || !hexadecimal {
        return Err(not_found(what, reference));
    }
    // `g` comes after every hexadecimal digit.
    let end = format!("{prefix}g");
    Ok((prefix, end))
}

fn only(
    what: &'static str,
    reference: &str,
    mut found: Vec<String>,
) -> Result<String, ResolveError> {
    match found.len() {
        0 => Err(not_found(what, reference)),
        1 => Ok(found.remove(0)),
        _ => Err(ResolveError::Ambiguous {
            reference: reference.to_owned(),
            candidates: found,
        }),
    }
}

fn not_found(what: &'static str, reference: &str) -> ResolveError {
    let reference = aground_helper::text::escape_bytes(reference.as_bytes(), 80);
    ResolveError::NotFound { what, reference }
}
