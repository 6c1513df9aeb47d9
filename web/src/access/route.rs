//! A route with what it needs. A route that does not say so cannot be made.

use super::Access;
use crate::App;
use crate::problem::Problem;
use aground_store::access::Role;
use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
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
    handler: MethodRouter<App>,
}

impl Route {
    /// `GET`, and with it `HEAD`.
    pub fn get<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, needs, axum::routing::get(handler))
    }

    /// `POST`.
    pub fn post<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, needs, axum::routing::post(handler))
    }

    /// `PUT`.
    pub fn put<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::PUT, path, needs, axum::routing::put(handler))
    }

    /// `DELETE`.
    pub fn delete<H: Handler<T, App>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self::new(Method::DELETE, path, needs, axum::routing::delete(handler))
    }

    fn new(method: Method, path: &'static str, needs: Needs, handler: MethodRouter<App>) -> Self {
        let guard = from_fn_with_state(needs, refuse_who_may_not);
        Self {
            method,
            path,
            needs,
            handler: handler.route_layer(guard),
        }
    }
}

/// A router of these routes and no others.
pub fn assemble(routes: Vec<Route>) -> Router<App> {
    routes.into_iter().fold(Router::new(), |router, route| {
        router.route(route.path, route.handler)
    })
}

/// The guard before each route.
async fn refuse_who_may_not(State(needs): State<Needs>, request: Request, next: Next) -> Response {
    let access = request.extensions().get::<Access>();
    match refusal(needs, access) {
        None => next.run(request).await,
        Some(problem) => answer(problem),
    }
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
        let detail = "this needs a token: send one as \"Authorization: Bearer …\", or sign in";
        return Some(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail));
    };
    if role < least {
        let detail = format!("this needs the role {least}, and yours is {role}");
        return Some(Problem::new(StatusCode::FORBIDDEN, "role", detail));
    }
    if needs.whole && access.scoped {
        let detail = "this is about all crashes, and your token's scope are some";
        return Some(Problem::new(StatusCode::FORBIDDEN, "scope", detail));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_are_compared_with_who_asks() {
        let somebody = |role, scoped| Access {
            role: Some(role),
            scoped,
        };
        let nobody = Access {
            role: None,
            scoped: false,
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
