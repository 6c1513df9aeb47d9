//! Records changes, computes what they come to, and keeps the journal in step.

use super::change::{Actor, Change, Entry, Evidence, ImageMark, Split, Until};
use super::entries::{entries_after, group_of, history, identity, insert, life};
use super::life::{Life, State};
use super::project::project;
use super::split::split_off;
use super::{Journal, images, route};
use crate::database::lock;
use crate::files::chain;
use crate::store::{Store, StoreError, now_ms};
use aground_helper::id::DumpId;
use rusqlite::{OptionalExtension, Transaction};
use std::collections::BTreeSet;

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Changed {
    /// As it was recorded; `None` when it was so already.
    pub entry: Option<Entry>,
    /// The group after it.
    pub life: Life,
}

impl Store {
    /// Decides something about a group. What is so already is not recorded again.
    pub fn change_group(
        &self,
        by: &Actor,
        group: &str,
        change: Change,
    ) -> Result<Changed, StoreError> {
        let change = change.checked()?;
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entry = decide(sql, by, &group, change)?;
            let shown = match entry.as_ref().map(|entry| &entry.change) {
                Some(Change::Merge { into }) => into.clone(),
                _ => group,
            };
            Ok(Changed {
                entry,
                life: life(sql, &shown)?,
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// Makes some of a group's crashes, and those to come that are like them, a group of their
    /// own, whose id is [`Changed::life`]'s.
    pub fn split_group(
        &self,
        by: &Actor,
        group: &str,
        split: Split,
    ) -> Result<Changed, StoreError> {
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entry = split_off(sql, by, &group, split)?;
            let into = match &entry.change {
                Change::Split { into, .. } => into.clone(),
                _ => group,
            };
            Ok(Changed {
                life: life(sql, &into)?,
                entry: Some(entry),
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// Takes a change of a group back, by default the last that is in force and that somebody
    /// made. Taking back what was taken back already changes nothing.
    pub fn undo_group_change(
        &self,
        by: &Actor,
        group: &str,
        change: Option<i64>,
    ) -> Result<Changed, StoreError> {
        let changed = self.inner.database.write(|sql| {
            let group = route::live(sql, group)?;
            let entries = history(sql, &group)?;
            let target = match change {
                Some(sequence) => entries.iter().find(|entry| entry.sequence == sequence),
                None => entries.iter().rev().find(|entry| {
                    !entry.undone && !matches!(entry.change, Change::Undo { .. } | Change::Known(_))
                }),
            };
            let target = target.ok_or(StoreError::NotFound("change of this group"))?;
            if matches!(target.change, Change::Known(_)) {
                return Err(StoreError::NotFound("change of this group"));
            }
            let entry = if target.undone {
                None
            } else {
                let change = Change::Undo {
                    change: target.sequence,
                };
                Some(record(sql, by, &target.group, change)?)
            };
            Ok(Changed {
                entry,
                life: life(sql, &group)?,
            })
        })?;
        self.keep_journal();
        Ok(changed)
    }

    /// What was decided about a group (a full id), and what holds of it.
    pub fn life(&self, group: &str) -> Result<Life, StoreError> {
        let database = &self.inner.database;
        let mut found = database.read(|sql| life(sql, &route::live(sql, group)?))?;
        if !self.sight().scope.is_everything() {
            // Crashes out of scope are no evidence: they do not exist.
            for theory in &mut found.theories {
                let all = std::mem::take(&mut theory.evidence);
                for exhibit in all {
                    let there = match &exhibit.evidence {
                        Evidence::Dump(dump) => self.contains(dump)?,
                        Evidence::Note(_) | Evidence::Link(_) => true,
                    };
                    theory.evidence.extend(there.then_some(exhibit));
                }
            }
        }
        Ok(found)
    }

    /// Every change of a group and of those merged into it, oldest first.
    pub fn group_history(&self, group: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self
            .inner
            .database
            .read(|sql| history(sql, &route::live(sql, group)?))?;
        entries.retain(|entry| !matches!(entry.change, Change::Known(_)));
        Ok(entries)
    }

    /// What somebody means by an image: see [`ImageMark`]. A reference, with or without a digest, or
    /// the beginning of a digest that a crash has shown.
    pub fn meant_image(&self, typed: &str) -> Result<ImageMark, StoreError> {
        self.inner.database.read(|sql| images::meant(sql, typed))
    }

    /// The head of a dump's own signature, by which a split can name it.
    pub fn signature_of(&self, dump: &DumpId) -> Result<String, StoreError> {
        self.inner.database.read(|sql| {
            let found: Option<Option<String>> = sql
                .prepare_cached("SELECT signature FROM dumps WHERE id = ?1")?
                .query_row([dump.as_str()], |row| row.get(0))
                .optional()?;
            let signature = found.ok_or(StoreError::NotFound("dump"))?;
            signature.ok_or_else(|| {
                StoreError::Refused("this dump has no signature: it is not analysed yet".to_owned())
            })
        })
    }

    /// Brings journal and database in step: called when the store opens, before anything else.
    pub(crate) fn open_journal(&self, kept: &[Entry]) -> Result<(), StoreError> {
        let restored = self.inner.database.write(|sql| {
            let known: i64 = sql.query_row(
                "SELECT coalesce(max(sequence), 0) FROM group_changes",
                [],
                |row| row.get(0),
            )?;
            let mut touched = BTreeSet::new();
            let missing = kept.iter().filter(|entry| entry.sequence > known);
            let mut restored = 0_u64;
            for entry in missing {
                insert(sql, entry)?;
                touched.insert(entry.group.clone());
                restored += 1;
            }
            for group in touched {
                project(sql, &group)?;
            }
            Ok(restored)
        })?;
        if restored > 0 {
            tracing::warn!(
                restored,
                "the database had lost changes of groups; they are back from the journal"
            );
        }
        self.keep_journal();
        Ok(())
    }

    /// Writes to the journal what is only in the database. A failure is told in the log: the next
    /// change, or the next start, writes it after all.
    pub(crate) fn keep_journal(&self) {
        // A scope hides changes, and the journal is of all of them.
        if !self.sight().scope.is_everything() {
            return;
        }
        let mut journal = lock(&self.inner.journal);
        let result = self
            .inner
            .database
            .read(|sql| entries_after(sql, journal.last()))
            .and_then(|entries| append(&mut journal, &entries));
        if let Err(error) = result {
            tracing::error!(
                error = chain(&error),
                "cannot write changes of groups to the journal yet"
            );
        }
    }
}

fn append(journal: &mut Journal, entries: &[Entry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    journal.append(entries)
}

/// Records a change unless it is so already.
pub(super) fn decide(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    mut change: Change,
) -> Result<Option<Entry>, StoreError> {
    let now = life(sql, group)?;
    match &mut change {
        Change::Resolve { image: Some(image) } if image.build.is_none() => {
            *image = images::meant(sql, &image.reference)?;
        }
        Change::Merge { into } => {
            *into = route::live(sql, into)?;
            if *into == group {
                return Ok(None);
            }
            meet(sql, by, into)?;
        }
        Change::Distinct { from } => {
            *from = route::live(sql, from)?;
            if *from == group {
                return Err(StoreError::Refused(
                    "a group is no other bug than itself".to_owned(),
                ));
            }
            identity(sql, from)?.ok_or(StoreError::NotFound("group"))?;
        }
        Change::Evidence { theory, .. } | Change::Verdict { theory, .. }
            if !now.theories.iter().any(|known| known.id == *theory) =>
        {
            return Err(StoreError::NotFound("theory of this group"));
        }
        Change::Known(_) | Change::Undo { .. } | Change::Split { .. } => {
            return Err(StoreError::Refused("this is not to be decided".to_owned()));
        }
        _ => {}
    }
    if is_so(&now, &change) {
        return Ok(None);
    }
    meet(sql, by, group)?;
    // What belongs to a theory is recorded with the group that holds the theory.
    let holder = match &change {
        Change::Evidence { theory, .. } | Change::Verdict { theory, .. } => group_of(sql, *theory)?,
        _ => None,
    };
    record(sql, by, holder.as_deref().unwrap_or(group), change).map(Some)
}

/// Whether the change would change nothing.
fn is_so(now: &Life, change: &Change) -> bool {
    match change {
        Change::Resolve { image } => now.state == State::Resolved && now.resolved_in == *image,
        Change::Reopen { .. } => now.state == State::Open,
        // To ignore it until 10 more once again counts from now.
        Change::Ignore { until } => {
            !matches!(until, Until::Crashes(_)) && now.ignored == Some(*until)
        }
        Change::Tag { tag } => now.tags.contains(tag),
        Change::Untag { tag } => !now.tags.contains(tag),
        Change::Ticket { ticket } => now.tickets.contains(ticket),
        Change::Unticket { ticket } => !now.tickets.contains(ticket),
        Change::Owner { owner } => now.owner == *owner,
        Change::Distinct { from } => now.distinct.contains(from),
        // A request that was sent twice.
        Change::Note { text } => now.notes.last().is_some_and(|last| last.text == *text),
        Change::Theory { text } => now.theories.iter().any(|known| known.text == *text),
        Change::Evidence { theory, evidence } => now
            .theories
            .iter()
            .filter(|known| known.id == *theory)
            .any(|known| known.evidence.iter().any(|one| one.evidence == *evidence)),
        Change::Verdict {
            theory,
            verdict,
            why,
        } => now
            .theories
            .iter()
            .any(|known| known.id == *theory && known.verdict == *verdict && known.why == *why),
        _ => false,
    }
}

/// Records a change and computes what follows from it.
pub(super) fn record(
    sql: &Transaction<'_>,
    by: &Actor,
    group: &str,
    change: Change,
) -> Result<Entry, StoreError> {
    let sequence: i64 = sql.query_row(
        "SELECT coalesce(max(sequence), 0) + 1 FROM group_changes",
        [],
        |row| row.get(0),
    )?;
    let entry = Entry {
        sequence,
        at_ms: now_ms(),
        by: by.clone(),
        group: group.to_owned(),
        change,
        undone: false,
    };
    insert(sql, &entry)?;
    project(sql, group)?;
    Ok(entry)
}

/// Remembers what a group is, before the first thing is decided about it.
pub(super) fn meet(sql: &Transaction<'_>, by: &Actor, group: &str) -> Result<(), StoreError> {
    let known: bool = sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM group_lives WHERE group_id = ?1)")?
        .query_row([group], |row| row.get(0))?;
    if known {
        return Ok(());
    }
    let identity = identity(sql, group)?.ok_or(StoreError::NotFound("group"))?;
    record(sql, by, group, Change::Known(identity)).map(drop)
}
