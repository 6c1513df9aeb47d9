//! A route with what it needs. A route that does not say so cannot be made.

use super::Access;
use crate::App;
use crate::api::revalidate::revalidate;
use crate::problem::Problem;
use aground_store::access::Audited;
use aground_store::access::Role;
use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

/// What a route needs of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The least role; `None`: anybody, whoever they are.
    pub role: Option<Role>,
    /// Whether the answer is about more than the crashes that a scope lets through, so that only
    /// somebody without a scope gets it. Where it is not, the store hides what is out of scope.
    pub whole: bool,
}

const fn needs(role: Role, whole: bool) -> Needs {
    Needs {
        role: Some(role),
        whole,
    }
}

/// Anybody, also before they have signed in.
pub const PUBLIC: Needs = Needs {
    role: None,
    whole: false,
};
/// Crashes without what was in their memory.
pub const READ: Needs = needs(Role::Read, false);
/// The same, of all crashes together.
pub const READ_ALL: Needs = needs(Role::Read, true);
/// Memory of crashes, and decisions about them.
pub const DEBUG: Needs = needs(Role::Debug, false);
/// What such decisions share.
pub const DEBUG_ALL: Needs = needs(Role::Debug, true);
/// To remove crashes.
pub const ADMIN: Needs = needs(Role::Admin, false);
/// To change the service.
pub const ADMIN_ALL: Needs = needs(Role::Admin, true);

/// One method of one path.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path as axum writes it: `/api/v1/dumps/{ref}`.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// By which name it is written down when somebody got an answer.
    pub audited: Option<&'static str>,
    /// Made when the router is assembled: the compiler takes minutes over a table of a hundred
    /// method routers.
    handler: Box<dyn FnOnce() -> MethodRouter<App>>,
}

impl Route {
    /// `GET`, and with it `HEAD`.
    pub fn get<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, needs, || axum::routing::get(handler))
    }

    /// `POST`.
    pub fn post<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, needs, || axum::routing::post(handler))
    }

    /// `PUT`.
    pub fn put<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::PUT, path, needs, || axum::routing::put(handler))
    }

    /// `PATCH`.
    pub fn patch<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::PATCH, path, needs, || axum::routing::patch(handler))
    }

    /// `OPTIONS`.
    pub fn options<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::OPTIONS, path, needs, || {
            axum::routing::options(handler)
        })
    }

    /// `DELETE`.
    pub fn delete<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::DELETE, path, needs, || {
            axum::routing::delete(handler)
        })
    }

    /// Has it written down, by this name, who got an answer.
    #[must_use]
    pub fn audited(self, what: &'static str) -> Self {
        Self {
            audited: Some(what),
            ..self
        }
    }

    fn new(
        method: Method,
        path: &'static str,
        needs: Needs,
        handler: impl FnOnce() -> MethodRouter<App> + 'static,
    ) -> Self {
        Self {
            method,
            path,
            needs,
            audited: None,
            handler: Box::new(handler),
        }
    }

    fn guarded(self) -> MethodRouter<App> {
        let mut handler = (self.handler)();
        if self.method == Method::GET && self.path.starts_with("/api/") {
            handler = handler.route_layer(from_fn(revalidate));
        }
        if let Some(what) = self.audited {
            handler = handler.route_layer(from_fn_with_state(what, write_down));
        }
        handler.route_layer(from_fn_with_state(self.needs, refuse_who_may_not))
    }
}

/// A router of these routes and no others.
pub fn assemble(routes: Vec<Route>) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, route| {
        router.route(route.path, route.guarded())
    })
}

/// The guard before each route.
async fn refuse_who_may_not(State(needs): State<Needs>, request: Request, next: Next) -> Response {
    let access = request.extensions().get::<Access>();
    match refusal(needs, access) {
        Some(problem) => answer(problem),
        None => next.run(request).await,
    }
}

/// Whether a route that needs this answers them.
pub fn allows(needs: Needs, access: &Access) -> bool {
    refusal(needs, Some(access)).is_none()
}

/// What an answer adds to what is written down about it, where its path does not say it all.
#[derive(Clone, Debug)]
pub struct Noted(pub String);

