//! Every route of the service on one page, with what it needs of who asks.
//!
//! `READ` and its likes are in [`crate::access::route`]; `…_ALL` is about more than the crashes a
//! scope lets through. The pages are in [`crate::ui::routes`].

use crate::access::route::{
    ADMIN, ADMIN_ALL, DEBUG, DEBUG_ALL, PUBLIC, READ, READ_ALL, Route, assemble,
};
use crate::api::{
    audit, compare, cores, debuginfod, decisions, doctor, dumps, events, governor, grouping,
    groups, health, import, modules, notify, openapi, overview, prune, regroup, report, rules,
    searches, status, symbols, tokens, uploads,
};
use crate::{App, ui};
use axum::Router;

/// The API and what machines ask besides.
pub fn api() -> Vec<Route> {
    vec![
        Route::get("/healthz", PUBLIC, health::alive),
        Route::get("/readyz", PUBLIC, health::ready),
        Route::get("/metrics", READ_ALL, status::metrics),
        Route::get("/api/v1/openapi.json", PUBLIC, openapi::document),
        Route::get("/api/v1/status", READ_ALL, status::status),
        Route::get("/api/v1/doctor", READ_ALL, doctor::examine),
        Route::get("/api/v1/events", READ, events::events),
        Route::get(
            "/buildid/{build_id}/executable",
            DEBUG,
            debuginfod::executable,
        )
        .audited("module"),
        Route::get(
            "/buildid/{build_id}/debuginfo",
            DEBUG,
            debuginfod::debuginfo,
        )
        .audited("symbols"),
        Route::get("/api/v1/dumps", READ, dumps::list),
        Route::get("/api/v1/dumps/{ref}", READ, dumps::show).audited("dump"),
        Route::delete("/api/v1/dumps/{ref}", ADMIN, dumps::remove).audited("remove"),
        Route::get("/api/v1/dumps/{ref}/record", READ, dumps::record).audited("record"),
        Route::get("/api/v1/dumps/{ref}/report", READ, dumps::report).audited("report"),
        Route::get("/api/v1/dumps/{ref}/log", DEBUG, dumps::log).audited("log"),
        Route::get("/api/v1/dumps/{ref}/text", DEBUG, dumps::text).audited("text"),
        Route::post("/api/v1/dumps/{ref}/analyze", DEBUG, dumps::analyze),
        Route::put("/api/v1/dumps/{ref}/pin", DEBUG, dumps::pin),
        Route::delete("/api/v1/dumps/{ref}/pin", DEBUG, dumps::unpin),
        Route::get("/api/v1/dumps/{ref}/core", DEBUG, cores::download).audited("core"),
        Route::get(
            "/api/v1/dumps/{ref}/modules/{sha256}",
            DEBUG,
            modules::download,
        )
        .audited("module"),
        Route::get("/api/v1/dumps/{ref}/properties", READ, rules::properties),
        Route::post("/api/v1/import", DEBUG_ALL, import::import),
        Route::options("/api/v1/uploads", DEBUG_ALL, uploads::options),
        Route::get("/api/v1/uploads", DEBUG_ALL, uploads::list),
        Route::post("/api/v1/uploads", DEBUG_ALL, uploads::create),
        Route::get("/api/v1/uploads/{id}", DEBUG_ALL, uploads::show),
        Route::patch("/api/v1/uploads/{id}", DEBUG_ALL, uploads::append),
        Route::delete("/api/v1/uploads/{id}", DEBUG_ALL, uploads::remove),
        Route::get("/api/v1/symbols", READ_ALL, symbols::list),
        Route::post("/api/v1/symbols", DEBUG_ALL, symbols::upload),
        Route::get("/api/v1/symbols/missing", READ_ALL, symbols::missing),
        Route::post("/api/v1/symbols/fetch", DEBUG_ALL, symbols::fetch),
        Route::get("/api/v1/symbols/{build_id}", DEBUG_ALL, symbols::download),
        Route::delete("/api/v1/symbols/{build_id}", ADMIN_ALL, symbols::remove),
        Route::post("/api/v1/prune", ADMIN_ALL, prune::prune).audited("prune"),
        Route::get("/api/v1/governor", READ_ALL, governor::list),
        Route::delete("/api/v1/governor", ADMIN_ALL, governor::reset_all),
        Route::delete("/api/v1/governor/{key}", ADMIN_ALL, governor::reset_one),
        Route::get("/api/v1/notify", READ_ALL, notify::list),
        Route::post("/api/v1/notify/{name}/test", ADMIN_ALL, notify::test),
        Route::get("/api/v1/rules", READ_ALL, rules::list),
        Route::post("/api/v1/rules/run", ADMIN_ALL, rules::run),
        Route::get("/api/v1/groups", READ, groups::list),
        Route::get("/api/v1/groups/{ref}", READ, groups::show),
        Route::get("/api/v1/groups/{ref}/dumps", READ, groups::dumps),
        Route::get("/api/v1/groups/{ref}/explain", READ, grouping::explain),
        Route::get("/api/v1/groups/{ref}/diff/{other}", READ, grouping::diff),
        Route::get("/api/v1/groups/proposals", READ_ALL, regroup::proposals),
        Route::post("/api/v1/regroup", ADMIN_ALL, regroup::start),
        Route::post("/api/v1/groups/try", DEBUG_ALL, grouping::try_rules),
        Route::get("/api/v1/groups/{ref}/seen", READ, groups::seen),
        Route::get("/api/v1/groups/{ref}/life", READ_ALL, decisions::life),
        Route::get("/api/v1/groups/{ref}/changes", READ_ALL, decisions::history),
        Route::post(
            "/api/v1/groups/{ref}/changes",
            DEBUG_ALL,
            decisions::change_group,
        ),
        Route::get("/api/v1/overview", READ_ALL, overview::overview),
        Route::get("/api/v1/compare", DEBUG, compare::compare),
        Route::get("/api/v1/images", READ, overview::images),
        Route::get("/api/v1/investigations", READ_ALL, overview::investigations),
        Route::get("/api/v1/settings", ADMIN_ALL, overview::settings),
        Route::get("/api/v1/report", READ, report::report),
        Route::get("/api/v1/hosts", READ, report::hosts),
        Route::get("/api/v1/searches", READ_ALL, searches::list),
        Route::put("/api/v1/searches/{name}", DEBUG_ALL, searches::save),
        Route::delete("/api/v1/searches/{name}", DEBUG_ALL, searches::remove),
        Route::get("/api/v1/tokens", ADMIN_ALL, tokens::list),
        Route::post("/api/v1/tokens", ADMIN_ALL, tokens::create).audited("token"),
        Route::delete("/api/v1/tokens/{name}", ADMIN_ALL, tokens::remove).audited("token"),
        Route::get("/api/v1/audit", ADMIN_ALL, audit::list),
    ]
}

