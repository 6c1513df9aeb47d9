//! Schemas of what the API takes and answers. What is not told of an object is not closed: fields
//! may be added to any.

use serde_json::{Value, json};

/// A type that may be absent.
fn optional(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn page(of: &str) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": { "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } },
            "next_cursor": { "type": ["string", "null"], "description": "Hand it back as cursor= for the next page" },
        },
    })
}

const STATUSES: [&str; 4] = ["pending", "analyzing", "analyzed", "failed"];

/// All of them by name.
#[allow(clippy::too_many_lines)] // a list
pub(super) fn all() -> Value {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let counts = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Count" } });
    json!({
        "Any": {},
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code"],
            "properties": {
                "type": text, "title": text, "status": number, "detail": text,
                "code": { "type": "string", "description": "A word for programs: not-found, ambiguous, bad-query, …" },
                "candidates": texts,
            },
        },
        "Count": {
            "type": "object",
            "required": ["value", "count"],
            "properties": { "value": text, "count": number },
        },
        "DumpReference": {
            "type": "object", "required": ["id"], "properties": { "id": text },
        },
        "DumpSummary": {
            "type": "object",
            "required": ["id", "crashed_at_ms", "host", "signal", "pid", "name", "status", "kept", "truncated", "core_bytes"],
            "properties": {
                "id": text, "crashed_at_ms": number, "host": text, "signal": text, "pid": number,
                "name": text, "executable": optional("string"), "command": text,
                "container": optional("object"), "unit": optional("string"), "group": optional("string"),
                "title": optional("string"), "cause": optional("string"), "location": optional("string"),
                "status": { "enum": STATUSES },
                "kept": text, "dropped": optional("string"), "pinned": { "type": "boolean" },
                "truncated": { "type": "boolean" }, "core_bytes": number, "memory_bytes": number,
                "stored_bytes": number, "hold_us": optional("integer"), "analysis_error": optional("string"),
            },
        },
        "DumpPage": page("DumpSummary"),
        "Dump": {
            "type": "object",
            "required": ["summary", "record", "report", "log_tail"],
            "properties": {
                "summary": { "$ref": "#/components/schemas/DumpSummary" },
                "record": { "$ref": "#/components/schemas/Record" },
                "report": { "anyOf": [{ "$ref": "#/components/schemas/Report" }, { "type": "null" }] },
                "log_tail": optional("string"),
            },
        },
        "Record": {
            "type": "object",
            "required": ["schema", "id", "captured_at_ms", "signal", "process", "host", "capture", "modules"],
            "properties": {
                "schema": number, "id": text, "captured_at_ms": number, "signal": { "type": "object" },
                "process": { "type": "object" }, "container": optional("object"), "host": { "type": "object" },
                "capture": { "type": "object" }, "modules": { "type": "array" }, "problems": texts,
            },
        },
        "Report": {
            "type": "object",
            "description": "docs/REPORT-SCHEMA",
            "required": ["schema", "core", "process", "cause", "threads", "modules", "signature", "warnings"],
            "properties": {
                "schema": number, "core": { "type": "object" }, "process": { "type": "object" },
                "cause": { "type": "object", "required": ["kind", "title"] },
                "threads": { "type": "array" }, "modules": { "type": "array" },
                "signature": { "type": "object" }, "warnings": texts,
            },
        },
        "GroupSummary": {
            "type": "object",
            "required": ["id", "state", "title", "cause", "signal", "count", "first_seen_ms", "last_seen_ms", "histogram", "latest"],
            "properties": {
                "id": text, "state": { "enum": ["open", "resolved", "ignored", "regressed"] },
                "owner": optional("string"), "tags": texts, "tickets": texts, "title": text,
                "cause_title": text, "cause": text, "signal": text, "count": number,
                "first_seen_ms": number, "last_seen_ms": number, "images": counts, "containers": counts,
                "hosts": counts, "executables": counts,
                "histogram": { "type": "array", "items": { "type": "integer" } }, "latest": text,
            },
        },
        "GroupPage": page("GroupSummary"),
        "Decision": {
            "type": "object",
            "required": ["kind"],
            "properties": { "kind": { "enum": [
                "resolve", "ignore", "reopen", "merge", "split", "undo", "tag", "untag", "ticket",
                "unticket", "owner", "note", "theory", "evidence", "verdict",
            ] } },
        },
        "Tally": {
            "type": "object",
            "required": ["by", "crashes", "distinct", "rows", "more_rows", "more_crashes", "trend", "cut"],
            "properties": {
                "by": texts, "crashes": number, "distinct": { "type": "array" },
                "rows": { "type": "array", "items": { "type": "object", "required": ["values", "crashes", "groups"] } },
                "more_rows": number, "more_crashes": number, "trend": { "type": "array" }, "cut": optional("string"),
            },
        },
        "Token": {
            "type": "object",
            "required": ["id", "name", "role", "scope", "created_at_ms", "expires_at_ms", "last_used_ms"],
            "properties": {
                "id": text, "name": text, "role": { "enum": ["read", "debug", "admin"] }, "scope": texts,
                "created_at_ms": number, "expires_at_ms": optional("integer"),
                "last_used_ms": optional("integer"), "last_used_from": optional("string"),
            },
        },
        "TokenWish": {
            "type": "object",
            "required": ["role"],
            "additionalProperties": false,
            "properties": {
                "role": { "enum": ["read", "debug", "admin"] }, "name": text, "scope": texts,
                "expires": { "type": "string", "description": "such as 30d" },
            },
        },
        "Audited": {
            "type": "object",
            "required": ["at_ms", "who", "from", "what", "request", "status"],
            "properties": {
                "at_ms": number, "who": text, "from": text, "what": text, "dump": optional("string"),
                "request": text, "status": number,
            },
        },
    })
}

/// What a part of a path is.
pub(super) fn path_parameter(name: &str) -> &'static str {
    match name {
        "ref" | "other" => "An id or its beginning",
        "sha256" => "SHA-256 of the file",
        "build_id" => "A build ID, as lowercase hexadecimal digits",
        "name" => "Its name",
        _ => "",
    }
}

/// Schema and meaning of a parameter after `?`.
pub(super) fn query_parameter(name: &str) -> (Value, &'static str) {
    let text = json!({ "type": "string" });
    match name {
        "limit" => (
            json!({ "type": "integer", "minimum": 0 }),
            "At most so many",
        ),
        "filter" => (
            json!({ "type": "array", "items": { "type": "string" } }),
            "field=value, as often as needed",
        ),
        "cursor" => (text, "From the page before"),
        "query" => (text, "field:value and words; see docs/QUERIES.md"),
        "saved" => (text, "The name of a saved search, asked besides"),
        "by" => (text, "One to three fields, separated by commas"),
        "over" => (json!({ "enum": ["1h", "1d", "1w"] }), "Buckets of time"),
        "format" => (
            json!({ "enum": ["elf", "zst"] }),
            "The core itself, or as it is stored",
        ),
        "since" | "until" => (text, "A duration back, a date, or Unix seconds"),
        "after" => (
            json!({ "type": "integer", "minimum": 0 }),
            "The number of an event",
        ),
        _ => (text, ""),
    }
}
