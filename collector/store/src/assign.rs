//! Keeps a report and assigns its dump to the group its signature names.

use crate::database::column_text;
use crate::events::{self, Kind};
use crate::facets;
use crate::files::{self, FAILURE, failed};
use crate::groups;
use crate::jobs;
use crate::lifecycle::{self, Settled};
use crate::modules::is_sha256;
use crate::name_sets;
use crate::notices;
use crate::properties;
use crate::similar;
use crate::store::{Store, StoreError};
use crate::types::DumpStatus;
use crate::wanted;
use aground_analyzer::report::{Report, Signature};
use aground_helper::id::DumpId;
use aground_helper::layout;
use aground_helper::text::escape_bytes;
use rusqlite::{OptionalExtension, Transaction, named_params, params};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// The most bytes of a title or location in a row; the report has the whole.
const LONGEST_LINE: usize = 1024;

/// Where a dump went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The group's id.
    pub group: String,
    /// Whether this dump is its first.
    pub new_group: bool,
    /// How it is known that a resolved group came back with this dump; `None`: it did not.
    pub regressed: Option<String>,
}

/// What the row says of the latest analysis.
pub(crate) struct Outcome<'a> {
    pub(crate) status: DumpStatus,
    pub(crate) error: Option<&'a str>,
    /// Whether the crash is news: false when rows are made again from files.
    pub(crate) fresh: bool,
}

impl<'a> Outcome<'a> {
    pub(crate) fn analyzed() -> Self {
        Self {
            status: DumpStatus::Analyzed,
            error: None,
            fresh: true,
        }
    }

    pub(crate) fn failed(error: &'a str) -> Self {
        Self {
            status: DumpStatus::Failed,
            error: Some(error),
            fresh: true,
        }
    }
}

impl Store {
    /// Keeps a report and assigns the dump to its group (used by the daemon).
    pub fn save_report(&self, id: &DumpId, report: &Report) -> Result<(), StoreError> {
        self.assign(id, report, None).map(drop)
    }

    /// Keeps several reports of analyses that did not fail, with the syncs and the transaction of
    /// one. Each has a result of its own, in order.
    pub fn assign_all(&self, reports: &[(DumpId, Report)]) -> Vec<Result<Assignment, StoreError>> {
        match self.keep_all(reports) {
            Ok(assignments) => assignments.into_iter().map(Ok).collect(),
            Err(error) if reports.len() == 1 => vec![Err(error)],
            // What was done may be done again: whose fault it was shows one by one.
            Err(_) => reports
                .iter()
                .map(|(id, report)| self.assign(id, report, None))
                .collect(),
        }
    }

    fn keep_all(&self, reports: &[(DumpId, Report)]) -> Result<Vec<Assignment>, StoreError> {
        let mut written = vec![];
        for (id, report) in reports {
            written.push(next_report(&self.directory_for(id, report)?, report)?);
        }
        files::write_all_whole(&written)?;
        let mut rows = vec![];
        for (id, report) in reports {
            files::remove_file(&self.inner.files.dump(id).join(FAILURE))?;
            rows.push((id, report, Outcome::analyzed()));
        }
        self.assign_rows(&rows)
    }

    /// Where a report goes, when it is one and its dump is here.
    fn directory_for(&self, id: &DumpId, report: &Report) -> Result<PathBuf, StoreError> {
        group_id(&report.signature)?;
        let directory = self.inner.files.dump(id);
        if directory.is_dir() {
            Ok(directory)
        } else {
            Err(StoreError::NotFound("dump"))
        }
    }

    /// Keeps a report and assigns the dump to its group. With a `failure` the report holds only
    /// what the record knew, or what was found until then; an earlier one that says more is not
    /// given up for it.
    pub fn assign(
        &self,
        id: &DumpId,
        report: &Report,
        failure: Option<&str>,
    ) -> Result<Assignment, StoreError> {
        let directory = self.directory_for(id, report)?;
        let Some(error) = failure else {
            write_report(&directory, report)?;
            files::remove_file(&directory.join(FAILURE))?;
            return self.assign_row(id, report, Outcome::analyzed());
        };
        if let Some(earlier) = whole_report(&directory) {
            let outcome = Outcome {
                error: Some(error),
                ..Outcome::analyzed()
            };
            return self.assign_row(id, &earlier, outcome);
        }
        files::write_whole(&directory.join(FAILURE), error.as_bytes())?;
        if report.threads.is_empty()
            && let Some(earlier) =
                any_report(&directory).filter(|earlier| earlier.partial.is_some())
        {
            return self.assign_row(id, &earlier, Outcome::failed(error));
        }
        write_report(&directory, report)?;
        self.assign_row(id, report, Outcome::failed(error))
    }

    /// The part of it that is in the database.
    pub(crate) fn assign_row(
        &self,
        id: &DumpId,
        report: &Report,
        outcome: Outcome<'_>,
    ) -> Result<Assignment, StoreError> {
        let mut one = self.assign_rows(&[(id, report, outcome)])?;
        one.pop().ok_or(StoreError::NotFound("dump"))
    }

