//! `/tokens`: who has access, hands out more and takes it back. The rules are those of the API's.

use super::error::Trouble;
use super::{Shell, blocking, html};
use crate::App;
use crate::access::Access;
use crate::access::who::Who;
use crate::api::tokens::{Created, Wish, make, take_back};
use crate::problem::Problem;
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time::{self, Moment};
use aground_store::access::{Role, Token};
use askama::Template;
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

/// A token as a row.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    name: Brief,
    role: &'static str,
    scope: Brief,
    created: Moment,
    expires: String,
    expired: bool,
    used: Option<Moment>,
    from: Brief,
    /// Whether the reader is signed in with it.
    own: bool,
}

impl Row {
    fn new(token: &Token, own: Option<&str>, now_ms: i64) -> Self {
        let expired = token.is_expired(now_ms);
        let expires = match token.expires_at_ms {
            None => "never".to_owned(),
            Some(at) if expired => Moment::new(at, now_ms).ago,
            Some(at) => format!("in {}", time::span(at.saturating_sub(now_ms))),
        };
        Self {
            id: token.id.clone(),
            name: Brief::named(&token.name, 80),
            role: token.role.as_str(),
            scope: Brief::new(&token.scope.to_string(), 120),
            created: Moment::new(token.created_at_ms, now_ms),
            expires,
            expired,
            used: token.last_used_ms.map(|at| Moment::new(at, now_ms)),
            from: Brief::new(token.last_used_from.as_deref().unwrap_or_default(), 60),
            own: own == Some(token.id.as_str()),
        }
    }
}

/// A token that was just made: its secret is shown on this one page.
#[derive(Clone, Debug)]
struct Fresh {
    name: Brief,
    secret: String,
}

/// The form.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Filled {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
    /// A condition in each line.
    #[serde(default)]
    scope: String,
    #[serde(default)]
    expires: String,
}

impl Filled {
    fn wish(&self) -> Wish {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Wish {
            name: given(&self.name),
            role: self.role.clone(),
            scope: self.scope.lines().filter_map(given).collect(),
            expires: given(&self.expires),
        }
    }
}

/// The page.
#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    shell: Shell,
    rows: Vec<Row>,
    fresh: Option<Fresh>,
    /// What the form holds, and what is wrong with it.
    filled: Filled,
    /// Lines of its scope.
    scope: Vec<String>,
    wrong: Option<String>,
    roles: [Role; 3],
}

async fn show(
    app: &App,
    access: &Access,
    fresh: Option<Fresh>,
    filled: Filled,
    wrong: Option<String>,
) -> Result<Response, Trouble> {
    let tokens = blocking(app, |store| Ok::<_, Trouble>(store.tokens())).await?;
    let own = match &access.who {
        Who::Token { id, .. } => Some(id.as_str()),
        _ => None,
    };
    let now_ms = time::now_ms();
    Ok(html(&TokensPage {
        shell: Shell::new("settings"),
        rows: tokens
            .iter()
            .map(|token| Row::new(token, own, now_ms))
            .collect(),
        fresh,
        scope: filled.scope.lines().map(str::to_owned).collect(),
        filled,
        wrong,
        roles: [Role::Read, Role::Debug, Role::Admin],
    }))
}

/// `GET /tokens`.
pub async fn page(
    State(app): State<App>,
    Extension(access): Extension<Access>,
) -> Result<Response, Trouble> {
    show(&app, &access, None, Filled::default(), None).await
}

/// `POST /tokens`: makes a token and shows its secret, or says what is wrong with the form.
pub async fn create(
    State(app): State<App>,
    Extension(access): Extension<Access>,
    form: Result<Form<Filled>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(filled) = form.map_err(|error| Trouble::bad_upload(&error.body_text()))?;
    match make(&app, filled.wish()).await {
        Ok((noted, Created { token, secret })) => {
            let fresh = Fresh {
                name: Brief::named(&token.name, 80),
                secret,
            };
            let page = show(&app, &access, Some(fresh), Filled::default(), None).await?;
            Ok((noted, page).into_response())
        }
        Err(problem) if problem.status().is_client_error() => {
            let wrong = format!("{}.", text::capital(problem.detail()));
            let page = show(&app, &access, None, filled, Some(wrong)).await?;
            Ok((problem.status(), page).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}

/// `POST /tokens/{name}/remove`: by id, back to the page.
pub async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let (noted, _) = take_back(&app, name).await?;
    Ok((noted, Redirect::to("/tokens")))
}
