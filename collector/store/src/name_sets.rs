//! Keeps the names that a report gives to a crash: functions and files of the stack, modules and
//! their build IDs, and the words that are searched for.
//!
//! Thousands of crashes have the same stack: each set of names is stored once, by its digest.

use crate::assign::line;
use crate::store::StoreError;
use aground_analyzer::report::{Frame, Report};
use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The most names of one kind in a set: a recursion has millions of frames.
const MOST_NAMES: usize = 256;

/// The kinds of names, as the column `names.kind` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Function,
    File,
    Module,
    BuildId,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::File => "file",
            Kind::Module => "module",
            Kind::BuildId => "build_id",
        }
    }
}

type Names = BTreeSet<(Kind, String)>;

/// Puts what a report says in the place of what an earlier one said.
pub(crate) fn replace(sql: &Transaction<'_>, dump: i64, report: &Report) -> Result<(), StoreError> {
    let stack = stack(report);
    let modules = modules(report);
    let before: (Option<i64>, Option<i64>) = sql
        .prepare_cached("SELECT stack, modules FROM dumps WHERE key = ?1")?
        .query_row([dump], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let thread = report.threads.iter().find(|thread| thread.crashed);
    sql.prepare_cached(
        "UPDATE dumps SET stack = ?2, modules = ?3, message = ?4, thread = ?5 WHERE key = ?1",
    )?
    .execute(params![
        dump,
        intern(sql, &stack)?,
        intern(sql, &modules)?,
        report.cause.message.as_deref().map(line),
        thread.and_then(|thread| thread.name.as_deref()).map(line),
    ])?;
    for set in [before.0, before.1].into_iter().flatten() {
        forget_unused(sql, set)?;
    }
    let of = |kind: Kind| {
        let names = stack.iter().filter(|(found, _)| *found == kind);
        names
            .map(|(_, name)| name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    sql.prepare_cached(
        "INSERT OR REPLACE INTO report_words (rowid, title, message, functions, files) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        dump,
        format!("{} {}", line(&report.cause.title), line(&report.signature.title)),
        report.cause.message.as_deref().map(line),
        of(Kind::Function),
        of(Kind::File),
    ])?;
    Ok(())
}

/// Removes a set that no dump has any more.
pub(crate) fn forget_unused(sql: &Transaction<'_>, set: i64) -> Result<(), StoreError> {
    sql.prepare_cached(
        "DELETE FROM name_sets WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM dumps WHERE stack = ?1)
             AND NOT EXISTS (SELECT 1 FROM dumps WHERE modules = ?1)",
    )?
    .execute([set])?;
    Ok(())
}

/// Functions and files of the crashed thread, as the machine and as its language sees it.
fn stack(report: &Report) -> Names {
    let threads = report
        .threads
        .iter()
        .chain(report.runtimes.iter().flat_map(|runtime| &runtime.threads));
    let frames: Vec<&Frame> = threads
        .filter(|thread| thread.crashed)
        .flat_map(|thread| &thread.frames)
        .collect();
    let functions = frames.iter().filter_map(|frame| frame.function.as_deref());
    let files = frames.iter().filter_map(|frame| frame.file.as_deref());
    let functions = some(Kind::Function, functions);
    functions
        .into_iter()
        .chain(some(Kind::File, files))
        .collect()
}

fn modules(report: &Report) -> Names {
    let paths = report.modules.iter().map(|module| module.path.as_str());
    let builds = report
        .modules
        .iter()
        .filter_map(|module| module.build_id.as_deref());
    let paths = some(Kind::Module, paths);
    paths
        .into_iter()
        .chain(some(Kind::BuildId, builds))
        .collect()
}

fn some<'a>(kind: Kind, names: impl Iterator<Item = &'a str>) -> Names {
    let mut found = BTreeSet::new();
    for name in names.filter(|name| !name.is_empty()) {
        if found.len() >= MOST_NAMES {
            break;
        }
        found.insert((kind, line(name)));
    }
    found
}

/// The row of a set, made when it is new; none for the empty one.
fn intern(sql: &Transaction<'_>, names: &Names) -> Result<Option<i64>, StoreError> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    for (kind, name) in names {
        // No name has a NUL: `line` shows it as its symbol.
        hasher.update(kind.as_str());
        hasher.update([0]);
        hasher.update(name);
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    let digest = digest.get(..16).unwrap_or(&digest);
    let found = sql
        .prepare_cached("SELECT key FROM name_sets WHERE digest = ?1")?
        .query_row([digest], |row| row.get(0))
        .optional()?;
    if found.is_some() {
        return Ok(found);
    }
    let set = sql
        .prepare_cached("INSERT INTO name_sets (digest) VALUES (?1)")?
        .insert([digest])?;
    let mut name_row = sql.prepare_cached(
        "INSERT INTO names (kind, name, short) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    let mut link = sql.prepare_cached(
        "INSERT INTO set_names (name_set, name) SELECT ?1, key FROM names WHERE kind = ?2 AND name = ?3",
    )?;
    for (kind, name) in names {
        let short = match kind {
            Kind::Function => Some(short_function(name)),
            Kind::File | Kind::Module => name.rsplit('/').next(),
            Kind::BuildId => None,
        };
        name_row.execute(params![kind.as_str(), name, short])?;
        link.execute(params![set, kind.as_str(), name])?;
    }
    Ok(Some(set))
}

/// A function's name without scope and arguments: `parse` of `ns::Type<T>::parse(int)`, `crash`
/// of Go's `main.(*T).crash`.
fn short_function(name: &str) -> &str {
    let (mut depth, mut start, mut end) = (0_usize, 0, name.len());
    let mut before = ' ';
    for (at, character) in name.char_indices() {
        match character {
            '(' if depth == 0 && (before.is_alphanumeric() || matches!(before, '_' | '>')) => {
                end = at;
                break;
            }
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ':' | '.' if depth == 0 && at + 1 < name.len() => start = at + 1,
            _ => {}
        }
        before = character;
    }
    name.get(start..end)
        .filter(|short| !short.is_empty())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_what_people_type() {
        for (name, expected) in [
            ("main", "main"),
            ("ns::parse_header(char const*)", "parse_header"),
            ("main.(*T).crash", "crash"),
            ("a::B<c::D>::run<int>(std::vector<int>)", "run<int>"),
            ("(anonymous namespace)::helper(int)", "helper"),
            ("<alloc::vec::Vec<T> as core::ops::Drop>::drop", "drop"),
            ("operator()", "operator"),
            ("", ""),
            ("::", ":"),
            ("ü::é(", "é"),
        ] {
            assert_eq!(short_function(name), expected, "{name}");
        }
    }
}
