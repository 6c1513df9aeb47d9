//! Describes the API: the `OpenAPI` 3.1 document that the service serves.
//!
//! Paths, methods and roles come from the table of routes itself, so that no route is missing;
//! `told.txt` adds what a route is for, what it takes and what it answers, and `shapes.txt` what
//! that looks like. Tests hold answers against it.

mod schemas;
mod shapes;
mod told;

use super::parameters::Parameters;
use crate::access::route::Route;
use crate::problem::Problem;
use crate::routes;
use axum::Json;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use told::Told;

/// `GET /api/v1/openapi.json`.
pub async fn document(parameters: Parameters) -> Result<Json<Value>, Problem> {
    parameters.only(&[])?;
    Ok(Json(describe(&routes::api())))
}

fn describe(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Aground",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Crashes of containers: what died, where and why. Answers in JSON have an \
                ETag; with If-None-Match, what has not changed is 304 without a body.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Not needed on the unix socket, nor on loopback unless the service is told so.",
            }},
            "responses": { "Problem": {
                "description": "What is wrong (RFC 9457)",
                "content": { "application/problem+json": { "schema": reference("Problem") } },
            }},
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn operation(route: &Route) -> Value {
    let told =
        told::all().find(|told| told.path == route.path && told.method == route.method.as_str());
    let told = told.unwrap_or_default();
    let role = route
        .needs
        .role
        .map_or("nobody in particular", aground_store::access::Role::as_str);
    let reach = if route.needs.whole {
        "; a token without a scope"
    } else {
        ""
    };
    let parameters = in_path(route.path).chain(in_query(&told));
    let parameters = parameters.chain(in_headers(&told));
    let mut operation = json!({
        "operationId": name(route),
        "tags": [tag(route.path)],
        "summary": told.summary,
        "description": format!("Needs the role: {role}{reach}."),
        "parameters": parameters.collect::<Vec<_>>(),
        "responses": responses(route, &told),
    });
    if let Some(object) = operation.as_object_mut() {
        if route.needs.role.is_none() {
            object.insert("security".to_owned(), json!([]));
        }
        if let Some(body) = body(told.body) {
            object.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

/// What a route is about: the first word of its path.
fn tag(path: &str) -> &str {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let first = path.split('/').nth(1).unwrap_or_default();
    first.split('.').next().unwrap_or_default()
}

/// `GET /api/v1/dumps/{ref}/core` is `get_dumps_ref_core`.
fn name(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1");
    let words = path
        .split(['/', '{', '}', '.'])
        .filter(|word| !word.is_empty());
    let words: Vec<&str> = words.collect();
    format!(
        "{}_{}",
        route.method.as_str().to_ascii_lowercase(),
        words.join("_")
    )
}

fn in_path(path: &str) -> impl Iterator<Item = Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let (schema, description) = schemas::path_parameter(name);
        json!({
            "name": name, "in": "path", "required": true, "schema": schema, "description": description,
        })
    })
}

fn in_query(told: &Told) -> impl Iterator<Item = Value> {
    told.query.iter().map(|name| {
        let (schema, description) = schemas::query_parameter(name);
        json!({ "name": name, "in": "query", "schema": schema, "description": description })
    })
}

fn in_headers(told: &Told) -> impl Iterator<Item = Value> {
    told.headers.iter().map(|name| {
        let (name, required) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (*name, false),
        };
        json!({ "name": name, "in": "header", "required": required, "schema": schemas::header(name) })
    })
}

fn body(kind: &str) -> Option<Value> {
    let required = !kind.ends_with('?');
    let (content, schema) = match kind.trim_end_matches('?') {
        "" => return None,
        "bytes" => ("application/octet-stream", bytes()),
        "piece" => (super::uploads::PIECE, bytes()),
        shape => ("application/json", reference(shape)),
    };
    Some(json!({ "required": required, "content": { content: { "schema": schema } } }))
}

/// As generators know them; JSON Schema has no word for bytes.
fn bytes() -> Value {
    json!({ "type": "string", "format": "binary" })
}

fn content(answer: &str) -> Value {
    let text = || json!({ "type": "string" });
    let (content, schema) = match answer {
        "text" => ("text/plain", text()),
        "text:json" => ("application/json", text()),
        "events" => ("text/event-stream", text()),
        "bytes" => ("application/octet-stream", bytes()),
        "any" => ("application/json", json!({ "type": "object" })),
        list if list.starts_with('[') => (
            "application/json",
            json!({ "type": "array", "items": reference(list.trim_matches(['[', ']'])) }),
        ),
        shape => ("application/json", reference(shape)),
    };
    json!({ content: { "schema": schema } })
}

fn responses(route: &Route, told: &Told) -> Value {
    let mut responses = Map::new();
    for status in &told.successes {
        let mut success = json!({ "description": "What was asked for" });
        if !told.answer.is_empty() {
            success["content"] = content(told.answer);
        }
        for name in &told.answered {
            success["headers"][*name] =
                json!({ "required": true, "schema": schemas::header(name) });
        }
        responses.insert(status.to_string(), success);
    }
    if told.answer == "bytes" {
        let part = json!({ "description": "The bytes of a range", "content": content("bytes") });
        responses.insert("206".to_owned(), part);
    }
    for status in problems(route, told) {
        let problem = json!({ "$ref": "#/components/responses/Problem" });
        responses.insert(status.to_string(), problem);
    }
    Value::Object(responses)
}

/// Statuses of the problems that a route may answer.
fn problems(route: &Route, told: &Told) -> BTreeSet<u16> {
    let mut statuses: BTreeSet<u16> = told.problems.iter().copied().collect();
    // A limit of requests holds for everybody, and anything may break.
    statuses.extend([400, 429, 500, 503]);
    if route.needs.role.is_some() {
        statuses.extend([401, 403]);
    }
    if route.path.contains('{') {
        statuses.insert(404);
    }
    if route.path.contains("{ref}") {
        // Ambiguous.
        statuses.insert(409);
    }
    if told.query.contains(&"query") {
        // A search that is not saved; words of logs without the role that reads them.
        statuses.extend([404, 422]);
    }
    if told.answer == "bytes" {
        statuses.insert(416);
    }
    statuses
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let document = describe(&routes::api());
        let mut names = BTreeSet::new();
        for route in routes::api() {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &document["paths"][route.path][method];
            assert!(operation.is_object(), "{} {}", route.method, route.path);
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{name} twice");
        }
        let routes = routes::api();
        let is = |told: &Told, r: &Route| r.path == told.path && r.method.as_str() == told.method;
        for told in told::all() {
            let there = routes.iter().any(|route| is(&told, route));
            assert!(there, "{} {} is no route", told.method, told.path);
        }
        for route in &routes {
            let times = told::all().filter(|told| is(told, route)).count();
            assert_eq!(times, 1, "{} {}", route.method, route.path);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/").skip(1) {
            let pointer = format!("/{}", reference.split('"').next().unwrap());
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}