    fn assign_rows(
        &self,
        rows: &[(&DumpId, &Report, Outcome<'_>)],
    ) -> Result<Vec<Assignment>, StoreError> {
        let stored = rows
            .iter()
            .map(|(id, ..)| files::bytes_in(&self.inner.files.dump(id)));
        let stored: Vec<u64> = stored.collect();
        let mut changed = false;
        let assignments = self.inner.database.write(|sql| {
            let mut assignments = vec![];
            for ((id, report, outcome), stored) in rows.iter().zip(&stored) {
                let (assignment, settled) = assign_in(sql, id, report, outcome, *stored)?;
                changed |= settled.changed;
                assignments.push(assignment);
            }
            Ok(assignments)
        })?;
        if changed {
            self.keep_journal();
        }
        Ok(assignments)
    }
}

fn assign_in(
    sql: &Transaction<'_>,
    id: &DumpId,
    report: &Report,
    outcome: &Outcome<'_>,
    stored: u64,
) -> Result<(Assignment, Settled), StoreError> {
    let signature = group_id(&report.signature)?;
    let (key, crashed_at_ms, before) = position(sql, id)?;
    let home = similar::home(sql, key, &signature, &report.signature)?;
    // What it counts for may be another now.
    if let Some(before) = &before {
        facets::count_out(sql, before, key)?;
    }
    update_dump(sql, key, report, &home, outcome)?;
    sql.prepare_cached("UPDATE dumps SET stored_bytes = ?2 WHERE key = ?1")?
        .execute(params![key, crate::database::to_sql(stored)])?;
    name_sets::replace(sql, key, report)?;
    wanted::replace(sql, key, report)?;
    // A split may ask for anything of the row.
    let group = lifecycle::route(sql, key, &home)?;
    let new_group = if group == home {
        groups::ensure(sql, &group, &report.signature, crashed_at_ms)?
    } else {
        groups::ensure_known(sql, &group)?;
        false
    };
    let mut settled = Settled::default();
    if before.as_deref() != Some(&group) {
        sql.prepare_cached("UPDATE dumps SET group_id = ?2 WHERE key = ?1")?
            .execute(params![key, group])?;
        groups::join(sql, &group, crashed_at_ms)?;
        if let Some(before) = before {
            groups::leave(sql, &before, 1)?;
            similar::forward(sql, &before, &group)?;
        }
        if outcome.fresh {
            settled = lifecycle::came(sql, &group, key)?;
        }
    }
    facets::count_in(sql, &group, key, crashed_at_ms)?;
    jobs::end(sql, id)?;
    if !outcome.fresh {
        properties::are_missing(sql, key)?;
    }
    if outcome.fresh {
        events::push(sql, Kind::Report, id, Some(&group), new_group)?;
    }
    let assignment = Assignment {
        group,
        new_group,
        regressed: settled.regressed.clone(),
    };
    if outcome.fresh {
        notices::of_assignment(sql, id, &assignment)?;
    }
    Ok((assignment, settled))
}

/// Writes a report as the next revision.
fn write_report(directory: &Path, report: &Report) -> Result<(), StoreError> {
    files::write_all_whole(&[next_report(directory, report)?])
}

/// Where a report goes, and its JSON as the next revision.
fn next_report(directory: &Path, report: &Report) -> Result<(PathBuf, Vec<u8>), StoreError> {
    let path = directory.join(layout::REPORT);
    let earlier = files::read_json::<Revision>(&path).ok().flatten();
    let revision = earlier.map_or(0, |earlier| earlier.revision);
    let report = Report {
        revision: revision.saturating_add(1),
        ..report.clone()
    };
    let json = to_json(&report, &path)?;
    Ok((path, json))
}

/// Writes a report as it is: nothing was analysed.
pub(crate) fn write_unchanged(directory: &Path, report: &Report) -> Result<(), StoreError> {
    let path = directory.join(layout::REPORT);
    files::write_whole(&path, &to_json(report, &path)?)
}

fn to_json(report: &Report, path: &Path) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(report)
        .map_err(io::Error::from)
        .map_err(failed("cannot write", path))
}

/// What is read of the report that is replaced.
#[derive(Deserialize)]
struct Revision {
    #[serde(default)]
    revision: u32,
}

/// The report of an earlier analysis that did not fail.
pub(crate) fn whole_report(directory: &Path) -> Option<Report> {
    if directory.join(FAILURE).exists() {
        return None;
    }
    any_report(directory)
}

pub(crate) fn any_report(directory: &Path) -> Option<Report> {
    files::read_json(&directory.join(layout::REPORT))
        .ok()
        .flatten()
}

/// The head of the signature's hash. The hash comes from a worker that read hostile bytes.
pub(crate) fn group_id(signature: &Signature) -> Result<String, StoreError> {
    let head = signature
        .hash
        .get(..16)
        .filter(|_| is_sha256(&signature.hash));
    head.map(str::to_owned).ok_or(StoreError::BadSignature)
}

/// Key, time and present group of a dump.
pub(crate) fn position(
    sql: &Transaction<'_>,
    id: &DumpId,
) -> Result<(i64, i64, Option<String>), StoreError> {
    let found = sql
        .prepare_cached("SELECT key, crashed_at_ms, group_id FROM dumps WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    found.ok_or(StoreError::NotFound("dump"))
}

fn update_dump(
    sql: &Transaction<'_>,
    key: i64,
    report: &Report,
    home: &str,
    outcome: &Outcome<'_>,
) -> Result<(), StoreError> {
    let location = report.signature.frames.iter().find(|frame| frame.kept);
    sql.prepare_cached(
        "UPDATE dumps SET status = :status, signature = :signature, home = :home, title = :title, cause = :cause, location = :location,
             truncated = truncated OR :truncated, analysis_error = :error WHERE key = :key",
    )?
    .execute(named_params! {
        ":key": key,
        ":status": outcome.status.as_str(),
        ":signature": group_id(&report.signature)?,
        ":home": home,
        ":title": line(&report.cause.title),
        ":cause": line(&report.cause.kind),
        ":location": location.map(|frame| line(&frame.function)),
        ":truncated": report.core.truncated,
        ":error": outcome.error.map(line),
    })?;
    Ok(())
}

/// One line of bounded length.
pub(crate) fn line(text: &str) -> String {
    column_text(&escape_bytes(text.as_bytes(), LONGEST_LINE))
}