/// Writes down who got an answer of a route.
async fn write_down(
    State(what): State<&'static str>,
    parameters: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // What is no text names no dump, and the route says so.
    let reference = parameters.ok().and_then(|parameters| {
        let mut named = parameters.iter().filter(|(name, _)| *name == "ref");
        named.next().map(|(_, value)| value.to_owned())
    });
    let extensions = request.extensions();
    let known = extensions
        .get::<Access>()
        .cloned()
        .zip(extensions.get::<App>().cloned());
    let asked = format!("{} {}", request.method(), request.uri());
    // A removed dump has no id to look up afterwards.
    let dump = match (&known, reference) {
        (Some((_, app)), Some(reference)) => {
            let found = crate::api::blocking(app, move |store| store.resolve_dump(&reference));
            found.await.ok().map(|id| id.to_string())
        }
        _ => None,
    };
    let response = next.run(request).await;
    // A form that did what it says leads back to its page.
    let done = response.status().is_success() || response.status() == StatusCode::SEE_OTHER;
    let Some((access, app)) = known.filter(|_| done) else {
        return response;
    };
    let asked = match response.extensions().get::<Noted>() {
        Some(Noted(what)) => format!("{asked}: {what}"),
        None => asked,
    };
    let entry = Audited {
        at_ms: jiff::Timestamp::now().as_millisecond(),
        who: access.who.to_string(),
        from: access.from,
        what: what.to_owned(),
        dump,
        request: asked.chars().take(500).collect(),
        status: response.status().as_u16(),
    };
    let written = crate::api::blocking(&app, move |store| store.audit(&entry)).await;
    // What cannot be written down is not handed out.
    written.map_or_else(IntoResponse::into_response, |()| response)
}

/// A problem; who is not signed in is told how to.
pub fn answer(problem: Problem) -> Response {
    let unauthorized = problem.status() == StatusCode::UNAUTHORIZED;
    let mut response = problem.into_response();
    if unauthorized {
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"aground\""),
        );
    }
    response
}

fn refusal(needs: Needs, access: Option<&Access>) -> Option<Problem> {
    let least = needs.role?;
    let Some((access, role)) = access.and_then(|access| Some((access, access.role?))) else {
        let complaint = access.and_then(Access::complaint);
        let (code, detail) = match complaint {
            Some(complaint) => ("bad-token", complaint),
            None => (
                "no-token",
                "this needs a token: send one as \"Authorization: Bearer …\", or sign in"
                    .to_owned(),
            ),
        };
        return Some(Problem::new(StatusCode::UNAUTHORIZED, code, detail));
    };
    if role < least {
        let detail = format!("this needs the role {least}, and yours is {role}");
        return Some(Problem::new(StatusCode::FORBIDDEN, "role", detail));
    }
    if needs.whole && !access.sight.scope.is_everything() {
        let detail = format!(
            "this is about all crashes, and your token shows only those of {}",
            access.sight.scope
        );
        return Some(Problem::new(StatusCode::FORBIDDEN, "scope", detail));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::who::Who;
    use aground_store::access::{Scope, Sight};

    #[test]
    fn needs_are_compared_with_who_asks() {
        let nobody = Access {
            who: Who::Nobody,
            from: "10.1.2.3".to_owned(),
            role: None,
            sight: Sight::default(),
            worthless: None,
        };
        let somebody = |role, scoped: bool| {
            let conditions = scoped.then(|| "namespace=prod".to_owned());
            let scope = Scope::new(conditions.into_iter().collect()).unwrap();
            Access {
                role: Some(role),
                sight: Sight {
                    scope,
                    memory: true,
                },
                ..nobody.clone()
            }
        };
        let check = |needs, access: Option<&Access>, expected: u16| {
            let status = refusal(needs, access).map_or(200, |problem| problem.status().as_u16());
            assert_eq!(status, expected, "{needs:?} {access:?}");
        };
        for access in [None, Some(&nobody)] {
            check(PUBLIC, access, 200);
            check(READ, access, 401);
            check(ADMIN_ALL, access, 401);
        }
        check(READ, Some(&somebody(Role::Read, true)), 200);
        check(READ_ALL, Some(&somebody(Role::Read, true)), 403);
        check(READ_ALL, Some(&somebody(Role::Read, false)), 200);
        check(DEBUG, Some(&somebody(Role::Read, false)), 403);
        check(DEBUG, Some(&somebody(Role::Admin, true)), 200);
        check(ADMIN, Some(&somebody(Role::Debug, false)), 403);
        check(ADMIN_ALL, Some(&somebody(Role::Admin, true)), 403);
        check(ADMIN_ALL, Some(&somebody(Role::Admin, false)), 200);
    }
}
