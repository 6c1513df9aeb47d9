//! What every request passes first: who asks, how much they ask, and which store they see.

use super::Access;
use super::who::{Origin, Proof, Who, identify};
use crate::problem::Problem;
use crate::ui::visit;
use crate::{App, routes};
use aground_store::access::{Sight, Worthless};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower::ServiceExt;

/// Different sights that are kept ready.
const MOST_SIGHTS: usize = 64;

/// All routes, once for each sight.
pub struct Front {
    app: App,
    all: Router,
    some: Mutex<HashMap<Sight, Router>>,
}

impl Front {
    /// Before all routes of a service.
    pub fn new(app: App) -> Self {
        Self {
            all: routes::routed(app.clone()),
            some: Mutex::default(),
            app,
        }
    }

    /// The routes over a store that shows this and nothing else.
    async fn routes(&self, sight: &Sight) -> Result<Router, Problem> {
        if *sight == Sight::default() {
            return Ok(self.all.clone());
        }
        if let Some(router) = self.known().get(sight) {
            return Ok(router.clone());
        }
        let (daemon, wanted) = (self.app.daemon.clone(), sight.clone());
        let seen = tokio::task::spawn_blocking(move || daemon.seen(wanted)).await??;
        let router = routes::routed(App {
            daemon: seen,
            ..self.app.clone()
        });
        let mut known = self.known();
        if known.len() >= MOST_SIGHTS {
            known.clear();
        }
        known.insert(sight.clone(), router.clone());
        Ok(router)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Sight, Router>> {
        self.some.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds out who asks, and hands the request to the routes over what they see.
pub async fn enter(State(front): State<Arc<Front>>, mut request: Request) -> Response {
    let gate = Arc::clone(&front.app.gate);
    let now = Instant::now();
    let origin = Origin::of(request.extensions(), request.headers(), gate.behind_proxy);
    let proof = Proof::of(request.headers(), &gate.sessions, now);
    let access = match who_asks(&front, origin, proof, now).await {
        Ok(access) => access,
        Err(refusal) => return refusal,
    };
    if let Some(client) = limited(&access)
        && let Err(wait) = gate.requests.take(&client, Instant::now())
    {
        return too_many("requests", wait);
    }
    if is_cookie(&access) && is_change(request.method()) && !says_whence(request.headers()) {
        let detail = "a browser did not say which site this request came from";
        return Problem::new(StatusCode::FORBIDDEN, "cross-site", detail).into_response();
    }
    let routes = match front.routes(&access.sight).await {
        Ok(routes) => routes,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(access.clone());
    request.extensions_mut().insert(front.app.clone());
    let Ok(mut response) = visit::read_by(access.clone(), routes.oneshot(request)).await;
    // A refusal that is shown as a page says who was refused.
    response.extensions_mut().insert(access);
    response
}

async fn who_asks(
    front: &Front,
    origin: Origin,
    proof: Proof,
    now: Instant,
) -> Result<Access, Response> {
    let gate = &front.app.gate;
    let shows_secret = matches!(proof, Proof::Secret(_));
    let place = origin.to_string();
    if shows_secret && let Err(wait) = gate.failures.check(&place, now) {
        return Err(too_many("wrong tokens", wait));
    }
    let (daemon, needed) = (front.app.daemon.clone(), gate.tokens_needed);
    let found = move || identify(daemon.store(), &origin, &proof, needed);
    let access = tokio::task::spawn_blocking(found)
        .await
        .map_err(|error| Problem::from(error).into_response())?;
    if access.worthless == Some(Worthless::Unknown) {
        // An error means that the bucket is empty by now, which the next request is told.
        let _ = gate.failures.take(&place, now);
        tracing::warn!(from = place, "a wrong token was shown");
    }
    Ok(access)
}

/// What a client is limited by: its token, or its address. Users of this machine are not.
fn limited(access: &Access) -> Option<String> {
    match &access.who {
        Who::Token { id, .. } => Some(format!("token {id}")),
        Who::Nobody => Some(access.from.clone()),
        Who::Anybody | Who::User(_) => None,
    }
}

fn is_cookie(access: &Access) -> bool {
    matches!(
        access.who,
        Who::Token {
            by_cookie: true,
            ..
        }
    )
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the headers are there that [`crate::guard::refuse_cross_site_changes`] judges.
fn says_whence(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN)
}

/// 429, and when to come again.
pub fn too_many(what: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs().saturating_add(1);
    let detail = format!("too many {what}: come again in {seconds} s");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail);
    problem
        .come_again(Duration::from_secs(seconds))
        .into_response()
}
