//! Counts the values that crashes of a group have, so that no page counts over the crashes.
//!
//! [`facet_values`](self) holds each value once with its crashes in all groups, `group_facets` the
//! same within one group: what is common in a group and rare elsewhere is read from the two.

use crate::assign::line;
use crate::dumps::JOIN;
use crate::store::StoreError;
use rusqlite::{OptionalExtension, ToSql, Transaction, params};
use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};

/// What is counted and is one column of a dump or its container.
pub(crate) const COLUMNS: [(&str, &str); 13] = [
    ("image", "c.image"),
    (
        "container",
        "coalesce(c.name, substr(c.container_id, 1, 12))",
    ),
    ("host", "d.host"),
    ("executable", "d.executable"),
    ("unit", "d.unit"),
    ("signal", "d.signal"),
    ("cause", "d.cause"),
    ("kernel", "nullif(d.kernel, '')"),
    ("arch", "nullif(d.arch, '')"),
    ("cpu", "d.cpu"),
    ("runtime", "c.runtime"),
    ("namespace", "c.pod_namespace"),
    ("workload", "c.pod_owner"),
];
/// Words of one command line that are counted.
const MOST_ARGUMENTS: usize = 32;
/// Labels of one container that are counted.
const MOST_OF_MANY: usize = 1000;
/// The longest label or argument that is counted, bytes.
const LONGEST_VALUE: usize = 200;

/// Whether a label or argument is counted at all.
pub(crate) fn is_counted(value: &str) -> bool {
    value.len() <= LONGEST_VALUE
}

/// Counts a dump in its group.
pub(crate) fn count_in(
    sql: &Transaction<'_>,
    group: &str,
    dump: i64,
    at_ms: i64,
) -> Result<(), StoreError> {
    let mut all = sql.prepare_cached(
        "INSERT INTO facet_values (facet, value, crashes) VALUES (?1, ?2, 1)
         ON CONFLICT (facet, value) DO UPDATE SET crashes = crashes + 1 RETURNING key",
    )?;
    let mut own = sql.prepare_cached(
        "INSERT INTO group_facets (group_id, facet, value, crashes, first_seen_ms, last_seen_ms)
         VALUES (?1, ?2, ?3, 1, ?4, ?4)
         ON CONFLICT DO UPDATE SET crashes = crashes + 1,
             first_seen_ms = min(first_seen_ms, ?4), last_seen_ms = max(last_seen_ms, ?4)",
    )?;
    for (facet, value) in facets_of(sql, dump)? {
        let key: i64 = all.query_row([facet, value.as_str()], |row| row.get(0))?;
        own.execute(params![group, facet, key, at_ms])?;
    }
    Ok(())
}

/// Counts a dump out of its group. When its values were seen first and last stays as it was: they
/// were seen then, also when that dump is gone.
pub(crate) fn count_out(sql: &Transaction<'_>, group: &str, dump: i64) -> Result<(), StoreError> {
    for (facet, value) in facets_of(sql, dump)? {
        let key: Option<i64> = sql
            .prepare_cached(
                "UPDATE facet_values SET crashes = crashes - 1 WHERE facet = ?1 AND value = ?2 RETURNING key",
            )?
            .query_map([facet, value.as_str()], |row| row.get(0))?
            .next()
            .transpose()?;
        let Some(key) = key else { continue };
        sql.prepare_cached(
            "UPDATE group_facets SET crashes = crashes - 1 WHERE group_id = ?1 AND facet = ?2 AND value = ?3",
        )?
        .execute(params![group, facet, key])?;
        sql.prepare_cached(
            "DELETE FROM group_facets WHERE group_id = ?1 AND facet = ?2 AND value = ?3 AND crashes <= 0",
        )?
        .execute(params![group, facet, key])?;
        sql.prepare_cached("DELETE FROM facet_values WHERE key = ?1 AND crashes <= 0")?
            .execute([key])?;
    }
    Ok(())
}

/// Counts dumps of one group in another.
pub(crate) fn move_between(
    sql: &Transaction<'_>,
    from: &str,
    into: &str,
    dumps: impl Iterator<Item = i64>,
) -> Result<(), StoreError> {
    let mut key_of =
        sql.prepare_cached("SELECT key FROM facet_values WHERE facet = ?1 AND value = ?2")?;
    let mut less = sql.prepare_cached(
        "UPDATE group_facets SET crashes = crashes - ?4 WHERE group_id = ?1 AND facet = ?2 AND value = ?3",
    )?;
    let mut more = sql.prepare_cached(
        "INSERT INTO group_facets (group_id, facet, value, crashes, first_seen_ms, last_seen_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET crashes = crashes + ?4,
             first_seen_ms = min(first_seen_ms, ?5), last_seen_ms = max(last_seen_ms, ?6)",
    )?;
    for ((facet, value), (crashes, first, last)) in counted(sql, dumps)? {
        let key: Option<i64> = key_of
            .query_row(params![facet, value], |row| row.get(0))
            .optional()?;
        let Some(key) = key else { continue };
        less.execute(params![from, facet, key, crashes])?;
        more.execute(params![into, facet, key, crashes, first, last])?;
    }
    sql.prepare_cached("DELETE FROM group_facets WHERE group_id = ?1 AND crashes <= 0")?
        .execute([from])?;
    Ok(())
}

