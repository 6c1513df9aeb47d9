//! The fields that crashes can be counted by: those with one value for each crash.

use super::fields;
use super::language::{QueryError, brief};
use super::nearest::nearest;

/// A column of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    /// As typed.
    pub(crate) name: String,
    /// Its SQL, with one parameter for a label's key.
    pub(crate) sql: String,
    /// The label's key.
    pub(crate) label: Option<String>,
    /// Whether the query language asks for its values by the same name.
    pub(crate) asked: bool,
}

/// The most columns of one report.
const MOST_COLUMNS: usize = 3;

/// Names and SQL of the columns.
const COLUMNS: &[(&str, &str)] = &[
    ("group", "d.group_id"),
    ("host", "d.host"),
    ("signal", "d.signal"),
    ("cause", "d.cause"),
    ("title", "d.title"),
    ("message", "d.message"),
    ("location", "d.location"),
    ("thread", "d.thread"),
    ("exe", "d.executable"),
    ("comm", "d.name"),
    ("command", "d.command"),
    ("uid", "d.uid"),
    ("unit", "d.unit"),
    ("status", "d.status"),
    ("kept", "d.kept"),
    ("state", "g.state"),
    (
        "container",
        "coalesce(c.name, substr(c.container_id, 1, 12))",
    ),
    ("image", "d.image"),
    ("image_id", "c.image_id"),
    (
        "image_digest",
        "(SELECT min(i.digest) FROM container_digests i WHERE i.container = d.container)",
    ),
    ("runtime", "c.runtime"),
    ("runtime_namespace", "c.runtime_namespace"),
    ("hostname", "c.hostname"),
    ("confidence", "c.confidence"),
    ("namespace", "c.pod_namespace"),
    ("pod", "c.pod_name"),
    ("pod_uid", "c.pod_uid"),
    ("pod_container", "c.pod_container"),
    ("workload", "c.pod_owner"),
    (
        "compose_project",
        "(SELECT min(l.value) FROM container_labels l WHERE l.container = d.container
          AND l.label IN ('com.docker.compose.project', 'io.podman.compose.project'))",
    ),
    (
        "compose_service",
        "(SELECT min(l.value) FROM container_labels l WHERE l.container = d.container
          AND l.label IN ('com.docker.compose.service', 'io.podman.compose.service'))",
    ),
    ("machine", "d.machine"),
    ("boot", "d.boot"),
    ("kernel", "d.kernel"),
    ("arch", "d.arch"),
    ("cpu", "d.cpu"),
];

const LABEL: &str =
    "(SELECT l.value FROM container_labels l WHERE l.container = d.container AND l.label = ?)";

/// The names of all columns but labels.
pub fn countable() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

pub(crate) fn parse(text: &str) -> Result<Vec<Column>, QueryError> {
    let mut columns: Vec<Column> = vec![];
    let mut offset = 0;
    for part in text.split(',') {
        let name = part.trim();
        let start = offset + part.len() - part.trim_start().len();
        let place = start..start + name.len();
        offset += part.len() + 1;
        let wrong = |message: String| QueryError::at(place.clone(), message);
        if columns.len() >= MOST_COLUMNS {
            return Err(wrong(format!("more than {MOST_COLUMNS} fields")));
        }
        if columns.iter().any(|column| column.name == name) {
            return Err(wrong(format!("{} is there twice", brief(name))));
        }
        columns.push(column(name).ok_or_else(|| unknown(name, wrong))?);
    }
    Ok(columns)
}

fn column(name: &str) -> Option<Column> {
    let label = name.strip_prefix("label:").filter(|key| !key.is_empty());
    let canonical = fields::field(name).map_or(name, |field| field.name);
    let sql = match label {
        Some(_) => LABEL,
        None => COLUMNS.iter().find(|(known, _)| *known == canonical)?.1,
    };
    Some(Column {
        name: name.to_owned(),
        sql: sql.to_owned(),
        label: label.map(str::to_owned),
        asked: fields::field(name).is_some_and(|field| field.values != fields::Values::Words),
    })
}

fn unknown(name: &str, wrong: impl Fn(String) -> QueryError) -> QueryError {
    let shown = brief(name);
    match (name, nearest(&name.to_ascii_lowercase(), countable())) {
        ("", _) => wrong("a field is missing, such as image or cause".to_owned()),
        ("label", _) => wrong("which label? label:KEY".to_owned()),
        ("function" | "frame" | "file", _) => wrong(format!(
            "a crash has many of {shown}: count by location, or search for one"
        ))
        .suggesting(Some("location")),
        (_, Some(near)) => wrong(format!("cannot count by \"{shown}\": did you mean {near}?"))
            .suggesting(Some(near)),
        _ => wrong(format!("cannot count by \"{shown}\"")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_that_can_be_counted_by_and_others() {
        let names =
            |text: &str| parse(text).map(|c| c.into_iter().map(|c| c.name).collect::<Vec<_>>());
        assert_eq!(names("image, cause").unwrap(), ["image", "cause"]);
        assert_eq!(names("label:team,node").unwrap(), ["label:team", "node"]);
        for (text, message, offset) in [
            ("", "a field is missing, such as image or cause", 0),
            ("image,", "a field is missing, such as image or cause", 6),
            (
                "image, imgae",
                "cannot count by \"imgae\": did you mean image?",
                7,
            ),
            ("label", "which label? label:KEY", 0),
            ("image,image", "image is there twice", 6),
            ("host,cause,image,exe", "more than 3 fields", 17),
            (
                "function",
                "a crash has many of function: count by location, or search for one",
                0,
            ),
            ("xyzzy", "cannot count by \"xyzzy\"", 0),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(
                (error.message.as_str(), error.offset),
                (message, offset),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_counted_by_has_no_one_value() {
        let missing: Vec<_> = fields::FIELDS
            .iter()
            .map(|field| field.name)
            .filter(|name| column(name).is_none())
            .collect();
        assert_eq!(
            missing,
            [
                "id",
                "since",
                "until",
                "function",
                "file",
                "module",
                "build_id",
                "text",
                "log",
                "note",
                "pid",
                "label",
                "property",
                "owner",
                "pinned",
                "size",
                "hold",
                "tag",
                "ticket",
                "crashes",
                "first_seen",
                "last_seen"
            ]
        );
    }
}
