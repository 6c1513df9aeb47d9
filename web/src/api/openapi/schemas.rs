//! Schemas of what the API takes and answers, and of parameters.

use super::shapes;
use serde_json::{Value, json};

/// What a decision has besides its kind; `?` after those that may be missing.
const DECISIONS: [(&str, &str); 16] = [
    ("resolve", "image?:text?"),
    ("ignore", "crashes?:nat? until?:text?"),
    ("reopen", ""),
    ("merge", "into"),
    ("distinct", "from"),
    ("split", "dumps?:[text] query?:text?"),
    ("undo", "change?:int?"),
    ("tag", "tag"),
    ("untag", "tag"),
    ("ticket", "ticket"),
    ("unticket", "ticket"),
    ("owner", "owner?:text?"),
    ("note", "text"),
    ("theory", "text"),
    ("evidence", "theory:int dump?:text? note?:text? link?:text?"),
    ("verdict", "theory:int verdict:Verdict why?:text?"),
];

/// All of them by name.
pub(super) fn all() -> Value {
    let mut schemas = shapes::all();
    let (mut ways, mut mapping) = (vec![], serde_json::Map::new());
    for (kind, fields) in DECISIONS {
        let mut schema = shapes::object(fields);
        schema["properties"]["kind"] = json!({ "type": "string", "const": kind });
        if let Some(required) = schema["required"].as_array_mut() {
            required.push("kind".into());
        }
        schema["additionalProperties"] = false.into();
        let name = format!("Decision-{kind}");
        let reference = super::reference(&name);
        mapping.insert(kind.to_owned(), reference["$ref"].clone());
        ways.push(reference);
        schemas.insert(name, schema);
    }
    let decision = json!({
        "description": "What somebody decides about a group. References are ids or beginnings of them.",
        "oneOf": ways,
        "discriminator": { "propertyName": "kind", "mapping": mapping },
    });
    let change = json!({
        "description": "What a decision became, with ids in place of references",
        "type": "object",
        "required": ["kind"],
        "properties": { "kind": { "type": "string" } },
        "additionalProperties": true,
    });
    let address = json!({
        "description": "Hexadecimal, so that no reader rounds it",
        "type": "string",
        "pattern": "^0x[0-9a-f]+$",
    });
    let until = json!({ "oneOf": [
        { "type": "string", "enum": ["reopened"] },
        shapes::object("crashes:nat"),
        shapes::object("date:int"),
    ]});
    for (name, schema) in [
        ("Decision", decision),
        ("Change", change),
        ("Address", address),
        ("Until", until),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
    Value::Object(schemas)
}

/// Schema and meaning of a part of a path.
pub(super) fn path_parameter(name: &str) -> (Value, &'static str) {
    let text = json!({ "type": "string", "minLength": 1 });
    match name {
        "ref" | "other" => (text, "An id or its beginning"),
        "sha256" => (text, "SHA-256 of the file"),
        "build_id" => (text, "A build ID, as lowercase hexadecimal digits"),
        "key" => (
            json!({ "type": "string", "pattern": "^[0-9a-fA-F]{16}$" }),
            "A key as the list of the governor has it",
        ),
        _ => (text, "Its name"),
    }
}

/// Schema of a header.
pub(super) fn header(name: &str) -> Value {
    match name {
        "Upload-Length" | "Upload-Offset" => json!({ "type": "integer", "minimum": 0 }),
        "Tus-Resumable" => json!({ "type": "string", "pattern": "^1\\.0\\.0$" }),
        _ => json!({ "type": "string" }),
    }
}

/// Schema and meaning of a parameter after `?`.
pub(super) fn query_parameter(name: &str) -> (Value, &'static str) {
    let text = json!({ "type": "string" });
    let flag = json!({ "type": "boolean" });
    let number = |bits: u32, signed: bool| {
        let least = if signed { -(1_i64 << (bits - 1)) } else { 0 };
        let most = (1_i64 << (bits - u32::from(signed))) - 1;
        json!({ "type": "integer", "minimum": least, "maximum": most })
    };
    match name {
        "limit" => (
            json!({ "type": "integer", "minimum": 0 }),
            "At most so many; 0 is 100, and more than 1,000 is 1,000",
        ),
        "filter" => (
            json!({ "type": "array", "items": { "type": "string" } }),
            "field=value, as often as needed",
        ),
        "cursor" => (text, "next_cursor of the page before"),
        "query" => (text, "field:value and words; see docs/QUERIES.md"),
        "saved" => (text, "The name of a saved search, asked besides"),
        "by" => (text, "One to three fields, separated by commas"),
        "over" => (
            json!({ "type": "string", "enum": ["1h", "1d", "1w"] }),
            "Buckets of time",
        ),
        "window" => (
            json!({ "type": "string", "enum": ["24h", "7d", "30d"] }),
            "How far back",
        ),
        "format" => (
            json!({ "type": "string", "enum": ["elf", "zst"] }),
            "The core itself, or as it is stored",
        ),
        "since" | "until" => (text, "A duration back, a date, or Unix seconds"),
        "after" => (
            json!({ "type": "integer", "minimum": 0 }),
            "The number of an event",
        ),
        "dry_run" => (flag, "Only says what would be done"),
        "memory" => (flag, "Only the memory of what matches"),
        "max_bytes" | "min_free" => (text, "Bytes such as 5GiB, or a share such as 10%"),
        "max_age" | "memory_age" => (text, "A duration such as 30d"),
        "per_group" => (
            json!({ "type": "integer", "minimum": 0 }),
            "So many dumps of a group",
        ),
        "dumps" => (
            json!({ "type": "integer", "minimum": 0 }),
            "So many of the newest",
        ),
        "rule" => (text, "Only the rule of this name"),
        "a" | "b" => (
            text,
            "A dump; b is the newest other one of its group without one",
        ),
        "file" => (text, "The name of the file"),
        "name" => (text, "A name"),
        "upload" => (
            text,
            "The id of an upload that is whole; then there is no body",
        ),
        "hostname" => (text, "Where the process ran"),
        "executable" => (text, "What ran"),
        "died_at_ms" => (json!({ "type": "integer" }), "When the process died"),
        "pid" | "signal" => (number(32, true), "Of the process, as somebody says"),
        "uid" | "gid" => (number(32, false), "Of the process, as somebody says"),
        _ => (text, ""),
    }
}
