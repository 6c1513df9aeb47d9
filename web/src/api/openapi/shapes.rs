//! Reads `shapes.txt`, where objects of the API are written in fewer words than JSON Schema needs.

use serde_json::{Map, Value, json};

const SHAPES: &str = include_str!("shapes.txt");

/// All shapes as schemas, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut description = None;
    for line in SHAPES.lines() {
        if let Some(text) = line.strip_prefix("; ") {
            description = Some(text);
        } else if !line.starts_with('#')
            && let Some((name, mut schema)) = shape(line)
        {
            if let (Some(text), Some(object)) = (description.take(), schema.as_object_mut()) {
                object.insert("description".to_owned(), text.into());
            }
            schemas.insert(name.to_owned(), schema);
        }
    }
    schemas
}

/// `Name: fields`, `Name of Item: fields`, `Name! fields` (and no others), `Name = words`.
fn shape(line: &str) -> Option<(&str, Value)> {
    if let Some((name, words)) = line.split_once(" = ") {
        let words: Vec<&str> = words.split('|').collect();
        return Some((name, json!({ "type": "string", "enum": words })));
    }
    if let Some((name, fields)) = line.split_once("! ") {
        let mut schema = object(fields);
        schema["additionalProperties"] = false.into();
        return Some((name, schema));
    }
    // The first colon: none comes before that of the name.
    let (name, fields) = line.split_once(':')?;
    let Some((name, item)) = name.split_once(" of ") else {
        return Some((name, object(fields)));
    };
    let page = format!("items:[{item}] next_cursor:text? {fields}");
    let mut schema = object(&page);
    schema["properties"]["next_cursor"]["description"] =
        "Hand it back as cursor= for the next page; null on the last".into();
    Some((name, schema))
}

pub(super) fn object(fields: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), vec![]);
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap_or((field, "text"));
        let name = name.strip_suffix('?').unwrap_or_else(|| {
            required.push(name);
            name
        });
        properties.insert(name.to_owned(), schema(kind));
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

/// `type,type`, and not a list of such.
fn is_tuple(inner: &str) -> bool {
    inner.contains(',') && !inner.contains('[')
}

fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        let mut schema = schema(kind);
        return match schema["type"].take() {
            Value::String(kind) => {
                schema["type"] = json!([kind, "null"]);
                schema
            }
            _ => json!({ "anyOf": [super::reference(kind), { "type": "null" }] }),
        };
    }
    let inner = kind.get(1..kind.len().saturating_sub(1));
    match (kind, inner) {
        ("any", _) => json!({}),
        ("text", _) => json!({ "type": "string" }),
        ("nat", _) => json!({ "type": "integer", "minimum": 0 }),
        ("int", _) => json!({ "type": "integer" }),
        ("number", _) => json!({ "type": "number" }),
        ("bool", _) => json!({ "type": "boolean" }),
        (_, Some(inner)) if kind.starts_with('[') && is_tuple(inner) => {
            let parts: Vec<Value> = inner.split(',').map(schema).collect();
            let length = parts.len();
            json!({ "type": "array", "prefixItems": parts, "minItems": length, "maxItems": length })
        }
        (_, Some(inner)) if kind.starts_with('[') => {
            json!({ "type": "array", "items": schema(inner) })
        }
        (_, Some(inner)) if kind.starts_with('{') => {
            json!({ "type": "object", "additionalProperties": schema(inner) })
        }
        _ => super::reference(kind),
    }
}
