//! Shows refusals as pages where a person looks: who may not, whose session has ended, whose form
//! came from elsewhere reads what to do about it. Programs read the problem as it is.

use super::pages::error::Trouble;
use super::visit;
use crate::access::Access;
use crate::problem::ProblemBody;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

/// Gives a browser that asked for a page a page, whatever refused it.
pub async fn as_page(request: Request, next: Next) -> Response {
    if !is_for_a_person(&request) {
        return next.run(request).await;
    }
    let reads = request.method().is_safe();
    let asked = request.uri().path_and_query();
    let asked = asked.map_or("/", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    let Some(problem) = response.extensions().get::<ProblemBody>() else {
        return response;
    };
    // The page to come back to after signing in.
    let place = if reads { Some(asked) } else { visit::back() };
    let sign_in = sign_in(place.as_deref().unwrap_or("/"));
    if reads && problem.status == StatusCode::UNAUTHORIZED.as_u16() {
        return Redirect::to(&sign_in).into_response();
    }
    let trouble = Trouble::refused(problem, response.status(), &sign_in);
    let page = match response.extensions().get::<Access>().cloned() {
        Some(access) => visit::read_by(access, async { trouble.page() }).await,
        None => trouble.page(),
    };
    match page {
        Ok(page) => with_page(response, page),
        Err(_) => response,
    }
}

fn is_for_a_person(request: &Request) -> bool {
    let path = request.uri().path();
    let accept = request.headers().get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    !path.starts_with("/api/")
        && !path.starts_with("/buildid/")
        && accept.is_some_and(|types| types.contains("text/html"))
}

fn sign_in(next: &str) -> String {
    format!("/sign-in?next={}", crate::client::encode(next))
}

/// The same answer with a page as its body: when to come again stays said.
fn with_page(response: Response, page: String) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, html);
    Response::from_parts(parts, Body::from(page))
}
