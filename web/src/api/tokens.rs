//! Hands out access tokens, lists and removes them.

use super::parameters::{Parameters, Path};
use super::{blocking, paging};
use crate::App;
use crate::access::route::Noted;
use crate::problem::Problem;
use aground_helper::units::Span;
use aground_store::access::{NewToken, Role, Scope, Token};
use aground_store::types::Page;
use aground_store::{Store, StoreError};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

/// What a token shall be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Its name; made up where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `read`, `debug` or `admin`.
    pub role: String,
    /// `label=k=v`, `namespace=n`, `image=pattern`; all crashes without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// After how long it is worth nothing: `30d`; never without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A new token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Created {
    /// What it is.
    pub token: Token,
    /// What its bearer shows. Told this once.
    pub secret: String,
}

/// `GET /api/v1/tokens?limit=&cursor=`: all tokens without their secrets, oldest first.
pub async fn list(
    State(app): State<App>,
    parameters: Parameters,
) -> Result<Json<Page<Token>>, Problem> {
    parameters.only(&["limit", "cursor"])?;
    let (all, page) = (app.daemon.store().tokens(), parameters.page()?);
    let place = |token: &Token| (token.created_at_ms, token.id.clone());
    Ok(Json(paging::page("tokens", all, place, &page)?))
}

/// `POST /api/v1/tokens` with a [`Wish`]: 201 with the token and its secret.
pub async fn create(
    State(app): State<App>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<(StatusCode, Extension<Noted>, Json<Created>), Problem> {
    let Json(wish) = wish.map_err(|error| Problem::bad_parameter(error.body_text()))?;
    let (noted, created) = make(&app, wish).await?;
    Ok((StatusCode::CREATED, noted, Json(created)))
}

/// Makes a token; also says what is written down about that.
pub async fn make(app: &App, wish: Wish) -> Result<(Extension<Noted>, Created), Problem> {
    let new = new_token(wish)?;
    let create = move |store: &Store| store.create_token(new);
    let (token, secret) = blocking::<_, StoreError, _>(app, create).await?;
    tracing::info!(token = token.name, role = %token.role, scope = %token.scope, "token made");
    Ok((noted(&token), Created { token, secret }))
}

fn noted(token: &Token) -> Extension<Noted> {
    let Token { name, role, .. } = token;
    Extension(Noted(format!("{name} ({role}, {})", token.scope)))
}

fn new_token(wish: Wish) -> Result<NewToken, Problem> {
    let bad = |error: &dyn std::error::Error| Problem::bad_parameter(error.to_string());
    let role: Role = wish.role.parse().map_err(|error| bad(&error))?;
    let scope = Scope::new(wish.scope).map_err(|error| bad(&error))?;
    let expires_at_ms = match wish.expires {
        None => None,
        Some(text) => {
            let Span(span) = text.parse().map_err(|error| bad(&error))?;
            let now = jiff::Timestamp::now().as_millisecond();
            let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            Some(now.saturating_add(span))
        }
    };
    Ok(NewToken {
        name: wish.name,
        role,
        scope,
        expires_at_ms,
    })
}

/// `DELETE /api/v1/tokens/{name}`, by name or id: answers what it was.
pub async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<(Extension<Noted>, Json<Token>), Problem> {
    parameters.only(&[])?;
    let (noted, token) = take_back(&app, name).await?;
    Ok((noted, Json(token)))
}

/// Removes a token, by name or id; also says what is written down about that.
pub async fn take_back(app: &App, name: String) -> Result<(Extension<Noted>, Token), Problem> {
    let remove = move |store: &Store| store.remove_token(&name);
    let token = blocking::<_, StoreError, _>(app, remove).await?;
    tracing::info!(token = token.name, "token removed");
    Ok((noted(&token), token))
}
