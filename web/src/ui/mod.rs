//! The pages: rendered on the server, readable without scripts, nothing loaded from elsewhere.
//!
//! [`pages`] has a file per page: handler, and the data its template shows. [`view`] turns what
//! the store hands out into words. Templates lie in `templates/`; whatever they show passes
//! through [`view::text::Visible`], because nearly every string here was chosen by a container.

pub mod assets;
pub mod pages;
pub mod view;

use crate::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{any, get, post};

/// Every page.
pub fn routes() -> Router<App> {
    use pages::{
        dump, dumps, error, group, group_life, groups, hosts, import, report, status, symbols,
    };
    Router::new()
        .route("/", get(groups::page))
        .route("/groups/{ref}", get(group::page))
        .route("/groups/{ref}/changes", post(group_life::change))
        .route("/dumps", get(dumps::page))
        .route("/dumps/{ref}", get(dump::page))
        .route("/dumps/{ref}/analyze", post(dump::analyze))
        .route("/dumps/{ref}/pin", post(dump::pin))
        .route("/dumps/{ref}/unpin", post(dump::unpin))
        .route("/dumps/{ref}/remove", post(dump::remove))
        .route(
            "/import",
            get(import::page).post(import::import.layer(DefaultBodyLimit::disable())),
        )
        .route(
            "/symbols",
            get(symbols::page).post(symbols::upload.layer(DefaultBodyLimit::disable())),
        )
        .route("/symbols/fetch", post(symbols::fetch))
        .route("/symbols/{build_id}/remove", post(symbols::remove))
        .route("/report", get(report::page))
        .route("/searches", post(report::save))
        .route("/searches/{name}/remove", post(report::remove))
        .route("/hosts", get(hosts::page))
        .route("/status", get(status::page))
        .route("/notify/{name}/test", post(status::test_target))
        .route("/static/{name}", get(assets::serve))
        .route("/{*path}", any(error::no_such_page))
}

#[cfg(test)]
mod tests;
