//! Describes the API: the `OpenAPI` 3.1 document that the service serves.
//!
//! Paths, methods, roles and problems come from the table of routes itself, so that no route is
//! missing; [`TOLD`] adds what a route is for, what it takes and what it answers. A test holds
//! answers against what is told of them.

mod schemas;
mod told;

use super::parameters::Parameters;
use crate::access::route::Route;
use crate::problem::Problem;
use crate::routes;
use axum::Json;
use serde_json::{Map, Value, json};
use told::{TOLD, Told};

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
            "description": "Crashes of containers: what died, where and why.",
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
    let told = TOLD
        .iter()
        .find(|told| told.path == route.path && told.method == route.method.as_str());
    let parameters = in_path(route.path).chain(in_query(told));
    let role = route
        .needs
        .role
        .map_or("nobody in particular", aground_store::access::Role::as_str);
    let reach = if route.needs.whole {
        "; a token without a scope"
    } else {
        ""
    };
    let mut operation = json!({
        "operationId": name(route),
        "summary": told.map_or("", |told| told.summary),
        "description": format!("Needs the role: {role}{reach}."),
        "parameters": parameters.collect::<Vec<_>>(),
        "responses": responses(route, told),
    });
    if let Some(object) = operation.as_object_mut() {
        if route.needs.role.is_none() {
            object.insert("security".to_owned(), json!([]));
        }
        if let Some(body) = told.and_then(|told| body(told.body)) {
            object.insert("requestBody".to_owned(), body);
        }
    }
    operation
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
        json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 },
            "description": schemas::path_parameter(name),
        })
    })
}

fn in_query(told: Option<&'static Told>) -> impl Iterator<Item = Value> {
    let names = told.map_or(&[][..], |told| told.query);
    names.iter().map(|name| {
        let (schema, description) = schemas::query_parameter(name);
        json!({ "name": name, "in": "query", "schema": schema, "description": description })
    })
}

fn body(kind: &str) -> Option<Value> {
    let (content, schema) = match kind {
        "" => return None,
        "bytes" => ("application/octet-stream", json!({})),
        "text" => ("text/plain", json!({ "type": "string" })),
        schema => ("application/json", reference(schema)),
    };
    Some(json!({ "required": true, "content": { content: { "schema": schema } } }))
}

fn responses(route: &Route, told: Option<&Told>) -> Value {
    let mut responses = Map::new();
    let (status, answer) = told.map_or((200, "Any"), |told| (told.status, told.answer));
    let (content, schema) = match answer {
        "text" => ("text/plain", json!({ "type": "string" })),
        "events" => ("text/event-stream", json!({ "type": "string" })),
        "bytes" => ("application/octet-stream", json!({})),
        list if list.starts_with('[') => (
            "application/json",
            json!({ "type": "array", "items": reference(list.trim_matches(['[', ']'])) }),
        ),
        schema => ("application/json", reference(schema)),
    };
    let success = json!({ "description": "What was asked for", "content": { content: { "schema": schema } } });
    responses.insert(status.to_string(), success);
    if answer == "bytes" {
        let part = json!({ "description": "The bytes of a range", "content": { content: { "schema": {} } } });
        responses.insert("206".to_owned(), part);
    }
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    let guarded: &[&str] = if route.needs.role.is_some() {
        &["401", "403", "429"]
    } else {
        &["429"]
    };
    for status in guarded.iter().chain(&["default"]) {
        responses.insert((*status).to_owned(), problem.clone());
    }
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

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
        for told in TOLD {
            let known = routes::api();
            let mut known = known.iter();
            let there = known.any(|r| r.path == told.path && r.method.as_str() == told.method);
            assert!(there, "{} {} is no route", told.method, told.path);
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/").skip(1) {
            let pointer = format!("/{}", reference.split('"').next().unwrap());
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}
