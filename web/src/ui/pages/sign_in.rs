//! Signs a browser in with a token, and out.

use super::{Shell, html};
use crate::App;
use crate::access::Access;
use crate::access::front::too_many;
use crate::access::who::{Origin, Who};
use crate::ui::view::text;
use crate::ui::visit::is_ours;
use askama::Template;
use axum::extract::{Form, FromRequest, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use std::time::Instant;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    /// Where to go then.
    next: String,
    /// Why it did not work.
    problem: Option<String>,
}

/// Where to go after signing in.
#[derive(Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// What the form holds.
#[derive(Deserialize)]
pub struct Filled {
    token: String,
    #[serde(default)]
    next: String,
}

/// `GET /sign-in?next=`.
pub async fn page(Query(asked): Query<Next>) -> Response {
    show(asked.next, None)
}

fn show(next: String, problem: Option<String>) -> Response {
    let failed = problem.is_some();
    let page = html(&SignInPage {
        shell: Shell::new(""),
        next,
        problem,
    });
    if failed {
        return (StatusCode::UNAUTHORIZED, page).into_response();
    }
    page
}

/// `POST /sign-in`: a cookie for a token.
pub async fn sign_in(State(app): State<App>, request: Request) -> Response {
    let gate = &app.gate;
    let from = Origin::of(request.extensions(), request.headers(), gate.behind_proxy).to_string();
    let now = Instant::now();
    if let Err(wait) = gate.failures.take(&from, now) {
        return too_many("attempts", wait);
    }
    let filled = match Form::<Filled>::from_request(request, &app).await {
        Ok(Form(filled)) => filled,
        Err(rejection) => return show(String::new(), Some(rejection.body_text())),
    };
    let (daemon, secret) = (app.daemon.clone(), filled.token.trim().to_owned());
    let place = from.clone();
    let found = tokio::task::spawn_blocking(move || daemon.store().token_of(&secret, &place));
    let token = match found.await {
        Ok(Ok(token)) => token,
        Ok(Err(why)) => {
            tracing::warn!(from, "a sign-in failed: {why}");
            return show(
                filled.next,
                Some(format!("{}.", text::capital(&why.to_string()))),
            );
        }
        Err(error) => return super::error::Trouble::internal(&error).into_response(),
    };
    let cookie = match gate.sessions.begin(&token.id, now) {
        Ok(cookie) => cookie,
        Err(error) => return super::error::Trouble::internal(&error).into_response(),
    };
    tracing::info!(from, token = token.name, "signed in");
    // The overview is of everything.
    let next = match local(&filled.next) {
        "/" if !token.scope.is_everything() => "/groups",
        next => next,
    };
    with_cookie(Redirect::to(next), &cookie)
}

/// `POST /sign-out`.
pub async fn sign_out(State(app): State<App>, request: Request) -> Response {
    let cookie = app.gate.sessions.end(request.headers());
    if let Some(Access {
        who: Who::Token { name, .. },
        ..
    }) = request.extensions().get()
    {
        tracing::info!(token = name, "signed out");
    }
    with_cookie(Redirect::to("/sign-in"), &cookie)
}

fn with_cookie(redirect: Redirect, cookie: &str) -> Response {
    let mut response = redirect.into_response();
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// A path of ours; the first page in the place of anything else: a link that somebody sends must
/// not lead elsewhere after signing in.
fn local(next: &str) -> &str {
    if is_ours(next) { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_pages_of_ours_only() {
        for (next, expected) in [
            ("/dumps?query=a%20b", "/dumps?query=a%20b"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nSet-Cookie: x=y", "/"),
            ("/\u{202e}", "/"),
        ] {
            assert_eq!(local(next), expected, "{next:?}");
        }
    }
}
