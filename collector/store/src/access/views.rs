//! Makes a connection see the crashes of a scope and no others.
//!
//! `SQLite` looks for a table's name among temporary ones first. On a connection for a scope, each
//! table that tells of crashes is therefore covered by a temporary view of the same name with the
//! rows in scope: every statement of the store, those yet to be written too, asks the view. Kept
//! counts (of groups, values, hours, totals) are counted anew from what is in scope. A table that
//! this module does not know is an error ([`install`]), so that none is forgotten.

use super::Scope;
use crate::assign::line;
use crate::facets::{COLUMNS, folded, is_counted};
use crate::query::sql::Condition;
use crate::store::StoreError;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use std::collections::BTreeSet;

/// Tables of which rows are shown that belong to a crash in scope: name, and condition on a row
/// `x`, where `dumps d` are the crashes in scope.
const SOME: [(&str, &str); 17] = [
    ("dump_modules", "d.key = x.dump"),
    ("dump_properties", "d.key = x.dump"),
    ("wanted_symbols", "d.key = x.dump"),
    ("jobs", "d.key = x.dump"),
    ("events", "d.id = x.dump_id"),
    ("group_lives", "d.group_id = x.group_id"),
    ("group_changes", "d.group_id = x.group_id"),
    ("group_tags", "d.group_id = x.group_id"),
    ("group_tickets", "d.group_id = x.group_id"),
    ("group_notes", "d.group_id = x.group_id"),
    ("group_edges", "d.group_id = x.into_group"),
    ("group_forwards", "d.group_id = x.new_id"),
    ("signatures", "d.home = x.home AND d.signature = x.id"),
    (
        "proposals",
        "d.home = x.one AND EXISTS (SELECT 1 FROM dumps e WHERE e.home = x.other)",
    ),
    (
        "group_distinct",
        "d.group_id = x.group_id AND EXISTS (SELECT 1 FROM dumps e WHERE e.group_id = x.other)",
    ),
    ("images", "d.image = x.reference"),
    (
        "modules",
        "d.key IN (SELECT m.dump FROM main.dump_modules m WHERE m.module = x.key)",
    ),
];
/// Tables that are about the service and not about one crash: nothing of them is shown.
const NOTHING: [&str; 7] = [
    "symbol_requests",
    "notices",
    "deliveries",
    "conditions",
    "imports",
    "reroutes",
    "unscripted",
];
/// Counts, which are computed here.
const COUNTED: [&str; 6] = [
    "dumps",
    "groups",
    "group_facets",
    "facet_values",
    "crash_hours",
    "totals",
];
/// Tables that are reached through crashes only, or tell no more than how common a word is.
const REACHED: [&str; 9] = [
    "containers",
    "container_labels",
    "container_digests",
    "names",
    "name_sets",
    "set_names",
    "terms",
    "signature_frames",
    "home_frames",
];
/// Words of crashes, with tables of their own; they hold numbers of crashes and nothing else.
const WORDS: [&str; 2] = ["record_words", "report_words"];

/// Covers the tables of a connection. Nothing is changed in the database itself.
pub(crate) fn install(sql: &Connection, scope: &Scope) -> Result<(), StoreError> {
    let condition = Condition::of(&scope.query().map_err(StoreError::Query)?);
    functions(sql, condition.parameters)?;
    let mut numbers = 0..;
    let parts = condition.sql.split('?').collect::<Vec<_>>();
    let condition = parts.iter().skip(1).fold(
        parts.first().copied().unwrap_or_default().to_owned(),
        |text, part| format!("{text}scope_value({}){part}", numbers.next().unwrap_or(0)),
    );
    view(
        sql,
        "dumps",
        &format!(
            "SELECT d.* FROM main.dumps d WHERE EXISTS
             (SELECT 1 FROM main.containers c WHERE c.key = d.container AND {condition})"
        ),
    )?;
    for (table, belongs) in SOME {
        let some = format!(
            "SELECT x.* FROM main.{table} x WHERE EXISTS (SELECT 1 FROM dumps d WHERE {belongs})"
        );
        view(sql, table, &some)?;
    }
    for table in NOTHING {
        view(
            sql,
            table,
            &format!("SELECT x.* FROM main.{table} x WHERE FALSE"),
        )?;
    }
    view(sql, "groups", &groups(sql)?)?;
    view(sql, "crash_hours", HOURS)?;
    view(sql, "totals", TOTALS)?;
    view(sql, "group_facets", &group_facets())?;
    view(sql, "facet_values", &facet_values())?;
    refuse_unknown_tables(sql)
}

/// Whether a connection sees a scope only.
pub(crate) fn are_installed(sql: &Connection) -> Result<bool, StoreError> {
    let text = "SELECT EXISTS (SELECT 1 FROM temp.sqlite_schema WHERE type = 'view')";
    Ok(sql.prepare_cached(text)?.query_row([], |row| row.get(0))?)
}

fn view(sql: &Connection, name: &str, select: &str) -> Result<(), StoreError> {
    sql.execute_batch(&format!("CREATE TEMP VIEW {name} AS {select}"))?;
    Ok(())
}

