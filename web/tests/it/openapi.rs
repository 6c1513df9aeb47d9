//! The `OpenAPI` document against real answers.

use crate::site::{Site, record};
use serde_json::Value;

/// What of a value a schema does not allow, with the place; the part of JSON Schema that the
/// document uses.
fn wrong(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let inner = |schema: &Value, value: &Value, place: &str| wrong(document, schema, value, place);
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).expect(reference);
        return inner(target, value, place);
    }
    let mut found = vec![];
    if let Some(ways) = schema["anyOf"].as_array()
        && ways.iter().all(|way| !inner(way, value, place).is_empty())
    {
        found.push(format!("{place}: none of the ways"));
    }
    if let Some(known) = schema["enum"].as_array()
        && !known.contains(value)
    {
        found.push(format!("{place}: {value} is not listed"));
    }
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ => vec![],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.is_empty() && !kinds.contains(&kind) {
        found.push(format!("{place}: {kind}, and not {kinds:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
            found.push(format!("{place}: no {name}"));
        }
    }
    // Shapes name every field, so that clients made from them have them all.
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object())
        && schema["additionalProperties"] != true
    {
        let unknown = fields.keys().filter(|name| !known.contains_key(*name));
        found.extend(unknown.map(|name| format!("{place}: {name} is not told")));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            found.extend(inner(schema, value, &format!("{place}/{name}")));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            found.extend(inner(&schema["items"], item, &format!("{place}/{index}")));
        }
    }
    found
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let site = Site::with(&[record(1), record(2)]).await;
    site.report(&record(1), "write to 0x0");
    let listed = site.get("/api/v1/groups").await.json();
    let group = listed["items"][0]["id"].as_str().unwrap().to_owned();
    site.aground(&["token", "create", "--role", "read"]).await;
    let document = site.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get").filter(|_| !path.ends_with("/events")) else {
            continue;
        };
        let reference = if path.contains("/groups/") {
            group.as_str()
        } else {
            "11"
        };
        let mut target = path.replace("{ref}", reference).replace("{other}", &group);
        if path == "/api/v1/compare" {
            target += "?a=11&b=22";
        }
        if path == "/api/v1/report" {
            target += "?by=image,signal";
        }
        let answer = site.get(&target).await;
        let status = answer.status.as_u16().to_string();
        let expected = &operation["responses"][&status];
        let expected = match expected["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).unwrap(),
            None => expected,
        };
        let contents = expected["content"].as_object().unwrap();
        let kind = answer.header("content-type").split(';').next().unwrap();
        let Some(content) = contents.get(kind) else {
            panic!("{target}: {status} {kind}, and not {contents:?}");
        };
        if kind.ends_with("json") {
            let faults = wrong(&document, &content["schema"], &answer.json(), "");
            assert_eq!(faults, [""; 0], "{target}");
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
    // The check itself finds what is wrong.
    let schema = &document["components"]["schemas"]["DumpReference"];
    assert_eq!(
        wrong(&document, schema, &serde_json::json!({ "id": 1 }), "").len(),
        1
    );
    assert_eq!(
        wrong(&document, schema, &serde_json::json!({}), "").len(),
        1
    );
}
