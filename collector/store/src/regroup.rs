//! Signs crashes anew that other rules or an older version signed, from their reports.

use crate::assign::{self, line};
use crate::facets;
use crate::groups;
use crate::lifecycle;
use crate::similar;
use crate::store::{Store, StoreError};
use aground_analyzer::group::{Rules, SIGNATURE_VERSION};
use aground_analyzer::report::{Report, Signature};
use aground_helper::id::DumpId;
use rusqlite::params;

impl Store {
    /// How many dumps have a signature that was made otherwise.
    pub fn count_signed_otherwise(&self, rules: &Rules) -> Result<u64, StoreError> {
        let revision = similar::made_by(SIGNATURE_VERSION, rules.digest());
        self.inner.database.read(|sql| {
            let count =
                "SELECT coalesce(sum((SELECT count(*) FROM dumps WHERE signature = s.id)), 0)
                 FROM signatures s WHERE revision <> ?1";
            let count = sql.query_row(count, [revision], |row| row.get(0))?;
            Ok(crate::database::from_sql(count))
        })
    }

    /// Analysed dumps whose signature was made otherwise, in the order in which they were taken
    /// in, after the one with this key; each with its key.
    pub fn signed_otherwise(
        &self,
        rules: &Rules,
        after: i64,
        most: u32,
    ) -> Result<Vec<(i64, DumpId)>, StoreError> {
        let revision = similar::made_by(SIGNATURE_VERSION, rules.digest());
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT d.key, d.id FROM dumps d JOIN signatures s ON s.id = d.signature
                 WHERE d.key > ?2 AND s.revision <> ?1 ORDER BY d.key LIMIT ?3",
            )?;
            let rows = statement.query_map(params![revision, after, most], |row| {
                Ok((row.get(0)?, crate::dumps::id_column(row, 1)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The report of a dump, if it has one that can be read.
    pub fn report(&self, id: &DumpId) -> Option<Report> {
        if !self.sight().scope.is_everything() && !self.contains(id).unwrap_or(false) {
            return None;
        }
        let report = assign::any_report(&self.inner.files.dump(id))?;
        Some(self.shown_report(report))
    }

    /// Gives a dump another signature: in its report, then in its row, which may move to another
    /// group. Says whether it did.
    pub fn sign(&self, id: &DumpId, signature: &Signature) -> Result<bool, StoreError> {
        let named = assign::group_id(signature)?;
        let directory = self.inner.files.dump(id);
        if let Some(report) = assign::any_report(&directory)
            && report.signature != *signature
        {
            let signature = signature.clone();
            assign::write_unchanged(
                &directory,
                &Report {
                    signature,
                    ..report
                },
            )?;
        }
        self.inner.database.write(|sql| {
            let (key, crashed_at_ms, before) = assign::position(sql, id)?;
            let home = similar::home(sql, key, &named, signature)?;
            let location = signature.frames.iter().find(|frame| frame.kept);
            sql.prepare_cached(
                "UPDATE dumps SET signature = ?2, home = ?3, location = ?4 WHERE key = ?1",
            )?
            .execute(params![
                key,
                named,
                home,
                location.map(|frame| line(&frame.function))
            ])?;
            let group = lifecycle::route(sql, key, &home)?;
            if before.as_deref() == Some(&group) {
                return Ok(false);
            }
            if group == home {
                groups::ensure(sql, &group, signature, crashed_at_ms)?;
            } else {
                groups::ensure_known(sql, &group)?;
            }
            sql.prepare_cached("UPDATE dumps SET group_id = ?2 WHERE key = ?1")?
                .execute(params![key, group])?;
            groups::join(sql, &group, crashed_at_ms)?;
            facets::count_in(sql, &group, key, crashed_at_ms)?;
            if let Some(before) = before {
                facets::count_out(sql, &before, key)?;
                groups::leave(sql, &before, 1)?;
                similar::forward(sql, &before, &group)?;
            }
            Ok(true)
        })
    }

    /// Forgets signatures that were made otherwise and that no crash has any more.
    pub fn forget_signatures(&self, rules: &Rules) -> Result<(), StoreError> {
        let revision = similar::made_by(SIGNATURE_VERSION, rules.digest());
        self.inner.database.write(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT key FROM signatures s WHERE revision <> ?1
                 AND NOT EXISTS (SELECT 1 FROM dumps WHERE signature = s.id)",
            )?;
            let unused: Vec<i64> = statement
                .query_map([&revision], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            unused
                .into_iter()
                .try_for_each(|key| similar::forget(sql, key))
        })
    }
}