/// What the views call: values of the scope, and texts as they are counted.
fn functions(sql: &Connection, values: Vec<Value>) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    sql.create_scalar_function("scope_value", 1, flags, move |context: &Context<'_>| {
        let number: usize = context.get::<i64>(0)?.try_into().unwrap_or(usize::MAX);
        Ok(values.get(number).cloned().unwrap_or(Value::Null))
    })?;
    sql.create_scalar_function("shown", 1, flags, |context: &Context<'_>| {
        Ok(context.get::<Option<String>>(0)?.map(|text| line(&text)))
    })?;
    sql.create_scalar_function("counted", 2, flags, |context: &Context<'_>| {
        let text = context.get::<Option<String>>(0)?.map(|text| line(&text));
        let text = text.filter(|text| is_counted(text));
        let fold = context.get::<bool>(1)?;
        Ok(text.map(|text| if fold { folded(&text) } else { text }))
    })?;
    Ok(())
}

/// Groups with a crash in scope, by what those crashes say.
fn groups(sql: &Connection) -> Result<String, StoreError> {
    let mut statement = sql.prepare("SELECT name FROM pragma_table_info('groups', 'main')")?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut columns = vec![];
    for name in names {
        let name = name?;
        columns.push(match name.as_str() {
            "crashes" => {
                "(SELECT count(*) FROM dumps d WHERE d.group_id = g.id) AS crashes".to_owned()
            }
            "first_seen_ms" => first_or_last("first_seen_ms", "ASC"),
            "last_seen_ms" => first_or_last("last_seen_ms", "DESC"),
            other => format!("g.{other}"),
        });
    }
    Ok(format!(
        "SELECT {} FROM main.groups g WHERE EXISTS (SELECT 1 FROM dumps d WHERE d.group_id = g.id)",
        columns.join(", ")
    ))
}

fn first_or_last(name: &str, order: &str) -> String {
    format!(
        "(SELECT d.crashed_at_ms FROM dumps d WHERE d.group_id = g.id
          ORDER BY d.crashed_at_ms {order} LIMIT 1) AS {name}"
    )
}

const HOURS: &str =
    "SELECT d.group_id AS group_id, d.crashed_at_ms / 3600000 AS hour, count(*) AS crashes
     FROM dumps d WHERE d.group_id IS NOT NULL GROUP BY 1, 2
     UNION ALL SELECT '', d.crashed_at_ms / 3600000, count(*) FROM dumps d GROUP BY 2";

const TOTALS: &str = "SELECT 1 AS key, count(*) AS dumps, coalesce(sum(d.pinned), 0) AS pinned,
     coalesce(sum(d.status = 'failed'), 0) AS failed, coalesce(sum(d.stored_bytes), 0) AS stored_bytes
     FROM dumps d";

/// One counted row per value, and per group where that is asked.
fn counts(per_group: bool) -> String {
    let group = if per_group { "d.group_id, " } else { "" };
    let columns = COLUMNS
        .iter()
        .map(|(facet, column)| (*facet, format!("shown({column})"), ""));
    let many = [
        (
            "label",
            "counted(l.label || '=' || l.value, 1)".to_owned(),
            "JOIN main.container_labels l ON l.container = d.container",
        ),
        (
            "image_digest",
            "counted(i.digest, 0)".to_owned(),
            "JOIN main.container_digests i ON i.container = d.container",
        ),
    ];
    let selects = columns.chain(many).map(|(facet, value, join)| {
        format!(
            "SELECT {group}'{facet}' AS facet, {value} AS text, count(DISTINCT d.key) AS crashes,
             min(d.crashed_at_ms) AS first_seen_ms, max(d.crashed_at_ms) AS last_seen_ms
             FROM dumps d LEFT JOIN main.containers c ON c.key = d.container {join}
             WHERE d.group_id IS NOT NULL AND {value} IS NOT NULL GROUP BY {group}text"
        )
    });
    selects.collect::<Vec<_>>().join(" UNION ALL ")
}

fn group_facets() -> String {
    format!(
        "SELECT a.group_id, a.facet, v.key AS value, a.crashes, a.first_seen_ms, a.last_seen_ms
         FROM ({}) a JOIN main.facet_values v ON v.facet = a.facet AND v.value = a.text",
        counts(true)
    )
}

fn facet_values() -> String {
    format!(
        "SELECT v.key, v.facet, v.value, a.crashes
         FROM ({}) a JOIN main.facet_values v ON v.facet = a.facet AND v.value = a.text",
        counts(false)
    )
}

fn refuse_unknown_tables(sql: &Connection) -> Result<(), StoreError> {
    let some = SOME.iter().map(|(table, _)| *table);
    let known = some
        .chain(NOTHING)
        .chain(COUNTED)
        .chain(REACHED)
        .chain(WORDS);
    let known: BTreeSet<&str> = known.collect();
    let text = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = sql.prepare(text)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    for name in names {
        let name = name?;
        let of_words = WORDS.iter().any(|words| name.starts_with(words));
        if !of_words && !known.contains(name.as_str()) {
            return Err(StoreError::Refused(format!(
                "the table {name} is not known to scopes: crashes out of scope would show"
            )));
        }
    }
    Ok(())
}