/// All routes.
pub fn all() -> Vec<Route> {
    let mut routes = api();
    routes.extend(ui::routes());
    routes
}

/// A router of all routes, without what holds for every request.
pub fn routed(app: App) -> Router {
    assemble(all())
        .fallback(health::no_such_page)
        .method_not_allowed_fallback(health::no_such_method)
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;

    #[test]
    fn what_changes_something_needs_more_than_to_read() {
        for route in all() {
            // To sign in, or a theme, which is a cookie of the browser's own, changes nothing for
            // others.
            if route.path.starts_with("/sign-") || route.path == "/theme" {
                continue;
            }
            let reads = route.method == Method::GET;
            let least = route.needs.role;
            assert!(
                reads || least > READ.role,
                "{} {} needs {least:?}",
                route.method,
                route.path
            );
        }
    }

    #[test]
    fn only_these_are_for_anybody() {
        let open: Vec<_> = all()
            .into_iter()
            .filter(|route| route.needs == PUBLIC)
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        let expected = [
            "GET /healthz",
            "GET /readyz",
            "GET /api/v1/openapi.json",
            "POST /theme",
            "GET /sign-in",
            "POST /sign-in",
            "POST /sign-out",
            "GET /static/{name}",
        ];
        assert_eq!(open, expected);
    }
}
