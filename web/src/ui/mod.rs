//! The pages: rendered on the server, readable without scripts, nothing loaded from elsewhere.
//!
//! [`pages`] has a file per page: handler, and the data its template shows. [`view`] turns what
//! the store hands out into words. Templates lie in `templates/`; whatever they show passes
//! through [`view::text::Visible`], because nearly every string here was chosen by a container.

pub mod assets;
pub mod pages;
pub mod refused;
pub mod theme;
pub mod view;
pub mod visit;

use crate::access::route::{ADMIN, ADMIN_ALL, DEBUG, DEBUG_ALL, PUBLIC, READ, READ_ALL, Route};
use crate::api::health::no_such_page;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;

/// Every page, with what it needs of who asks.
pub fn routes() -> Vec<Route> {
    use pages::{
        audit, compare, dump, dump_forms, dumps, group, group_diff, group_life, groups, hosts,
        images, import, investigations, overview, report, rules_try, settings, sign_in, status,
        symbols, tokens,
    };
    let upload = DefaultBodyLimit::disable;
    vec![
        Route::get("/", READ, overview::page),
        Route::post("/theme", PUBLIC, theme::choose),
        Route::get("/groups", READ, groups::page),
        Route::get("/groups/{ref}", READ, group::page),
        Route::get("/groups/{ref}/diff/{other}", READ, group_diff::page),
        Route::get("/groups/proposals", READ_ALL, group_diff::proposals),
        Route::get("/groups/try", DEBUG_ALL, rules_try::page),
        Route::post("/groups/try", DEBUG_ALL, rules_try::try_rules),
        Route::post("/groups/{ref}/changes", DEBUG_ALL, group_life::change),
        Route::get("/dumps", READ, dumps::page),
        Route::get("/dumps/{ref}", READ, dump::page).audited("page"),
        Route::post("/dumps/{ref}/analyze", DEBUG, dump_forms::analyze),
        Route::post("/dumps/{ref}/pin", DEBUG, dump_forms::pin),
        Route::post("/dumps/{ref}/unpin", DEBUG, dump_forms::unpin),
        Route::post("/dumps/{ref}/remove", ADMIN, dump_forms::remove).audited("remove"),
        Route::get("/import", DEBUG_ALL, import::page),
        Route::post("/import", DEBUG_ALL, import::import.layer(upload())),
        Route::get("/symbols", READ_ALL, symbols::page),
        Route::post("/symbols", DEBUG_ALL, symbols::upload.layer(upload())),
        Route::post("/symbols/fetch", DEBUG_ALL, symbols::fetch),
        Route::post("/symbols/{build_id}/remove", ADMIN_ALL, symbols::remove),
        Route::get("/report", READ, report::page),
        Route::post("/searches", DEBUG_ALL, report::save),
        Route::post("/searches/{name}/remove", DEBUG_ALL, report::remove),
        Route::get("/compare", DEBUG, compare::page),
        Route::get("/images", READ, images::page),
        Route::get("/hosts", READ, hosts::page),
        Route::get("/investigations", READ_ALL, investigations::page),
        Route::get("/settings", ADMIN_ALL, settings::page),
        Route::get("/tokens", ADMIN_ALL, tokens::page),
        Route::post("/tokens", ADMIN_ALL, tokens::create).audited("token"),
        Route::post("/tokens/{name}/remove", ADMIN_ALL, tokens::remove).audited("token"),
        Route::get("/audit", ADMIN_ALL, audit::page),
        Route::get("/status", READ_ALL, status::page),
        Route::post("/notify/{name}/test", ADMIN_ALL, status::test_target),
        Route::get("/sign-in", PUBLIC, sign_in::page),
        Route::post("/sign-in", PUBLIC, sign_in::sign_in),
        Route::post("/sign-out", PUBLIC, sign_in::sign_out),
        Route::get("/static/{name}", PUBLIC, assets::serve),
        Route::get("/{*path}", READ, no_such_page),
    ]
}

#[cfg(test)]
mod tests;
