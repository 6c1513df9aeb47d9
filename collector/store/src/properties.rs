//! Properties of dumps that scripts found out, and single dumps asked of a query.

use crate::database::column_text;
use crate::dumps::{JOIN, id_column, key_of};
use crate::query::Query;
use crate::query::sql::Condition;
use crate::store::{Store, StoreError};
use aground_helper::id::DumpId;
use rusqlite::types::Value;
use rusqlite::{Transaction, params, params_from_iter};
use serde::{Deserialize, Serialize};

/// Something a script found out about a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// What is told: letters, digits, `-`, `_`, `.`.
    pub key: String,
    /// What it is.
    pub value: String,
    /// Which script says so.
    pub script: String,
}

impl Store {
    /// The properties of a dump, by key.
    pub fn properties(&self, dump: &DumpId) -> Result<Vec<Property>, StoreError> {
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT p.key, p.value, p.script FROM dump_properties p
                     JOIN dumps d ON d.key = p.dump WHERE d.id = ?1 ORDER BY p.key",
            )?;
            let rows = statement.query_map([dump.as_str()], |row| {
                Ok(Property {
                    key: row.get(0)?,
                    value: row.get(1)?,
                    script: row.get(2)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Makes these the properties of a dump. Of two scripts that say the same key the first counts.
    pub fn replace_properties(
        &self,
        dump: &DumpId,
        properties: &[Property],
    ) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            let key = key_of(sql, dump)?.ok_or(StoreError::NotFound("dump"))?;
            sql.prepare_cached("DELETE FROM dump_properties WHERE dump = ?1")?
                .execute([key])?;
            let mut insert = sql.prepare_cached(
                "INSERT INTO dump_properties (dump, key, value, script) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?;
            for property in properties {
                insert.execute(params![
                    key,
                    property.key,
                    column_text(&property.value),
                    property.script
                ])?;
            }
            Ok(())
        })
    }

    /// Some of the dumps whose properties are not known since their rows were made again, newest
    /// first, with their groups.
    pub fn unscripted(&self, most: u32) -> Result<Vec<(DumpId, String)>, StoreError> {
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT d.id, d.group_id FROM unscripted u JOIN dumps d ON d.key = u.dump
                     WHERE d.group_id IS NOT NULL ORDER BY u.dump DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([most], |row| Ok((id_column(row, 0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Notes that scripts and rules have gone over these dumps.
    pub fn note_scripted(&self, dumps: &[DumpId]) -> Result<(), StoreError> {
        self.inner.database.write(|sql| {
            let mut gone = sql.prepare_cached(
                "DELETE FROM unscripted WHERE dump = (SELECT key FROM dumps WHERE id = ?1)",
            )?;
            for dump in dumps {
                gone.execute([dump.as_str()])?;
            }
            Ok(())
        })
    }

    /// Whether a dump matches a query.
    pub fn dump_matches(&self, query: &Query, dump: &DumpId) -> Result<bool, StoreError> {
        self.may_ask(query)?;
        let condition = Condition::of(query);
        let text = format!(
            "SELECT EXISTS (SELECT 1 FROM {JOIN} WHERE d.id = ? AND {})",
            condition.sql
        );
        let id = Value::from(dump.as_str().to_owned());
        let parameters = std::iter::once(id).chain(condition.parameters);
        self.inner.database.read(|sql| {
            Ok(sql
                .prepare_cached(&text)?
                .query_row(params_from_iter(parameters), |row| row.get(0))?)
        })
    }
}

/// Notes that what scripts found out about a dump is not known any more.
pub(crate) fn are_missing(sql: &Transaction<'_>, dump: i64) -> Result<(), StoreError> {
    sql.prepare_cached("INSERT INTO unscripted (dump) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([dump])?;
    Ok(())
}