/// Notes when values were seen first and last in a group, after dumps went elsewhere. In one with
/// more than `most` dumps it stays as it was.
pub(crate) fn see_again(sql: &Transaction<'_>, group: &str, most: i64) -> Result<(), StoreError> {
    let dumps: Vec<i64> = sql
        .prepare_cached(
            "SELECT key FROM dumps WHERE group_id = ?1
                 AND (SELECT crashes FROM groups WHERE id = ?1) <= ?2",
        )?
        .query_map(params![group, most], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut update = sql.prepare_cached(
        "UPDATE group_facets SET first_seen_ms = ?4, last_seen_ms = ?5
         WHERE group_id = ?1 AND facet = ?2
             AND value = (SELECT key FROM facet_values WHERE facet = ?2 AND value = ?3)",
    )?;
    for ((facet, value), (_, first, last)) in counted(sql, dumps.into_iter())? {
        update.execute(params![group, facet, value, first, last])?;
    }
    Ok(())
}

/// Dumps that have a value, and when it was seen first and last.
type Counts = BTreeMap<(&'static str, String), (i64, i64, i64)>;

/// How often dumps have each value, and when it was seen first and last.
fn counted(sql: &Transaction<'_>, dumps: impl Iterator<Item = i64>) -> Result<Counts, StoreError> {
    let mut counts = Counts::new();
    for dump in dumps {
        read(sql, "d.key = ?1", &[&dump], |at_ms, facet, value| {
            let count = counts.entry((facet, value)).or_insert((0, at_ms, at_ms));
            *count = (count.0 + 1, count.1.min(at_ms), count.2.max(at_ms));
        })?;
    }
    Ok(counts)
}

/// What a dump counts for. From rows that do not change, so that it can be counted out again.
fn facets_of(sql: &Transaction<'_>, dump: i64) -> Result<Vec<(&'static str, String)>, StoreError> {
    let mut values = vec![];
    read(sql, "d.key = ?1", &[&dump], |_, facet, value| {
        values.push((facet, value));
    })?;
    Ok(values)
}

/// Hands out the values of dumps, each once per dump, with the dump's time.
fn read(
    sql: &Transaction<'_>,
    which: &str,
    parameters: &[&dyn ToSql],
    mut each: impl FnMut(i64, &'static str, String),
) -> Result<(), StoreError> {
    let columns = COLUMNS.map(|(_, column)| column).join(", ");
    let text = format!(
        "SELECT {columns}, d.container, d.command, d.crashed_at_ms FROM {JOIN} WHERE {which}"
    );
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query(parameters)?;
    let mut containers: HashMap<i64, BTreeSet<(&'static str, String)>> = HashMap::new();
    let after = COLUMNS.len();
    while let Some(row) = rows.next()? {
        let mut values = BTreeSet::new();
        for (index, (facet, _)) in COLUMNS.iter().enumerate() {
            let value: Option<String> = row.get(index)?;
            values.extend(value.map(|value| (*facet, line(&value))));
        }
        if let Some(container) = row.get(after)? {
            let own = match containers.entry(container) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(of_container(sql, container)?),
            };
            values.extend(own.iter().cloned());
        }
        values.extend(arguments(&row.get::<_, String>(after + 1)?));
        let at_ms = row.get(after + 2)?;
        for (facet, value) in values {
            each(at_ms, facet, value);
        }
    }
    Ok(())
}

fn of_container(
    sql: &Transaction<'_>,
    container: i64,
) -> Result<BTreeSet<(&'static str, String)>, StoreError> {
    let label =
        "SELECT label || '=' || value FROM container_labels WHERE container = ?1 ORDER BY label";
    let digest = "SELECT digest FROM container_digests WHERE container = ?1 ORDER BY digest";
    let mut values = BTreeSet::new();
    for (facet, text) in [("label", label), ("image_digest", digest)] {
        let mut statement = sql.prepare_cached(text)?;
        let found = statement.query_map([container], |row| row.get::<_, String>(0))?;
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let short = found.iter().map(|value| line(value));
        let short = short.filter(|value| is_counted(value)).take(MOST_OF_MANY);
        values.extend(short.map(|value| match facet {
            "label" => (facet, folded(&value)),
            _ => (facet, value),
        }));
    }
    Ok(values)
}

/// The words of a command line after the program.
fn arguments(command: &str) -> impl Iterator<Item = (&'static str, String)> {
    let words = command.split_whitespace().skip(1).map(line);
    let counted = words.filter(|word| is_counted(word)).take(MOST_ARGUMENTS);
    counted.map(|word| ("argument", folded(&word)))
}

/// The value without what is different each time: runs of eight or more digits or hexadecimal
/// digits (ids, hashes, times) become `…`.
pub(crate) fn folded(value: &str) -> String {
    let mut folded = String::with_capacity(value.len());
    let mut run = String::new();
    for character in value.chars().chain(['\0']) {
        if character.is_ascii_hexdigit() {
            run.push(character);
            continue;
        }
        let varies = run.len() >= 8 && run.bytes().any(|byte| byte.is_ascii_digit());
        folded.push_str(if varies { "…" } else { &run });
        run.clear();
        if character != '\0' {
            folded.push(character);
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_folded_and_settings_are_not() {
        for (value, expected) in [
            ("--workers=16", "--workers=16"),
            ("--port=65535", "--port=65535"),
            (
                "pod-uid=12345678-9abc-def0-1234-56789abcdef0",
                "pod-uid=…-9abc-def0-1234-…",
            ),
            ("--session=0123456789abcdef", "--session=…"),
            ("version=20261121", "version=…"),
            ("deadbeef", "deadbeef"),
            ("façade=1", "façade=1"),
            ("", ""),
        ] {
            assert_eq!(folded(value), expected, "{value}");
        }
    }
}
